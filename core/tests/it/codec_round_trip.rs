//! Every packet is the same after the wire, no part of a packet passes for the whole, and no bytes make the decoder panic.

use crate::codec_packets::{owned_packet, publish, version};
use proptest::prelude::*;
use ringmq_core::codec::*;

/// Asserts that `packet` comes back from the wire, that it waits for its last byte, and that it obeys the size limit.
fn assert_round_trip(packet: &Packet<'_>, version: ProtocolVersion) -> Result<(), TestCaseError> {
    let mut out = b"before".to_vec();
    packet.encode(version, &mut out).expect("encodable");
    let bytes = &out[6..];
    prop_assert_eq!(&out[..6], b"before");

    let frame = decode_frame(bytes, bytes.len() as u32).expect("a frame").expect("whole");
    prop_assert_eq!(frame.bytes, bytes.len());
    let again = decode_packet(frame, version).expect("decodable");
    prop_assert_eq!(&again, packet);
    prop_assert_eq!(packet.packet_type() as u8, bytes[0] >> 4);

    for end in 0..bytes.len() {
        prop_assert_eq!(decode_frame(&bytes[..end], u32::MAX), Ok(None), "{} of {} bytes", end, bytes.len());
    }
    let too_large = DecodeError::TooLarge { bytes: bytes.len() as u64, bytes_max: bytes.len() as u32 - 1 };
    prop_assert_eq!(decode_frame(bytes, bytes.len() as u32 - 1), Err(too_large));
    Ok(())
}

/// Asserts that a body cut short is either refused or read as a different packet.
fn assert_cut_body_is_another_packet(
    packet: &Packet<'_>,
    version: ProtocolVersion,
) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("encodable");
    let frame = decode_frame(&bytes, u32::MAX).expect("a frame").expect("whole");
    for end in 0..frame.body.len() {
        let cut = Frame { body: &frame.body[..end], ..frame };
        if let Ok(read) = decode_packet(cut, version) {
            prop_assert_ne!(&read, packet);
        }
    }
    Ok(())
}

/// Limits under which a packet that can leave details out is written within them, or refused.
fn assert_obeys_limit(
    packet: &Packet<'_>,
    version: ProtocolVersion,
    limit: u32,
) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    let written = match packet {
        Packet::Connack(packet) => packet.encode_within(version, limit, &mut out),
        Packet::Ack(packet) => packet.encode_within(version, limit, &mut out),
        Packet::Suback(packet) => packet.encode_within(version, limit, &mut out),
        Packet::Unsuback(packet) => packet.encode_within(version, limit, &mut out),
        Packet::Disconnect(packet) => packet.encode_within(version, limit, &mut out),
        Packet::Auth(packet) => packet.encode_within(version, limit, &mut out),
        _ => return Ok(()),
    };
    if written.is_err() {
        prop_assert!(out.is_empty());
        return Ok(());
    }
    prop_assert!(out.len() <= limit as usize, "{} of {}", out.len(), limit);
    let frame = decode_frame(&out, limit).expect("a frame").expect("whole");
    let read = decode_packet(frame, version).expect("decodable");
    prop_assert_eq!(read.packet_type(), packet.packet_type());
    Ok(())
}

fn any_packet() -> impl Strategy<Value = (ProtocolVersion, Packet<'static>)> {
    version().prop_flat_map(|version| (Just(version), owned_packet(version)))
}

proptest! {
    #[test]
    fn publish_is_the_same_after_the_wire(version in version(), publish in publish()) {
        let packet = publish.packet(version);
        assert_round_trip(&packet, version)?;
        assert_cut_body_is_another_packet(&packet, version)?;
        if let Packet::Publish(publish) = &packet {
            let mut out = Vec::new();
            publish.encode(version, &mut out).expect("encodable");
            prop_assert_eq!(out.len(), publish.encoded_bytes(version));
            // What is forwarded can be iterated to its end and written again as it was.
            let mut forward = Vec::new();
            for property in ForwardPropertyIter::new(&publish.properties.forward) {
                property.encode(&mut forward).expect("short fields");
            }
            prop_assert_eq!(&*forward, &*publish.properties.forward);
        }
    }

    #[test]
    fn packet_is_the_same_after_the_wire((version, packet) in any_packet(), limit in 2u32..120) {
        assert_round_trip(&packet, version)?;
        assert_cut_body_is_another_packet(&packet, version)?;
        assert_obeys_limit(&packet, version, limit)?;
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read(version in version(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(Some(frame)) = decode_frame(&bytes, 1 << 20) {
            let _ = decode_packet(frame, version);
        }
        // As the body of every packet type, so that the header is not in the way.
        for first_byte in 0x10..=0xFF {
            let frame = Frame { first_byte, body: &bytes, bytes: bytes.len() + 2 };
            if let Err(error) = decode_packet(frame, version) {
                prop_assert!(error.reason_code().is_error());
            }
        }
    }

    #[test]
    fn damaged_packets_are_refused_or_read(
        (version, packet) in any_packet(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).expect("encodable");
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        ringmq_core::fuzz::decode(&bytes);
        ringmq_core::fuzz::round_trip(&bytes);
    }
}
