//! What a published payload says about itself, so that its receiver can verify it.
//!
//! ```text
//! 0        8                          16
//! | sent ns | publisher:20 number:44 | filling ... |
//! ```

use anyhow::{Result, ensure};

/// Bytes of the stamp at the beginning of every payload.
pub const STAMP_BYTES: usize = 16;
const NUMBER_BITS: u32 = 44;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// Who published which message when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher, below 2^20.
    pub publisher: u32,
    /// Its sequence number, below 2^44, from 0.
    pub number: u64,
    /// When it was handed to the socket's buffer, in nanoseconds of the run's [`Clock`](crate::clock::Clock).
    pub sent_ns: u64,
}

impl Stamp {
    /// Writes the stamp over the beginning of `payload`, which has at least [`STAMP_BYTES`].
    pub fn write(&self, payload: &mut [u8]) {
        let word = u64::from(self.publisher) << NUMBER_BITS | (self.number & NUMBER_MASK);
        payload[..8].copy_from_slice(&self.sent_ns.to_le_bytes());
        payload[8..STAMP_BYTES].copy_from_slice(&word.to_le_bytes());
    }

    /// Reads the stamp of a received payload and checks that the rest of it is `filling`.
    ///
    /// # Errors
    /// When this is not a payload of ours, or not an undamaged one.
    pub fn read(payload: &[u8], filling: &[u8]) -> Result<Stamp> {
        let Some((sent_ns, rest)) = payload.split_first_chunk::<8>() else { return damaged(payload) };
        let Some((word, rest)) = rest.split_first_chunk::<8>() else { return damaged(payload) };
        // The C library compares with a masked load, and with nothing to compare and the dangling address of an empty
        // vector the processor takes 100 ns to suppress the fault.
        let is_filling = rest.len() == filling.len() && (rest.is_empty() || rest == filling);
        ensure!(is_filling, "payload of {} bytes is damaged", payload.len());
        let word = u64::from_le_bytes(*word);
        Ok(Stamp {
            publisher: (word >> NUMBER_BITS) as u32,
            number: word & NUMBER_MASK,
            sent_ns: u64::from_le_bytes(*sent_ns),
        })
    }
}

fn damaged(payload: &[u8]) -> Result<Stamp> {
    anyhow::bail!("payload of {} bytes is too short", payload.len())
}

/// The part of a payload of `payload_bytes` behind its stamp: bytes that differ from their neighbours, so that a shift
/// is noticed.
pub fn filling(payload_bytes: usize) -> Vec<u8> {
    (STAMP_BYTES..payload_bytes).map(|position| (position % 251) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_written_also_at_their_bounds() {
        for (publisher, number, sent_ns) in [(0, 0, 0), (0xF_FFFF, NUMBER_MASK, u64::MAX), (7, 70_000, 1)] {
            let stamp = Stamp { publisher, number, sent_ns };
            let filling = filling(40);
            let mut payload = [&[0xFF; STAMP_BYTES][..], &filling].concat();
            stamp.write(&mut payload);
            assert_eq!(payload.len(), 40);
            assert_eq!(Stamp::read(&payload, &filling).unwrap(), stamp);
        }
    }

    #[test]
    fn damaged_payloads_are_refused() {
        let filling = filling(20);
        let payload = [&[0; STAMP_BYTES][..], &filling].concat();
        assert!(Stamp::read(&payload, &filling).is_ok());
        assert!(Stamp::read(&payload[..19], &filling).is_err());
        assert!(Stamp::read(&payload[..3], &filling).is_err());
        let mut flipped = payload.clone();
        flipped[17] ^= 1;
        assert!(Stamp::read(&flipped, &filling).is_err());
    }
}
