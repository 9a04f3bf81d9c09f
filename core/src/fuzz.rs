//! What the fuzz targets of `core/fuzz` and the corpus tests run, in one place, so that both check the same. Compiled for
//! tests and with the feature `fuzz` only; never part of the broker.

mod session_ops;
mod trie;

pub use session_ops::session_ops;
pub use trie::trie;

use crate::codec::{DecodeError, Packet, ProtocolVersion, decode_frame, decode_packet};

/// The versions a connection may speak.
const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

/// Reads `data` as a stream of packets of every version, as a connection would, until it ends or fails.
///
/// # Panics
/// If the decoder reads past a packet or gives an error without a reason for the peer.
pub fn decode(data: &[u8]) {
    for version in VERSIONS {
        let outcome = for_each_packet(data, version, |_, _| ());
        if let Err(error) = outcome {
            assert!(error.reason_code().is_error(), "{error:?}");
        }
    }
}

/// Asserts that every packet that can be read from `data` is the same after it was written and read again, and that no
/// part of what was written passes for the whole.
///
/// # Panics
/// If it is not.
pub fn round_trip(data: &[u8]) {
    let mut first = Vec::new();
    let mut second = Vec::new();
    for version in VERSIONS {
        // An error only ends the stream; `decode` looks at errors.
        let _ = for_each_packet(data, version, |packet, bytes| {
            first.clear();
            packet.encode(version, &mut first).expect("what was read can be written");
            assert!(first.len() <= bytes, "writing is not longer than what was read");
            if let Packet::Publish(publish) = packet {
                assert_eq!(publish.encoded_bytes(version), first.len());
            }

            let frame = decode_frame(&first, u32::MAX).expect("a header").expect("the whole packet");
            assert_eq!(frame.bytes, first.len());
            let again = decode_packet(frame, version).expect("what was written can be read");
            assert_eq!(&again, packet);
            second.clear();
            again.encode(version, &mut second).expect("what was read can be written");
            assert_eq!(first, second);

            let part = first.len() / 2;
            assert_eq!(decode_frame(&first[..part], u32::MAX), Ok(None), "{part} bytes of {first:02x?}");
        });
    }
}

/// Calls `visit` with each packet and its bytes on the wire.
fn for_each_packet(
    data: &[u8],
    version: ProtocolVersion,
    mut visit: impl FnMut(&Packet<'_>, usize),
) -> Result<(), DecodeError> {
    // Small enough that mutations reach the limit.
    const PACKET_BYTES_MAX: u32 = 1 << 20;
    let mut rest = data;
    while let Some(frame) = decode_frame(rest, PACKET_BYTES_MAX)? {
        assert!(frame.bytes <= rest.len() && frame.bytes >= frame.body.len() + 2, "frame lies in the input");
        visit(&decode_packet(frame, version)?, frame.bytes);
        rest = &rest[frame.bytes..];
    }
    Ok(())
}
