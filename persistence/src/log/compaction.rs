//! Emptying sparse segments: what is live in one, and the removals that still matter, are copied to the log's end. It
//! reads at the rate it is given and never removes a file; an empty segment leaves like any other.

use std::time::Duration;

use super::Machine;
use super::index::Location;
use super::operation::{Operation, Purpose};
use super::segments::Segment;
use crate::format::frame::{COPY, FrameHeader, REMOVED, frame_bytes};
use crate::format::marks::removed_groups;
use crate::format::scanner::{Found, Scanner};
use crate::format::{BLOCK_BYTES, SegmentNumber, block_up};

/// Bytes read at a time.
const STEP_BYTES: u64 = 256 << 10;

/// The segment that is being emptied.
#[derive(Debug)]
pub(super) struct Compaction {
    pub(super) segment: SegmentNumber,
    scanner: Scanner,
    /// Bytes of the file that are to be read.
    end: u64,
    stage: Stage,
    has_gaps: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Reading(usize),
    Owing(u64),
    Pausing,
}

/// What is copied of a chunk.
#[derive(Debug)]
enum Copied {
    Put { id: u64, kind: u16, payload: Vec<u8> },
    Removed(Vec<(SegmentNumber, u64)>),
}

impl Machine {
    /// The store is at its limit: segments are worth compacting that are not sparse.
    pub(super) fn press(&mut self) {
        self.is_pressed = true;
        if self.compaction.is_none() && self.segments.sparse.is_empty() {
            let closed: Vec<SegmentNumber> = self.segments.iter().map(|(number, _)| number).collect();
            self.segments.sparse.extend(closed);
        }
    }

    /// Has every segment there is copied and removed.
    pub fn rewrite(&mut self) {
        let closed: Vec<SegmentNumber> = self.segments.iter().map(|(number, _)| number).collect();
        for (_, segment) in self.segments.iter_mut() {
            segment.is_forced = true;
        }
        self.segments.sparse.extend(closed);
        // Segments leave when something is on disk that says which ids are free.
        self.append_removed(&[], 0);
        if let Some(batch) = self.queue.open() {
            batch.is_sealed = true;
        }
        self.queue.want(self.queue.last);
    }

    pub(super) fn next_compaction(&mut self) -> Option<(Purpose, Operation)> {
        if self.is_closing {
            return None;
        }
        if self.compaction.is_none() {
            self.compaction = self.choose();
        }
        let is_far_behind = self.queue.pending_bytes > self.options.pending_bytes_max / 2;
        let (rate, is_pressed) = (self.options.compaction_bytes_per_s, self.is_pressed);
        let compaction = self.compaction.as_mut()?;
        match compaction.stage {
            Stage::Owing(bytes) if rate > 0 && !is_pressed => {
                compaction.stage = Stage::Pausing;
                let duration = Duration::from_secs_f64(bytes as f64 / rate as f64);
                Some((Purpose::CompactionPause, Operation::Wait { duration }))
            }
            Stage::Ready | Stage::Owing(_) if !is_far_behind => {
                let offset = compaction.scanner.wants();
                let bytes = block_up(compaction.end).saturating_sub(offset).min(STEP_BYTES) as usize;
                let file = compaction.segment.into();
                // At the end nothing is read, and the answer finishes the segment.
                let bytes = bytes.max(BLOCK_BYTES);
                compaction.stage = Stage::Reading(bytes);
                Some((Purpose::Compaction, Operation::Read { file, offset, bytes }))
            }
            _ => None,
        }
    }

    pub(super) fn resume_compaction(&mut self) {
        if let Some(compaction) = &mut self.compaction {
            compaction.stage = Stage::Ready;
        }
    }

    /// Leaves a segment that cannot be read as it is.
    pub(super) fn abandon_compaction(&mut self) {
        if let Some(compaction) = self.compaction.take()
            && let Some(segment) = self.segments.find_mut(compaction.segment)
        {
            segment.is_spoiled = true;
        }
    }

    /// Whether a segment that is not written to any more is worth compacting.
    pub(super) fn is_due(&self, segment: &Segment) -> bool {
        let needed = segment.needed_bytes();
        // A segment that compaction filled is not copied for the sake of rests of blocks, nor because one more record did not fit,
        // unless there is little else.
        let is_packed = segment.put_bytes + segment.gone_bytes < segment.end / 10;
        let is_sparse = if self.is_pressed {
            needed < segment.end / 4 || (needed < segment.end / 10 * 9 && !is_packed)
        } else {
            let bytes = self.options.segment_bytes;
            needed < bytes / 4 || (needed < bytes / 2 && !is_packed)
        };
        let is_wanted = is_sparse || segment.is_forced || segment.is_stale;
        is_wanted && !segment.is_leaving && !segment.is_spoiled && !segment.is_empty()
    }

    fn choose(&mut self) -> Option<Compaction> {
        if self.segments.sparse.is_empty() {
            return None;
        }
        let candidates = std::mem::take(&mut self.segments.sparse);
        let mut best: Option<((bool, u64), SegmentNumber)> = None;
        for number in candidates {
            let Some(segment) = self.segments.find(number) else {
                continue;
            };
            let is_urgent = segment.is_forced || segment.is_stale;
            if self.segments.is_closed(number) && self.is_due(segment) {
                let rank = (!is_urgent, segment.needed_bytes());
                self.segments.sparse.insert(number);
                if best.is_none_or(|(other, _)| rank < other) {
                    best = Some((rank, number));
                }
            }
        }
        let (_, number) = best?;
        let segment = self.segments.find_mut(number)?;
        segment.is_stale = true;
        let end = if segment.is_forced { segment.allocated } else { segment.end };
        Some(Compaction {
            segment: number,
            scanner: Scanner::new(number),
            end,
            stage: Stage::Ready,
            has_gaps: false,
        })
    }

    pub(super) fn handle_compaction(&mut self, bytes: &[u8]) {
        let Some(mut compaction) = self.compaction.take() else {
            return;
        };
        let is_short = matches!(compaction.stage, Stage::Reading(asked) if bytes.len() < asked);
        let left = compaction.end.saturating_sub(compaction.scanner.wants());
        let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        compaction.scanner.feed(bytes);
        let is_last = is_short || bytes.len() as u64 == left;
        if is_last {
            compaction.scanner.complete();
        }
        while let Some(found) = compaction.scanner.next_found() {
            match found {
                Found::Mark(_) => {}
                Found::Gap(gap) => compaction.has_gaps |= !(gap.is_blank && gap.is_last),
                Found::Record { at, header, payload } => {
                    if let Some(copied) = self.copied(compaction.segment, at, &header, payload) {
                        self.copy(copied);
                    }
                }
            }
        }
        // A pass of its own, unless the user's is open: then it ends with that.
        if self.removals.is_empty()
            && let Some(batch) = self.queue.open()
        {
            batch.is_sealed = true;
        }
        if is_last {
            self.finish_compaction(&compaction);
        } else {
            compaction.stage = Stage::Owing(bytes.len() as u64);
            self.compaction = Some(compaction);
        }
    }

    /// What of this record is still needed.
    fn copied(&self, own: SegmentNumber, at: u64, header: &FrameHeader, payload: &[u8]) -> Option<Copied> {
        if header.flags & REMOVED == 0 {
            let location = self.index.location(header.id)?;
            let is_live = (location.segment, location.offset) == (own, at);
            return is_live.then(|| Copied::Put {
                id: header.id,
                kind: header.kind,
                payload: payload.to_vec(),
            });
        }
        let needed: Vec<(SegmentNumber, u64)> = removed_groups(payload)
            .filter(|group| group.segment != own && self.segments.find(group.segment).is_some())
            .flat_map(|group| group.ids().map(|id| (group.segment, id)).collect::<Vec<_>>())
            .collect();
        (!needed.is_empty()).then_some(Copied::Removed(needed))
    }

    fn copy(&mut self, copied: Copied) {
        match copied {
            Copied::Removed(removals) => self.append_removed(&removals, COPY),
            Copied::Put { id, kind, payload } => {
                let (segment, offset) = self.append(kind, COPY, id, &payload);
                let location = Location { segment, offset, length: payload.len() as u32, is_copy: true };
                let bytes = frame_bytes(payload.len()) as u64;
                if let Some(old) = self.index.insert(id, location) {
                    self.segments.remove_live(old.segment, bytes, 0);
                }
                self.segments.add_live(segment, bytes);
                self.figures.copies += 1;
            }
        }
    }

    fn finish_compaction(&mut self, compaction: &Compaction) {
        let last = self.queue.last;
        let number = compaction.segment;
        let Some(segment) = self.segments.find_mut(number) else {
            return;
        };
        // Damage that was not there when the log was opened: what lies in it stays where it is.
        if segment.live > 0 || (compaction.has_gaps && !segment.is_forced) {
            segment.is_spoiled = true;
        } else {
            segment.needs.clear();
        }
        segment.empty_since = segment.empty_since.max(last);
        self.segments.empties.insert(number);
        self.segments.sparse.remove(&number);
    }
}
