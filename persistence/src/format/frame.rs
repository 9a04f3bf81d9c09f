//! One record as bytes: header, payload, padding to eight bytes. It never interprets a payload.
//!
//! ```text
//! 0        4      6       8    16            20           24            24 + length
//! | length | kind | flags | id | payload crc | header crc | payload ... | zeros to a multiple of 8 |
//! ```
//!
//! All numbers are little endian. Both checksums are CRC32C, begun with the segment's salt, so that a block of one
//! segment that turns up in another is not taken for its own. The header has a checksum of its own: when only the payload
//! is damaged, what was lost has a name, and the next record is found.

use super::{SegmentNumber, u32_at, u64_at};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 24;
/// The most bytes a payload can have: an MQTT packet and room for what is stored with it.
pub const PAYLOAD_BYTES_MAX: usize = 288 << 20;

/// The payload is a copy that compaction made.
pub const COPY: u16 = 1;
/// The record opens a write; see [`super::marks::Mark`].
pub const MARK: u16 = 2;
/// The record says which ids are removed; see [`super::marks`].
pub const REMOVED: u16 = 4;
const KNOWN_FLAGS: u16 = COPY | MARK | REMOVED;

/// What the checksums of one segment begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// The salt of the segment with this number.
    pub fn of(segment: SegmentNumber) -> Self {
        Self(crc32c::crc32c(&segment.0.to_le_bytes()))
    }

    /// The checksum of `bytes` in this segment.
    pub fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the payload.
    pub length: u32,
    /// What the payload is; its meaning belongs to the log's user.
    pub kind: u16,
    /// [`COPY`], [`MARK`], [`REMOVED`].
    pub flags: u16,
    /// The record's id; zero for the log's own records.
    pub id: u64,
    /// The checksum of the payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// Reads a header. `None` if these bytes are not one.
    pub fn decode(bytes: &[u8; HEADER_BYTES], salt: Salt) -> Option<Self> {
        let header = Self {
            length: u32_at(bytes, 0),
            kind: u16::from_le_bytes([bytes[4], bytes[5]]),
            flags: u16::from_le_bytes([bytes[6], bytes[7]]),
            id: u64_at(bytes, 8),
            payload_crc: u32_at(bytes, 16),
        };
        let is_own = header.flags & (MARK | REMOVED) != 0;
        let intact = u32_at(bytes, 20) == salt.checksum(&bytes[..20])
            && header.length as usize <= PAYLOAD_BYTES_MAX
            && header.flags & !KNOWN_FLAGS == 0
            && is_own == (header.id == 0);
        intact.then_some(header)
    }

    /// Whether this is the payload that was written under this header.
    pub fn fits(&self, payload: &[u8], salt: Salt) -> bool {
        payload.len() == self.length as usize && salt.checksum(payload) == self.payload_crc
    }

    /// Bytes of the whole record on disk.
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.length as usize)
    }
}

/// Bytes that a record with a payload of `payload_bytes` takes on disk.
pub fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(8)
}

/// Appends a record to `out`. The payload must not exceed [`PAYLOAD_BYTES_MAX`].
pub fn encode(out: &mut Vec<u8>, salt: Salt, kind: u16, flags: u16, id: u64, payload: &[u8]) {
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX, "refused before it comes here");
    let begin = out.len();
    out.reserve(frame_bytes(payload.len()));
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4..6].copy_from_slice(&kind.to_le_bytes());
    header[6..8].copy_from_slice(&flags.to_le_bytes());
    header[8..16].copy_from_slice(&id.to_le_bytes());
    header[16..20].copy_from_slice(&salt.checksum(payload).to_le_bytes());
    let crc = salt.checksum(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    out.resize(begin + frame_bytes(payload.len()), 0);
}

/// Reads the whole record at the beginning of `bytes`. `None` if it is not there or damaged.
pub fn decode(bytes: &[u8], salt: Salt) -> Option<(FrameHeader, &[u8])> {
    let header = FrameHeader::decode(bytes.first_chunk()?, salt)?;
    let payload = bytes.get(HEADER_BYTES..HEADER_BYTES + header.length as usize)?;
    header.fits(payload, salt).then_some((header, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(7);

    fn encoded(id: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, SALT, 0x0102, 0, id, payload);
        out
    }

    #[test]
    fn a_record_has_the_documented_bytes() {
        let bytes = encoded(9, b"hi");
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..16], [2, 0, 0, 0, 2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[24..], *b"hi\0\0\0\0\0\0");
        let (header, payload) = decode(&bytes, SALT).unwrap();
        assert_eq!((header.kind, header.id, payload), (0x0102, 9, b"hi".as_slice()));
        assert_eq!(header.frame_bytes(), 32);
    }

    #[test]
    fn truncations_flipped_bits_and_other_salts_are_noticed() {
        let bytes = encoded(9, b"payload!");
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], SALT).is_none(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged, SALT).is_none(), "bit {bit}");
        }
        assert!(decode(&bytes, Salt(8)).is_none());
        assert!(decode(&[0; 64], SALT).is_none());
    }
}
