//! Writes to segments through the page cache, by the thread that asks: they copy memory, which takes less than to hand it to
//! another thread and to be woken when that is done. What would not be a copy is left to others: it creates, syncs and reads
//! nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::StorageError;
use crate::format::{LogFile, SegmentNumber};

/// More is left to others: the thread that asks has other things to do.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// A write that took so long was no mere copy: the kernel holds back writers when too much of its cache is unwritten, or the
/// file system is busy with itself.
const STALL: Duration = Duration::from_millis(20);
/// So long after that everything is left to others.
const AFTER_STALL: Duration = Duration::from_secs(1);

/// The segments of a directory.
#[derive(Debug)]
pub struct Cached {
    directory: PathBuf,
    /// The segment written last; those before it may be deleted.
    open: Option<(SegmentNumber, File)>,
    stalled_until: Option<Instant>,
}

impl Cached {
    /// Segments of this directory, which others create.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), open: None, stalled_until: None }
    }

    /// Writes all of the bytes to a segment that exists. `None`: it is left to others, because it is much, or because the kernel
    /// has held back a write lately.
    pub fn try_write(
        &mut self,
        segment: SegmentNumber,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Result<(), StorageError>> {
        let begun = Instant::now();
        let is_stalled = self.stalled_until.is_some_and(|until| begun < until);
        if is_stalled || bytes.len() > WRITE_BYTES_MAX {
            // Others may be the only ones that get to know of the next segment, and then of the end of this one.
            self.open = None;
            return None;
        }
        let written = self.file(segment).and_then(|file| file.write_all_at(bytes, offset));
        self.stalled_until = (begun.elapsed() >= STALL).then(|| begun + STALL + AFTER_STALL);
        Some(written.map_err(|source| StorageError::new("write", Some(LogFile::Segment(segment)), source)))
    }

    fn file(&mut self, segment: SegmentNumber) -> io::Result<&File> {
        let open = match self.open.take() {
            Some(open) if open.0 == segment => open,
            _ => {
                let path = self.directory.join(segment.file_name());
                (segment, OpenOptions::new().write(true).open(path)?)
            }
        };
        Ok(&self.open.insert(open).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_where_it_is_told_and_keeps_one_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = |segment: SegmentNumber| directory.path().join(segment.file_name());
        let segments = [SegmentNumber(1), SegmentNumber(2)];
        for segment in segments {
            std::fs::write(path(segment), [0; 8]).unwrap();
        }
        let mut cached = Cached::new(directory.path());
        for (segment, offset) in [(segments[0], 0), (segments[0], 4), (segments[1], 2)] {
            cached.try_write(segment, offset, &[7; 2]).unwrap().unwrap();
        }
        assert_eq!(std::fs::read(path(segments[0])).unwrap(), [7, 7, 0, 0, 7, 7, 0, 0]);
        assert_eq!(std::fs::read(path(segments[1])).unwrap(), [0, 0, 7, 7, 0, 0, 0, 0]);
        assert_eq!(cached.open.as_ref().map(|(segment, _)| *segment), Some(segments[1]));
    }

    #[test]
    fn what_is_much_is_left_to_others_and_what_comes_after_a_stall() {
        let directory = tempfile::tempdir().unwrap();
        let segment = SegmentNumber(1);
        std::fs::write(directory.path().join(segment.file_name()), [0; 8]).unwrap();
        let mut cached = Cached::new(directory.path());
        assert!(cached.try_write(segment, 0, &vec![0; WRITE_BYTES_MAX + 1]).is_none());
        assert!(cached.try_write(segment, 0, &[0; 8]).unwrap().is_ok());
        cached.stalled_until = Some(Instant::now() + AFTER_STALL);
        assert!(cached.try_write(segment, 0, &[0; 8]).is_none());
        assert!(cached.open.is_none(), "a file that is deleted meanwhile gives its room back");
        cached.stalled_until = Some(Instant::now());
        assert!(cached.try_write(segment, 0, &[0; 8]).unwrap().is_ok());
    }

    #[test]
    fn a_segment_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let written = Cached::new(directory.path()).try_write(SegmentNumber(3), 0, &[0; 8]);
        assert!(written.unwrap().is_err());
    }
}
