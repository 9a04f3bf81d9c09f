//! A segment read from front to back, whatever state it is in: records, and the gaps between them. It judges no gap;
//! whether one is a torn tail or a loss is for [`crate::recovery`] to say.

use std::ops::Range;

use super::frame::{self, FrameHeader, HEADER_BYTES, Salt};
use super::marks::{MARK_BYTES, Mark};
use super::{BLOCK_BYTES, SegmentNumber, block_up};

const MARK_FRAME_BYTES: usize = HEADER_BYTES + MARK_BYTES;

/// What stands in a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A write begins.
    Mark(Mark),
    /// A record of the user or a record of removals.
    Record {
        /// Where it begins.
        at: u64,
        /// Its header.
        header: FrameHeader,
        /// Its payload, intact.
        payload: &'a [u8],
    },
    /// Bytes that are no record.
    Gap(Gap),
}

/// Bytes that are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub bytes: Range<u64>,
    /// The id of the record that was here, if its header can still be read.
    pub id: Option<u64>,
    /// All of it is zeros.
    pub is_blank: bool,
    /// Nothing readable follows.
    pub is_last: bool,
}

#[derive(Debug, Clone)]
enum Place {
    /// At a block's begin, where a write may begin.
    Boundary,
    /// Inside a write whose records end here.
    Write { end: u64 },
    /// Inside a gap that began here.
    Gap { begin: u64, is_blank: bool },
}

/// Reads one segment from the chunks it is given, in order.
#[derive(Debug, Clone)]
pub struct Scanner {
    salt: Salt,
    place: Place,
    /// Where in the segment `buffer[begin]` lies.
    at: u64,
    buffer: Vec<u8>,
    begin: usize,
    is_complete: bool,
    records_end: u64,
}

enum Step {
    Record(FrameHeader, usize),
    Mark(Mark),
    Gap(Gap),
    Moved,
    Starved,
}

impl Scanner {
    /// A scanner for the segment with this number, that begins behind its header.
    pub fn new(number: SegmentNumber) -> Self {
        Self {
            salt: Salt::of(number),
            place: Place::Boundary,
            at: BLOCK_BYTES as u64,
            buffer: Vec::new(),
            begin: 0,
            is_complete: false,
            records_end: BLOCK_BYTES as u64,
        }
    }

    /// A scanner for the segment with this number, that begins with the write behind the one that ends here.
    pub fn behind(number: SegmentNumber, records_end: u64) -> Self {
        Self { at: block_up(records_end), records_end, ..Self::new(number) }
    }

    /// Where the next chunk must begin.
    pub fn wants(&self) -> u64 {
        self.at + (self.buffer.len() - self.begin) as u64
    }

    /// Where the last intact record so far ends.
    pub fn records_end(&self) -> u64 {
        self.records_end
    }

    /// Takes the bytes at [`Scanner::wants`].
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// Whether the segment has been given whole.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Says that the segment ends here.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// The next thing in the segment. `None`: it needs more, or, once it is complete, there is nothing more.
    pub fn next_found(&mut self) -> Option<Found<'_>> {
        loop {
            match self.step() {
                Step::Record(header, bytes) => {
                    let (at, begin) = (self.at, self.begin + HEADER_BYTES);
                    self.skip(bytes);
                    self.records_end = self.at;
                    let payload = &self.buffer[begin..begin + header.length as usize];
                    return Some(Found::Record { at, header, payload });
                }
                Step::Mark(mark) => return Some(Found::Mark(mark)),
                Step::Gap(gap) => return Some(Found::Gap(gap)),
                Step::Moved => {}
                Step::Starved => return None,
            }
        }
    }

    fn step(&mut self) -> Step {
        match self.place {
            Place::Boundary => self.step_boundary(),
            Place::Write { end } => self.step_write(end),
            Place::Gap { begin, is_blank } => self.step_gap(begin, is_blank),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.begin..]
    }

    fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.buffer.len() - self.begin);
        self.begin += bytes;
        self.at += bytes as u64;
    }

    fn step_boundary(&mut self) -> Step {
        let have = self.rest().len();
        if have == 0 || (have < MARK_FRAME_BYTES && !self.is_complete) {
            return Step::Starved;
        }
        let Some(mark) = self.mark_here() else {
            self.place = Place::Gap { begin: self.at, is_blank: true };
            return Step::Moved;
        };
        self.skip(MARK_FRAME_BYTES);
        self.records_end = self.at;
        self.place = Place::Write { end: mark.records_end };
        Step::Mark(mark)
    }

    fn mark_here(&self) -> Option<Mark> {
        let (header, payload) = frame::decode(self.rest().get(..MARK_FRAME_BYTES)?, self.salt)?;
        let mark = (header.flags == frame::MARK).then(|| Mark::decode(payload))??;
        let is_possible = mark.records_end >= self.at + MARK_FRAME_BYTES as u64
            && mark.records_end.is_multiple_of(8)
            && mark.synced_through <= self.at;
        is_possible.then_some(mark)
    }

    fn step_write(&mut self, end: u64) -> Step {
        if self.at >= end {
            let pad = (block_up(self.at) - self.at) as usize;
            if self.rest().len() < pad && !self.is_complete {
                return Step::Starved;
            }
            self.skip(pad);
            self.place = Place::Boundary;
            return Step::Moved;
        }
        let Some(head) = self.rest().first_chunk::<HEADER_BYTES>() else {
            return self.starved_in_write();
        };
        let left = end - self.at;
        let header = FrameHeader::decode(head, self.salt)
            .filter(|header| header.flags & frame::MARK == 0 && header.frame_bytes() as u64 <= left);
        let Some(header) = header else {
            self.place = Place::Gap { begin: self.at, is_blank: true };
            return Step::Moved;
        };
        let bytes = header.frame_bytes();
        let Some(whole) = self.rest().get(..bytes) else {
            return self.starved_in_write();
        };
        if header.fits(&whole[HEADER_BYTES..HEADER_BYTES + header.length as usize], self.salt) {
            return Step::Record(header, bytes);
        }
        let gap = Gap {
            bytes: self.at..self.at + bytes as u64,
            id: Some(header.id).filter(|&id| id != 0),
            is_blank: false,
            is_last: false,
        };
        self.skip(bytes);
        Step::Gap(gap)
    }

    /// The segment may end inside a write, but then exactly behind a record: recovery cut it there.
    fn starved_in_write(&mut self) -> Step {
        if !self.is_complete || self.rest().is_empty() {
            return Step::Starved;
        }
        self.place = Place::Gap { begin: self.at, is_blank: true };
        Step::Moved
    }

    /// Goes on to the next block that begins with a mark.
    fn step_gap(&mut self, begin: u64, is_blank: bool) -> Step {
        let is_new_boundary = self.at.is_multiple_of(BLOCK_BYTES as u64) && self.at > begin;
        if is_new_boundary {
            if self.rest().len() < MARK_FRAME_BYTES && !self.is_complete {
                return Step::Starved;
            }
            if self.mark_here().is_some() {
                self.place = Place::Boundary;
                return Step::Gap(Gap { bytes: begin..self.at, id: None, is_blank, is_last: false });
            }
        }
        if self.rest().is_empty() {
            if !self.is_complete {
                return Step::Starved;
            }
            // Reported once; an empty rest at a boundary is the end.
            self.place = Place::Boundary;
            if begin == self.at {
                return Step::Starved;
            }
            return Step::Gap(Gap { bytes: begin..self.at, id: None, is_blank, is_last: true });
        }
        let to_boundary = (block_up(self.at + 1) - self.at) as usize;
        let bytes = to_boundary.min(self.rest().len());
        if bytes < to_boundary && !self.is_complete {
            return Step::Starved;
        }
        let is_blank = is_blank && self.rest()[..bytes].iter().all(|&byte| byte == 0);
        self.skip(bytes);
        self.place = Place::Gap { begin, is_blank };
        Step::Moved
    }
}

#[cfg(test)]
mod tests;
