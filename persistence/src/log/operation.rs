//! What the log asks of a storage, and which answer belongs to which question. Nothing here performs an operation.

use std::sync::Arc;
use std::time::Duration;

use crate::format::SegmentNumber;

/// Names one operation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// One thing to do. Operations that are handed out may be done in any order and at the same time.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Create the segment's file, or take the one there is, and allocate this many bytes of zeros.
    Create {
        /// Which.
        segment: SegmentNumber,
        /// How many bytes.
        bytes: u64,
    },
    /// Write all of these bytes.
    Write {
        /// To which segment.
        segment: SegmentNumber,
        /// Where; a block's begin.
        offset: u64,
        /// What; whole blocks.
        bytes: Arc<Vec<u8>>,
    },
    /// Have every write to the segment that was answered before now survive a loss of power.
    Sync {
        /// Which.
        segment: SegmentNumber,
    },
    /// Have every creation, renaming and deletion that was answered before now survive a loss of power.
    SyncDirectory,
    /// Read; fewer bytes than asked for mean that the file ends there.
    Read {
        /// From which segment.
        segment: SegmentNumber,
        /// Where; a block's begin.
        offset: u64,
        /// How many bytes; whole blocks.
        bytes: usize,
    },
    /// Rename the segment's file so that it is kept and no longer a segment.
    Quarantine {
        /// Which.
        segment: SegmentNumber,
    },
    /// Delete the segment's file.
    Delete {
        /// Which.
        segment: SegmentNumber,
    },
    /// Let this time pass.
    Wait {
        /// How long.
        duration: Duration,
    },
}

/// The answer to an operation that succeeded.
#[derive(Debug)]
pub enum Answer {
    /// It was done.
    Done,
    /// What was read.
    Bytes(Vec<u8>),
}

/// Why an operation was handed out.
#[derive(Debug)]
pub(super) enum Purpose {
    Create(SegmentNumber),
    Write,
    Sync { batch: u64, segment: SegmentNumber, end: u64 },
    Directory(Vec<Entry>),
    Read(super::reads::Request),
    Compaction,
    Gone(SegmentNumber),
    CommitDelay(u64),
    CompactionPause,
}

/// An entry of the directory that a sync of the directory makes permanent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    Created(SegmentNumber),
    Gone(SegmentNumber),
}
