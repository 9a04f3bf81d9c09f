//! A directory of segments becomes a log again. Surveying only reads; settling changes files, and is done once nothing
//! speaks against it. It never deletes a segment: that is left to the log, which does it when nothing in it is needed.
//!
//! The segment written last may end in a *torn tail*: writes that nobody was told of as synced. They end at the first
//! byte that is wrong; what follows is cut off, so that it cannot come back. Wrong bytes before a place that a later
//! mark, or the header of the next segment, says was synced are *damage*: the segment is kept aside, after all that is
//! readable in it has been copied.
//!
//! What a checkpoint covers is not read ([`covered`]).

mod covered;
mod listing;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::error::{OpenError, StorageError};
use crate::format::frame::{COPY, FrameHeader, REMOVED, frame_bytes};
use crate::format::marks::removed_groups;
use crate::format::scanner::{Found, Gap, Scanner};
use crate::format::{BLOCK_BYTES, SegmentNumber, block_up};
use crate::log::index::{Index, Location};
use crate::log::segments::{Fate, Segment, Segments};
use crate::log::{Kept, Remains};
use crate::storage::Storage;
use crate::window::{self, Window};
use covered::Begin;
use listing::{Headers, ListedSegment, Listing};

/// Bytes read at a time.
const STEP_BYTES: usize = 1 << 20;

/// Bytes that were stored and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where: the segment, whose file is renamed to `*.damaged` when everything else in it has been copied.
    pub segment: SegmentNumber,
    /// Which bytes of it.
    pub bytes: Range<u64>,
    /// The id of the record that was there, where its header can still be read.
    pub id: Option<u64>,
}

/// A last write that was not finished. Nobody was told that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// In which segment.
    pub segment: SegmentNumber,
    /// Where the last record that is kept ends.
    pub at: u64,
}

/// What recovery found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Records read, live or not; those that a checkpoint covers are not.
    pub records: u64,
    /// Live records.
    pub live: u64,
    /// Live records that a checkpoint told of, if one was used.
    pub from_checkpoint: Option<u64>,
    /// Checkpoints that are whole and do not fit the segments.
    pub misfits: u64,
    /// Unfinished writes.
    pub torn: Vec<Torn>,
    /// What was lost.
    pub damages: Vec<Damage>,
}

/// All there is to know of a directory of segments.
#[derive(Debug)]
pub(crate) struct Survey {
    pub report: Report,
    pub remains: Remains,
    /// Segments to cut, and where: nothing behind that is ever to be read.
    cuts: Vec<(SegmentNumber, u64)>,
}

/// How far a segment can be trusted.
#[derive(Debug, Clone, Copy)]
enum Extent {
    /// It is complete; its successor says where it ends, or nothing does any more.
    Closed(Option<u64>),
    /// It was being written.
    Open {
        /// Everything before here was synced.
        synced: u64,
        /// Here begins the first write that is not whole.
        whole: u64,
    },
}

impl Survey {
    /// Reads everything.
    ///
    /// # Errors
    /// [`OpenError::Storage`], [`OpenError::Version`].
    pub async fn of<S: Storage>(storage: &S) -> Result<Self, OpenError> {
        let listing = Listing::of(storage.list().await?);
        let headers = Headers::read(storage, &listing).await?;
        Self::of_all(storage, &listing, &headers).await
    }

    async fn of_all<S: Storage>(
        storage: &S,
        listing: &Listing,
        headers: &Headers,
    ) -> Result<Self, OpenError> {
        let mut survey = Self::empty(listing, headers);
        for listed in &listing.segments {
            survey.take_segment(storage, *listed, headers, None).await?;
        }
        survey.finish(None);
        Ok(survey)
    }

    fn empty(listing: &Listing, headers: &Headers) -> Self {
        let mut segments = Segments::default();
        for ListedSegment { number, bytes } in &listing.segments {
            segments.insert(*number, Segment { allocated: *bytes, ..Segment::default() });
        }
        let last = listing.segments.last().map_or(0, |listed| listed.number.0);
        let last_checkpoint = listing.checkpoints.last().map_or(0, |(number, _)| number.0);
        let remains = Remains {
            index: Index::default(),
            segments,
            next_id: headers.next_id(),
            next_number: last + 1,
            tail: None,
            checkpoints: Kept {
                newest: None,
                others: listing.checkpoints.iter().map(|(number, _)| *number).collect(),
                next_number: last_checkpoint + 1,
                uncovered_bytes: 0,
            },
        };
        let bytes = listing.segments.iter().map(|listed| listed.bytes).sum();
        let report = Report { segments: listing.segments.len(), bytes, ..Report::default() };
        Self { report, remains, cuts: Vec::new() }
    }

    /// Everything was taken, from here on or from the first segment.
    fn finish(&mut self, begin: Option<Begin>) {
        let Remains { index, segments, checkpoints, .. } = &mut self.remains;
        self.report.live = index.len() as u64;
        let (first, covered) = begin.map_or((SegmentNumber(0), 0), |begin| begin.behind);
        let read = segments
            .iter()
            .filter(|(number, _)| *number >= first)
            .map(|(number, segment)| segment.end.saturating_sub(if number == first { covered } else { 0 }));
        checkpoints.uncovered_bytes = read.sum();
    }

    async fn take_segment<S: Storage>(
        &mut self,
        storage: &S,
        listed: ListedSegment,
        headers: &Headers,
        begin: Option<Begin>,
    ) -> Result<(), StorageError> {
        let number = listed.number;
        let has_header = headers.has(number);
        let is_last = headers.last().is_none_or(|last| last == number);
        let limit = headers.end_of(number);
        let scanner = begin.map_or_else(|| Scanner::new(number), |begin| begin.scanner(number));
        let extent = if limit.is_some() || (has_header && !is_last) {
            Extent::Closed(limit)
        } else {
            let synced = begin.map_or(0, |begin| begin.synced_in(number));
            survey_open(storage, listed, scanner.clone(), synced).await?
        };
        // A segment whose first write was torn has no header and nothing says that any of it was synced.
        let is_beheaded =
            !has_header && matches!(extent, Extent::Closed(_) | Extent::Open { synced: 1.., .. });
        if is_beheaded {
            self.damage(number, 0..BLOCK_BYTES as u64, None);
        }
        let end = self.absorb(storage, listed, extent, scanner).await?;
        if let Extent::Open { whole, .. } = extent {
            if whole < listed.bytes {
                self.report.torn.push(Torn { segment: number, at: whole });
            }
            self.cuts.push((number, end));
        }
        if has_header && is_last {
            self.remains.tail = Some((number, end));
        }
        if let Some(segment) = self.remains.segments.find_mut(number) {
            segment.end = end;
            segment.is_forced |= !has_header;
        }
        Ok(())
    }

    /// Takes the records of one segment; returns where the last one ends.
    async fn absorb<S: Storage>(
        &mut self,
        storage: &S,
        listed: ListedSegment,
        extent: Extent,
        mut scanner: Scanner,
    ) -> Result<u64, StorageError> {
        let number = listed.number;
        let bytes = match extent {
            Extent::Closed(Some(limit)) => limit.min(listed.bytes),
            Extent::Open { whole, .. } => whole.min(listed.bytes),
            _ => listed.bytes,
        };
        'segment: loop {
            while let Some(found) = scanner.next_found() {
                match found {
                    Found::Mark(_) => {}
                    Found::Record { at, header, payload } => self.take_record(number, at, &header, payload),
                    Found::Gap(gap) => {
                        if self.take_gap(number, &gap, extent) {
                            break 'segment;
                        }
                    }
                }
            }
            if !feed(storage, number, bytes, &mut scanner).await? {
                break;
            }
        }
        let end = scanner.records_end();
        if let Extent::Closed(Some(limit)) = extent
            && end < limit
            && self.report.damages.last().is_none_or(|last| last.segment != number || last.bytes.end < limit)
        {
            self.damage(number, end..limit, None);
        }
        Ok(end)
    }

    /// Judges a gap; says whether the segment ends here.
    fn take_gap(&mut self, number: SegmentNumber, gap: &Gap, extent: Extent) -> bool {
        let Gap { bytes, id, is_blank, is_last } = gap.clone();
        match extent {
            Extent::Closed(None) if is_blank && is_last => true,
            Extent::Closed(_) => {
                self.damage(number, bytes, id);
                is_last
            }
            Extent::Open { synced, .. } => {
                let ends = bytes.end > block_up(synced);
                if bytes.start < synced {
                    self.damage(number, bytes.start..bytes.end.min(synced), id);
                } else if !is_blank || !is_last {
                    self.report.torn.push(Torn { segment: number, at: bytes.start });
                }
                ends
            }
        }
    }

    fn damage(&mut self, number: SegmentNumber, bytes: Range<u64>, id: Option<u64>) {
        if let Some(segment) = self.remains.segments.find_mut(number) {
            segment.is_forced = true;
            segment.fate = Fate::Quarantine;
        }
        self.report.damages.push(Damage { segment: number, bytes, id });
    }

    fn take_record(&mut self, number: SegmentNumber, at: u64, header: &FrameHeader, payload: &[u8]) {
        self.report.records += 1;
        let Remains { index, segments, next_id, .. } = &mut self.remains;
        if header.flags & REMOVED != 0 {
            for group in removed_groups(payload) {
                let is_there = segments.find(group.segment).is_some();
                if is_there
                    && group.segment != number
                    && let Some(segment) = segments.find_mut(number)
                {
                    *segment.needs.entry(group.segment).or_default() += group.ids().len() as u64;
                }
                for id in group.ids() {
                    *next_id = (*next_id).max(id + 1);
                    if let Some(old) = index.remove(id) {
                        segments.remove_live(old.segment, frame_bytes(old.length as usize) as u64, 0);
                    }
                }
            }
            return;
        }
        let location = Location {
            segment: number,
            offset: at,
            length: header.length,
            is_copy: header.flags & COPY != 0,
        };
        *next_id = (*next_id).max(header.id + 1);
        segments.add_live(number, header.frame_bytes() as u64);
        if let Some(old) = index.insert(header.id, location) {
            segments.remove_live(old.segment, frame_bytes(old.length as usize) as u64, 0);
            if old.segment != number
                && let Some(segment) = segments.find_mut(old.segment)
            {
                segment.is_stale = true;
            }
        }
    }

    /// Visits every live record in ascending order of ids. One that only a checkpoint told of may be damaged: it is
    /// reported, and not live any more.
    ///
    /// # Errors
    /// A segment cannot be read, or not as it was read before.
    pub async fn visit<S: Storage>(
        &mut self,
        storage: &S,
        mut visit: impl FnMut(u64, u16, &[u8]),
    ) -> Result<(), OpenError> {
        let mut window = Window::default();
        let mut damaged = Vec::new();
        for (id, location) in self.remains.index.iter() {
            match window.record(storage, id, location).await? {
                Some((kind, payload)) => visit(id, kind, payload),
                None if self.report.from_checkpoint.is_some() => damaged.push((id, location)),
                None => return Err(window::changed(id, location.segment).into()),
            }
        }
        for (id, Location { segment, offset, length, .. }) in damaged {
            let bytes = frame_bytes(length as usize) as u64;
            self.remains.index.remove(id);
            self.remains.segments.remove_live(segment, bytes, 0);
            self.damage(segment, offset..offset + bytes, Some(id));
            self.report.live -= 1;
        }
        Ok(())
    }

    /// Makes what was found the state on disk: torn tails are cut off, and all that is left is synced.
    ///
    /// # Errors
    /// A file could not be changed.
    pub async fn settle<S: Storage>(&mut self, storage: &S) -> Result<(), OpenError> {
        let has_cuts = !self.cuts.is_empty();
        for (number, end) in std::mem::take(&mut self.cuts) {
            let end = end.min(self.remains.segments.find(number).map_or(0, |segment| segment.allocated));
            storage.cut(number, end).await?;
            self.remains.segments.allocate(number, end);
        }
        if has_cuts {
            storage.sync_directory().await?;
        }
        Ok(())
    }
}

/// How far a segment that was being written can be trusted. A write counts whole or not at all: what its user recorded
/// together is found together.
async fn survey_open<S: Storage>(
    storage: &S,
    listed: ListedSegment,
    mut scanner: Scanner,
    mut synced: u64,
) -> Result<Extent, StorageError> {
    // Where the writes begin that are not whole, and where they were to end.
    let mut broken: Vec<Range<u64>> = Vec::new();
    let mut write = 0..0;
    loop {
        let mut before = scanner.records_end();
        while let Some(found) = scanner.next_found() {
            match found {
                Found::Mark(mark) => {
                    synced = synced.max(mark.synced_through);
                    write = before..mark.records_end;
                }
                Found::Gap(gap) if gap.bytes.start < write.end => broken.push(write.clone()),
                Found::Record { .. } | Found::Gap(_) => {}
            }
            before = scanner.records_end();
        }
        if !feed(storage, listed.number, listed.bytes, &mut scanner).await? {
            break;
        }
    }
    if scanner.records_end() < write.end {
        broken.push(write);
    }
    let first = broken.into_iter().find(|write| write.end > synced);
    Ok(Extent::Open { synced, whole: first.map_or(u64::MAX, |write| write.start) })
}

/// Gives a scanner the next chunk of a segment that counts up to `bytes`; says whether the scanner can go on.
async fn feed<S: Storage>(
    storage: &S,
    number: SegmentNumber,
    bytes: u64,
    scanner: &mut Scanner,
) -> Result<bool, StorageError> {
    if scanner.is_complete() {
        return Ok(false);
    }
    let offset = scanner.wants();
    let left = bytes.saturating_sub(offset);
    let asked = block_up(left).min(STEP_BYTES as u64) as usize;
    let mut chunk = if asked == 0 { Vec::new() } else { storage.read(number.into(), offset, asked).await? };
    let is_last = chunk.len() < asked || left <= asked as u64;
    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    scanner.feed(&chunk);
    if is_last {
        scanner.complete();
    }
    Ok(true)
}
