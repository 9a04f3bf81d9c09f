//! PUBLISH.

use super::*;
use std::borrow::Cow;
use std::num::NonZeroU16;

fn publish<'a>(qos: QoS, topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    let packet_id = if qos == QoS::AtMostOnce { None } else { PacketId::new(0x0102) };
    Publish { dup: false, qos, retain: false, topic, packet_id, properties: Default::default(), payload }
}

fn decode_v5(bytes: &[u8]) -> Publish<'_> {
    match decode(bytes, V5) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn publish_without_properties_has_the_bytes_of_the_specification() {
    let at_most_once = Packet::Publish(publish(QoS::AtMostOnce, "a/b", b"hi"));
    for version in [V31, V311] {
        assert_wire(&at_most_once, version, b"\x30\x07\x00\x03a/bhi");
    }
    assert_wire(&at_most_once, V5, b"\x30\x08\x00\x03a/b\x00hi");

    let at_least_once =
        Packet::Publish(Publish { packet_id: PacketId::new(10), ..publish(QoS::AtLeastOnce, "a/b", b"") });
    assert_wire(&at_least_once, V311, b"\x32\x07\x00\x03a/b\x00\x0A");

    let exactly_once =
        Packet::Publish(Publish { dup: true, retain: true, ..publish(QoS::ExactlyOnce, "a/b", b"") });
    for version in [V31, V311] {
        assert_wire(&exactly_once, version, b"\x3D\x07\x00\x03a/b\x01\x02");
    }
    assert_wire(&exactly_once, V5, b"\x3D\x08\x00\x03a/b\x01\x02\x00");
}

#[test]
fn publish_with_all_properties_has_the_bytes_of_the_specification() {
    let forward = b"\x01\x01\x03\x00\x04text\x08\x00\x01r\x09\x00\x02\x00\xFF\x26\x00\x01n\x00\x01v";
    let full = Publish {
        properties: PublishProperties {
            topic_alias: NonZeroU16::new(7),
            message_expiry_interval_s: Some(0x0102_0304),
            subscription_ids: [1, 128].into_iter().collect(),
            forward: Cow::Borrowed(forward),
        },
        ..publish(QoS::AtLeastOnce, "t", b"hi")
    };
    let bytes = [
        b"\x32\x2E\x00\x01t\x01\x02\x26\x23\x00\x07\x02\x01\x02\x03\x04\x0B\x01\x0B\x80\x01".as_slice(),
        forward,
        b"hi",
    ]
    .concat();
    assert_eq!(full.encoded_bytes(V5), bytes.len());
    assert_wire(&Packet::Publish(full.clone()), V5, &bytes);
    assert!(
        matches!(decode_v5(&bytes).properties.forward, Cow::Borrowed(_)),
        "contiguous: nothing is copied"
    );

    // To a 3.x peer the same message goes without its properties.
    let mut out = Vec::new();
    full.encode(V311, &mut out).unwrap();
    assert_eq!(out, b"\x32\x07\x00\x01t\x01\x02hi");
    assert_eq!(full.encoded_bytes(V311), out.len());
}

/// [MQTT-3.3.2-18]: user properties keep their order, whatever stands between them.
#[test]
fn forwardable_properties_are_gathered_in_order() {
    let cases: [(&[u8], &[u8], bool); 6] = [
        (b"", b"", false),
        (b"\x23\x00\x07", b"", false),
        (b"\x23\x00\x07\x01\x00", b"\x01\x00", false),
        (b"\x01\x00\x23\x00\x07", b"\x01\x00", false),
        (b"\x01\x00\x23\x00\x07\x03\x00\x01c", b"\x01\x00\x03\x00\x01c", true),
        (
            b"\x26\x00\x01b\x00\x01x\x0B\x01\x26\x00\x01a\x00\x01y\x02\x00\x00\x00\x01\x26\x00\x01b\x00\x01z",
            b"\x26\x00\x01b\x00\x01x\x26\x00\x01a\x00\x01y\x26\x00\x01b\x00\x01z",
            true,
        ),
    ];
    for (properties, forward, is_copied) in cases {
        let bytes = packet(0x30, &[b"\x00\x01t".as_slice(), &[properties.len() as u8], properties].concat());
        let read = decode_v5(&bytes);
        assert_eq!(&*read.properties.forward, forward, "{properties:02x?}");
        assert_eq!(matches!(read.properties.forward, Cow::Owned(_)), is_copied, "{properties:02x?}");
    }
}

#[test]
fn forward_properties_are_written_and_iterated() {
    let properties = [
        ForwardProperty::UserProperty("b", "1"),
        ForwardProperty::PayloadFormatIndicator(1),
        ForwardProperty::ContentType("text"),
        ForwardProperty::ResponseTopic("r"),
        ForwardProperty::CorrelationData(b"\x00\xFF"),
        ForwardProperty::UserProperty("b", "2"),
    ];
    let mut forward = Vec::new();
    for property in &properties {
        property.encode(&mut forward).unwrap();
    }
    assert_eq!(ForwardPropertyIter::new(&forward).collect::<Vec<_>>(), properties);

    // It ends at what it does not know, for good.
    forward.extend_from_slice(b"\x23\x00\x01\x01\x00");
    let mut iter = ForwardPropertyIter::new(&forward);
    assert_eq!(iter.by_ref().count(), properties.len());
    assert_eq!(iter.next(), None);

    let long = "x".repeat(65_536);
    let refused = ForwardProperty::ContentType(&long).encode(&mut forward);
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { value: 65_536, value_max: 65_535 }));
}

#[test]
fn bad_publishes_are_refused() {
    for version in ALL {
        // [MQTT-3.3.1-4] QoS 3, [MQTT-3.3.1-2] DUP at QoS 0
        assert_refused(version, &packet(0x36, b"\x00\x01t\x00\x01\x00"), MALFORMED);
        assert_refused(version, &packet(0x38, b"\x00\x01t\x00"), MALFORMED);
        // [MQTT-3.3.2-2] wildcards, [MQTT-3.3.2-1] a topic at all
        for topic in [b"\x00\x03a/+", b"\x00\x03a/#", b"\x00\x03a+b"] {
            assert_refused(
                version,
                &packet(0x30, &[topic.as_slice(), b"\x00"].concat()),
                DecodeError::TopicNameInvalid,
            );
        }
        assert_refused(version, &packet(0x30, b"\x00\x02t\x00\x00"), MALFORMED);
        assert_refused(version, &packet(0x30, b""), MALFORMED);
        assert_refused(version, &packet(0x32, b"\x00\x01t\x00"), MALFORMED);
    }
    // [MQTT-2.2.1-3]
    assert_refused(V311, &packet(0x32, b"\x00\x01t\x00\x00"), MALFORMED);
    assert_refused(V5, &packet(0x32, b"\x00\x01t\x00\x00\x00"), PROTOCOL);
    // [MQTT-4.7.3-1]: only an alias excuses an empty topic, and not the alias 0 [MQTT-3.3.2-8].
    assert_refused(V311, &packet(0x30, b"\x00\x00hi"), MALFORMED);
    assert_refused(V5, &packet(0x30, b"\x00\x00\x00hi"), PROTOCOL);
    assert_eq!(decode_v5(&packet(0x30, b"\x00\x00\x03\x23\x00\x01hi")).topic, "");
    assert_refused(V5, &packet(0x30, b"\x00\x01t\x03\x23\x00\x00"), DecodeError::TopicAliasInvalid);
    assert_refused(V5, &packet(0x30, b"\x00\x01t"), MALFORMED);
    assert_refused(V5, &packet(0x30, b"\x00\x01t\x01\x01"), MALFORMED);
}

#[test]
fn payload_is_text_if_the_indicator_says_so() {
    assert_eq!(decode_v5(&packet(0x30, b"\x00\x01t\x02\x01\x00\xFF")).payload, b"\xFF");
    assert_eq!(decode_v5(&packet(0x30, b"\x00\x01t\x02\x01\x01\xC3\xA4\x00")).payload, b"\xC3\xA4\x00");
    assert_refused(V5, &packet(0x30, b"\x00\x01t\x02\x01\x01\xFF"), DecodeError::PayloadFormatInvalid);
    assert_refused(V5, &packet(0x30, b"\x00\x01t\x02\x01\x02"), PROTOCOL);
}

#[test]
fn payload_may_be_empty_and_topic_may_be_65535_slashes() {
    let topic = "/".repeat(65_535);
    for version in ALL {
        let long = publish(QoS::AtMostOnce, &topic, b"");
        let mut out = Vec::new();
        long.encode(version, &mut out).unwrap();
        assert_eq!(out.len(), long.encoded_bytes(version));
        assert_eq!(decode(&out, version), Ok(Packet::Publish(long)));
    }
}

#[test]
fn what_the_wire_cannot_carry_is_refused_and_leaves_the_output_alone() {
    let topic = "t".repeat(65_536);
    let mut out = b"before".to_vec();
    let refused = publish(QoS::AtMostOnce, &topic, b"").encode(V5, &mut out);
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { value: 65_536, value_max: 65_535 }));

    let mut with_id = publish(QoS::AtMostOnce, "t", b"");
    with_id.properties.subscription_ids.push(268_435_456);
    let refused = with_id.encode(V5, &mut out);
    assert_eq!(refused, Err(EncodeError::FieldTooLarge { value: 268_435_456, value_max: 268_435_455 }));

    let payload = vec![0; 268_435_455];
    let too_large = publish(QoS::AtMostOnce, "t", &payload);
    let bytes = 268_435_455 + 3 + 5;
    assert_eq!(too_large.encoded_bytes(V311), bytes);
    let refused = too_large.encode(V311, &mut out);
    assert_eq!(refused, Err(EncodeError::TooLarge { bytes: bytes as u64, bytes_max: 268_435_460 }));
    assert_eq!(out, b"before");
}

#[test]
fn a_packet_is_written_within_a_bound_or_not_at_all() {
    let short = publish(QoS::AtMostOnce, "t", b"payload");
    let bytes = short.encoded_bytes(V5);
    let mut out = b"before".to_vec();
    let bytes_max = bytes as u32 - 1;
    let refused = short.encode_within(V5, bytes_max, &mut out);
    assert_eq!(refused, Err(EncodeError::TooLarge { bytes: bytes as u64, bytes_max }));
    assert_eq!(out, b"before");
    short.encode_within(V5, bytes as u32, &mut out).unwrap();
    assert_eq!(out.len(), b"before".len() + bytes);
}

#[test]
fn encoding_grows_the_output_once_at_most() {
    let mut full = publish(QoS::ExactlyOnce, "some/topic", b"payload");
    full.properties.subscription_ids.extend([1, 2, 70_000]);
    full.properties.forward = Cow::Borrowed(b"\x01\x01");
    let mut out = Vec::with_capacity(full.encoded_bytes(V5));
    let (start, capacity) = (out.as_ptr(), out.capacity());
    full.encode(V5, &mut out).unwrap();
    assert_eq!((out.as_ptr(), out.capacity()), (start, capacity));
    assert_eq!(out.len(), full.encoded_bytes(V5));
}
