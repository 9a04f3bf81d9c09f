//! Cutting packets out of a stream.

use super::*;
use crate::limits::REMAINING_LENGTH_MAX;

#[test]
fn frame_is_cut_as_soon_as_it_is_whole_and_not_before() {
    let stream = b"\x30\x05\x00\x01thi\xC0\x00";
    for bytes in 0..7 {
        assert_eq!(decode_frame(&stream[..bytes], u32::MAX), Ok(None), "{bytes} bytes");
    }
    let first = decode_frame(stream, u32::MAX).unwrap().unwrap();
    assert_eq!(first, Frame { first_byte: 0x30, body: b"\x00\x01thi", bytes: 7 });
    let second = decode_frame(&stream[first.bytes..], u32::MAX).unwrap().unwrap();
    assert_eq!(second, Frame { first_byte: 0xC0, body: b"", bytes: 2 });
}

#[test]
fn remaining_length_follows_the_table_of_the_specification() {
    let cases: [(u32, &[u8]); 8] = [
        (0, b"\x00"),
        (127, b"\x7F"),
        (128, b"\x80\x01"),
        (16_383, b"\xFF\x7F"),
        (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xFF\xFF\x7F"),
        (2_097_152, b"\x80\x80\x80\x01"),
        (REMAINING_LENGTH_MAX, b"\xFF\xFF\xFF\x7F"),
    ];
    for (value, bytes) in cases {
        let (written, len) = writer::to_varint(value);
        assert_eq!(&written[..len], bytes, "{value} written");
        assert_eq!(writer::varint_bytes(value), bytes.len());
        assert_eq!(reader::Reader::new(bytes).varint(), Ok(value), "{value} read");
        let header = [b"\x30", bytes].concat();
        let too_large = DecodeError::TooLarge { bytes: u64::from(value) + header.len() as u64, bytes_max: 1 };
        assert_eq!(decode_frame(&header, 1), Err(too_large), "{value} as remaining length");
    }
}

/// [MQTT-1.5.5-1]: more than four bytes are malformed in a length, and a property length is in its shortest form.
#[test]
fn overlong_lengths_are_malformed() {
    assert_eq!(
        decode_frame(b"\x30\xFF\xFF\xFF\xFF", u32::MAX).map_err(|error| error.reason_code()),
        Err(ReasonCode::MalformedPacket)
    );
    assert_refused(V5, &packet(0x30, b"\x00\x01t\xFF\xFF\xFF\xFF\x01"), MALFORMED);
    assert_refused(V5, &packet(0x30, b"\x00\x01t\x80\x00"), MALFORMED);
    // The fixed header may be longer than needed: 3.1.1 does not forbid it.
    assert_eq!(decode(b"\xC0\x80\x80\x00", V311), Ok(Packet::Pingreq));
}

/// [MQTT-3.1.2-24] [MQTT-3.2.2-15]: the size counts the fixed header.
#[test]
fn packet_too_large_is_refused_before_its_body_arrives() {
    let ten_bytes = packet(0x30, b"\x00\x01tpayload"[..8].as_ref());
    assert_eq!(ten_bytes.len(), 10);
    assert!(decode_frame(&ten_bytes, 10).unwrap().is_some());
    let too_large = DecodeError::TooLarge { bytes: 10, bytes_max: 9 };
    assert_eq!(decode_frame(&ten_bytes, 9), Err(too_large));
    assert_eq!(decode_frame(&ten_bytes[..2], 9), Err(too_large));
    assert_eq!(too_large.reason_code(), ReasonCode::PacketTooLarge);
}

#[test]
fn packet_type_0_is_malformed_at_the_first_byte() {
    for first_byte in 0..16 {
        let refused = decode_frame(&[first_byte], u32::MAX).unwrap_err();
        assert_eq!(refused.reason_code(), ReasonCode::MalformedPacket);
    }
}

/// [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1], and [MQTT-2.2.2-2] of
/// 3.1.1: PUBLISH aside, every type has one value of the flags.
#[test]
fn reserved_flags_of_the_fixed_header_are_malformed() {
    let bodies: [(u8, &[u8]); 13] = [
        (0x10, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x00"),
        (0x20, b"\x00\x00"),
        (0x40, b"\x00\x01"),
        (0x50, b"\x00\x01"),
        (0x62, b"\x00\x01"),
        (0x70, b"\x00\x01"),
        (0x82, b"\x00\x01\x00\x01f\x00"),
        (0x90, b"\x00\x01\x00"),
        (0xA2, b"\x00\x01\x00\x01f"),
        (0xB0, b"\x00\x01"),
        (0xC0, b""),
        (0xD0, b""),
        (0xE0, b""),
    ];
    for version in [V31, V311] {
        for (first_byte, body) in bodies {
            assert!(decode(&packet(first_byte, body), version).is_ok(), "{first_byte:#x}");
            for flags in 0..16 {
                let other = first_byte & 0xF0 | flags;
                // Version 3.1 repeats what it sends at QoS 1 with the DUP flag.
                let is_repeated = version == V31 && other == first_byte | 0x08 && first_byte & 0x02 != 0;
                if other == first_byte || is_repeated {
                    assert!(decode(&packet(other, body), version).is_ok(), "{other:#x}");
                } else {
                    assert_refused(version, &packet(other, body), MALFORMED);
                }
            }
        }
    }
    for flags in 1..16 {
        assert_refused(V5, &packet(0xF0 | flags, b""), MALFORMED);
        assert_refused(V5, &packet(0xE0 | flags, b""), MALFORMED);
    }
}

#[test]
fn pings_are_two_bytes() {
    for version in ALL {
        assert_wire(&Packet::Pingreq, version, b"\xC0\x00");
        assert_wire(&Packet::Pingresp, version, b"\xD0\x00");
        assert_refused(version, b"\xC0\x01\x00", MALFORMED);
        assert_refused(version, b"\xD0\x01\x00", MALFORMED);
    }
}

#[test]
fn packet_types_have_their_numbers() {
    assert_eq!(PacketType::from_u8(0), None);
    assert_eq!(PacketType::from_u8(16), None);
    for number in 1..=15 {
        assert_eq!(PacketType::from_u8(number).map(|packet_type| packet_type as u8), Some(number));
    }
    let read = decode(b"\x62\x02\x00\x01", V5).unwrap();
    assert_eq!(read.packet_type(), PacketType::Pubrel);
}

#[test]
fn the_beginning_of_a_publish_tells_how_it_is_answered_and_where_it_ends() {
    let head = |qos: u8, body: &[u8]| [&[0x30 | qos << 1, 0x80, 0x01][..], body].concat();
    let answered = |kind, id| Some((kind, PacketId::new(id).unwrap()));
    for (input, acknowledgement) in [
        (head(0, &[]), None),
        (head(1, &[0, 2, b'a', b'b', 1, 2]), answered(AckKind::Puback, 0x102)),
        (head(2, &[0, 0, 0, 7]), answered(AckKind::Pubrec, 7)),
    ] {
        let (whole, bytes) = (input.len(), 3 + 128);
        for read in 0..whole {
            assert_eq!(peek_publish(&input[..read]), Ok(None), "{read} bytes of {input:?}");
        }
        assert_eq!(peek_publish(&input), Ok(Some(PublishHead { acknowledgement, bytes })));
        assert_eq!(peek_publish(&[&input[..], &[9; 500]].concat()).unwrap().unwrap().bytes, bytes);
    }
    for wrong in [head(3, &[]), head(1, &[0, 125]), head(1, &[0, 0, 0, 0]), vec![0x10, 1]] {
        assert!(matches!(peek_publish(&wrong), Err(DecodeError::Malformed(_))), "{wrong:?}");
    }
}
