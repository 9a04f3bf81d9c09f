//! What a shard remembers beyond the process: records in its log, and who waits for them to be stored.
//!
//! The log is a state machine; its operations go out through [`Journal::poll_operation`] and their answers come back. Nothing
//! here performs IO or waits.

mod bodies;
mod commit;
mod figures;
mod forwarding;
mod keeping;
mod read_backs;
mod receipts;
mod records;
mod restore;
mod sessions;

pub use bodies::Bodies;
pub use figures::LogFigures;
pub use forwarding::{Applications, Arrivals, Forwardings, PendingForwarding};
pub use read_backs::READ_BACKS_MAX;
pub use receipts::{Goal, Outcome, PendingAck, Receipt, Receipts};
pub use records::WallClock;
pub use restore::Remembered;
pub use sessions::KeptSession;

use crate::durability::DurabilityLevel;
use read_backs::ReadBacks;
use ringmq_core::hash::SeededMap;
use ringmq_core::publication::Publication;
use ringmq_core::session::{BodyKey, SessionNumber};
use ringmq_core::time::Timestamp;
use ringmq_persistence::log::operation::{Answer, Operation, Ticket};
use ringmq_persistence::{Figures, Id, Level, Machine, Position, PutError, StorageError};
use std::num::NonZeroU64;

/// The memory of a shard. Without a log it remembers nothing.
#[derive(Debug)]
pub struct Journal {
    log: Option<Machine>,
    /// The level of everything that is not a publication.
    level: DurabilityLevel,
    clock: WallClock,
    /// The time of this pass, on the wall clock.
    now_ms: u64,
    sessions: SeededMap<SessionNumber, KeptSession>,
    next_number: u64,
    /// The place of the next message that is forwarded exactly once.
    next_sequence: u64,
    applied: Applications,
    bodies: Bodies,
    read_backs: ReadBacks,
    /// The body stored last: the next session that keeps the same message refers to it.
    latest: Option<(Publication, BodyKey)>,
    /// Records put since the start.
    puts: u64,
    /// Records that could not be put.
    refusals: u64,
    /// Records were put or removed since the last seal.
    is_unsealed: bool,
    /// The last seal did not ask for a sync.
    is_unsynced: bool,
    last_seal: Position,
    /// The store is at its bound: so many bytes found no room.
    full_for: Option<usize>,
    /// The message at hand was acknowledged before it came here: it may take of the room that is kept free.
    is_owed: bool,
    is_failure_told: bool,
    /// How far the log was when the shard last looked.
    seen: (Position, Position),
}

/// How much of the log's room for bytes that wait to be written may be taken before publishers are held back.
const PENDING_BYTES_MAX: u64 = 16 << 20;

impl Journal {
    /// A journal over a log, or one that remembers nothing.
    pub fn new(log: Option<Machine>, level: DurabilityLevel, clock: WallClock) -> Journal {
        Journal {
            log,
            level,
            clock,
            now_ms: 0,
            sessions: SeededMap::default(),
            next_number: 1,
            next_sequence: 1,
            applied: Applications::default(),
            bodies: Bodies::default(),
            read_backs: ReadBacks::default(),
            latest: None,
            puts: 0,
            refusals: 0,
            is_unsealed: false,
            is_unsynced: false,
            last_seal: Position::default(),
            full_for: None,
            is_owed: false,
            is_failure_told: false,
            seen: (Position::default(), Position::default()),
        }
    }

    /// Whether there is a log.
    pub fn is_enabled(&self) -> bool {
        self.log.is_some()
    }

    /// Whether what should be remembered cannot be: the log has failed, or is at its bound.
    pub fn is_refusing(&mut self) -> bool {
        let log = &mut self.log;
        self.full_for = self.full_for.filter(|bytes| log.as_mut().is_some_and(|log| !log.has_room(*bytes)));
        (self.full_for.is_some() && !self.is_owed) || self.has_failed()
    }

    /// Whether what is to be remembered may be refused: the log has a bound, or has failed.
    pub fn may_refuse(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_bounded() || log.failure().is_some())
    }

    /// Whether records of so many bytes together would be refused. Nothing of them is put then, rather than a part.
    pub fn lacks_room(&mut self, bytes: usize) -> bool {
        if self.is_refusing() {
            return true;
        }
        let is_lacking = !self.is_owed && self.log.as_mut().is_some_and(|log| !log.has_room(bytes));
        if is_lacking {
            self.note_full(bytes);
        }
        is_lacking
    }

    /// Whether records of so many bytes together might find no room: otherwise there is no need to know how many.
    pub fn may_lack_room(&self) -> bool {
        self.may_refuse() || self.is_behind()
    }

    /// Whether records of so many bytes together would be refused though they were promised, but may not be later.
    pub fn lacks_owed_room(&mut self, bytes: usize) -> bool {
        self.log.as_mut().is_some_and(|log| log.lacks_owed_room(bytes))
    }

    fn note_full(&mut self, bytes: usize) {
        if self.full_for.is_none() {
            tracing::warn!("persistence: publications are refused until there is room");
        }
        self.full_for = Some(bytes);
    }

    /// Whether the log has failed, which only a restart mends.
    pub fn has_failed(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.failure().is_some())
    }

    /// Whether the store is nearly full.
    pub fn is_short(&mut self) -> bool {
        self.log.as_mut().is_some_and(Machine::is_short)
    }

    /// Bytes of records that must go before tidying up makes room.
    pub fn surplus_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, Machine::surplus_bytes)
    }

    /// Why the log has failed, the first time it is asked after that.
    pub fn take_failure(&mut self) -> Option<StorageError> {
        let failure = self.log.as_ref()?.failure()?;
        (!std::mem::replace(&mut self.is_failure_told, true)).then(|| failure.clone())
    }

    /// Whether so much waits to be written that nothing more should be taken from publishers.
    pub fn is_behind(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.pending_bytes() as u64 > PENDING_BYTES_MAX)
    }

    /// Records put, and records refused, since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.puts, self.refusals)
    }

    /// Figures of the log, if there is one.
    pub fn figures(&self) -> Option<Figures> {
        self.log.as_ref().map(Machine::figures)
    }

    /// The time of this pass, in milliseconds since 1970, by the system's clock when the broker started.
    pub fn wall_ms(&self) -> u64 {
        self.now_ms
    }

    /// The moment of the broker's clock at this time of the wall clock, in milliseconds since 1970.
    pub fn moment_of(&self, ms: u64) -> Timestamp {
        self.clock.moment_of(ms)
    }

    /// A pass begins at this moment.
    pub fn begin_pass(&mut self, now: Timestamp) {
        self.now_ms = self.clock.to_wall_ms(now);
    }

    /// Puts a record; `None` if there is no log, or it does not take it.
    fn put(
        &mut self,
        encoded: Result<(u16, impl AsRef<[u8]>), ringmq_persistence::record::RecordError>,
    ) -> Option<Id> {
        self.put_by(encoded, if self.is_owed { Machine::put_owed } else { Machine::put })
    }

    /// Puts a record in the place of one that is removed next: there is room for it in a store that is full.
    fn put_in_place(
        &mut self,
        encoded: Result<(u16, impl AsRef<[u8]>), ringmq_persistence::record::RecordError>,
    ) -> Option<Id> {
        self.put_by(encoded, Machine::put_in_place)
    }

    fn put_by(
        &mut self,
        encoded: Result<(u16, impl AsRef<[u8]>), ringmq_persistence::record::RecordError>,
        put: impl FnOnce(&mut Machine, u16, &[u8]) -> Result<Id, PutError>,
    ) -> Option<Id> {
        let log = self.log.as_mut()?;
        let (kind, payload) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                tracing::error!(%error, "a record cannot be stored");
                self.refusals += 1;
                return None;
            }
        };
        match put(log, kind, payload.as_ref()) {
            Ok(id) => {
                self.puts += 1;
                self.is_unsealed = true;
                Some(id)
            }
            Err(error) => {
                if matches!(error, PutError::Full) {
                    self.note_full(payload.as_ref().len());
                }
                self.refusals += 1;
                None
            }
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(log) = &mut self.log else { return };
        // A log that has failed keeps what it has.
        if log.remove(id).unwrap_or(false) {
            self.is_unsealed = true;
        }
    }

    /// The next operation that the log wants done.
    pub fn poll_operation(&mut self) -> Option<(Ticket, Operation)> {
        self.log.as_mut()?.poll_operation()
    }

    /// The answer to an operation.
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Result<Answer, StorageError>) {
        if let Some(log) = &mut self.log {
            log.handle_answer(ticket, answer);
        }
    }

    /// Everything that was recorded up to now lies before the position that is returned. `is_awaited`: somebody waits for it
    /// to be synced.
    fn seal(&mut self, is_awaited: bool) -> Position {
        self.record_applied();
        if !self.is_unsealed && (!is_awaited || !self.is_unsynced) {
            return self.last_seal;
        }
        let Some(log) = &mut self.log else { return self.last_seal };
        let level = if is_awaited { Level::Fsync } else { Level::Wal };
        if let Ok(position) = log.seal(level) {
            self.last_seal = position;
            self.is_unsealed = false;
            self.is_unsynced = !is_awaited;
        }
        self.latest = None;
        self.last_seal
    }

    /// Everything before this position has reached a level.
    fn reached(&self, level: DurabilityLevel) -> u64 {
        match (&self.log, level) {
            (None, _) | (_, DurabilityLevel::Memory) => u64::MAX,
            (Some(log), DurabilityLevel::Wal) => log.written().as_u64(),
            (Some(log), DurabilityLevel::Fsync) => log.synced().as_u64(),
        }
    }

    /// Before which position everything is stored as clients are promised.
    pub fn stored(&self) -> u64 {
        self.reached(self.level)
    }

    /// The position before which everything recorded up to now lies, which somebody waits for.
    pub fn awaited_position(&mut self) -> u64 {
        self.seal(self.level == DurabilityLevel::Fsync).as_u64()
    }

    /// Whether the log got further since this was asked last.
    pub fn has_moved(&mut self) -> bool {
        let Some(log) = &self.log else { return false };
        let now = (log.written(), log.synced());
        std::mem::replace(&mut self.seen, now) != now
    }

    /// Has everything written and synced; for the end of the shard.
    pub fn close(&mut self) {
        self.seal(true);
        if let Some(log) = &mut self.log {
            log.close();
        }
    }

    /// Whether nothing of the log is under way.
    pub fn is_idle(&self) -> bool {
        self.log.as_ref().is_none_or(Machine::is_idle)
    }
}

fn nonzero(id: Id) -> Option<NonZeroU64> {
    NonZeroU64::new(id.0)
}
