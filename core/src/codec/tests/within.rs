//! What is left out so that a packet fits the peer's Maximum Packet Size. [MQTT-3.1.2-24]

use super::*;

/// How `encode_within` of some packet is called.
type EncodeWithin<'a> = &'a dyn Fn(u32, &mut Vec<u8>) -> Result<(), EncodeError>;

/// Asserts that the packet is written full if it fits, then without user properties, then without the reason string
/// as well, and refused when even that is too large.
#[track_caller]
fn assert_shrinks(encode_within: EncodeWithin<'_>, full: &[u8], without_user: &[u8], bare: &[u8]) {
    let bytes = |packet: &[u8]| packet.len() as u32;
    let cases = [
        (u32::MAX, full),
        (bytes(full), full),
        (bytes(full) - 1, without_user),
        (bytes(without_user), without_user),
        (bytes(without_user) - 1, bare),
        (bytes(bare), bare),
    ];
    for (packet_bytes_max, expected) in cases {
        let mut out = b"before".to_vec();
        encode_within(packet_bytes_max, &mut out)
            .unwrap_or_else(|error| panic!("{packet_bytes_max}: {error}"));
        assert_eq!(&out[6..], expected, "within {packet_bytes_max} bytes");
    }
    let mut out = b"before".to_vec();
    let refused = encode_within(bytes(bare) - 1, &mut out);
    let too_large = EncodeError::TooLarge { bytes: u64::from(bytes(bare)), bytes_max: bytes(bare) - 1 };
    assert_eq!(refused, Err(too_large));
    assert_eq!(out, b"before");
}

/// [MQTT-3.4.2-2] [MQTT-3.4.2-3] and the same of PUBREC, PUBREL and PUBCOMP
#[test]
fn ack_shrinks_to_its_packet_id() {
    let ack = Ack {
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
        ..Ack::new(AckKind::Puback, id(1), ReasonCode::Success)
    };
    assert_shrinks(
        &|max, out| ack.encode_within(V5, max, out),
        b"\x40\x0F\x00\x01\x00\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\x40\x08\x00\x01\x00\x04\x1F\x00\x01r",
        b"\x40\x02\x00\x01",
    );
    let refusal = Ack { reason: ReasonCode::NotAuthorized, ..ack };
    assert_shrinks(
        &|max, out| refusal.encode_within(V5, max, out),
        b"\x40\x0F\x00\x01\x87\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\x40\x08\x00\x01\x87\x04\x1F\x00\x01r",
        b"\x40\x03\x00\x01\x87",
    );
}

#[test]
fn ack_without_properties_obeys_the_limit() {
    let mut out = Vec::new();
    for version in ALL {
        let ack = Ack::new(AckKind::Pubrel, id(1), ReasonCode::Success);
        for packet_bytes_max in [4, 5, 6] {
            out.clear();
            ack.encode_within(version, packet_bytes_max, &mut out).unwrap();
            assert_eq!(out, b"\x62\x02\x00\x01");
        }
        let refused = ack.encode_within(version, 3, &mut out);
        assert_eq!(refused, Err(EncodeError::TooLarge { bytes: 4, bytes_max: 3 }));
    }
}

/// [MQTT-3.2.2-19] [MQTT-3.2.2-20]
#[test]
fn connack_shrinks_to_what_the_client_must_know() {
    let connack = Connack {
        session_present: true,
        reason: ReasonCode::Success,
        properties: ConnackProperties {
            receive_maximum: Some(2),
            reason_string: Some("r".into()),
            user_properties: user(&[("n", "v")]),
            ..Default::default()
        },
    };
    assert_shrinks(
        &|max, out| connack.encode_within(V5, max, out),
        b"\x20\x11\x01\x00\x0E\x21\x00\x02\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\x20\x0A\x01\x00\x07\x21\x00\x02\x1F\x00\x01r",
        b"\x20\x06\x01\x00\x03\x21\x00\x02",
    );
}

/// [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2]
#[test]
fn subscription_answers_shrink_to_their_reasons() {
    let suback = Suback {
        packet_id: id(1),
        reasons: vec![ReasonCode::Success, ReasonCode::NotAuthorized],
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
    };
    assert_shrinks(
        &|max, out| suback.encode_within(V5, max, out),
        b"\x90\x10\x00\x01\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v\x00\x87",
        b"\x90\x09\x00\x01\x04\x1F\x00\x01r\x00\x87",
        b"\x90\x05\x00\x01\x00\x00\x87",
    );
    let unsuback = Unsuback {
        packet_id: id(1),
        reasons: vec![ReasonCode::NoSubscriptionExisted],
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
    };
    assert_shrinks(
        &|max, out| unsuback.encode_within(V5, max, out),
        b"\xB0\x0F\x00\x01\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v\x11",
        b"\xB0\x08\x00\x01\x04\x1F\x00\x01r\x11",
        b"\xB0\x04\x00\x01\x00\x11",
    );
}

/// [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn disconnect_shrinks_to_its_reason_and_server_reference() {
    let mut disconnect = Disconnect {
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
        ..Disconnect::new(ReasonCode::ServerShuttingDown)
    };
    assert_shrinks(
        &|max, out| disconnect.encode_within(V5, max, out),
        b"\xE0\x0D\x8B\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\xE0\x06\x8B\x04\x1F\x00\x01r",
        b"\xE0\x01\x8B",
    );
    disconnect.server_reference = Some("s".into());
    assert_shrinks(
        &|max, out| disconnect.encode_within(V5, max, out),
        b"\xE0\x11\x8B\x0F\x1C\x00\x01s\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\xE0\x0A\x8B\x08\x1C\x00\x01s\x1F\x00\x01r",
        b"\xE0\x06\x8B\x04\x1C\x00\x01s",
    );
}

/// [MQTT-3.15.2-2] [MQTT-3.15.2-3]
#[test]
fn auth_shrinks_to_method_and_data() {
    let auth = Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: Some("m".into()),
        data: None,
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
    };
    assert_shrinks(
        &|max, out| auth.encode_within(V5, max, out),
        b"\xF0\x11\x18\x0F\x15\x00\x01m\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
        b"\xF0\x0A\x18\x08\x15\x00\x01m\x1F\x00\x01r",
        b"\xF0\x06\x18\x04\x15\x00\x01m",
    );
}

#[test]
fn reason_string_that_no_packet_can_carry_is_left_out() {
    let disconnect = Disconnect {
        reason_string: Some("r".repeat(65_536).into()),
        ..Disconnect::new(ReasonCode::UnspecifiedError)
    };
    let mut out = Vec::new();
    let refused = disconnect.encode(V5, &mut out);
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { value: 65_536, value_max: 65_535 }));
    disconnect.encode_within(V5, u32::MAX, &mut out).unwrap();
    assert_eq!(out, b"\xE0\x01\x80");
}
