//! The bytes of the log on disk: blocks, segment headers, frames, and the records that belong to the log itself.
//! Nothing here reads or writes a file. `FORMAT.md` has the diagrams.

pub mod checkpoint;
pub mod frame;
pub mod header;
pub mod marks;
pub mod scanner;

use std::fmt::{self, Display, Formatter};

/// Writes begin on, and are a multiple of, this many bytes.
pub const BLOCK_BYTES: usize = 4096;
/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// A segment's number: ascending through the life of a log, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u32);

impl SegmentNumber {
    /// The name of the segment's file.
    pub fn file_name(self) -> String {
        format!("{:08x}.seg", self.0)
    }

    /// The number a file's name stands for, if it is a segment's.
    pub fn of_file_name(name: &str) -> Option<Self> {
        number_before(name, ".seg").map(Self)
    }
}

/// A checkpoint's number: ascending while there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointNumber(pub u32);

/// A file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogFile {
    /// Records.
    Segment(SegmentNumber),
    /// What reading segments would find.
    Checkpoint(CheckpointNumber),
}

impl LogFile {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Segment(number) => number.file_name(),
            Self::Checkpoint(number) => format!("{:08x}.ckpt", number.0),
        }
    }

    /// The file a name stands for, if it is one of a log.
    pub fn of_name(name: &str) -> Option<Self> {
        let checkpoint = || number_before(name, ".ckpt").map(CheckpointNumber).map(Self::Checkpoint);
        SegmentNumber::of_file_name(name).map(Self::Segment).or_else(checkpoint)
    }

    /// The segment, if it is one.
    pub fn segment(self) -> Option<SegmentNumber> {
        match self {
            Self::Segment(number) => Some(number),
            Self::Checkpoint(_) => None,
        }
    }
}

impl From<SegmentNumber> for LogFile {
    fn from(number: SegmentNumber) -> Self {
        Self::Segment(number)
    }
}

impl From<CheckpointNumber> for LogFile {
    fn from(number: CheckpointNumber) -> Self {
        Self::Checkpoint(number)
    }
}

impl Display for LogFile {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(number) => write!(out, "segment {number}"),
            Self::Checkpoint(number) => write!(out, "checkpoint {:08x}", number.0),
        }
    }
}

/// The eight hexadecimal digits before a suffix; no file has the number 0.
fn number_before(name: &str, suffix: &str) -> Option<u32> {
    let digits = name.strip_suffix(suffix)?;
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 8 || !is_hex {
        return None;
    }
    u32::from_str_radix(digits, 16).ok().filter(|&number| number != 0)
}

impl Display for SegmentNumber {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", self.0)
    }
}

/// The first block boundary at or after `offset`.
pub fn block_up(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK_BYTES as u64)
}

/// The last block boundary at or before `offset`.
pub fn block_down(offset: u64) -> u64 {
    offset - offset % BLOCK_BYTES as u64
}

/// Four bytes of `bytes` at `at` as a number; `at + 4` must be in range.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Eight bytes of `bytes` at `at` as a number; `at + 8` must be in range.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stands_for_one_number() {
        assert_eq!(SegmentNumber(0x1f).file_name(), "0000001f.seg");
        let cases = [
            ("0000001f.seg", Some(SegmentNumber(0x1f))),
            ("0000001F.seg", None),
            ("00000000.seg", None),
            ("1f.seg", None),
            ("0000001f.seg.damaged", None),
            ("+000001f.seg", None),
        ];
        for (name, number) in cases {
            assert_eq!(SegmentNumber::of_file_name(name), number, "{name}");
            assert_eq!(LogFile::of_name(name), number.map(LogFile::Segment), "{name}");
        }
        let checkpoint = LogFile::Checkpoint(CheckpointNumber(0x2a));
        assert_eq!(checkpoint.name(), "0000002a.ckpt");
        assert_eq!(LogFile::of_name("0000002a.ckpt"), Some(checkpoint));
        assert_eq!(LogFile::of_name("0000002a.ckp"), None);
    }
}
