//! The first block of a segment: which segment it is, where the one before it ends, and which ids are free. It never
//! says how much the segment holds; that is found by reading.

use super::frame::Salt;
use super::{BLOCK_BYTES, SegmentNumber, VERSION, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"RINGLOG\n";
const HEADER_BYTES: usize = 48;

/// What a segment says about itself and its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its number.
    pub number: SegmentNumber,
    /// The segment written before it, if there was one.
    pub previous: Option<SegmentNumber>,
    /// Where the last record of the previous segment ends. Nothing behind it was ever accepted.
    pub previous_end: u64,
    /// The first id that no earlier segment uses.
    pub next_id: u64,
}

/// Why a block is not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// It was never written, torn, or damaged.
    Unreadable,
    /// It is of a version this program does not know.
    Version(u32),
}

impl SegmentHeader {
    /// The header as the first block of its segment.
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..20].copy_from_slice(&self.number.0.to_le_bytes());
        block[20..24].copy_from_slice(&self.previous.map_or(0, |previous| previous.0).to_le_bytes());
        block[24..32].copy_from_slice(&self.previous_end.to_le_bytes());
        block[32..40].copy_from_slice(&self.next_id.to_le_bytes());
        let crc = checksum(&block, self.number);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads the header of the segment with this number.
    ///
    /// # Errors
    /// [`HeaderFault`].
    pub fn decode(block: &[u8], number: SegmentNumber) -> Result<Self, HeaderFault> {
        if block.len() < BLOCK_BYTES || block[..8] != MAGIC {
            return Err(HeaderFault::Unreadable);
        }
        let version = u32_at(block, 8);
        // The place and the extent of the checksum belong to every version, so that a damaged version number is not
        // taken for a newer one.
        if u32_at(block, 12) != checksum(block, number) || u32_at(block, 16) != number.0 {
            return Err(HeaderFault::Unreadable);
        }
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let previous = Some(SegmentNumber(u32_at(block, 20))).filter(|previous| previous.0 != 0);
        Ok(Self { number, previous, previous_end: u64_at(block, 24), next_id: u64_at(block, 32) })
    }
}

fn checksum(block: &[u8], number: SegmentNumber) -> u32 {
    let mut head = [0; HEADER_BYTES];
    head.copy_from_slice(&block[..HEADER_BYTES]);
    head[12..16].fill(0);
    Salt::of(number).checksum(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        number: SegmentNumber(5),
        previous: Some(SegmentNumber(3)),
        previous_end: 81_920,
        next_id: 1_000,
    };

    #[test]
    fn a_header_reads_back_and_damage_is_noticed() {
        let block = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&block, HEADER.number), Ok(HEADER));
        assert_eq!(SegmentHeader::decode(&block, SegmentNumber(6)), Err(HeaderFault::Unreadable));
        for byte in 0..HEADER_BYTES {
            let mut damaged = block;
            damaged[byte] ^= 0x40;
            assert_eq!(
                SegmentHeader::decode(&damaged, HEADER.number),
                Err(HeaderFault::Unreadable),
                "{byte}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_not_damage() {
        let mut block = HEADER.encode();
        block[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = checksum(&block, HEADER.number);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block, HEADER.number), Err(HeaderFault::Version(2)));
    }
}
