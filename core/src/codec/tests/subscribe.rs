//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use super::*;

fn filter(filter: &str, options: SubscriptionOptions) -> SubscribeFilter {
    SubscribeFilter { filter: filter.into(), options }
}

fn qos(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..Default::default() }
}

#[test]
fn subscribe_has_the_bytes_of_the_specification() {
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: id(10),
        subscription_id: None,
        filters: vec![filter("a/b", qos(QoS::AtLeastOnce)), filter("c/d", qos(QoS::ExactlyOnce))],
        user_properties: Vec::new(),
    });
    for version in [V31, V311] {
        assert_wire(&subscribe, version, b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02");
    }
    assert_wire(&subscribe, V5, b"\x82\x0F\x00\x0A\x00\x00\x03a/b\x01\x00\x03c/d\x02");

    let full = Packet::Subscribe(Subscribe {
        packet_id: id(1),
        subscription_id: Some(268_435_455),
        filters: vec![filter(
            "#",
            SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
        )],
        user_properties: user(&[("n", "v")]),
    });
    assert_wire(&full, V5, b"\x82\x13\x00\x01\x0C\x0B\xFF\xFF\xFF\x7F\x26\x00\x01n\x00\x01v\x00\x01#\x2E");
}

/// [MQTT-3.8.3-5], and [MQTT-3.8.3-4] of 3.1.1: reserved bits, QoS 3, retain handling 3.
#[test]
fn subscription_options_are_checked() {
    for options in 0..=u8::MAX {
        let v3 = packet(0x82, &[0, 1, 0, 1, b'f', options]);
        let v5 = packet(0x82, &[0, 1, 0, 0, 1, b'f', options]);
        if options < 3 {
            assert!(decode(&v3, V31).is_ok() && decode(&v3, V311).is_ok(), "{options:#x}");
        } else {
            assert_refused(V31, &v3, MALFORMED);
            assert_refused(V311, &v3, MALFORMED);
        }
        if options & 0xC0 != 0 || options & 3 == 3 {
            assert_refused(V5, &v5, MALFORMED);
        } else if options & 0x30 == 0x30 {
            assert_refused(V5, &v5, PROTOCOL);
        } else {
            assert!(decode(&v5, V5).is_ok(), "{options:#x}");
        }
    }
}

#[test]
fn bad_subscribes_are_refused() {
    // [MQTT-3.8.3-2] at least one filter
    assert_refused(V311, &packet(0x82, b"\x00\x01"), PROTOCOL);
    assert_refused(V5, &packet(0x82, b"\x00\x01\x00"), PROTOCOL);
    // [MQTT-2.2.1-3] packet identifier 0
    assert_refused(V311, &packet(0x82, b"\x00\x00\x00\x01f\x00"), MALFORMED);
    assert_refused(V5, &packet(0x82, b"\x00\x00\x00\x00\x01f\x00"), PROTOCOL);
    // [MQTT-4.7.3-1] empty filter, [MQTT-4.7.3-2] U+0000
    assert_refused(V5, &packet(0x82, b"\x00\x01\x00\x00\x00\x00"), DecodeError::TopicFilterInvalid);
    assert_refused(V311, &packet(0x82, b"\x00\x01\x00\x02a\x00\x00"), MALFORMED);
    // Options are missing.
    assert_refused(V311, &packet(0x82, b"\x00\x01\x00\x01f"), MALFORMED);
    // Subscription identifiers: 0, two, beyond four bytes.
    assert_refused(V5, &packet(0x82, b"\x00\x01\x02\x0B\x00\x00\x01f\x00"), PROTOCOL);
    assert_refused(V5, &packet(0x82, b"\x00\x01\x04\x0B\x01\x0B\x02\x00\x01f\x00"), PROTOCOL);
    assert_refused(V5, &packet(0x82, b"\x00\x01\x06\x0B\xFF\xFF\xFF\xFF\x01\x00\x01f\x00"), MALFORMED);
}

#[test]
fn ten_thousand_filters_are_read() {
    let filters: Vec<_> = (0..10_000).map(|i| filter(&format!("f/{i}"), qos(QoS::AtMostOnce))).collect();
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: id(1),
        subscription_id: None,
        filters,
        user_properties: vec![],
    });
    let mut out = Vec::new();
    subscribe.encode(V5, &mut out).unwrap();
    assert_eq!(decode(&out, V5), Ok(subscribe));
}

#[test]
fn suback_has_the_bytes_of_the_specification() {
    let granted = Suback {
        packet_id: id(10),
        reasons: vec![
            ReasonCode::Success,
            ReasonCode::GrantedQos1,
            ReasonCode::GrantedQos2,
            ReasonCode::UnspecifiedError,
        ],
        reason_string: None,
        user_properties: Vec::new(),
    };
    for version in [V31, V311] {
        assert_wire(&Packet::Suback(granted.clone()), version, b"\x90\x06\x00\x0A\x00\x01\x02\x80");
    }
    assert_wire(&Packet::Suback(granted), V5, b"\x90\x07\x00\x0A\x00\x00\x01\x02\x80");

    let refused = Suback {
        packet_id: id(1),
        reasons: vec![ReasonCode::NotAuthorized, ReasonCode::WildcardSubscriptionsNotSupported],
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
    };
    assert_wire(
        &Packet::Suback(refused.clone()),
        V5,
        b"\x90\x10\x00\x01\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v\x87\xA2",
    );
    let mut out = Vec::new();
    refused.encode(V311, &mut out).unwrap();
    assert_eq!(out, b"\x90\x04\x00\x01\x80\x80", "3.1.1 has one error code");
}

#[test]
fn unsubscribe_has_the_bytes_of_the_specification() {
    let unsubscribe = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        filters: vec!["a/b".into(), "c/d".into()],
        user_properties: Vec::new(),
    });
    for version in [V31, V311] {
        assert_wire(&unsubscribe, version, b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d");
    }
    assert_wire(&unsubscribe, V5, b"\xA2\x0D\x00\x0A\x00\x00\x03a/b\x00\x03c/d");
    let with_user = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        filters: vec!["#".into()],
        user_properties: user(&[("n", "v")]),
    });
    assert_wire(&with_user, V5, b"\xA2\x0D\x00\x0A\x07\x26\x00\x01n\x00\x01v\x00\x01#");

    // [MQTT-3.10.3-2]
    assert_refused(V311, &packet(0xA2, b"\x00\x01"), PROTOCOL);
    assert_refused(V5, &packet(0xA2, b"\x00\x01\x00"), PROTOCOL);
    assert_refused(V5, &packet(0xA2, b"\x00\x00\x00\x00\x01f"), PROTOCOL);
    assert_refused(V311, &packet(0xA2, b"\x00\x01\x00\x00"), DecodeError::TopicFilterInvalid);
    assert_refused(V311, &packet(0xA2, b"\x00\x01\x00\x02f"), MALFORMED);
    assert_refused(V5, &packet(0xA2, b"\x00\x01\x02\x0B\x01\x00\x01f"), MALFORMED);
}

#[test]
fn unsuback_has_the_bytes_of_the_specification() {
    let without =
        |reasons| Unsuback { packet_id: id(10), reasons, reason_string: None, user_properties: vec![] };
    for version in [V31, V311] {
        assert_wire(&Packet::Unsuback(without(vec![])), version, b"\xB0\x02\x00\x0A");
        assert_refused(version, b"\xB0\x03\x00\x0A\x00", MALFORMED);
    }
    let reasons = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    assert_wire(&Packet::Unsuback(without(reasons.clone())), V5, b"\xB0\x05\x00\x0A\x00\x00\x11");
    let mut out = Vec::new();
    without(reasons.clone()).encode(V311, &mut out).unwrap();
    assert_eq!(out, b"\xB0\x02\x00\x0A");
    let full = Unsuback {
        reason_string: Some("r".into()),
        user_properties: user(&[("n", "v")]),
        ..without(reasons)
    };
    assert_wire(
        &Packet::Unsuback(full),
        V5,
        b"\xB0\x10\x00\x0A\x0B\x1F\x00\x01r\x26\x00\x01n\x00\x01v\x00\x11",
    );
}

/// [MQTT-3.9.3-2] [MQTT-3.11.3-2]
#[test]
fn reasons_of_other_packets_are_protocol_errors() {
    let suback = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
    let unsuback = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    for reason in 0..=u8::MAX {
        let cases: [(u8, ProtocolVersion, &[u8], bool); 4] = [
            (0x90, V5, &[0, 1, 0, reason], suback.contains(&reason)),
            (0x90, V311, &[0, 1, reason], [0, 1, 2, 0x80].contains(&reason)),
            (0x90, V31, &[0, 1, reason], [0, 1, 2, 0x80].contains(&reason)),
            (0xB0, V5, &[0, 1, 0, reason], unsuback.contains(&reason)),
        ];
        for (first_byte, version, body, is_allowed) in cases {
            if is_allowed {
                assert!(decode(&packet(first_byte, body), version).is_ok(), "{version:?} {reason:#x}");
            } else {
                assert_refused(version, &packet(first_byte, body), PROTOCOL);
            }
        }
    }
    assert_refused(V5, &packet(0x90, b"\x00\x01\x00"), PROTOCOL);
    assert_refused(V311, &packet(0x90, b"\x00\x01"), PROTOCOL);
    assert_refused(V5, &packet(0xB0, b"\x00\x01\x00"), PROTOCOL);
}
