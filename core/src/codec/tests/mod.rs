//! Byte-exact vectors of every packet, and the errors the specification names.

mod ack;
mod connack;
mod connect;
mod disconnect;
mod fields;
mod frame;
mod publish;
mod subscribe;
mod within;

use super::*;
use crate::reason::ReasonCode;
use ProtocolVersion::{V5, V31, V311};

const ALL: [ProtocolVersion; 3] = [V31, V311, V5];

/// The one packet in `bytes`.
fn decode(bytes: &[u8], version: ProtocolVersion) -> Result<Packet<'_>, DecodeError> {
    let frame = decode_frame(bytes, u32::MAX)?.expect("a whole packet");
    assert_eq!(frame.bytes, bytes.len(), "the vector is one packet");
    decode_packet(frame, version)
}

/// Asserts that `packet` is written as `bytes` and read from them.
#[track_caller]
fn assert_wire(packet: &Packet<'_>, version: ProtocolVersion, bytes: &[u8]) {
    let mut out = vec![0xEE];
    packet.encode(version, &mut out).expect("encodable");
    assert_eq!(&out[1..], bytes, "encoded {packet:?}");
    assert_eq!(out[0], 0xEE, "encoding appends");
    assert_eq!(decode(bytes, version).as_ref(), Ok(packet), "decoded");
}

/// Asserts that reading `bytes` fails with `error`.
#[track_caller]
fn assert_refused(version: ProtocolVersion, bytes: &[u8], error: DecodeError) {
    match (decode(bytes, version), error) {
        // The text is for people; what the peer is told is the reason code.
        (Err(got), _) if got.reason_code() == error.reason_code() => {}
        (got, _) => panic!("{version:?} {bytes:02x?}: {got:?}, not {error:?}"),
    }
}

/// A packet with this first byte around this body.
fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first_byte];
    let (length, len) = writer::to_varint(body.len() as u32);
    bytes.extend_from_slice(&length[..len]);
    bytes.extend_from_slice(body);
    bytes
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not 0")
}

fn user(pairs: &[(&str, &str)]) -> UserProperties {
    pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

/// Any malformed packet; which text does not matter.
const MALFORMED: DecodeError = DecodeError::Malformed("");
/// Any protocol error; which text does not matter.
const PROTOCOL: DecodeError = DecodeError::Protocol("");
