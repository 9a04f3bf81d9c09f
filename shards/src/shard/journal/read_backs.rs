//! Bodies on their way back from the log: who waits for them, how many are read at once, and what becomes of those that
//! cannot be read. Sessions wait, each for the body whose turn it is; the shard does not.

use super::{Bodies, Journal, WallClock, records};
use crate::shard::Shard;
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::publication::Publication;
use ringmq_core::session::{BodyKey, SessionNumber};
use ringmq_persistence::log::Reading;
use ringmq_persistence::record::{self, Record, access};
use ringmq_persistence::{Id, ReadError};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Bodies that a shard reads at once.
pub const READ_BACKS_MAX: usize = 1024;
/// Bytes of them, but for one that alone has more.
const READ_BACK_BYTES_MAX: usize = 8 << 20;
/// How often a body is read that the disk does not give.
const TRIES_MAX: u8 = 3;

/// Bodies that were asked for and have not come.
#[derive(Debug, Default)]
pub struct ReadBacks {
    /// Records that are still to be asked for, in their order.
    wanted: VecDeque<u64>,
    /// Everything that has not come, by record.
    asked: SeededMap<u64, Asked>,
    in_flight: usize,
    in_flight_bytes: usize,
    /// The record each session waits for.
    waiting: SeededMap<SessionNumber, u64>,
    /// Sessions for which something came.
    arrived: Vec<SessionNumber>,
    /// Bodies that came since the shard looked last, or did not and never will.
    arrivals: u64,
    /// Of these, bodies that came.
    count: u64,
    is_loss_told: bool,
}

#[derive(Debug)]
struct Asked {
    key: BodyKey,
    weight_bytes: usize,
    tries: u8,
    waiting: SmallVec<[SessionNumber; 1]>,
}

impl ReadBacks {
    fn begin(&mut self, record: u64, key: BodyKey, weight_bytes: usize) {
        let asked = Asked { key, weight_bytes, tries: 0, waiting: SmallVec::new() };
        self.asked.insert(record, asked);
        self.wanted.push_back(record);
    }

    /// A session can send nothing before this record comes.
    fn wait(&mut self, record: u64, session: SessionNumber) {
        let Some(asked) = self.asked.get_mut(&record) else { return };
        if self.waiting.insert(session, record) != Some(record) {
            asked.waiting.push(session);
        }
    }

    /// The next record to read, if there is room for it.
    fn next(&mut self) -> Option<u64> {
        loop {
            let record = *self.wanted.front()?;
            let Some(asked) = self.asked.get(&record) else {
                self.wanted.pop_front();
                continue;
            };
            let bytes = self.in_flight_bytes + asked.weight_bytes;
            let has_room = self.in_flight < READ_BACKS_MAX && bytes <= READ_BACK_BYTES_MAX;
            if !has_room && self.in_flight > 0 {
                return None;
            }
            self.wanted.pop_front();
            self.in_flight += 1;
            self.in_flight_bytes = bytes;
            return Some(record);
        }
    }

    /// That record cannot be asked for now.
    fn put_back(&mut self, record: u64) {
        let Some(asked) = self.asked.get(&record) else { return };
        self.in_flight -= 1;
        self.in_flight_bytes -= asked.weight_bytes;
        self.wanted.push_front(record);
    }

    /// A record came, or cannot.
    fn land(&mut self, record: u64) -> Option<Asked> {
        let asked = self.asked.remove(&record)?;
        self.in_flight -= 1;
        self.in_flight_bytes -= asked.weight_bytes;
        Some(asked)
    }

    /// It is to be read again.
    fn retry(&mut self, record: u64, asked: Asked) {
        self.asked.insert(record, Asked { tries: asked.tries + 1, ..asked });
        self.wanted.push_back(record);
    }

    fn arrive(&mut self, record: u64, waiting: SmallVec<[SessionNumber; 1]>) {
        self.arrivals += 1;
        for session in waiting {
            // It may wait for something else by now.
            if self.waiting.get(&session) == Some(&record) {
                self.waiting.remove(&session);
                self.arrived.push(session);
            }
        }
    }
}

impl Journal {
    /// A body is wanted soon; see [`ringmq_core::session::Memory::want`].
    pub fn want_body(&mut self, key: BodyKey, weight_bytes: usize, waiting: Option<SessionNumber>) -> bool {
        let asked = self.bodies.ask(key);
        if let Some(record) = asked {
            self.read_backs.begin(record, key, weight_bytes);
        }
        if let (Some(session), Some(record)) = (waiting, self.bodies.record(key)) {
            self.read_backs.wait(record, session);
        }
        asked.is_some()
    }

    /// Has read what there is room for.
    pub fn begin_reads(&mut self) {
        while let Some(record) = self.read_backs.next() {
            let Some(log) = &mut self.log else { return };
            let read = match log.read(Id(record)) {
                Ok(Reading::Pending(_)) => continue,
                Err(ReadError::Busy) => return self.read_backs.put_back(record),
                Ok(Reading::Ready { kind, payload }) => Ok(publication(kind, payload, &self.clock)),
                Err(error) => Err(error),
            };
            self.take_read(record, read);
        }
    }

    /// Takes what was read.
    fn end_reads(&mut self) {
        while let Some(done) = self.log.as_mut().and_then(ringmq_persistence::Machine::poll_read) {
            let read = done.result.map(|stored| publication(stored.kind, stored.payload(), &self.clock));
            self.take_read(done.id.0, read);
        }
    }

    fn take_read(&mut self, record: u64, read: Result<Option<Publication>, ReadError>) {
        let Some(asked) = self.read_backs.land(record) else { return };
        if self.bodies.record(asked.key) != Some(record) {
            // Nobody has the message any more.
            return self.read_backs.arrive(record, asked.waiting);
        }
        match read {
            Ok(Some(publication)) => {
                self.bodies.fill(asked.key, publication);
                self.read_backs.count += 1;
            }
            Err(ReadError::Storage(_)) if asked.tries < TRIES_MAX => {
                return self.read_backs.retry(record, asked);
            }
            Ok(None) => self.lose_body(asked.key, record, "it is no message"),
            Err(error) => self.lose_body(asked.key, record, &error.to_string()),
        }
        self.read_backs.arrive(record, asked.waiting);
    }

    fn lose_body(&mut self, key: BodyKey, record: u64, reason: &str) {
        self.bodies.lose(key);
        if !std::mem::replace(&mut self.read_backs.is_loss_told, true) {
            tracing::error!(
                record,
                reason,
                "a message cannot be read from the log of a shard: it is lost. Others like it are counted \
                 (delivery.dropped.store_lost); see `ringmq log verify`"
            );
        }
    }

    /// Whether something came that the shard has not looked at.
    pub fn has_arrivals(&self) -> bool {
        self.read_backs.arrivals > 0
    }

    /// Takes over the bodies of an earlier life.
    pub fn adopt_bodies(&mut self, bodies: Bodies) {
        self.bodies = bodies;
    }

    /// The bodies of everything that is remembered.
    pub fn bodies(&self) -> &Bodies {
        &self.bodies
    }
}

impl Shard {
    /// Drops bodies from memory beyond what is kept there.
    pub fn evict_bodies(&mut self) {
        let Journal { bodies, log: Some(log), .. } = &mut self.journal else { return };
        let evicted = bodies.evict(|record| log.is_written(Id(record)));
        if evicted > 0 {
            self.tally.add(Metric::PersistenceBodiesEvicted, evicted);
            self.log_figures.touch();
        }
    }

    /// Takes bodies that were read back; whoever waited for them goes on.
    pub fn take_read_backs(&mut self) {
        self.journal.end_reads();
        if std::mem::take(&mut self.journal.read_backs.arrivals) == 0 {
            return;
        }
        self.log_figures.touch();
        let count = std::mem::take(&mut self.journal.read_backs.count);
        self.tally.add(Metric::PersistenceBodiesReadBack, count);
        for number in std::mem::take(&mut self.journal.read_backs.arrived) {
            let Some(kept) = self.journal.sessions.get(&number) else { continue };
            let slot = self.sessions.get(kept.key);
            if let Some(token) = slot.and_then(|slot| slot.connection) {
                self.pump(token);
            }
        }
        self.place_shared();
    }
}

/// The message of a record.
fn publication(kind: u16, payload: &[u8], clock: &WallClock) -> Option<Publication> {
    match kind {
        record::Body::KIND => {
            access::<record::Body<'_>>(kind, payload).ok().map(|body| records::publication(body, clock))
        }
        _ => None,
    }
}
