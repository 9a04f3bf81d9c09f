//! A directory of segments becomes a log again. Surveying only reads; settling changes files, and is done once nothing
//! speaks against it. It never deletes a segment: that is left to the log, which does it when nothing in it is needed.
//!
//! The segment written last may end in a *torn tail*: writes that nobody was told of as synced. They end at the first
//! byte that is wrong; what follows is cut off, so that it cannot come back. Wrong bytes before a place that a later
//! mark, or the header of the next segment, says was synced are *damage*: the segment is kept aside, after all that is
//! readable in it has been copied.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::{OpenError, StorageError};
use crate::format::frame::{COPY, FrameHeader, REMOVED, frame_bytes};
use crate::format::header::{HeaderFault, SegmentHeader};
use crate::format::marks::removed_groups;
use crate::format::scanner::{Found, Gap, Scanner};
use crate::format::{BLOCK_BYTES, SegmentNumber, block_up};
use crate::log::Remains;
use crate::log::index::{Index, Location};
use crate::log::segments::{Fate, Segment, Segments};
use crate::storage::{Listed, Storage};

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
    /// Records read, live or not.
    pub records: u64,
    /// Live records.
    pub live: u64,
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
        let mut listed = storage.list().await?;
        listed.sort_unstable_by_key(|listed| listed.number);
        let mut headers = BTreeMap::new();
        for Listed { number, .. } in &listed {
            let block = storage.read(*number, 0, BLOCK_BYTES).await?;
            match SegmentHeader::decode(&block, *number) {
                Ok(header) => drop(headers.insert(*number, header)),
                Err(HeaderFault::Unreadable) => {}
                Err(HeaderFault::Version(version)) => {
                    return Err(OpenError::Version { segment: *number, version });
                }
            }
        }
        let mut survey = Self::empty(&listed, &headers);
        for listed in &listed {
            survey.take_segment(storage, *listed, &headers).await?;
        }
        survey.report.live = survey.remains.index.len() as u64;
        Ok(survey)
    }

    fn empty(listed: &[Listed], headers: &BTreeMap<SegmentNumber, SegmentHeader>) -> Self {
        let mut segments = Segments::default();
        for Listed { number, bytes } in listed {
            segments.insert(*number, Segment { allocated: *bytes, ..Segment::default() });
        }
        let last = listed.last().map_or(0, |listed| listed.number.0);
        let remains = Remains {
            index: Index::default(),
            segments,
            next_id: headers.values().map(|header| header.next_id).max().unwrap_or(1).max(1),
            next_number: last + 1,
            tail: None,
        };
        let bytes = listed.iter().map(|listed| listed.bytes).sum();
        let report = Report { segments: listed.len(), bytes, ..Report::default() };
        Self { report, remains, cuts: Vec::new() }
    }

    async fn take_segment<S: Storage>(
        &mut self,
        storage: &S,
        listed: Listed,
        headers: &BTreeMap<SegmentNumber, SegmentHeader>,
    ) -> Result<(), StorageError> {
        let number = listed.number;
        let has_header = headers.contains_key(&number);
        let is_last = headers.last_key_value().is_none_or(|(last, _)| *last == number);
        let successor = headers.values().find(|header| header.previous == Some(number));
        let limit = successor.map(|header| header.previous_end);
        let extent = if limit.is_some() || (has_header && !is_last) {
            Extent::Closed(limit)
        } else {
            survey_open(storage, listed).await?
        };
        // A segment whose first write was torn has no header and nothing says that any of it was synced.
        let is_beheaded =
            !has_header && matches!(extent, Extent::Closed(_) | Extent::Open { synced: 1.., .. });
        if is_beheaded {
            self.damage(number, 0..BLOCK_BYTES as u64, None);
        }
        let end = self.absorb(storage, listed, extent).await?;
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
        listed: Listed,
        extent: Extent,
    ) -> Result<u64, StorageError> {
        let number = listed.number;
        let bytes = match extent {
            Extent::Closed(Some(limit)) => limit.min(listed.bytes),
            Extent::Open { whole, .. } => whole.min(listed.bytes),
            _ => listed.bytes,
        };
        let mut scanner = Scanner::new(number);
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

    /// Visits every live record in ascending order of ids.
    ///
    /// # Errors
    /// A segment cannot be read, or not as it was read before.
    pub async fn visit<S: Storage>(
        &self,
        storage: &S,
        mut visit: impl FnMut(u64, u16, &[u8]),
    ) -> Result<(), OpenError> {
        let mut window = crate::window::Window::default();
        for (id, location) in self.remains.index.iter() {
            let (kind, payload) = window.record(storage, id, location).await?;
            visit(id, kind, payload);
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
async fn survey_open<S: Storage>(storage: &S, listed: Listed) -> Result<Extent, StorageError> {
    let mut scanner = Scanner::new(listed.number);
    let mut synced = 0;
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
    let mut chunk = if asked == 0 { Vec::new() } else { storage.read(number, offset, asked).await? };
    let is_last = chunk.len() < asked || left <= asked as u64;
    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    scanner.feed(&chunk);
    if is_last {
        scanner.complete();
    }
    Ok(true)
}
