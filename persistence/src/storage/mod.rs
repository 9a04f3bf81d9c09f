//! Where a log's files lie. A storage does what it is told, in any order and at the same time; it knows names, not contents.

pub mod cached;
#[cfg(feature = "glommio")]
pub mod direct;
pub mod files;
pub mod memory;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::error::StorageError;
use crate::format::{LogFile, SegmentNumber};
use crate::log::operation::{Answer, Operation};

/// A file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub file: LogFile,
    /// Its size.
    pub bytes: u64,
}

/// One directory of a log's files. Its futures belong to one thread.
pub trait Storage: 'static {
    /// All files of the log, in any order.
    fn list(&self) -> impl Future<Output = Result<Vec<Listed>, StorageError>>;

    /// Creates the file, or takes the one there is, and allocates this many bytes of zeros to it, none at 0.
    fn create(&self, file: LogFile, bytes: u64) -> impl Future<Output = Result<(), StorageError>>;

    /// Writes all of the bytes; offset and length are whole blocks.
    fn write(
        &self,
        file: LogFile,
        offset: u64,
        bytes: Arc<Vec<u8>>,
    ) -> impl Future<Output = Result<(), StorageError>>;

    /// Makes the file's writes survive a loss of power.
    fn sync(&self, file: LogFile) -> impl Future<Output = Result<(), StorageError>>;

    /// Makes creations, renamings and deletions survive a loss of power.
    fn sync_directory(&self) -> impl Future<Output = Result<(), StorageError>>;

    /// Reads; offset and length are whole blocks, and fewer bytes come only where the file ends.
    fn read(
        &self,
        file: LogFile,
        offset: u64,
        bytes: usize,
    ) -> impl Future<Output = Result<Vec<u8>, StorageError>>;

    /// Cuts the file off behind `bytes` and makes that, and all before, survive a loss of power.
    fn cut(&self, segment: SegmentNumber, bytes: u64) -> impl Future<Output = Result<(), StorageError>>;

    /// Renames the segment's file to `*.damaged`.
    fn quarantine(&self, segment: SegmentNumber) -> impl Future<Output = Result<(), StorageError>>;

    /// Deletes the file; one that is not there is deleted.
    fn delete(&self, file: LogFile) -> impl Future<Output = Result<(), StorageError>>;

    /// Lets time pass.
    fn wait(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Does what the log asks for.
    fn perform(&self, operation: Operation) -> impl Future<Output = Result<Answer, StorageError>> {
        async move {
            match operation {
                Operation::Create { file, bytes } => self.create(file, bytes).await?,
                Operation::Write { file, offset, bytes } => self.write(file, offset, bytes).await?,
                Operation::Sync { file } => self.sync(file).await?,
                Operation::SyncDirectory => self.sync_directory().await?,
                Operation::Read { file, offset, bytes } => {
                    return self.read(file, offset, bytes).await.map(Answer::Bytes);
                }
                Operation::Quarantine { segment } => self.quarantine(segment).await?,
                Operation::Delete { file } => self.delete(file).await?,
                Operation::Wait { duration } => self.wait(duration).await,
            }
            Ok(Answer::Done)
        }
    }
}
