//! The log as a state machine: records go in, operations come out, answers come back. It never performs an operation,
//! reads a clock or waits; [`crate::driver`] does.
//!
//! A record is *live* from its `put` to its `remove`. Both are records in the log; a segment whose records are all dead is
//! deleted, and one that is mostly dead has its live records copied to the log's end first, under their ids.

pub mod batch;
pub mod index;
pub mod operation;
pub mod segments;

mod append;
mod checkpoints;
mod compaction;
mod flow;
mod reads;

use std::collections::{BTreeMap, VecDeque};

use batch::{Queue, Tail};
use checkpoints::Checkpoints;
pub(crate) use checkpoints::Kept;
use compaction::Compaction;
use index::{Index, Location};
use operation::{Entry, Purpose, Ticket};
pub use reads::{ReadDone, ReadTicket, Reading, Stored};
use segments::Segments;

use crate::error::{PutError, StorageError};
use crate::format::SegmentNumber;
use crate::format::frame::{PAYLOAD_BYTES_MAX, frame_bytes};
use crate::format::marks::REMOVED_IDS_MAX;
use crate::options::Options;

/// A record of at most so many bytes always has room where it takes the place of another.
pub const IN_PLACE_BYTES_MAX: usize = 1024;

/// A record's name: ascending, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// How far into the log something is. A later position is never less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub(crate) u64);

impl Position {
    /// As a number that can be kept elsewhere and compared.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// What a sealed pass waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// That the kernel has it: it survives the end of this process.
    Wal,
    /// That the disk has it: it survives a loss of power.
    Fsync,
}

/// What the log has and has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Live records.
    pub records: u64,
    /// Their bytes on disk.
    pub live_bytes: u64,
    /// Bytes of all segment files.
    pub allocated_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes that wait to be written or are being written.
    pub pending_bytes: u64,
    /// Bytes of the index in memory.
    pub index_bytes: u64,
    /// Records put.
    pub puts: u64,
    /// Records removed.
    pub removes: u64,
    /// Writes done.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs done.
    pub syncs: u64,
    /// Records that compaction copied.
    pub copies: u64,
    /// Segments deleted or quarantined.
    pub segments_gone: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
}

/// What recovery found, from which a log goes on.
#[derive(Debug)]
pub(crate) struct Remains {
    pub index: Index,
    pub segments: Segments,
    pub next_id: u64,
    pub next_number: u32,
    pub tail: Option<(SegmentNumber, u64)>,
    pub checkpoints: Kept,
}

/// The log.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    index: Index,
    segments: Segments,
    queue: Queue,
    next_id: u64,
    next_number: u32,
    /// A segment created ahead of its use.
    spare: Option<SegmentNumber>,
    to_create: VecDeque<(SegmentNumber, u64)>,
    to_settle: Vec<Entry>,
    /// Removed in this pass: the segment each record lies in, and its id.
    removals: Vec<(SegmentNumber, u64)>,
    /// Segments that became empty in this pass.
    emptied: Vec<SegmentNumber>,
    compaction: Option<Compaction>,
    checkpoints: Checkpoints,
    is_pressed: bool,
    is_short: bool,
    is_closing: bool,
    reads: reads::Reads,
    in_flight: BTreeMap<Ticket, Purpose>,
    next_ticket: u64,
    failed: Option<StorageError>,
    figures: Figures,
}

impl Machine {
    /// The log that goes on from what recovery found.
    pub(crate) fn new(options: Options, remains: Remains) -> Self {
        let Remains { index, mut segments, next_id, next_number, tail, checkpoints } = remains;
        segments.first_open = next_number;
        let numbers: Vec<SegmentNumber> = segments.iter().map(|(number, _)| number).collect();
        segments.empties.extend(numbers.iter().copied());
        segments.sparse.extend(numbers);
        for (_, segment) in segments.iter_mut() {
            // The first batch's segment says which ids are free, which this one may be the last to say.
            segment.empty_since = 1;
            segment.put_bytes = segment.live_bytes;
        }
        let tail = tail.map(|(segment, records_end)| Tail { segment, next: u64::MAX, records_end });
        Self {
            options,
            index,
            segments,
            queue: Queue { tail, ..Queue::default() },
            next_id,
            next_number,
            spare: None,
            to_create: VecDeque::new(),
            to_settle: Vec::new(),
            removals: Vec::new(),
            emptied: Vec::new(),
            compaction: None,
            checkpoints: Checkpoints::new(checkpoints),
            is_pressed: false,
            is_short: false,
            is_closing: false,
            reads: reads::Reads::default(),
            in_flight: BTreeMap::new(),
            next_ticket: 0,
            failed: None,
            figures: Figures::default(),
        }
    }

    /// Adds a record. It is live at once; it is stored when the position of its pass says so.
    ///
    /// # Errors
    /// [`PutError`]; the record is not in the log then.
    pub fn put(&mut self, kind: u16, payload: &[u8]) -> Result<Id, PutError> {
        self.put_beside(kind, payload, self.options.reserve_bytes())
    }

    /// Adds a record that takes the place of one removed in the same pass. There is room for it when [`Machine::put`] finds
    /// none any more: two thirds of what is kept free. For one of up to [`IN_PLACE_BYTES_MAX`] there always is, like for the
    /// removal, beyond the bound if it must be: what was removed is more, and goes when it is compacted.
    ///
    /// # Errors
    /// [`PutError`]; the record is not in the log then.
    pub fn put_in_place(&mut self, kind: u16, payload: &[u8]) -> Result<Id, PutError> {
        let reserve = self.options.reserve_bytes() / 3;
        if payload.len() > IN_PLACE_BYTES_MAX {
            return self.put_beside(kind, payload, reserve);
        }
        if let Some(error) = &self.failed {
            return Err(PutError::Failed(error.clone()));
        }
        // A shortage is noted, so that segments are compacted.
        let _ = self.check_room(payload.len(), frame_bytes(payload.len()), reserve);
        Ok(self.put_anyway(kind, payload))
    }

    /// Adds a record that somebody was promised: a third of what is kept free is for such ones.
    ///
    /// # Errors
    /// [`PutError`]; the record is not in the log then.
    pub fn put_owed(&mut self, kind: u16, payload: &[u8]) -> Result<Id, PutError> {
        self.put_beside(kind, payload, self.options.reserve_bytes() / 3 * 2)
    }

    /// Whether there is a bound to what it takes on disk.
    pub fn is_bounded(&self) -> bool {
        self.options.max_bytes < u64::MAX
    }

    /// Whether [`Machine::put`] takes a record of so many bytes now.
    pub fn has_room(&mut self, payload_bytes: usize) -> bool {
        let bytes = frame_bytes(payload_bytes);
        self.failed.is_none() && self.check_room(payload_bytes, bytes, self.options.reserve_bytes()).is_ok()
    }

    /// Whether [`Machine::put_owed`] would not take a record of so many bytes now, but may when others were removed or written.
    pub fn lacks_owed_room(&mut self, payload_bytes: usize) -> bool {
        let bytes = frame_bytes(payload_bytes);
        let checked = self.check_room(payload_bytes, bytes, self.options.reserve_bytes() / 3 * 2);
        matches!(checked, Err(PutError::Full | PutError::Behind))
    }

    /// Adds a record, leaving `reserve` bytes of the store free.
    fn put_beside(&mut self, kind: u16, payload: &[u8], reserve: u64) -> Result<Id, PutError> {
        if let Some(error) = &self.failed {
            return Err(PutError::Failed(error.clone()));
        }
        self.check_room(payload.len(), frame_bytes(payload.len()), reserve)?;
        Ok(self.put_anyway(kind, payload))
    }

    fn put_anyway(&mut self, kind: u16, payload: &[u8]) -> Id {
        let bytes = frame_bytes(payload.len());
        let id = self.next_id;
        self.next_id += 1;
        let (segment, offset) = self.append(kind, 0, id, payload);
        let location = Location { segment, offset, length: payload.len() as u32, is_copy: false };
        self.index.insert(id, location);
        self.segments.add_live(segment, bytes as u64);
        if let Some(segment) = self.segments.find_mut(segment) {
            segment.put_bytes += bytes as u64;
        }
        self.figures.puts += 1;
        Id(id)
    }

    fn check_room(&mut self, payload_bytes: usize, bytes: usize, reserve: u64) -> Result<(), PutError> {
        let limit = self.options.max_bytes - reserve.min(self.options.max_bytes);
        let bytes_max = PAYLOAD_BYTES_MAX.min(usize::try_from(limit / 2).unwrap_or(usize::MAX));
        if payload_bytes > bytes_max {
            return Err(PutError::TooLarge { bytes: payload_bytes, bytes_max });
        }
        let pending = self.queue.pending_bytes;
        if pending > 0 && pending + bytes > self.options.pending_bytes_max {
            return Err(PutError::Behind);
        }
        let new_bytes = match self.placement(bytes, true) {
            append::Placement::NewSegment(new_bytes) => new_bytes,
            append::Placement::GrownSegment(segment, grown) => {
                grown - self.segments.find(segment).map_or(0, |segment| segment.allocated)
            }
            append::Placement::OpenBatch | append::Placement::NewBatch(..) => 0,
        };
        if new_bytes > 0 && self.used_bytes() + new_bytes > limit {
            self.press();
            return Err(PutError::Full);
        }
        Ok(())
    }

    /// Bytes of files, but for one that is there ahead of its use.
    fn used_bytes(&self) -> u64 {
        let spare = self.spare.and_then(|spare| self.segments.find(spare)).map_or(0, |spare| spare.allocated);
        self.segments.allocated_bytes() - spare
    }

    /// Whether there is little room left below the bound: from some segments before [`PutError::Full`] until as many more are
    /// free. While it is asked and is so, segments are compacted that are not sparse, at no bounded rate.
    pub fn is_short(&mut self) -> bool {
        let Some(shortage) = self.options.shortage() else { return false };
        let most = if self.is_short { shortage.ends_at } else { shortage.begins_at };
        self.is_short = self.failed.is_none() && self.used_bytes() > most;
        if self.is_short {
            self.press();
        }
        self.is_short
    }

    /// Live bytes that must go before compaction alone can end a shortage: at least a segment's where it has nothing to do.
    pub fn surplus_bytes(&self) -> u64 {
        let Some(most) = self.options.shortage().filter(|_| self.is_short) else { return 0 };
        match self.segments.live_bytes().saturating_sub(most.live_bytes) {
            0 if !self.is_tidying() => self.options.segment_bytes,
            surplus => surplus,
        }
    }

    /// Whether segments are being emptied or removed, or can be.
    fn is_tidying(&self) -> bool {
        let mut closed = self.segments.iter().filter(|(number, _)| self.segments.is_closed(*number));
        self.compaction.is_some()
            || closed.any(|(_, segment)| segment.is_leaving || segment.is_empty() || self.is_due(segment))
    }

    /// Takes a record away; says whether there was one. The removals of a pass become records when it is sealed, behind
    /// what was put in it, or earlier when they are many. There is always room for them.
    ///
    /// # Errors
    /// [`PutError::Failed`].
    pub fn remove(&mut self, id: Id) -> Result<bool, PutError> {
        if let Some(error) = &self.failed {
            return Err(PutError::Failed(error.clone()));
        }
        let Some(location) = self.index.remove(id.0) else {
            return Ok(false);
        };
        self.removals.push((location.segment, id.0));
        if location.is_copy {
            let stale = self.segments.stale().filter(|&stale| stale != location.segment);
            self.removals.extend(stale.map(|stale| (stale, id.0)));
        }
        let bytes = frame_bytes(location.length as usize) as u64;
        if self.segments.remove_live(location.segment, bytes, self.options.segment_bytes / 2) {
            self.emptied.push(location.segment);
        }
        if self.removals.len() >= REMOVED_IDS_MAX {
            self.flush_removals();
        }
        self.figures.removes += 1;
        Ok(true)
    }

    /// Ends a pass: what was put and removed since the last one is stored when the position that is returned is
    /// [`Machine::written`] or [`Machine::synced`]. With [`Level::Wal`] no sync is asked for.
    ///
    /// # Errors
    /// [`PutError::Failed`].
    pub fn seal(&mut self, level: Level) -> Result<Position, PutError> {
        if let Some(error) = &self.failed {
            return Err(PutError::Failed(error.clone()));
        }
        self.flush_removals();
        if let Some(batch) = self.queue.open() {
            batch.is_sealed = true;
            batch.wants_wal |= level == Level::Wal;
        }
        if level == Level::Fsync {
            self.queue.want(self.queue.last);
        }
        Ok(Position(self.queue.last))
    }

    /// The kernel has every pass up to here.
    pub fn written(&self) -> Position {
        Position(self.queue.completed)
    }

    /// The disk has every pass up to here.
    pub fn synced(&self) -> Position {
        Position(self.queue.synced)
    }

    /// Why the log takes nothing more, if it has failed. It stays so; opening the log again goes on.
    pub fn failure(&self) -> Option<&StorageError> {
        self.failed.as_ref()
    }

    /// Whether a live record has this id.
    pub fn has(&self, id: Id) -> bool {
        self.index.location(id.0).is_some()
    }

    /// The ids of all live records, ascending.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.index.iter().map(|(id, _)| Id(id))
    }

    #[cfg(test)]
    pub(crate) fn segments_mut(&mut self) -> &mut Segments {
        &mut self.segments
    }

    /// Bytes that wait to be written or are being written.
    pub fn pending_bytes(&self) -> usize {
        self.queue.pending_bytes
    }

    /// Figures for the operator. They are kept up to date: nothing is counted here.
    pub fn figures(&self) -> Figures {
        Figures {
            records: self.index.len() as u64,
            live_bytes: self.segments.live_bytes(),
            allocated_bytes: self.segments.allocated_bytes(),
            segments: self.segments.len() as u64,
            pending_bytes: self.queue.pending_bytes as u64,
            index_bytes: self.index.memory_bytes() as u64,
            ..self.figures
        }
    }

    /// Asks for everything sealed to be synced, and for a checkpoint if one is worth it, and begins no compaction any more.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.queue.want(self.queue.last);
    }

    /// Whether nothing is under way, except reads and pauses.
    pub fn is_idle(&self) -> bool {
        let in_flight = self
            .in_flight
            .values()
            .any(|purpose| !purpose.is_pause() && !matches!(purpose, Purpose::Read(_)));
        let is_stored = self.queue.waiting.is_empty() && self.queue.wanted.is_empty();
        let is_checkpointing = self.is_closing && self.is_checkpointing();
        self.failed.is_some() || (!in_flight && is_stored && !is_checkpointing)
    }
}
