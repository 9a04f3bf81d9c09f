//! CONNECT.

use super::*;
use bytes::Bytes;

fn connect(version: ProtocolVersion) -> Connect {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "c".into(),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn will() -> Will {
    Will {
        topic: "w".into(),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_interval_s: 0,
        message_expiry_interval_s: None,
        forward: Box::default(),
    }
}

/// Asserts it against every version that the decoder is told, which must not matter.
#[track_caller]
fn assert_connect(connect: Connect, bytes: &[u8]) {
    for version in ALL {
        assert_wire(&Packet::Connect(Box::new(connect.clone())), version, bytes);
    }
}

#[test]
fn version_is_the_protocol_name_and_level() {
    assert_connect(connect(V31), b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01c");
    assert_connect(connect(V311), b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01c");
    assert_connect(connect(V5), b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01c");
}

#[test]
fn bridges_set_the_upper_bit_of_the_level() {
    assert_connect(
        Connect { bridge: true, ..connect(V31) },
        b"\x10\x0F\x00\x06MQIsdp\x83\x02\x00\x3C\x00\x01c",
    );
    assert_connect(
        Connect { bridge: true, ..connect(V311) },
        b"\x10\x0D\x00\x04MQTT\x84\x02\x00\x3C\x00\x01c",
    );
    assert_refused(V5, b"\x10\x0E\x00\x04MQTT\x85\x02\x00\x3C\x00\x00\x01c", DecodeError::UnsupportedVersion);
}

/// [MQTT-3.1.2-1] [MQTT-3.1.2-2]: nothing behind the version is looked at.
#[test]
fn unknown_versions_are_unsupported_not_malformed() {
    let bodies: [&[u8]; 9] = [
        b"\x00\x04MQTT\x06",
        b"\x00\x04MQTT\x03garbage",
        b"\x00\x04MQTT\x00",
        b"\x00\x04MQTT\xFF",
        b"\x00\x06MQIsdp\x04",
        b"\x00\x04mqtt\x04",
        b"\x00\x04MQTu\x04",
        b"\x00\x03MQT\x04",
        b"\x00\x00\x04",
    ];
    for body in bodies {
        assert_refused(V311, &packet(0x10, body), DecodeError::UnsupportedVersion);
    }
    assert_refused(V311, &packet(0x10, b"\x00\x04MQT"), MALFORMED);
    assert_refused(V311, &packet(0x10, b"\x00\x04MQTT"), MALFORMED);
}

#[test]
fn will_user_name_and_password_follow_the_client_id() {
    let full = |version| Connect {
        clean_start: false,
        will: Some(Box::new(will())),
        user_name: Some("u".into()),
        password: Some(Bytes::from_static(b"\x00p")),
        ..connect(version)
    };
    assert_connect(
        full(V311),
        b"\x10\x1D\x00\x04MQTT\x04\xEC\x00\x3C\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x02\x00p",
    );
    assert_connect(
        full(V31),
        b"\x10\x1F\x00\x06MQIsdp\x03\xEC\x00\x3C\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x02\x00p",
    );
    assert_connect(
        full(V5),
        b"\x10\x1F\x00\x04MQTT\x05\xEC\x00\x3C\x00\x00\x01c\x00\x00\x01w\x00\x04gone\x00\x01u\x00\x02\x00p",
    );
    // Only 5.0 has passwords without names.
    let password = Connect { user_name: None, will: None, ..full(V5) };
    assert_connect(password, b"\x10\x12\x00\x04MQTT\x05\x40\x00\x3C\x00\x00\x01c\x00\x02\x00p");
}

#[test]
fn properties_of_connect_and_will_have_the_bytes_of_the_specification() {
    let full = Connect {
        will: Some(Box::new(Will {
            delay_interval_s: 5,
            message_expiry_interval_s: Some(6),
            forward: b"\x01\x01\x26\x00\x01n\x00\x01v".as_slice().into(),
            ..will()
        })),
        properties: ConnectProperties {
            session_expiry_interval_s: Some(u32::MAX),
            receive_maximum: Some(20),
            maximum_packet_size: Some(0x10000),
            topic_alias_maximum: 10,
            request_response_information: true,
            no_problem_information: true,
            authentication_method: Some("m".into()),
            authentication_data: Some(Bytes::from_static(b"\x00")),
            user_properties: user(&[("x", "y"), ("x", "z")]),
        },
        ..connect(V5)
    };
    let properties: &[u8] =
        b"\x11\xFF\xFF\xFF\xFF\x21\x00\x14\x27\x00\x01\x00\x00\x22\x00\x0A\x19\x01\x17\x00\
        \x15\x00\x01m\x16\x00\x01\x00\x26\x00\x01x\x00\x01y\x26\x00\x01x\x00\x01z";
    let will_properties: &[u8] = b"\x18\x00\x00\x00\x05\x02\x00\x00\x00\x06\x01\x01\x26\x00\x01n\x00\x01v";
    let body = [
        b"\x00\x04MQTT\x05\x2E\x00\x3C",
        [properties.len() as u8].as_slice(),
        properties,
        b"\x00\x01c",
        &[will_properties.len() as u8],
        will_properties,
        b"\x00\x01w\x00\x04gone",
    ]
    .concat();
    assert_connect(full, &packet(0x10, &body));
}

#[test]
fn will_keeps_forwardable_properties_that_are_apart() {
    let bytes = packet(
        0x10,
        b"\x00\x04MQTT\x05\x06\x00\x3C\x00\x00\x01c\x0E\x01\x00\x18\x00\x00\x00\x05\x26\x00\x01n\x00\x01v\
          \x00\x01w\x00\x00",
    );
    let Ok(Packet::Connect(connect)) = decode(&bytes, V5) else { panic!("not read") };
    assert_eq!(&*connect.will.unwrap().forward, b"\x01\x00\x26\x00\x01n\x00\x01v");
}

#[test]
fn bad_flags_are_malformed() {
    let with_flags = |version: ProtocolVersion, flags: u8| {
        let head: &[u8] = match version {
            V31 => b"\x00\x06MQIsdp\x03",
            V311 => b"\x00\x04MQTT\x04",
            V5 => b"\x00\x04MQTT\x05",
        };
        let properties: &[u8] = if version == V5 { b"\x00" } else { b"" };
        let mut body = [head, &[flags], b"\x00\x00", properties, b"\x00\x01c"].concat();
        if flags & 0x04 != 0 {
            body.extend_from_slice(properties);
            body.extend_from_slice(b"\x00\x01w\x00\x00");
        }
        for flag in [0x80, 0x40] {
            if flags & flag != 0 {
                body.extend_from_slice(b"\x00\x01s");
            }
        }
        packet(0x10, &body)
    };
    for flags in 0..=u8::MAX {
        let is_will = flags & 0x04 != 0;
        let qos = flags >> 3 & 3;
        let qos_3 = is_will && qos == 3;
        let unused = flags & 0x01 != 0 || (!is_will && flags & 0x38 != 0);
        let password_alone = flags & 0xC0 == 0x40;
        for version in ALL {
            let is_bad = qos_3 || (unused && version != V31) || (password_alone && version != V5);
            let bytes = with_flags(version, flags);
            if is_bad {
                // [MQTT-3.1.2-3] [MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13]
                assert_refused(version, &bytes, MALFORMED);
            } else {
                assert!(decode(&bytes, version).is_ok(), "{version:?} {flags:#010b}");
            }
        }
    }
}

#[test]
fn bad_connects_are_refused() {
    let v311 = |rest: &[u8]| packet(0x10, &[b"\x00\x04MQTT\x04", rest].concat());
    let v5 = |rest: &[u8]| packet(0x10, &[b"\x00\x04MQTT\x05", rest].concat());
    let cases: [(Vec<u8>, DecodeError); 13] = [
        (v311(b"\x02\x00\x3C\x00\x01c\x00"), MALFORMED),
        (v311(b"\x02\x00\x3C\x00\x02c"), MALFORMED),
        (v311(b"\x02\x00\x3C"), MALFORMED),
        (v311(b"\x02\x00\x3C\x00\x01\x00"), MALFORMED),
        (v311(b"\x06\x00\x3C\x00\x01c\x00\x00\x00\x00"), DecodeError::TopicNameInvalid),
        (v311(b"\x06\x00\x3C\x00\x01c\x00\x01#\x00\x00"), DecodeError::TopicNameInvalid),
        (v311(b"\x06\x00\x3C\x00\x01c\x00\x01w"), MALFORMED),
        (v5(b"\x02\x00\x3C\x03\x21\x00\x00\x00\x01c"), PROTOCOL),
        (v5(b"\x02\x00\x3C\x05\x27\x00\x00\x00\x00\x00\x01c"), PROTOCOL),
        (v5(b"\x02\x00\x3C\x04\x16\x00\x01d\x00\x01c"), PROTOCOL),
        (v5(b"\x02\x00\x3C\x04\x19\x01\x19\x01\x00\x01c"), PROTOCOL),
        (v5(b"\x02\x00\x3C\x02\x25\x01\x00\x01c"), MALFORMED),
        (
            v5(b"\x06\x00\x3C\x00\x00\x01c\x02\x01\x01\x00\x01w\x00\x01\xFF"),
            DecodeError::PayloadFormatInvalid,
        ),
    ];
    for (bytes, error) in cases {
        assert_refused(V5, &bytes, error);
    }
}

#[test]
fn client_id_may_be_empty_and_long() {
    for version in ALL {
        for client_id in [String::new(), "x".repeat(65_535)] {
            let connect = Connect { client_id: client_id.into(), ..connect(version) };
            let mut out = Vec::new();
            connect.encode(version, &mut out).unwrap();
            assert_eq!(decode(&out, version), Ok(Packet::Connect(Box::new(connect))));
        }
    }
    let too_long = Connect { client_id: "x".repeat(65_536).into(), ..connect(V311) };
    let refused = too_long.encode(V311, &mut Vec::new());
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { value: 65_536, value_max: 65_535 }));
}
