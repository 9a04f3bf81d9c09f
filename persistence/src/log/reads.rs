//! Reading records back by id, from memory while they are being written and from their segment afterwards. It follows
//! a record that compaction moves meanwhile; it never keeps one.

use std::collections::VecDeque;

use super::operation::{Answer, Operation, Purpose};
use super::{Id, Machine};
use crate::error::{ReadError, StorageError};
use crate::format::frame::{self, HEADER_BYTES, Salt, frame_bytes};
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
    buffer: Vec<u8>,
    begin: usize,
    length: usize,
}

impl Stored {
    /// A record out of a payload of its own.
    pub fn new(kind: u16, payload: &[u8]) -> Self {
        Self { kind, buffer: payload.to_vec(), begin: 0, length: payload.len() }
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[self.begin..self.begin + self.length]
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

#[derive(Debug)]
pub(super) struct Request {
    ticket: ReadTicket,
    id: u64,
    segment: SegmentNumber,
    offset: u64,
}

/// Reads under way.
#[derive(Debug, Default)]
pub(super) struct Reads {
    asked: VecDeque<(ReadTicket, u64)>,
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

    /// The next read that has ended.
    pub fn poll_read(&mut self) -> Option<ReadDone> {
        let done = self.reads.done.pop_front()?;
        self.reads.under_way -= 1;
        Some(done)
    }

    pub(super) fn next_read(&mut self) -> Option<(Purpose, Operation)> {
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
            let offset = block_down(location.offset);
            let end = block_up(location.offset + frame_bytes(location.length as usize) as u64);
            let segment = location.segment;
            let request = Request { ticket, id, segment, offset: location.offset };
            let operation = Operation::Read { segment, offset, bytes: (end - offset) as usize };
            return Some((Purpose::Read(request), operation));
        }
        None
    }

    pub(super) fn handle_read(&mut self, request: Request, answer: Result<Answer, StorageError>) {
        let Request { ticket, id, segment, offset } = request;
        let read = match answer {
            Ok(Answer::Bytes(bytes)) => stored(bytes, segment, offset, id),
            Ok(Answer::Done) => Err(ReadError::Damaged { id, segment }),
            Err(error) => Err(ReadError::Storage(error)),
        };
        let moved = self.index.location(id).is_none_or(|now| (now.segment, now.offset) != (segment, offset));
        if read.is_err() && moved {
            self.reads.asked.push_back((ticket, id));
        } else {
            self.finish_read(ticket, id, read);
        }
    }

    fn finish_read(&mut self, ticket: ReadTicket, id: u64, result: Result<Stored, ReadError>) {
        self.reads.done.push_back(ReadDone { ticket, id: Id(id), result });
    }
}

/// The record at `offset` out of the whole blocks around it.
fn stored(buffer: Vec<u8>, segment: SegmentNumber, offset: u64, id: u64) -> Result<Stored, ReadError> {
    let damaged = ReadError::Damaged { id, segment };
    let at = (offset - block_down(offset)) as usize;
    let Some((header, payload)) = frame::decode(buffer.get(at..).unwrap_or_default(), Salt::of(segment))
    else {
        return Err(damaged);
    };
    if header.id != id {
        return Err(damaged);
    }
    let (kind, length) = (header.kind, payload.len());
    Ok(Stored { kind, buffer, begin: at + HEADER_BYTES, length })
}
