//! Reading records back by id, from memory while they are being written and from their segment afterwards. It follows
//! a record that compaction moves meanwhile; it never keeps one.

use std::collections::VecDeque;
use std::ops::Range;

use super::index::Location;
use super::operation::{Answer, Operation, Purpose};
use super::{Id, Machine};
use crate::error::{ReadError, StorageError};
use crate::format::frame::{self, Salt, frame_bytes};
use crate::format::{SegmentNumber, block_down, block_up};

/// Names one read in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadTicket(pub u64);

/// The beginning of a read.
#[derive(Debug)]
pub enum Reading<'a> {
    /// The record is in memory.
    Ready {
        /// Its kind.
        kind: u16,
        /// Its payload.
        payload: &'a [u8],
    },
    /// It comes with [`Machine::poll_read`] under this ticket.
    Pending(ReadTicket),
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its kind.
    pub kind: u16,
    payload: Vec<u8>,
}

impl Stored {
    /// A record out of a payload of its own.
    pub fn new(kind: u16, payload: &[u8]) -> Self {
        Self { kind, payload: payload.to_vec() }
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// The end of a read.
#[derive(Debug)]
pub struct ReadDone {
    /// Which.
    pub ticket: ReadTicket,
    /// The record asked for.
    pub id: Id,
    /// What came of it.
    pub result: Result<Stored, ReadError>,
}

/// Bytes that several records which lie near each other are read with, unless one alone takes more.
const READ_BYTES_MAX: u64 = 256 << 10;
/// Bytes between them that nobody asked for.
const GAP_BYTES_MAX: u64 = 64 << 10;

/// A read of one or more records.
#[derive(Debug)]
pub(super) struct Request {
    segment: SegmentNumber,
    /// Where the bytes begin that are read.
    begin: u64,
    wanted: Vec<Wanted>,
}

/// A record and where it lay when it was asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    ticket: ReadTicket,
    id: u64,
    location: Location,
    /// It is read with no other: those it was read with could not be.
    is_alone: bool,
}

impl Wanted {
    /// The whole blocks around it.
    fn blocks(&self) -> Range<u64> {
        let Location { offset, length, .. } = self.location;
        block_down(offset)..block_up(offset + frame_bytes(length as usize) as u64)
    }
}

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    asked: VecDeque<(ReadTicket, u64)>,
    /// In the order of the log.
    located: VecDeque<Wanted>,
    done: VecDeque<ReadDone>,
    under_way: usize,
    last: u64,
}

impl Machine {
    /// Begins to read a record.
    ///
    /// # Errors
    /// [`ReadError::Unknown`], [`ReadError::Busy`].
    pub fn read(&mut self, id: Id) -> Result<Reading<'_>, ReadError> {
        let location = self.index.location(id.0).ok_or(ReadError::Unknown)?;
        if self.queue.bytes_at(location.segment, location.offset).is_none() {
            if self.reads.under_way >= self.options.reads_max {
                return Err(ReadError::Busy);
            }
            self.reads.under_way += 1;
            self.reads.last += 1;
            let ticket = ReadTicket(self.reads.last);
            self.reads.asked.push_back((ticket, id.0));
            return Ok(Reading::Pending(ticket));
        }
        let damaged = ReadError::Damaged { id: id.0, segment: location.segment };
        let bytes = self.queue.bytes_at(location.segment, location.offset).unwrap_or_default();
        let (header, payload) = frame::decode(bytes, Salt::of(location.segment)).ok_or(damaged)?;
        Ok(Reading::Ready { kind: header.kind, payload })
    }

    /// Whether a live record has this id and takes no memory any more: it was written.
    pub fn is_written(&self, id: Id) -> bool {
        let location = self.index.location(id.0);
        location.is_some_and(|at| self.queue.bytes_at(at.segment, at.offset).is_none())
    }

    /// The next read that has ended.
    pub fn poll_read(&mut self) -> Option<ReadDone> {
        let done = self.reads.done.pop_front()?;
        self.reads.under_way -= 1;
        Some(done)
    }

    /// The next operation that reads: records that lie near each other come with one.
    pub(super) fn next_read(&mut self) -> Option<(Purpose, Operation)> {
        if self.reads.located.is_empty() {
            self.locate_reads();
        }
        let first = self.reads.located.pop_front()?;
        let Range { start: begin, mut end } = first.blocks();
        let segment = first.location.segment;
        let mut wanted = vec![first];
        while let Some(next) = self.reads.located.front() {
            let blocks = next.blocks();
            let is_near = next.location.segment == segment
                && blocks.start <= end + GAP_BYTES_MAX
                && blocks.end.max(end) - begin <= READ_BYTES_MAX;
            if !is_near || next.is_alone || first.is_alone {
                break;
            }
            end = end.max(blocks.end);
            wanted.extend(self.reads.located.pop_front());
        }
        let operation =
            Operation::Read { file: segment.into(), offset: begin, bytes: (end - begin) as usize };
        Some((Purpose::Read(Request { segment, begin, wanted }), operation))
    }

    /// Finds out where everything lies that was asked for.
    fn locate_reads(&mut self) {
        while let Some((ticket, id)) = self.reads.asked.pop_front() {
            let Some(location) = self.index.location(id) else {
                self.finish_read(ticket, id, Err(ReadError::Unknown));
                continue;
            };
            // Compaction may have put it back into memory.
            let in_memory = self.queue.bytes_at(location.segment, location.offset);
            if let Some((header, payload)) =
                in_memory.and_then(|bytes| frame::decode(bytes, Salt::of(location.segment)))
            {
                let stored = Stored::new(header.kind, payload);
                self.finish_read(ticket, id, Ok(stored));
                continue;
            }
            self.reads.located.push_back(Wanted { ticket, id, location, is_alone: false });
        }
        let in_order = |wanted: &Wanted| (wanted.location.segment, wanted.location.offset);
        self.reads.located.make_contiguous().sort_unstable_by_key(in_order);
    }

    pub(super) fn handle_read(&mut self, request: Request, answer: Result<Answer, StorageError>) {
        let Request { segment, begin, wanted } = request;
        let is_shared = wanted.len() > 1;
        let (bytes, failure) = match answer {
            Ok(Answer::Bytes(bytes)) => (bytes, None),
            Ok(Answer::Done) => (Vec::new(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        for Wanted { ticket, id, location, .. } in wanted {
            let read = match &failure {
                None => stored(&bytes, begin, location, id),
                Some(error) => Err(ReadError::Storage(error.clone())),
            };
            let has_moved = |now: Location| (now.segment, now.offset) != (segment, location.offset);
            if read.is_err() && self.index.location(id).is_none_or(has_moved) {
                self.reads.asked.push_back((ticket, id));
            } else if failure.is_some() && is_shared {
                // One bad block is no reason to give up what lies around it.
                self.reads.located.push_back(Wanted { ticket, id, location, is_alone: true });
            } else {
                self.finish_read(ticket, id, read);
            }
        }
    }

    fn finish_read(&mut self, ticket: ReadTicket, id: u64, result: Result<Stored, ReadError>) {
        self.reads.done.push_back(ReadDone { ticket, id: Id(id), result });
    }
}

/// A record out of the whole blocks around it, of which the first begins at `begin`.
fn stored(buffer: &[u8], begin: u64, location: Location, id: u64) -> Result<Stored, ReadError> {
    let Location { segment, offset, .. } = location;
    let bytes = buffer.get((offset - begin) as usize..).unwrap_or_default();
    match frame::decode(bytes, Salt::of(segment)) {
        Some((header, payload)) if header.id == id => Ok(Stored::new(header.kind, payload)),
        _ => Err(ReadError::Damaged { id, segment }),
    }
}
