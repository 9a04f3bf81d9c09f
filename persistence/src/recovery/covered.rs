//! What a checkpoint covers need not be read. A checkpoint counts if it is whole and fits the segments that are there; it
//! never costs anything if it does not, but the time to read everything.

use std::collections::BTreeMap;

use super::Survey;
use super::listing::{Headers, Listing};
use crate::error::{OpenError, StorageError};
use crate::format::checkpoint::{self, Part, Salt, SegmentState, State};
use crate::format::frame::frame_bytes;
use crate::format::scanner::Scanner;
use crate::format::{BLOCK_BYTES, CheckpointNumber, SegmentNumber, block_down};
use crate::log::segments::Fate;
use crate::storage::Storage;

/// Bytes read at a time.
const STEP_BYTES: usize = 1 << 20;

/// Where reading begins behind what a checkpoint covers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    /// In this segment, behind its record that ends here.
    pub behind: (SegmentNumber, u64),
    /// Everything up to here is known to have been synced.
    pub synced: (SegmentNumber, u64),
}

impl Begin {
    /// What reads the segment from there on, or from its beginning.
    pub fn scanner(&self, number: SegmentNumber) -> Scanner {
        match self.behind {
            (first, end) if first == number => Scanner::behind(number, end),
            _ => Scanner::new(number),
        }
    }

    /// Up to where everything in this segment is known to have been synced.
    pub fn synced_in(&self, number: SegmentNumber) -> u64 {
        if self.synced.0 == number { self.synced.1 } else { 0 }
    }
}

impl Survey {
    /// Reads the newest checkpoint that counts, and the segments from where it ends; everything if none counts.
    ///
    /// # Errors
    /// [`OpenError::Storage`], [`OpenError::Version`].
    pub async fn behind_newest<S: Storage>(storage: &S) -> Result<Self, OpenError> {
        let listing = Listing::of(storage.list().await?);
        let headers = Headers::read(storage, &listing).await?;
        let mut misfits = 0;
        for &(number, bytes) in listing.checkpoints.iter().rev() {
            let mut survey = Self::empty(&listing, &headers);
            // One that cannot be read is none.
            let Ok(Some(state)) = survey.load(storage, number, bytes).await else { continue };
            if survey.take_behind(storage, &listing, &headers, state).await? {
                let kept = &mut survey.remains.checkpoints;
                kept.others.retain(|other| *other != number);
                kept.newest = Some((number, bytes));
                survey.report.misfits = misfits;
                return Ok(survey);
            }
            misfits += 1;
        }
        let mut survey = Self::of_all(storage, &listing, &headers).await?;
        survey.report.misfits = misfits;
        Ok(survey)
    }

    /// Takes the places of records from a checkpoint, and returns what else it says. `None`: it is not whole.
    async fn load<S: Storage>(
        &mut self,
        storage: &S,
        number: CheckpointNumber,
        bytes: u64,
    ) -> Result<Option<State>, StorageError> {
        let mut file = Parts { storage, number, bytes, offset: 0, buffer: Vec::new(), begin: 0 };
        if !file.has_head().await? {
            return Ok(None);
        }
        let mut places = 0;
        let mut last_id = 0;
        loop {
            match file.next_part().await? {
                None => return Ok(None),
                Some(Part::State(state)) => return Ok(Some(state).filter(|state| state.places == places)),
                Some(Part::Places(part)) => {
                    places += part.len();
                    let mut ascend = true;
                    let read = part.read(|id, location| {
                        ascend &= id > last_id;
                        last_id = id;
                        // A segment goes when nothing in it is needed: this record was removed, or lies elsewhere too.
                        if ascend && self.remains.segments.find(location.segment).is_some() {
                            self.remains.index.insert(id, location);
                            let bytes = frame_bytes(location.length as usize) as u64;
                            self.remains.segments.add_live(location.segment, bytes);
                        }
                    });
                    if read.is_none() || !ascend {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads what a checkpoint does not cover. Says whether the checkpoint fits.
    async fn take_behind<S: Storage>(
        &mut self,
        storage: &S,
        listing: &Listing,
        headers: &Headers,
        state: State,
    ) -> Result<bool, OpenError> {
        let begin = Begin { behind: state.begin, synced: state.synced };
        if !self.fits(&state, headers) || !is_bound(storage, listing, &state).await? {
            return Ok(false);
        }
        self.report.from_checkpoint = Some(self.remains.index.len() as u64);
        self.remains.next_id = self.remains.next_id.max(state.next_id);
        self.adopt(state.segments, begin.behind.0);
        for segment in &listing.segments {
            if segment.number >= begin.behind.0 {
                self.take_segment(storage, *segment, headers, Some(begin)).await?;
            }
        }
        // What is damaged may have held what the checkpoint takes for granted.
        let (last, synced_end) = begin.synced;
        let has_all = self.remains.segments.find(last).is_none_or(|segment| segment.end >= synced_end);
        self.finish(Some(begin));
        Ok(has_all && self.report.damages.is_empty())
    }

    /// Whether the segments that are there are those of the checkpoint, with none between them that it does not know.
    fn fits(&self, state: &State, headers: &Headers) -> bool {
        let (first, begin_end) = state.begin;
        let known: BTreeMap<SegmentNumber, &SegmentState> =
            state.segments.iter().map(|segment| (segment.number, segment)).collect();
        let there = self.remains.segments.iter().take_while(|(number, _)| *number <= first);
        let are_known = { there }.all(|(number, segment)| {
            known.get(&number).is_some_and(|known| {
                let has_size = if number == first {
                    segment.allocated >= begin_end
                } else {
                    segment.allocated == known.bytes
                };
                has_size && (known.is_forced || headers.has(number))
            })
        });
        let reaches =
            headers.last().is_some_and(|last| last >= state.synced.0) && state.synced >= state.begin;
        let limit = headers.end_of(first);
        are_known && reaches && limit.is_none_or(|limit| limit >= begin_end)
    }

    /// Notes what is known of segments that are not read, or not from their beginning.
    fn adopt(&mut self, states: Vec<SegmentState>, first: SegmentNumber) {
        for state in states {
            let there = |number| self.remains.segments.find(number).is_some();
            let needs = state.needs.into_iter().filter(|(needed, _)| there(*needed)).collect();
            let Some(segment) = self.remains.segments.find_mut(state.number) else { continue };
            segment.needs = needs;
            segment.is_stale = state.is_stale;
            segment.is_forced = state.is_forced;
            if state.is_quarantined {
                segment.fate = Fate::Quarantine;
            }
            if state.number < first {
                segment.end = state.end;
            }
        }
    }
}

/// Whether the log holds at the checkpoint's begin what it held then. A log that was put back to an earlier state and went
/// another way from there has other bytes there.
async fn is_bound<S: Storage>(storage: &S, listing: &Listing, state: &State) -> Result<bool, StorageError> {
    let (segment, end) = state.begin;
    if end < BLOCK_BYTES as u64 {
        return Ok(false);
    }
    if listing.segment(segment).is_none() {
        return Ok(true);
    }
    let offset = block_down(end - 1);
    let block = storage.read(segment.into(), offset, BLOCK_BYTES).await?;
    let before = block.get(..(end - offset) as usize);
    Ok(before.is_some_and(|before| crc32c::crc32c(before) == state.begin_crc))
}

/// The parts of a checkpoint, one after the other.
struct Parts<'a, S> {
    storage: &'a S,
    number: CheckpointNumber,
    bytes: u64,
    /// Where in the file `buffer[begin]` lies.
    offset: u64,
    buffer: Vec<u8>,
    begin: usize,
}

impl<S: Storage> Parts<'_, S> {
    /// Has so many bytes in the buffer, if the file has them.
    async fn fill(&mut self, bytes: usize) -> Result<bool, StorageError> {
        while self.buffer.len() - self.begin < bytes {
            self.buffer.drain(..self.begin);
            self.begin = 0;
            let at = self.offset + self.buffer.len() as u64;
            let asked = STEP_BYTES.max(bytes.next_multiple_of(BLOCK_BYTES));
            if at + (bytes - self.buffer.len()) as u64 > self.bytes {
                return Ok(false);
            }
            let read = self.storage.read(self.number.into(), at, asked).await?;
            if read.is_empty() || !(self.buffer.len()).is_multiple_of(BLOCK_BYTES) {
                return Ok(false);
            }
            self.buffer.extend(read);
        }
        Ok(true)
    }

    fn skip(&mut self, bytes: usize) {
        self.begin += bytes;
        self.offset += bytes as u64;
    }

    async fn has_head(&mut self) -> Result<bool, StorageError> {
        let is_head = self.fill(BLOCK_BYTES).await? && checkpoint::is_head(&self.buffer, self.number);
        self.skip(if is_head { BLOCK_BYTES } else { 0 });
        Ok(is_head)
    }

    /// The next part; `None` if it is not whole.
    async fn next_part(&mut self) -> Result<Option<Part<'_>>, StorageError> {
        if !self.fill(BLOCK_BYTES).await? {
            return Ok(None);
        }
        let Some(bytes) = checkpoint::part_bytes(&self.buffer[self.begin..]) else { return Ok(None) };
        if !self.fill(bytes).await? {
            return Ok(None);
        }
        let (begin, offset) = (self.begin, self.offset);
        self.skip(bytes);
        Ok(checkpoint::decode_part(&self.buffer[begin..begin + bytes], Salt::of(self.number), offset))
    }
}
