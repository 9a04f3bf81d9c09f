//! DISCONNECT and AUTH.

use super::*;
use bytes::Bytes;

#[test]
fn disconnect_has_the_bytes_of_the_specification() {
    let normal = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
    for version in ALL {
        assert_wire(&normal, version, b"\xE0\x00");
    }
    assert_eq!(decode(b"\xE0\x01\x00", V5), Ok(normal.clone()));
    assert_eq!(decode(b"\xE0\x02\x00\x00", V5), Ok(normal));
    let with_will = Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill));
    assert_wire(&with_will, V5, b"\xE0\x01\x04");

    let full = Disconnect {
        reason: ReasonCode::UseAnotherServer,
        session_expiry_interval_s: Some(9),
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
        server_reference: Some("s".into()),
    };
    assert_wire(
        &Packet::Disconnect(full.clone()),
        V5,
        b"\xE0\x16\x9C\x14\x11\x00\x00\x00\x09\x1C\x00\x01s\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
    );
    let mut out = Vec::new();
    full.encode(V311, &mut out).unwrap();
    assert_eq!(out, b"\xE0\x00");
}

/// [MQTT-3.14.2-1]
#[test]
fn disconnect_reasons_are_those_of_the_table() {
    let refused = [0x01, 0x02, 0x10, 0x11, 0x18, 0x19, 0x84, 0x85, 0x86, 0x88, 0x8A, 0x91, 0x92];
    for reason in 0..=u8::MAX {
        let bytes = [0xE0, 1, reason];
        let is_allowed = ReasonCode::from_u8(reason).is_some() && !refused.contains(&reason);
        if is_allowed {
            assert!(decode(&bytes, V5).is_ok(), "{reason:#x}");
        } else {
            assert_refused(V5, &bytes, PROTOCOL);
        }
    }
}

#[test]
fn bad_disconnects_are_refused() {
    assert_refused(V311, b"\xE0\x01\x00", MALFORMED);
    assert_refused(V31, b"\xE0\x01\x00", MALFORMED);
    assert_refused(V5, b"\xE0\x03\x00\x00\x00", MALFORMED);
    assert_refused(V5, b"\xE0\x04\x00\x02\x01\x00", MALFORMED);
    assert_refused(V5, b"\xE0\x0C\x00\x0A\x11\x00\x00\x00\x09\x11\x00\x00\x00\x09", PROTOCOL);
}

fn auth(reason: ReasonCode) -> Auth {
    Auth { reason, method: None, data: None, reason_string: None, user_properties: Vec::new() }
}

#[test]
fn auth_has_the_bytes_of_the_specification() {
    assert_wire(&Packet::Auth(auth(ReasonCode::Success)), V5, b"\xF0\x00");
    let with_method = Auth { method: Some("m".into()), ..auth(ReasonCode::ReAuthenticate) };
    assert_wire(&Packet::Auth(with_method), V5, b"\xF0\x06\x19\x04\x15\x00\x01m");
    let full = Auth {
        method: Some("m".into()),
        data: Some(Bytes::from_static(b"\x00")),
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
        ..auth(ReasonCode::ContinueAuthentication)
    };
    assert_wire(
        &Packet::Auth(full),
        V5,
        b"\xF0\x15\x18\x13\x15\x00\x01m\x16\x00\x01\x00\x1F\x00\x01r\x26\x00\x01n\x00\x01v",
    );
}

#[test]
fn bad_auths_are_refused() {
    // [MQTT-3.15.2-1]
    for reason in (0..=u8::MAX).filter(|reason| ![0x00, 0x18, 0x19].contains(reason)) {
        assert_refused(V5, &packet(0xF0, &[reason, 4, 0x15, 0, 1, b'm']), PROTOCOL);
    }
    assert_refused(V5, b"\xF0\x01\x18", MALFORMED);
    assert_refused(V5, b"\xF0\x02\x18\x00", PROTOCOL);
    assert_refused(V5, b"\xF0\x06\x18\x04\x16\x00\x01d", PROTOCOL);
    assert_refused(V5, b"\xF0\x0A\x18\x08\x15\x00\x01m\x15\x00\x01m", PROTOCOL);
}

#[test]
fn auth_does_not_exist_before_version_5() {
    for version in [V31, V311] {
        assert_refused(version, b"\xF0\x00", MALFORMED);
        let mut out = Vec::new();
        let auth = auth(ReasonCode::Success);
        assert_eq!(auth.encode(version, &mut out), Err(EncodeError::NotInVersion));
        assert_eq!(auth.encode_within(version, 100, &mut out), Err(EncodeError::NotInVersion));
        assert!(out.is_empty());
    }
}
