//! What old logs hold, put into new ones: one old log after the other, each read twice. The first pass learns which sessions there
//! are and who refers to which message; the second one moves record by record, in the order of the log.
//!
//! A body that several sessions of an old log refer to is put into a new log once. Old logs are only read. Bodies are not kept in memory; numbers of sessions and ids of records are.

use crate::store::{StoreError, log_directory, log_error};
use ringmq_core::hash::SeededMap;
use ringmq_core::routing::ShardId;
use ringmq_persistence::record::{
    self, Applied, Body, Forwarding, QueueTerms, Queued, Received, Record, RecordError, Retained, Sent,
    SessionZone, Subscription, access, decode, encode,
};
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::tools::{Snapshot, drain};
use ringmq_persistence::{Id, Level, Machine, OpenError, Options, Report, StorageError, open_machine};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Bytes that wait to be written to a new log before they are.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// Why a record was not moved.
#[derive(Debug)]
pub enum Obstacle {
    /// It cannot be read, or not be written again: a newer broker wrote it.
    Record(RecordError),
    /// The new log does not take it.
    Store(StoreError),
}

impl From<RecordError> for Obstacle {
    fn from(error: RecordError) -> Obstacle {
        Obstacle::Record(error)
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Obstacle {
        Obstacle::Store(error)
    }
}

/// What was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    pub sessions: u64,
    pub subscriptions: u64,
    /// Of all sessions, those that wait and those that were sent.
    pub messages: u64,
    pub retained: u64,
    /// Messages whose body was damaged.
    pub lost: u64,
}

/// The new logs.
#[derive(Debug)]
pub struct NewLogs {
    logs: Vec<NewLog>,
    pub moved: Moved,
}

/// A new log.
#[derive(Debug)]
struct NewLog {
    directory: PathBuf,
    files: Files,
    machine: Machine,
    /// Sessions it was given.
    sessions: u64,
}

/// Where a session goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The record that counts.
    record: u64,
    home: ShardId,
    /// What it is known by there.
    number: u64,
}

/// The copies of a body: in which new log, and its id there, 0 until it is put.
type Copies = SmallVec<[(ShardId, u64); 1]>;

/// What the first pass learns.
#[derive(Debug, Default)]
struct Index {
    sessions: BTreeMap<u64, Place>,
    bodies: SeededMap<u64, Copies>,
    /// A message is on its way to other shards.
    is_unsettled: bool,
    /// Records that another one has taken the place of.
    replaced: SeededMap<u64, ()>,
    /// The session and the body of each message.
    messages: Vec<(u64, u64, u64)>,
}

/// An old log.
#[derive(Debug)]
pub struct OldLog {
    directory: PathBuf,
    /// Of how many it is one.
    shards: usize,
    snapshot: Snapshot,
}

impl OldLog {
    /// Reads it, one of so many.
    ///
    /// # Errors
    /// [`StoreError::Log`], also if it is damaged and `strict` is set.
    pub fn open(directory: PathBuf, shards: usize, strict: bool) -> Result<OldLog, StoreError> {
        let snapshot = Snapshot::of(&directory).map_err(|error| log_error(&directory, error))?;
        if strict && !snapshot.report().damages.is_empty() {
            let report = Box::new(snapshot.report().clone());
            return Err(log_error(&directory, OpenError::Damaged { report }));
        }
        Ok(OldLog { directory, shards, snapshot })
    }

    /// What is wrong with it.
    pub fn report(&self) -> &Report {
        self.snapshot.report()
    }

    /// Shows each record to `take`.
    fn visit(&self, mut take: impl FnMut(u64, u16, &[u8]) -> Result<(), Obstacle>) -> Result<(), StoreError> {
        let visited = self.snapshot.visit(|Id(id), kind, payload| match take(id, kind, payload) {
            Ok(()) => ControlFlow::Continue(()),
            Err(obstacle) => ControlFlow::Break((id, obstacle)),
        });
        match visited.map_err(|error| log_error(&self.directory, error))? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break((_, Obstacle::Store(error))) => Err(error),
            ControlFlow::Break((record, Obstacle::Record(source))) => {
                let path = self.directory.clone();
                Err(StoreError::Unmovable { path, record, source, shards: self.shards })
            }
        }
    }
}

impl Index {
    fn of(old: &OldLog, new: &mut NewLogs) -> Result<Index, StoreError> {
        let mut index = Index::default();
        let shards = new.logs.len();
        old.visit(|id, kind, payload| Ok(index.take(id, kind, payload, shards)?))?;
        if index.is_unsettled {
            return Err(StoreError::Unsettled { shards: old.shards });
        }
        // Of two sessions of one client the later one counts: numbers keep their order.
        for place in index.sessions.values_mut() {
            let log = &mut new.logs[place.home.index()];
            log.sessions += 1;
            place.number = log.sessions;
        }
        for (record, session, body) in std::mem::take(&mut index.messages) {
            let Some(place) = index.sessions.get(&session) else { continue };
            if index.replaced.contains_key(&record) {
                continue;
            }
            let copies = index.bodies.entry(body).or_default();
            if copies.iter().all(|(home, _)| *home != place.home) {
                copies.push((place.home, 0));
            }
        }
        Ok(index)
    }

    fn take(&mut self, id: u64, kind: u16, payload: &[u8], shards: usize) -> Result<(), RecordError> {
        match kind {
            record::Session::KIND => {
                let stored = access::<record::Session>(kind, payload)?;
                let home = ShardId::home_of(stored.client_id.as_str(), shards);
                let place = Place { record: id, home, number: 0 };
                if stored.number > 0 {
                    self.sessions.insert(stored.number.to_native(), place);
                }
            }
            Queued::KIND => {
                let stored = access::<Queued<'_>>(kind, payload)?;
                self.messages.push((id, stored.session.to_native(), stored.body.to_native()));
                self.replace(stored.replaces.to_native());
            }
            Forwarding::KIND => self.is_unsettled = true,
            Sent::KIND => self.replace(access::<Sent>(kind, payload)?.replaces.to_native()),
            // The second pass sees to it.
            _ => {}
        }
        Ok(())
    }

    fn replace(&mut self, record: u64) {
        if record > 0 {
            self.replaced.insert(record, ());
        }
    }

    /// Where the body of a message of this session is.
    fn body(&self, body: u64, home: ShardId) -> Option<u64> {
        let (_, id) = self.bodies.get(&body)?.iter().find(|(shard, _)| *shard == home)?;
        Some(*id).filter(|id| *id > 0)
    }
}

impl NewLogs {
    /// Empty logs in `directory`.
    ///
    /// # Errors
    /// [`StoreError::Log`].
    pub fn create(directory: &Path, shards: usize, options: &Options) -> Result<NewLogs, StoreError> {
        let logs = (0..shards).map(|shard| NewLog::create(log_directory(directory, shard), options.clone()));
        Ok(NewLogs { logs: logs.collect::<Result<_, _>>()?, moved: Moved::default() })
    }

    /// Puts everything an old log holds where it belongs.
    ///
    /// # Errors
    /// [`StoreError::Unmovable`], [`StoreError::Unsettled`], [`StoreError::Log`].
    pub fn take(&mut self, old: &OldLog) -> Result<(), StoreError> {
        let mut index = Index::of(old, self)?;
        old.visit(|id, kind, payload| self.carry(&mut index, id, kind, payload))
    }

    /// Has everything synced.
    ///
    /// # Errors
    /// [`StoreError::Log`].
    pub fn finish(self) -> Result<Moved, StoreError> {
        for log in self.logs {
            log.finish()?;
        }
        Ok(self.moved)
    }

    /// Moves a record, unless another one has taken its place or its session is gone.
    fn carry(&mut self, index: &mut Index, id: u64, kind: u16, payload: &[u8]) -> Result<(), Obstacle> {
        match kind {
            record::Session::KIND => {
                let stored = decode::<record::Session>(kind, payload)?;
                let place = index.sessions.get(&stored.number).filter(|place| place.record == id);
                if let Some(&Place { home, number, .. }) = place {
                    self.put(home, encode(&record::Session { number, ..stored })?)?;
                    self.moved.sessions += 1;
                }
            }
            Subscription::KIND => {
                let stored = decode::<Subscription>(kind, payload)?;
                if let Some(&Place { home, number, .. }) = index.sessions.get(&stored.session) {
                    self.put(home, encode(&Subscription { session: number, ..stored })?)?;
                    self.moved.subscriptions += 1;
                }
            }
            Body::KIND => {
                access::<Body<'_>>(kind, payload)?;
                for (home, copy) in index.bodies.get_mut(&id).into_iter().flatten() {
                    *copy = self.put(*home, (kind, payload))?;
                }
            }
            Queued::KIND if !index.replaced.contains_key(&id) => self.carry_queued(index, kind, payload)?,
            Sent::KIND if !index.replaced.contains_key(&id) => {
                let stored = decode::<Sent>(kind, payload)?;
                if let Some(&Place { home, number, .. }) = index.sessions.get(&stored.session) {
                    self.put(home, encode(&Sent { session: number, replaces: 0, ..stored })?)?;
                    self.moved.messages += 1;
                }
            }
            Queued::KIND | Sent::KIND => {}
            QueueTerms::KIND => {
                let stored = decode::<QueueTerms>(kind, payload)?;
                if let Some(&Place { home, number, .. }) = index.sessions.get(&stored.session) {
                    self.put(home, encode(&QueueTerms { session: number, ..stored })?)?;
                }
            }
            SessionZone::KIND => {
                let stored = decode::<SessionZone>(kind, payload)?;
                if let Some(&Place { home, number, .. }) = index.sessions.get(&stored.session) {
                    self.put(home, encode(&SessionZone { session: number, ..stored })?)?;
                }
            }
            Received::KIND => {
                let stored = decode::<Received>(kind, payload)?;
                if let Some(&Place { home, number, .. }) = index.sessions.get(&stored.session) {
                    self.put(home, encode(&Received { session: number, ..stored })?)?;
                }
            }
            Retained::KIND => {
                let topic = &access::<Retained<'_>>(kind, payload)?.body.topic;
                self.put(ShardId::home_of(topic, self.logs.len()), (kind, payload))?;
                self.moved.retained += 1;
            }
            // How far a shard had what others passed on: nothing is on its way, and numbers begin anew.
            Applied::KIND => {}
            found => return Err(RecordError::Kind { found, expected: record::Session::KIND }.into()),
        }
        Ok(())
    }

    fn carry_queued(&mut self, index: &Index, kind: u16, payload: &[u8]) -> Result<(), Obstacle> {
        let stored = access::<Queued<'_>>(kind, payload)?;
        let Some(place) = index.sessions.get(&stored.session.to_native()) else { return Ok(()) };
        let Some(body) = index.body(stored.body.to_native(), place.home) else {
            self.moved.lost += 1;
            return Ok(());
        };
        let identifiers: SmallVec<[u32; 8]> = stored.identifiers.iter().map(|id| id.to_native()).collect();
        let moved = Queued {
            session: place.number,
            body,
            packet_id: stored.packet_id.as_ref().map(|id| id.to_native()),
            replaces: 0,
            share: stored.share.to_native(),
            qos: stored.qos,
            retain: stored.retain,
            identifiers: &identifiers,
        };
        self.put(place.home, encode(&moved)?)?;
        self.moved.messages += 1;
        Ok(())
    }

    fn put(&mut self, home: ShardId, record: (u16, impl AsRef<[u8]>)) -> Result<u64, StoreError> {
        self.logs[home.index()].put(record.0, record.1.as_ref())
    }
}

impl NewLog {
    fn create(directory: PathBuf, options: Options) -> Result<NewLog, StoreError> {
        let open = || -> Result<(Files, Machine), OpenError> {
            let files = Files::open(&directory)?;
            let (machine, _) = block_on(open_machine(&files, options, |_, _, _| {}))?;
            Ok((files, machine))
        };
        match open() {
            Ok((files, machine)) => Ok(NewLog { directory, files, machine, sessions: 0 }),
            Err(error) => Err(log_error(&directory, error)),
        }
    }

    fn put(&mut self, kind: u16, payload: &[u8]) -> Result<u64, StoreError> {
        let pending = self.machine.pending_bytes();
        if pending > 0 && pending + payload.len() > PENDING_BYTES_MAX {
            self.write(Level::Wal)?;
        }
        let put = self.machine.put(kind, payload).map_err(|error| {
            let error = StorageError::new("taking a record", None, io::Error::other(error));
            log_error(&self.directory, error.into())
        });
        put.map(|Id(id)| id)
    }

    /// Writes what waits.
    fn write(&mut self, level: Level) -> Result<(), StoreError> {
        // A log that has failed says why when it is drained.
        let sealed = self.machine.seal(level);
        let drained = block_on(drain(&self.files, &mut self.machine));
        drained.map_err(|error| log_error(&self.directory, error.into()))?;
        debug_assert!(sealed.is_ok_and(|position| level == Level::Wal || self.machine.synced() >= position));
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.write(Level::Fsync)?;
        self.machine.close();
        self.write(Level::Fsync)
    }
}
