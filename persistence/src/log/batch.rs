//! Records on their way to disk: batches that fill, wait, and are written one at a time. It encodes; it never decides
//! when something is written.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::format::frame::{self, Salt};
use crate::format::header::SegmentHeader;
use crate::format::marks::{MARK_BYTES, Mark};
use crate::format::{BLOCK_BYTES, SegmentNumber, block_up};

/// Bytes of the mark a write begins with.
pub const MARK_FRAME_BYTES: usize = frame::HEADER_BYTES + MARK_BYTES;

/// Where a batch is on its way through the commit delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// It has not begun.
    Ahead,
    /// It is running.
    Running,
    /// It is over.
    Over,
}

/// One write in the making.
#[derive(Debug)]
pub struct Batch {
    /// Its number: one more than that of the batch before.
    pub number: u64,
    /// The segment it goes to.
    pub segment: SegmentNumber,
    /// Where in it.
    pub offset: u64,
    /// Header block, if it is the segment's first; mark; records.
    pub bytes: Vec<u8>,
    /// It is the first write of its segment.
    pub begins_segment: bool,
    /// Every record in it belongs to a pass that was sealed.
    pub is_sealed: bool,
    /// Nothing is added any more.
    pub is_closed: bool,
    /// Somebody waits for it to be written, not for it to be synced.
    pub wants_wal: bool,
    /// The commit delay.
    pub delay: Delay,
}

impl Batch {
    /// Where the next record begins, and where the last one ends.
    pub fn records_end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Whether the record at `offset` of `segment` is in this batch.
    fn holds(&self, segment: SegmentNumber, offset: u64) -> bool {
        self.segment == segment && (self.offset..self.records_end()).contains(&offset)
    }

    fn finish(&mut self, synced_through: u64) {
        let mark = Mark { records_end: self.records_end(), synced_through };
        let mut head = Vec::with_capacity(MARK_FRAME_BYTES);
        frame::encode(&mut head, Salt::of(self.segment), 0, frame::MARK, 0, &mark.encode());
        let at = if self.begins_segment { BLOCK_BYTES } else { 0 };
        self.bytes[at..at + MARK_FRAME_BYTES].copy_from_slice(&head);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    }
}

/// The write in flight.
#[derive(Debug)]
pub struct Flight {
    /// The batch's number.
    pub number: u64,
    /// Its segment.
    pub segment: SegmentNumber,
    /// Where in it.
    pub offset: u64,
    /// Where its records end.
    pub records_end: u64,
    /// What is written.
    pub bytes: Arc<Vec<u8>>,
}

/// Where the next batch begins.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    /// The segment written last.
    pub segment: SegmentNumber,
    /// The block behind its last write; past its end if nothing is to be added to it.
    pub next: u64,
    /// Where its last record ends.
    pub records_end: u64,
}

/// All batches, and how far they got.
#[derive(Debug, Default)]
pub struct Queue {
    /// Those not being written yet; only the last can grow.
    pub waiting: VecDeque<Batch>,
    /// The one being written.
    pub in_flight: Option<Flight>,
    /// Bytes in all of them.
    pub pending_bytes: usize,
    /// The number of the newest.
    pub last: u64,
    /// The newest that the kernel has, with all before it.
    pub completed: u64,
    /// The newest that the disk has, with all before it.
    pub synced: u64,
    /// Where the last completed write's records end.
    pub completed_end: Option<(SegmentNumber, u64)>,
    /// Where the records end that are synced.
    pub synced_end: Option<(SegmentNumber, u64)>,
    /// Batches somebody wants synced, ascending.
    pub wanted: VecDeque<u64>,
    /// Where the next batch begins.
    pub tail: Option<Tail>,
}

impl Queue {
    /// The batch that can grow.
    pub fn open(&mut self) -> Option<&mut Batch> {
        self.waiting.back_mut().filter(|batch| !batch.is_closed)
    }

    /// Closes the batch that can grow.
    pub fn close(&mut self) {
        if let Some(batch) = self.open() {
            batch.is_closed = true;
            let tail = Tail {
                segment: batch.segment,
                next: block_up(batch.records_end()),
                records_end: batch.records_end(),
            };
            self.tail = Some(tail);
        }
    }

    /// Begins a batch; with a header it is the first of its segment.
    pub fn begin(&mut self, segment: SegmentNumber, offset: u64, header: Option<SegmentHeader>) {
        self.last += 1;
        let mut bytes = Vec::with_capacity(2 * BLOCK_BYTES);
        if let Some(header) = &header {
            bytes.extend_from_slice(&header.encode());
        }
        // The mark is known when the batch is written.
        bytes.resize(bytes.len() + MARK_FRAME_BYTES, 0);
        self.pending_bytes += bytes.len();
        self.waiting.push_back(Batch {
            number: self.last,
            segment,
            offset,
            bytes,
            begins_segment: header.is_some(),
            is_sealed: false,
            is_closed: false,
            wants_wal: false,
            delay: Delay::Ahead,
        });
    }

    /// Takes the first batch to write it.
    pub fn launch(&mut self) -> Option<&Flight> {
        if self.waiting.len() == 1 {
            self.close();
        }
        let mut batch = self.waiting.pop_front()?;
        let synced_through =
            self.synced_end.filter(|(segment, _)| *segment == batch.segment).map_or(0, |(_, end)| end);
        let (records_end, bytes) = (batch.records_end(), batch.bytes.len());
        batch.finish(synced_through);
        self.pending_bytes += batch.bytes.len() - bytes;
        let Batch { number, segment, offset, bytes, .. } = batch;
        Some(self.in_flight.insert(Flight { number, segment, offset, records_end, bytes: Arc::new(bytes) }))
    }

    /// Notes that the write in flight is complete.
    pub fn land(&mut self) {
        if let Some(flight) = self.in_flight.take() {
            self.pending_bytes -= flight.bytes.len();
            self.completed = flight.number;
            self.completed_end = Some((flight.segment, flight.records_end));
        }
    }

    /// Notes that somebody wants this batch synced.
    pub fn want(&mut self, batch: u64) {
        if batch > self.synced && self.wanted.back().is_none_or(|&last| last < batch) {
            self.wanted.push_back(batch);
        }
    }

    /// Notes that everything up to this batch is on disk.
    pub fn sync(&mut self, batch: u64, segment: SegmentNumber, end: u64) {
        self.synced = self.synced.max(batch);
        self.synced_end = Some((segment, end));
        while self.wanted.front().is_some_and(|&wanted| wanted <= self.synced) {
            self.wanted.pop_front();
        }
    }

    /// The bytes from `offset` of `segment` on, if they are still in memory.
    pub fn bytes_at(&self, segment: SegmentNumber, offset: u64) -> Option<&[u8]> {
        if let Some(flight) = &self.in_flight
            && flight.segment == segment
            && (flight.offset..flight.records_end).contains(&offset)
        {
            return flight.bytes.get((offset - flight.offset) as usize..);
        }
        let after = self.waiting.partition_point(|batch| (batch.segment, batch.offset) <= (segment, offset));
        let batch = self.waiting.get(after.checked_sub(1)?)?;
        batch.holds(segment, offset).then(|| &batch.bytes[(offset - batch.offset) as usize..])
    }
}
