//! CONNACK.

use super::*;
use bytes::Bytes;

fn connack(session_present: bool, reason: ReasonCode) -> Connack {
    Connack { session_present, reason, properties: ConnackProperties::default() }
}

#[test]
fn connack_without_properties_has_the_bytes_of_the_specification() {
    let accepted = |session_present| Packet::Connack(Box::new(connack(session_present, ReasonCode::Success)));
    assert_wire(&accepted(false), V31, b"\x20\x02\x00\x00");
    assert_wire(&accepted(false), V311, b"\x20\x02\x00\x00");
    assert_wire(&accepted(true), V311, b"\x20\x02\x01\x00");
    assert_wire(&accepted(false), V5, b"\x20\x03\x00\x00\x00");
    assert_wire(&accepted(true), V5, b"\x20\x03\x01\x00\x00");
}

#[test]
fn session_present_is_silent_in_version_31_and_in_refusals() {
    let mut out = Vec::new();
    connack(true, ReasonCode::Success).encode(V31, &mut out).unwrap();
    assert_eq!(out, b"\x20\x02\x00\x00");
    // [MQTT-3.2.2-6], [MQTT-3.2.2-4] of 3.1.1
    for (version, bytes) in [(V311, b"\x20\x02\x00\x05".as_slice()), (V5, b"\x20\x03\x00\x87\x00")] {
        out.clear();
        connack(true, ReasonCode::NotAuthorized).encode(version, &mut out).unwrap();
        assert_eq!(out, bytes);
    }
}

#[test]
fn return_codes_of_version_3_are_reasons() {
    let codes = [
        ReasonCode::Success,
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::ServerUnavailable,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
    ];
    for (code, reason) in codes.into_iter().enumerate() {
        for version in [V31, V311] {
            assert_wire(
                &Packet::Connack(Box::new(connack(false, reason))),
                version,
                &[0x20, 2, 0, code as u8],
            );
        }
    }
    assert_refused(V311, b"\x20\x02\x00\x06", PROTOCOL);
}

#[test]
fn properties_have_the_bytes_of_the_specification() {
    let full = Connack {
        session_present: false,
        reason: ReasonCode::Success,
        properties: ConnackProperties {
            session_expiry_interval_s: Some(1),
            receive_maximum: Some(2),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_unavailable: true,
            maximum_packet_size: Some(3),
            assigned_client_id: Some("a".into()),
            topic_alias_maximum: 4,
            reason_string: Some("r".into()),
            user_properties: user(&[("n", "v")]),
            wildcard_subscription_unavailable: true,
            subscription_ids_unavailable: true,
            shared_subscription_unavailable: true,
            server_keep_alive_s: Some(5),
            response_information: Some("i".into()),
            server_reference: Some("s".into()),
            authentication_method: Some("m".into()),
            authentication_data: Some(Bytes::from_static(b"d")),
        },
    };
    let properties: &[u8] =
        b"\x11\x00\x00\x00\x01\x21\x00\x02\x24\x01\x25\x00\x27\x00\x00\x00\x03\x12\x00\x01a\
        \x22\x00\x04\x28\x00\x29\x00\x2A\x00\x13\x00\x05\x1A\x00\x01i\x1C\x00\x01s\x15\x00\x01m\x16\x00\x01d\
        \x1F\x00\x01r\x26\x00\x01n\x00\x01v";
    let body = [b"\x00\x00".as_slice(), &[properties.len() as u8], properties].concat();
    assert_wire(&Packet::Connack(Box::new(full.clone())), V5, &packet(0x20, &body));

    // QoS 2 is what absence says; writing it would be a protocol error.
    let mut out = Vec::new();
    let mut with_qos_2 = connack(false, ReasonCode::Success);
    with_qos_2.properties.maximum_qos = Some(QoS::ExactlyOnce);
    with_qos_2.encode(V5, &mut out).unwrap();
    assert_eq!(out, b"\x20\x03\x00\x00\x00");

    out.clear();
    full.encode(V311, &mut out).unwrap();
    assert_eq!(out, b"\x20\x02\x00\x00");
}

/// [MQTT-3.2.2-8]
#[test]
fn reasons_of_other_packets_are_protocol_errors() {
    let allowed = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
        0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    ];
    for reason in 0..=u8::MAX {
        let bytes = [0x20, 3, 0, reason, 0];
        if allowed.contains(&reason) {
            assert!(decode(&bytes, V5).is_ok(), "{reason:#x}");
        } else {
            assert_refused(V5, &bytes, PROTOCOL);
        }
    }
}

#[test]
fn bad_connacks_are_refused() {
    assert_refused(V311, b"\x20\x02\x02\x00", MALFORMED);
    assert_refused(V311, b"\x20\x03\x00\x00\x00", MALFORMED);
    assert_refused(V311, b"\x20\x01\x00", MALFORMED);
    assert_refused(V5, b"\x20\x02\x00\x00", MALFORMED);
    assert_refused(V5, b"\x20\x03\x80\x00\x00", MALFORMED);
    assert_refused(V5, b"\x20\x03\x01\x87\x00", PROTOCOL);
    assert_refused(V5, b"\x20\x07\x00\x00\x04\x16\x00\x01d", PROTOCOL);
    // Version 3.1 gives the first byte no meaning.
    assert!(decode(b"\x20\x02\xFF\x00", V31).is_ok());
}
