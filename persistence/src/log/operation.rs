//! What the log asks of a storage, and which answer belongs to which question. Nothing here performs an operation.

use std::sync::Arc;
use std::time::Duration;

use crate::format::{CheckpointNumber, LogFile, SegmentNumber};

/// Names one operation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// One thing to do. Operations that are handed out may be done in any order and at the same time.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Create the file, or take the one there is, and allocate this many bytes of zeros; none at 0.
    Create {
        /// Which.
        file: LogFile,
        /// How many bytes.
        bytes: u64,
    },
    /// Write all of these bytes.
    Write {
        /// To which file.
        file: LogFile,
        /// Where; a block's begin.
        offset: u64,
        /// What; whole blocks.
        bytes: Arc<Vec<u8>>,
    },
    /// Have every write to the file that was answered before now survive a loss of power.
    Sync {
        /// Which.
        file: LogFile,
    },
    /// Have every creation, renaming and deletion that was answered before now survive a loss of power.
    SyncDirectory,
    /// Read; fewer bytes than asked for mean that the file ends there.
    Read {
        /// From which file.
        file: LogFile,
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
    /// Delete the file.
    Delete {
        /// Which.
        file: LogFile,
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
    Sync {
        batch: u64,
        segment: SegmentNumber,
        end: u64,
    },
    Directory(Vec<Entry>),
    Read(super::reads::Request),
    Compaction,
    Gone(SegmentNumber),
    CommitDelay(u64),
    CompactionPause,
    /// A step of the checkpoint that is being written.
    Checkpoint,
    CheckpointPause,
    /// A checkpoint that is not needed goes.
    CheckpointGone,
}

impl Purpose {
    /// Whether nothing is done, so that nobody need wait for its end.
    pub fn is_pause(&self) -> bool {
        matches!(self, Self::CompactionPause | Self::CheckpointPause)
    }
}

/// An entry of the directory that a sync of the directory makes permanent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    Created(SegmentNumber),
    Gone(SegmentNumber),
    Checkpoint(CheckpointNumber),
}
