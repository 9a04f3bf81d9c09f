//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use super::*;

const KINDS: [(AckKind, u8); 4] =
    [(AckKind::Puback, 0x40), (AckKind::Pubrec, 0x50), (AckKind::Pubrel, 0x62), (AckKind::Pubcomp, 0x70)];

#[test]
fn success_is_four_bytes_in_every_version() {
    for version in ALL {
        for (kind, first_byte) in KINDS {
            let ack = Packet::Ack(Ack::new(kind, id(0x0102), ReasonCode::Success));
            assert_wire(&ack, version, &[first_byte, 2, 1, 2]);
        }
    }
}

#[test]
fn the_short_way_to_an_acknowledgement_reads_what_the_long_one_reads() {
    for version in ALL {
        for first_byte in 0x10..=u8::MAX {
            for body in [&b""[..], b"\x00", b"\x00\x00", b"\x00\x01", b"\x00\x01\x00", b"\x00\x01\xFF"] {
                let frame = Frame { first_byte, body, bytes: 2 + body.len() };
                let long = decode_packet(frame, version);
                match decode_ack(frame, version) {
                    Ok(Some(ack)) => assert_eq!(Ok(Packet::Ack(ack)), long),
                    Err(error) => assert_eq!(Err(error), long),
                    Ok(None) => assert!(KINDS.iter().all(|(_, usual)| *usual != first_byte)),
                }
            }
        }
    }
}

#[test]
fn reason_is_a_fifth_byte_in_version_5_only() {
    for (kind, first_byte) in KINDS {
        let reason = match kind {
            AckKind::Puback | AckKind::Pubrec => ReasonCode::NoMatchingSubscribers,
            AckKind::Pubrel | AckKind::Pubcomp => ReasonCode::PacketIdentifierNotFound,
        };
        let ack = Ack::new(kind, id(0x0102), reason);
        assert_wire(&Packet::Ack(ack.clone()), V5, &[first_byte, 3, 1, 2, reason.as_u8()]);
        let mut out = Vec::new();
        ack.encode(V311, &mut out).unwrap();
        assert_eq!(out, [first_byte, 2, 1, 2]);
    }
}

#[test]
fn properties_follow_the_reason() {
    for (kind, first_byte) in KINDS {
        let ack = Ack {
            reason_string: Some("ok".into()),
            user_properties: user(&[("a", "1"), ("a", "2")]),
            ..Ack::new(kind, id(1), ReasonCode::Success)
        };
        let body = b"\x00\x01\x00\x13\x1F\x00\x02ok\x26\x00\x01a\x00\x011\x26\x00\x01a\x00\x012";
        assert_wire(&Packet::Ack(ack), V5, &packet(first_byte, body));
    }
}

#[test]
fn property_length_0_may_be_written_out() {
    let ack = Packet::Ack(Ack::new(AckKind::Puback, id(1), ReasonCode::Success));
    assert_eq!(decode(b"\x40\x04\x00\x01\x00\x00", V5), Ok(ack.clone()));
    assert_eq!(decode(b"\x40\x03\x00\x01\x00", V5), Ok(ack));
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
#[test]
fn reasons_of_other_packets_are_protocol_errors() {
    let publish: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let release: &[u8] = &[0x00, 0x92];
    for (kind, first_byte) in KINDS {
        let allowed = if matches!(kind, AckKind::Puback | AckKind::Pubrec) { publish } else { release };
        for reason in 0..=u8::MAX {
            let bytes = [first_byte, 3, 0, 1, reason];
            if allowed.contains(&reason) {
                assert!(decode(&bytes, V5).is_ok(), "{bytes:02x?}");
            } else {
                assert_refused(V5, &bytes, PROTOCOL);
            }
        }
    }
}

#[test]
fn bad_acks_are_refused() {
    for (_, first_byte) in KINDS {
        assert_refused(V311, &[first_byte, 2, 0, 0], MALFORMED);
        assert_refused(V311, &[first_byte, 3, 0, 1, 0], MALFORMED);
        assert_refused(V5, &[first_byte, 2, 0, 0], PROTOCOL);
        assert_refused(V5, &[first_byte, 5, 0, 1, 0, 0, 0], MALFORMED);
        assert_refused(V5, &[first_byte, 4, 0, 1, 0, 1], MALFORMED);
        assert_refused(V5, &[first_byte, 6, 0, 1, 0, 2, 0x01, 0x00], MALFORMED);
        for version in ALL {
            assert_refused(version, &[first_byte, 0], MALFORMED);
            assert_refused(version, &[first_byte, 1, 1], MALFORMED);
        }
    }
}
