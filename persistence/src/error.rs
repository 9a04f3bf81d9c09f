//! What can go wrong between the log and its user, its storage, and its files. Nothing here decides what to do about it.

use std::io;

use crate::format::{LogFile, SegmentNumber};
use crate::recovery::Report;

/// An operation on files that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation}{} failed", file.map(|file| format!(" of {file}")).unwrap_or_default())]
pub struct StorageError {
    /// What was tried: `write`, `sync`, …
    pub operation: &'static str,
    /// On which file, if on one.
    pub file: Option<LogFile>,
    /// What the system said.
    #[source]
    pub source: std::sync::Arc<io::Error>,
}

impl StorageError {
    /// An error of `operation`.
    pub fn new(operation: &'static str, file: Option<LogFile>, source: io::Error) -> Self {
        Self { operation, file, source: std::sync::Arc::new(source) }
    }

    /// Whether the file system has no room. Opening the log again after freeing some goes on.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Why a record was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PutError {
    /// More bytes wait to be written than [`crate::Options::pending_bytes_max`]; they will become fewer.
    #[error("too many bytes wait to be written")]
    Behind,
    /// The store has reached [`crate::Options::max_bytes`]; removing records makes room.
    #[error("the store has reached its limit")]
    Full,
    /// The payload is larger than any record can be, or than the whole store.
    #[error("a payload of {bytes} bytes is larger than the maximum of {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most there is room for.
        bytes_max: usize,
    },
    /// The log has failed; nothing more is taken.
    #[error("the log has failed")]
    Failed(#[source] StorageError),
}

/// Why a record could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No live record has this id.
    #[error("there is no such record")]
    Unknown,
    /// [`crate::Options::reads_max`] reads are under way.
    #[error("too many reads are under way")]
    Busy,
    /// What lies there is not the record.
    #[error("record {id} in segment {segment} is damaged")]
    Damaged {
        /// The record.
        id: u64,
        /// Where it lies.
        segment: SegmentNumber,
    },
    /// The read failed.
    #[error("the record cannot be read")]
    Storage(#[from] StorageError),
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Files could not be read or changed.
    #[error("the log's files cannot be used")]
    Storage(#[from] StorageError),
    /// Segments are damaged and [`crate::Options::strict`] is set. No file was changed.
    #[error("{} places of the log are damaged; set strict to false to keep what is readable", report.damages.len())]
    Damaged {
        /// What is damaged.
        report: Box<Report>,
    },
    /// A newer program wrote this log.
    #[error(
        "segment {segment} has format version {version}, this program knows up to {}",
        crate::format::VERSION
    )]
    Version {
        /// Whose header says so.
        segment: SegmentNumber,
        /// Its version.
        version: u32,
    },
    /// Options contradict each other or a bound.
    #[error("{option} is {value}, it must be {rule}")]
    Options {
        /// Which.
        option: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        rule: &'static str,
    },
}
