//! The bounds of a log, each with its name. Nothing here is read from a file; the user's configuration fills it in.

use std::time::Duration;

use crate::error::OpenError;
use crate::format::BLOCK_BYTES;

/// How a log is written and how much it may hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of a segment's file, allocated when it is created. A multiple of 4,096, from 16 KiB to 4 GiB. A record that
    /// does not fit gets a segment of its own size. Default 64 MiB.
    pub segment_bytes: u64,
    /// Bytes of all segment files together at which records are refused. At least 16 segments; an eighth, and at least
    /// three segments of it, are kept for what must find room, for removals and for compaction. Default: no bound.
    pub max_bytes: u64,
    /// Bytes that may wait to be written before records are refused. Default 64 MiB.
    pub pending_bytes_max: usize,
    /// Bytes at which a write is closed and the next one begun, but not between records put in one pass. Default 1 MiB.
    pub write_bytes_max: usize,
    /// How long a sealed pass waits for others to share its write. Default 0.
    pub commit_delay: Duration,
    /// Reads of records in flight. Default 64.
    pub reads_max: usize,
    /// Bytes of old segments that compaction reads in a second, and of a checkpoint that are written in one; 0 is no bound.
    /// Default 32 MiB.
    pub compaction_bytes_per_s: u64,
    /// Bytes written after which a checkpoint is written, so that no more of them need be read when the log is opened; four
    /// times the size of the last one if that is more. When the log is closed a sixteenth is enough. 0: none is written or
    /// read. Default 256 MiB.
    pub checkpoint_bytes: u64,
    /// Whether opening is refused when a segment is damaged, instead of keeping what is readable. Everything is read then: no
    /// checkpoint is used. Default false.
    pub strict: bool,
}

/// Where a log is short of room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// Files that take more than this are too many.
    pub begins_at: u64,
    /// Until they take no more than this.
    pub ends_at: u64,
    /// Live records that fit into that, with what cannot be used of files.
    pub live_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            max_bytes: u64::MAX,
            pending_bytes_max: 64 << 20,
            write_bytes_max: 1 << 20,
            commit_delay: Duration::ZERO,
            reads_max: 64,
            compaction_bytes_per_s: 32 << 20,
            checkpoint_bytes: 256 << 20,
            strict: false,
        }
    }
}

impl Options {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`OpenError::Options`] names the first that is out of its bounds.
    pub fn check(&self) -> Result<(), OpenError> {
        let block = BLOCK_BYTES as u64;
        let rules = [
            (
                (16 << 10..=4 << 30).contains(&self.segment_bytes)
                    && self.segment_bytes.is_multiple_of(block),
                ("segment_bytes", self.segment_bytes, "a multiple of 4096 from 16 KiB to 4 GiB"),
            ),
            (
                self.max_bytes / 16 >= self.segment_bytes,
                ("max_bytes", self.max_bytes, "at least 16 segments"),
            ),
            (
                self.write_bytes_max >= BLOCK_BYTES,
                ("write_bytes_max", self.write_bytes_max as u64, "at least 4096"),
            ),
            (
                self.pending_bytes_max >= self.write_bytes_max,
                ("pending_bytes_max", self.pending_bytes_max as u64, "at least write_bytes_max"),
            ),
            (self.reads_max > 0, ("reads_max", 0, "at least 1")),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, (option, value, rule))) => Err(OpenError::Options { option, value, rule }),
            None => Ok(()),
        }
    }

    /// Whether checkpoints are written and read.
    pub(crate) fn has_checkpoints(&self) -> bool {
        self.checkpoint_bytes > 0 && !self.strict
    }

    /// Bytes of files above which a log is short of room, though it takes records still, and at which it is not any more; and
    /// how many live bytes compaction can bring to that. `None` without a bound.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        if self.max_bytes == u64::MAX {
            return None;
        }
        let margin = (self.max_bytes / 16).max(2 * self.segment_bytes);
        let begins_at = self.max_bytes.saturating_sub(self.reserve_bytes() + margin);
        let ends_at = begins_at.saturating_sub(margin);
        // Segments are compacted until nine tenths of them are needed; one is open and one comes next.
        let live_bytes = ends_at.saturating_sub(2 * self.segment_bytes) / 8 * 7;
        Some(Shortage { begins_at, ends_at, live_bytes })
    }

    /// Bytes that records may not take, so that removing them always has room.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        (self.max_bytes / 8).max(3 * self.segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_begins_before_records_are_refused_and_can_be_ended_by_compaction() {
        assert_eq!(Options::default().shortage(), None);
        for segments in [16, 17, 40, 1000] {
            let segment_bytes = 64 << 10;
            let options =
                Options { segment_bytes, max_bytes: segments * segment_bytes, ..Options::default() };
            let Shortage { begins_at, ends_at, live_bytes } = options.shortage().unwrap();
            let refused_at = options.max_bytes - options.reserve_bytes();
            assert!(begins_at + 2 * segment_bytes <= refused_at && ends_at < begins_at, "{segments}");
            assert!(live_bytes > 0 && live_bytes / 9 * 10 + 2 * segment_bytes <= ends_at, "{segments}");
        }
    }

    #[test]
    fn the_default_is_within_its_bounds_and_others_are_named() {
        assert!(Options::default().check().is_ok());
        let cases: [(Options, &str); 4] = [
            (Options { segment_bytes: 5_000, ..Options::default() }, "segment_bytes"),
            (Options { max_bytes: 1 << 20, ..Options::default() }, "max_bytes"),
            (Options { pending_bytes_max: 1 << 10, ..Options::default() }, "pending_bytes_max"),
            (Options { reads_max: 0, ..Options::default() }, "reads_max"),
        ];
        for (options, name) in cases {
            assert!(
                matches!(options.check(), Err(OpenError::Options { option, .. }) if option == name),
                "{name}"
            );
        }
    }
}
