//! Where a record goes: into the open batch, a new batch, or a new segment. It never asks whether there is room in the
//! store; who calls it has.

use super::batch::MARK_FRAME_BYTES;
use super::segments::Segment;
use super::{Machine, SegmentNumber};
use crate::format::frame::{self, Salt, frame_bytes};
use crate::format::header::SegmentHeader;
use crate::format::marks::{REMOVED_IDS_MAX, encode_removed};
use crate::format::{BLOCK_BYTES, block_up};

/// Where the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Into the batch that is open.
    OpenBatch,
    /// Into the batch that is open, whose segment grows to this many bytes.
    GrownSegment(SegmentNumber, u64),
    /// Into a new batch of the same segment, here.
    NewBatch(SegmentNumber, u64),
    /// Into a new segment of this many bytes.
    NewSegment(u64),
}

impl Machine {
    /// Where a record of `bytes` bytes goes. What a pass puts stays in one write, which recovery takes whole or not at all,
    /// even if the write and its segment get larger than they should.
    pub(super) fn placement(&mut self, bytes: usize, is_put: bool) -> Placement {
        let bytes = bytes as u64;
        let write_bytes_max = self.options.write_bytes_max as u64;
        let mut tail = self.queue.tail.map(|tail| (tail.segment, tail.next));
        if let Some(batch) = self.queue.open() {
            let (segment, end, held) = (batch.segment, batch.records_end(), batch.bytes.len() as u64);
            let allocated = self.segments.find(segment).map_or(0, |segment| segment.allocated);
            let stays = is_put && !batch.is_sealed;
            if (stays || held + bytes <= write_bytes_max) && block_up(end + bytes) <= allocated {
                return Placement::OpenBatch;
            }
            if stays {
                let grown = allocated + self.options.segment_bytes / 16;
                return Placement::GrownSegment(segment, block_up(grown.max(end + bytes)));
            }
            tail = Some((segment, block_up(end)));
        }
        if let Some((segment, next)) = tail
            && let Some(found) = self.segments.find(segment)
            && next < found.allocated
            && block_up(next + MARK_FRAME_BYTES as u64 + bytes) <= found.allocated
        {
            return Placement::NewBatch(segment, next);
        }
        let least = block_up((BLOCK_BYTES + MARK_FRAME_BYTES) as u64 + bytes);
        Placement::NewSegment(least.max(self.options.segment_bytes))
    }

    /// Encodes a record at the log's end; returns where.
    pub(super) fn append(&mut self, kind: u16, flags: u16, id: u64, payload: &[u8]) -> (SegmentNumber, u64) {
        let is_put = flags & (frame::COPY | frame::REMOVED) == 0;
        match self.placement(frame_bytes(payload.len()), is_put) {
            Placement::OpenBatch => {}
            Placement::GrownSegment(segment, bytes) => self.create(segment, bytes),
            Placement::NewBatch(segment, offset) => {
                self.queue.close();
                self.queue.begin(segment, offset, None);
            }
            Placement::NewSegment(bytes) => {
                self.queue.close();
                self.begin_segment(bytes);
            }
        }
        let batch = self.queue.open().expect("the placement has opened one");
        let (at, held) = (batch.records_end(), batch.bytes.len());
        frame::encode(&mut batch.bytes, Salt::of(batch.segment), kind, flags, id, payload);
        batch.is_sealed = false;
        let (segment, added) = (batch.segment, batch.bytes.len() - held);
        self.queue.pending_bytes += added;
        (segment, at)
    }

    fn begin_segment(&mut self, bytes: u64) {
        let number = match self.spare.take() {
            Some(spare) => {
                if self.segments.find(spare).is_none_or(|segment| segment.allocated < bytes) {
                    self.create(spare, bytes);
                }
                spare
            }
            None => self.create_next(bytes),
        };
        let header = SegmentHeader {
            number,
            previous: self.queue.tail.map(|tail| tail.segment),
            previous_end: self.queue.tail.map_or(0, |tail| tail.records_end),
            next_id: self.next_id,
        };
        self.queue.begin(number, 0, Some(header));
    }

    /// Has the next segment created; it is used when it is.
    pub(super) fn create_next(&mut self, bytes: u64) -> SegmentNumber {
        let number = SegmentNumber(self.next_number);
        self.next_number += 1;
        self.segments.insert(number, Segment::default());
        self.create(number, bytes);
        number
    }

    fn create(&mut self, number: SegmentNumber, bytes: u64) {
        self.segments.allocate(number, bytes);
        if let Some(segment) = self.segments.find_mut(number) {
            segment.creating += 1;
        }
        self.to_create.push_back((number, bytes));
    }

    /// Makes records of what was removed.
    pub(super) fn flush_removals(&mut self) {
        if self.removals.is_empty() {
            return;
        }
        let mut removals = std::mem::take(&mut self.removals);
        removals.sort_unstable();
        removals.dedup();
        for part in removals.chunks(REMOVED_IDS_MAX) {
            self.append_removed(part, 0);
        }
        removals.clear();
        self.removals = removals;
        for number in std::mem::take(&mut self.emptied) {
            if let Some(segment) = self.segments.find_mut(number) {
                segment.empty_since = segment.empty_since.max(self.queue.last);
            }
            self.segments.empties.insert(number);
        }
    }

    /// Appends one record of removals; what it removes lies in other segments as well as in its own.
    pub(super) fn append_removed(&mut self, removals: &[(SegmentNumber, u64)], flags: u16) {
        let mut payload = Vec::with_capacity(16 + 8 * removals.len());
        encode_removed(&mut payload, removals);
        let (own, _) = self.append(0, frame::REMOVED | flags, 0, &payload);
        for group in removals.chunk_by(|one, next| one.0 == next.0) {
            let needed = group[0].0;
            if needed != own
                && self.segments.find(needed).is_some()
                && let Some(segment) = self.segments.find_mut(own)
            {
                *segment.needs.entry(needed).or_default() += group.len() as u64;
            }
        }
    }
}
