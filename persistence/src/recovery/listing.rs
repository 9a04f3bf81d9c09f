//! The files of a log, and what the segments among them say of each other in their first blocks.

use std::collections::BTreeMap;

use crate::error::OpenError;
use crate::format::header::{HeaderFault, SegmentHeader};
use crate::format::{BLOCK_BYTES, CheckpointNumber, LogFile, SegmentNumber};
use crate::storage::{Listed, Storage};

/// A segment's file.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedSegment {
    pub number: SegmentNumber,
    pub bytes: u64,
}

/// All files, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub segments: Vec<ListedSegment>,
    /// With their sizes.
    pub checkpoints: Vec<(CheckpointNumber, u64)>,
}

impl Listing {
    pub fn of(mut listed: Vec<Listed>) -> Self {
        listed.sort_unstable_by_key(|listed| listed.file);
        let mut listing = Self::default();
        for Listed { file, bytes } in listed {
            match file {
                LogFile::Segment(number) => listing.segments.push(ListedSegment { number, bytes }),
                LogFile::Checkpoint(number) => listing.checkpoints.push((number, bytes)),
            }
        }
        listing
    }

    /// The segment, if it is there.
    pub fn segment(&self, number: SegmentNumber) -> Option<ListedSegment> {
        let at = self.segments.binary_search_by_key(&number, |listed| listed.number).ok()?;
        self.segments.get(at).copied()
    }
}

/// The headers of segments that have one.
#[derive(Debug, Default)]
pub(super) struct Headers {
    all: BTreeMap<SegmentNumber, SegmentHeader>,
    /// Where segments end, by those that come next.
    ends: BTreeMap<SegmentNumber, u64>,
}

impl Headers {
    /// Reads them.
    ///
    /// # Errors
    /// [`OpenError::Storage`], [`OpenError::Version`].
    pub async fn read<S: Storage>(storage: &S, listing: &Listing) -> Result<Self, OpenError> {
        let mut headers = Self::default();
        for ListedSegment { number, .. } in &listing.segments {
            let block = storage.read((*number).into(), 0, BLOCK_BYTES).await?;
            match SegmentHeader::decode(&block, *number) {
                Ok(header) => headers.insert(header),
                Err(HeaderFault::Unreadable) => {}
                Err(HeaderFault::Version(version)) => {
                    return Err(OpenError::Version { segment: *number, version });
                }
            }
        }
        Ok(headers)
    }

    fn insert(&mut self, header: SegmentHeader) {
        if let Some(previous) = header.previous {
            self.ends.entry(previous).or_insert(header.previous_end);
        }
        self.all.insert(header.number, header);
    }

    /// Whether the segment has one.
    pub fn has(&self, number: SegmentNumber) -> bool {
        self.all.contains_key(&number)
    }

    /// The last segment that has one.
    pub fn last(&self) -> Option<SegmentNumber> {
        self.all.last_key_value().map(|(number, _)| *number)
    }

    /// Where the segment ends, if another one says so.
    pub fn end_of(&self, number: SegmentNumber) -> Option<u64> {
        self.ends.get(&number).copied()
    }

    /// The first id that none of the segments before the last of these uses.
    pub fn next_id(&self) -> u64 {
        self.all.values().map(|header| header.next_id).max().unwrap_or(1).max(1)
    }
}
