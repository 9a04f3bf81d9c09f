//! The bytes of the log on disk: blocks, segment headers, frames, and the records that belong to the log itself.
//! Nothing here reads or writes a file. `FORMAT.md` has the diagrams.

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
        let digits = name.strip_suffix(".seg")?;
        let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if digits.len() != 8 || !is_hex {
            return None;
        }
        u32::from_str_radix(digits, 16).ok().filter(|&number| number != 0).map(Self)
    }
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
        }
    }
}
