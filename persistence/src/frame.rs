//! One record as bytes: length, type, checksum, payload. Nothing here reads or writes a file.
//!
//! ```text
//! 0        4        6        8        12            12 + length
//! | length | kind   | zero   | crc32c | payload ... |
//! ```
//!
//! All numbers are little endian. The checksum covers everything but itself, so a record whose length was torn is
//! noticed too.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 12;
/// The most bytes a payload can have: an MQTT packet and room for what is stored with it.
pub const PAYLOAD_BYTES_MAX: usize = 288 << 20;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the record does: the tail of a log that was being written.
    #[error("record is cut off: {missing} bytes are missing")]
    Torn {
        /// How many.
        missing: usize,
    },
    /// The record says it is larger than any record can be.
    #[error("record claims a payload of {bytes} bytes, more than the maximum of {PAYLOAD_BYTES_MAX}")]
    TooLarge {
        /// What it says.
        bytes: usize,
    },
    /// Checksum or reserved bytes are wrong.
    #[error("record is damaged: its checksum does not fit")]
    Damaged,
}

/// A record as it lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is; its meaning belongs to the log's user.
    pub kind: u16,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Appends the record to `out`.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`]; `out` is unchanged then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let bytes = self.payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLarge { bytes });
        }
        let head = self.head();
        out.reserve(HEADER_BYTES + bytes);
        out.extend_from_slice(&head);
        out.extend_from_slice(&checksum(&head, self.payload).to_le_bytes());
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Reads the first record of `input`; returns it and the bytes it takes.
    ///
    /// # Errors
    /// [`FrameError`]; what follows a damaged record cannot be trusted to be where it should.
    pub fn decode(input: &'a [u8]) -> Result<(Frame<'a>, usize), FrameError> {
        let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
            return Err(FrameError::Torn { missing: HEADER_BYTES - input.len() });
        };
        let [l0, l1, l2, l3, k0, k1, z0, z1, c0, c1, c2, c3] = *header;
        let bytes = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLarge { bytes });
        }
        let Some(payload) = rest.get(..bytes) else {
            return Err(FrameError::Torn { missing: bytes - rest.len() });
        };
        let frame = Frame { kind: u16::from_le_bytes([k0, k1]), payload };
        let intact = checksum(&frame.head(), payload) == u32::from_le_bytes([c0, c1, c2, c3]);
        if !intact || [z0, z1] != [0, 0] {
            return Err(FrameError::Damaged);
        }
        Ok((frame, HEADER_BYTES + bytes))
    }

    fn head(&self) -> [u8; 8] {
        let [l0, l1, l2, l3] = (self.payload.len() as u32).to_le_bytes();
        let [k0, k1] = self.kind.to_le_bytes();
        [l0, l1, l2, l3, k0, k1, 0, 0]
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Frame { kind, payload }.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn a_record_has_the_documented_bytes() {
        assert_eq!(encoded(0x0102, b"hi"), [2, 0, 0, 0, 2, 1, 0, 0, 0xAF, 0x10, 0xFC, 0x97, b'h', b'i']);
    }

    #[test]
    fn records_read_back_one_after_another() {
        let mut log = encoded(1, b"first");
        log.extend(encoded(2, b""));
        let (first, used) = Frame::decode(&log).unwrap();
        assert_eq!(first, Frame { kind: 1, payload: b"first" });
        let (second, rest) = Frame::decode(&log[used..]).unwrap();
        assert_eq!(second, Frame { kind: 2, payload: b"" });
        assert_eq!(used + rest, log.len());
    }

    #[test]
    fn every_truncation_is_torn() {
        let record = encoded(7, b"payload");
        for cut in 0..record.len() {
            assert!(matches!(Frame::decode(&record[..cut]), Err(FrameError::Torn { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let record = encoded(7, b"payload");
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_absurd_length_is_refused_before_it_is_believed() {
        let mut record = encoded(7, b"payload");
        record[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Frame::decode(&record), Err(FrameError::TooLarge { bytes: u32::MAX as usize }));
    }
}
