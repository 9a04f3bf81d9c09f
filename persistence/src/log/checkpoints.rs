//! Writing checkpoints: a piece of the index at a time while the log goes on, so that a later opening need not read what was
//! written before. It never deletes the last one before the next is on disk, and a failure here is none of the log.
//!
//! A checkpoint begins at a place in the log, the end of a write. What is appended behind is read when the log is opened, so
//! the pieces need not be of one moment: a record that was removed or copied meanwhile is so again when that is read. But
//! what it was removed or copied by must be there; the last piece is written when everything is synced that was appended
//! before all others were put together.

use std::sync::Arc;
use std::time::Duration;

use super::Machine;
use super::batch::Queue;
use super::operation::{Answer, Entry, Operation, Purpose};
use super::segments::{Fate, Segments};
use crate::format::checkpoint::{PlacesEncoder, Salt, SegmentState, State, encode_head};
use crate::format::{BLOCK_BYTES, CheckpointNumber, LogFile, SegmentNumber, block_down};

/// Bytes of places that are put together at once, while others wait for the thread and while it is for its end.
const PIECE_BYTES: usize = 32 << 10;
const CLOSING_PIECE_BYTES: usize = 512 << 10;
/// The most bytes that one place takes in a piece.
const PLACE_BYTES_MAX: usize = 30;

/// The checkpoints in a directory.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The newest that counts, and its size.
    pub newest: Option<(CheckpointNumber, u64)>,
    /// Those that do not.
    pub others: Vec<CheckpointNumber>,
    /// No checkpoint has this number or a higher one.
    pub next_number: u32,
    /// Bytes of records that the newest does not cover.
    pub uncovered_bytes: u64,
}

#[derive(Debug)]
pub(super) struct Checkpoints {
    newest: Option<(CheckpointNumber, u64)>,
    leaving: Vec<CheckpointNumber>,
    next_number: u32,
    /// Bytes written since the last one was begun.
    since: u64,
    writing: Option<Writing>,
}

/// The one that is being written.
#[derive(Debug)]
struct Writing {
    number: CheckpointNumber,
    begin: (SegmentNumber, u64),
    /// The segments as they were at its begin.
    segments: Vec<SegmentState>,
    /// Records with this id or a higher one lie behind its begin.
    ids_end: u64,
    /// The next record to be put down.
    next_id: u64,
    places: u64,
    /// Where in its file the next piece goes.
    offset: u64,
    stage: Stage,
    /// An operation of its is under way.
    is_busy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Creating,
    Placing,
    /// So many bytes were written at once.
    Owing(u64),
    Pausing,
    /// All places are written. They hold when this batch is on disk.
    Waiting(u64),
    /// The block before its begin is read.
    Binding,
    /// The rest is written, with the checksum of that block.
    Closing(u32),
    Syncing,
    Settling,
}

impl Checkpoints {
    pub(super) fn new(kept: Kept) -> Self {
        let Kept { newest, others, next_number, uncovered_bytes } = kept;
        Self { newest, leaving: others, next_number, since: uncovered_bytes, writing: None }
    }

    pub(super) fn note_written(&mut self, bytes: u64) {
        self.since += bytes;
    }

    /// Gives up the one that is being written.
    pub(super) fn abandon(&mut self) {
        self.leaving.extend(self.writing.take().map(|writing| writing.number));
    }

    /// The pause is over, unless it was cut short.
    pub(super) fn resume(&mut self) {
        if let Some(writing) = self.writing.as_mut().filter(|writing| writing.stage == Stage::Pausing) {
            writing.stage = Stage::Placing;
        }
    }

    /// Its file and its name are on disk: those before are not needed any more.
    pub(super) fn settle(&mut self, number: CheckpointNumber) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.number == number) else { return false };
        self.leaving.extend(self.newest.replace((number, writing.offset)).map(|(older, _)| older));
        true
    }

    /// Bytes of the files that are there or come to be.
    fn bytes(&self) -> u64 {
        let writing = self.writing.as_ref().map_or(0, |writing| writing.offset);
        writing + self.newest.map_or(0, |(_, bytes)| bytes)
    }
}

impl Machine {
    /// Whether a checkpoint is being written that closing waits for, or is yet to be begun before.
    pub(super) fn is_checkpointing(&self) -> bool {
        self.checkpoints.writing.is_some() || self.is_checkpoint_due()
    }

    fn is_checkpoint_due(&self) -> bool {
        let Self { checkpoints, queue, options, .. } = self;
        let four_times = checkpoints.newest.map_or(0, |(_, bytes)| 4 * bytes);
        let mut least = options.checkpoint_bytes.max(four_times);
        if self.is_closing {
            least /= 16;
        }
        let is_idle = queue.waiting.is_empty() && queue.in_flight.is_none();
        options.has_checkpoints()
            && checkpoints.writing.is_none()
            && checkpoints.since > least
            && (is_idle || !self.is_closing)
            && is_between_passes(queue)
            && self.has_room_for_checkpoints()
    }

    /// A store that is short of room does without.
    fn has_room_for_checkpoints(&self) -> bool {
        let room = self.options.shortage().map_or(u64::MAX, |shortage| shortage.begins_at);
        self.used_bytes().saturating_add(self.checkpoints.bytes()) <= room
    }

    pub(super) fn next_checkpoint(&mut self) -> Option<(Purpose, Operation)> {
        self.give_room();
        if let Some(number) = self.checkpoints.leaving.pop() {
            return Some((Purpose::CheckpointGone, Operation::Delete { file: number.into() }));
        }
        if self.is_checkpoint_due() {
            self.begin_checkpoint();
        }
        let is_far_behind = self.queue.pending_bytes > self.options.pending_bytes_max / 2;
        let rate = if self.is_closing { 0 } else { self.options.compaction_bytes_per_s };
        let writing = self.checkpoints.writing.as_mut().filter(|writing| !writing.is_busy)?;
        let file = LogFile::Checkpoint(writing.number);
        let operation = match writing.stage {
            Stage::Owing(bytes) if rate > 0 => {
                writing.stage = Stage::Pausing;
                let duration = Duration::from_secs_f64(bytes as f64 / rate as f64);
                return Some((Purpose::CheckpointPause, Operation::Wait { duration }));
            }
            Stage::Pausing if rate > 0 => return None,
            Stage::Placing if is_far_behind && !self.is_closing => return None,
            Stage::Creating => Operation::Create { file, bytes: 0 },
            Stage::Placing | Stage::Owing(_) | Stage::Pausing => match self.next_piece() {
                Some((offset, bytes)) => Operation::Write { file, offset, bytes: Arc::new(bytes) },
                None if self.has_placed_all() => return self.next_checkpoint(),
                None => return None,
            },
            Stage::Waiting(batch) => {
                if self.queue.synced < batch {
                    self.queue.want(batch);
                    return self.next_sync();
                }
                writing.stage = Stage::Binding;
                let (segment, end) = writing.begin;
                let offset = block_down(end - 1);
                Operation::Read { file: segment.into(), offset, bytes: BLOCK_BYTES }
            }
            Stage::Closing(crc) => {
                let (offset, bytes) = self.last_piece(crc)?;
                Operation::Write { file, offset, bytes: Arc::new(bytes) }
            }
            Stage::Syncing => Operation::Sync { file },
            Stage::Binding | Stage::Settling => return None,
        };
        if let Some(writing) = &mut self.checkpoints.writing {
            writing.is_busy = true;
        }
        Some((Purpose::Checkpoint, operation))
    }

    /// Room that is short is not taken by what is only there to save time.
    fn give_room(&mut self) {
        let checkpoints = &self.checkpoints;
        if checkpoints.bytes() == 0 || self.has_room_for_checkpoints() {
            return;
        }
        if checkpoints.writing.as_ref().is_some_and(|writing| !writing.is_busy) {
            self.checkpoints.abandon();
        }
        let newest = self.checkpoints.newest.take();
        self.checkpoints.leaving.extend(newest.map(|(number, _)| number));
    }

    fn begin_checkpoint(&mut self) {
        // What is appended from now on is another write.
        self.queue.close();
        let Some(tail) = self.queue.tail else { return };
        let begin = (tail.segment, tail.records_end);
        let checkpoints = &mut self.checkpoints;
        checkpoints.since = 0;
        let number = CheckpointNumber(checkpoints.next_number);
        checkpoints.next_number += 1;
        checkpoints.writing = Some(Writing {
            number,
            begin,
            segments: states(&self.segments, tail.segment),
            ids_end: self.next_id,
            next_id: 0,
            places: 0,
            offset: 0,
            stage: Stage::Creating,
            is_busy: false,
        });
    }

    /// The next places, as bytes; or `None`, and that all are written is noted, once what they say is on its way to disk.
    fn next_piece(&mut self) -> Option<(u64, Vec<u8>)> {
        let writing = self.checkpoints.writing.as_mut()?;
        let most = if self.is_closing { CLOSING_PIECE_BYTES } else { PIECE_BYTES };
        let mut places = PlacesEncoder::default();
        for (id, location) in self.index.from(writing.next_id) {
            if id >= writing.ids_end || places.bytes() + PLACE_BYTES_MAX > most {
                break;
            }
            places.push(id, location);
            writing.next_id = id + 1;
        }
        if places.count() == 0 {
            if self.removals.is_empty() {
                writing.stage = Stage::Waiting(self.queue.last);
            } else if self.is_closing {
                // The pass that removed them is never sealed.
                self.checkpoints.abandon();
            }
            return None;
        }
        writing.places += u64::from(places.count());
        Some(writing.piece(|salt, offset| places.finish(salt, offset)))
    }

    fn has_placed_all(&self) -> bool {
        self.checkpoints.writing.as_ref().is_some_and(|writing| matches!(writing.stage, Stage::Waiting(_)))
    }

    /// What is to be known besides.
    fn last_piece(&mut self, begin_crc: u32) -> Option<(u64, Vec<u8>)> {
        let writing = self.checkpoints.writing.as_mut()?;
        let mut segments = std::mem::take(&mut writing.segments);
        segments.retain_mut(|state| {
            let Some(segment) = self.segments.find(state.number) else { return false };
            (state.end, state.is_stale) = (segment.end, segment.is_stale);
            true
        });
        let state = State {
            next_id: self.next_id,
            begin: writing.begin,
            begin_crc,
            synced: self.queue.synced_end.unwrap_or(writing.begin),
            places: writing.places,
            segments,
        };
        Some(writing.piece(|salt, offset| state.encode(salt, offset)))
    }

    /// A step of the checkpoint was done.
    pub(super) fn step_checkpoint(&mut self, answer: Answer) {
        let Some(writing) = &mut self.checkpoints.writing else { return };
        writing.is_busy = false;
        writing.stage = match (writing.stage, answer) {
            (Stage::Creating, _) => Stage::Placing,
            (Stage::Placing | Stage::Owing(_) | Stage::Pausing, _) => Stage::Owing(PIECE_BYTES as u64),
            (Stage::Binding, Answer::Bytes(bytes)) => {
                let (_, end) = writing.begin;
                let Some(before) = bytes.get(..(end - block_down(end - 1)) as usize) else {
                    return self.checkpoints.abandon();
                };
                Stage::Closing(crc32c::crc32c(before))
            }
            (Stage::Closing(_), _) => Stage::Syncing,
            (Stage::Syncing, _) => {
                self.to_settle.push(Entry::Checkpoint(writing.number));
                Stage::Settling
            }
            (stage, _) => stage,
        };
    }
}

impl Writing {
    /// Bytes for the end of the file; the first come with its head.
    fn piece(&mut self, encode: impl FnOnce(Salt, u64) -> Vec<u8>) -> (u64, Vec<u8>) {
        let begin = self.offset;
        let mut bytes = if begin == 0 { encode_head(self.number) } else { Vec::new() };
        bytes.extend(encode(Salt::of(self.number), begin + bytes.len() as u64));
        self.offset += bytes.len() as u64;
        (begin, bytes)
    }
}

/// Whether what is in memory only can be cut off from what comes next: a pass stays in one write.
fn is_between_passes(queue: &Queue) -> bool {
    match queue.waiting.back().filter(|batch| !batch.is_closed) {
        Some(batch) => batch.is_sealed,
        None => queue.tail.is_some(),
    }
}

/// The segments up to this one; where they end, and which are stale, is said in the end.
fn states(segments: &Segments, last: SegmentNumber) -> Vec<SegmentState> {
    let states = segments.iter().take_while(|(number, _)| *number <= last).map(|(number, segment)| {
        let needs = segment.needs.iter().map(|(needed, count)| (*needed, *count)).collect();
        SegmentState {
            number,
            bytes: segment.allocated,
            end: segment.end,
            is_stale: segment.is_stale,
            is_forced: segment.is_forced,
            is_quarantined: segment.fate == Fate::Quarantine,
            needs,
        }
    });
    states.collect()
}
