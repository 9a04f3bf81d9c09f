//! Bad input: each kind ends in the reason code the specification names or in a close, and others are served meanwhile.

use crate::harness::*;
use ReasonCode::{MalformedPacket, ProtocolError, TopicFilterInvalid, TopicNameInvalid};
use std::time::{Duration, Instant};

/// Sends bytes on a new connection of each version and expects the end of the connection with one of the reasons.
/// `bytes` gets whether a property section is needed.
fn refused(broker: &Broker, what: &str, reasons: &[ReasonCode], bytes: impl Fn(bool) -> Vec<u8>) {
    for version in VERSIONS {
        eprintln!("{what}, {version:?}");
        let mut client = Login::new(version, "bad").open(broker);
        client.send_raw(&bytes(version == ProtocolVersion::V5));
        client.expect_disconnect_of(reasons);
    }
}

/// A PUBLISH of QoS 0 or 1 with this topic, given as bytes.
fn publish(v5: bool, first_byte: u8, topic: &[u8], packet_id: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, topic);
    body.extend_from_slice(packet_id);
    if v5 {
        body.push(0);
    }
    frame(first_byte, &body)
}

/// A SUBSCRIBE or UNSUBSCRIBE with one filter.
fn filter_packet(v5: bool, first_byte: u8, id: u16, filter: &[u8], options: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    string(&mut body, filter);
    body.extend_from_slice(options);
    frame(first_byte, &body)
}

/// After the bad input, a client of the same broker must still be served.
fn assert_serves(broker: &Broker) {
    let mut client = Login::v5("good").open(broker);
    client.subscribe("good", 1);
    client.publish(message("good", "x").qos(1));
    client.expect_texts(["x"]);
}

#[test]
fn over_long_remaining_length_is_malformed() {
    let broker = Broker::start(1);
    refused(&broker, "five length bytes", &[MalformedPacket], |_| vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
    let mut first = Client::unconnected(&broker, ProtocolVersion::V311);
    first.send_raw(&[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
    assert_eq!(first.read_until_closed(), []);
    assert_serves(&broker);
}

#[test]
fn a_packet_larger_than_allowed_is_refused_by_its_header() {
    let broker = Broker::start(1);
    let too_large = [ReasonCode::PacketTooLarge];
    refused(&broker, "268,435,455 bytes announced", &too_large, |_| vec![0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    let mut first = Client::unconnected(&broker, ProtocolVersion::V311);
    first.send_raw(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]);
    for packet in first.read_until_closed() {
        assert!(matches!(&packet, Packet::Connack(connack) if connack.code != 0), "{packet:?}");
    }
    assert_serves(&broker);
}

#[test]
fn truncated_bodies_are_malformed() {
    let broker = Broker::start(1);
    let bodies: [(&str, Vec<u8>); 12] = [
        ("PUBLISH without topic", vec![0x30, 0]),
        ("PUBLISH with half a length", vec![0x30, 1, 0]),
        ("PUBLISH with a topic cut off", vec![0x30, 4, 0, 9, b'a', b'b']),
        ("PUBLISH of QoS 1 without identifier", vec![0x32, 3, 0, 1, b'a']),
        ("PUBACK of one byte", vec![0x40, 1, 0]),
        ("PUBREC without a body", vec![0x50, 0]),
        ("PUBREL of one byte", vec![0x62, 1, 0]),
        ("PUBCOMP without a body", vec![0x70, 0]),
        ("SUBSCRIBE without a body", vec![0x82, 0]),
        ("SUBSCRIBE with a filter cut off", vec![0x82, 6, 0, 1, 0, 9, b'a', 0]),
        ("UNSUBSCRIBE without a body", vec![0xA2, 0]),
        ("UNSUBSCRIBE with a filter cut off", vec![0xA2, 5, 0, 1, 0, 9, b'a']),
    ];
    for (what, bytes) in bodies {
        refused(&broker, what, &[MalformedPacket, ProtocolError], |_| bytes.clone());
    }
    assert_serves(&broker);
}

#[test]
fn bytes_after_the_end_of_a_packets_fields_are_malformed() {
    let broker = Broker::start(1);
    refused(&broker, "PINGREQ with a body", &[MalformedPacket], |_| vec![0xC0, 1, 0]);
    refused(&broker, "SUBSCRIBE without options", &[MalformedPacket, ProtocolError], |v5| {
        filter_packet(v5, 0x82, 1, b"a", &[])
    });
    refused(&broker, "PUBACK with more", &[MalformedPacket], |v5| match v5 {
        true => frame(0x40, &[0, 1, 0, 0, 0]),
        false => frame(0x40, &[0, 1, 0]),
    });
}

#[test]
fn reserved_flags_are_malformed() {
    let broker = Broker::start(1);
    let packets: [Vec<u8>; 10] = [
        vec![0x41, 2, 0, 1],
        vec![0x58, 2, 0, 1],
        vec![0x60, 2, 0, 1],
        vec![0x63, 2, 0, 1],
        vec![0x72, 2, 0, 1],
        vec![0xC1, 0],
        vec![0xC8, 0],
        vec![0xE2, 0],
        vec![0x31 | 0x06, 4, 0, 1, b'a', 0],
        vec![0x38, 4, 0, 1, b'a', 0],
    ];
    for bytes in packets {
        refused(&broker, &format!("{bytes:x?}"), &[MalformedPacket, ProtocolError], |_| bytes.clone());
    }
    // 0x8A and 0xAA, DUP at a packet of QoS 1, are lawful in 3.1 and tested with the codec.
    for first_byte in [0x80, 0x81, 0x83] {
        refused(&broker, "SUBSCRIBE flags", &[MalformedPacket], |v5| {
            filter_packet(v5, first_byte, 1, b"a", &[0])
        });
    }
    for first_byte in [0xA0, 0xA3] {
        refused(&broker, "UNSUBSCRIBE flags", &[MalformedPacket], |v5| {
            filter_packet(v5, first_byte, 1, b"a", &[])
        });
    }
}

#[test]
fn qos_3_is_malformed() {
    let broker = Broker::start(1);
    for first_byte in [0x36, 0x37, 0x3E] {
        refused(&broker, "QoS 3", &[MalformedPacket], |v5| publish(v5, first_byte, b"a", &[0, 1]));
    }
}

#[test]
fn dup_at_qos_0_is_malformed() {
    let broker = Broker::start(1);
    refused(&broker, "DUP at QoS 0", &[MalformedPacket, ProtocolError], |v5| publish(v5, 0x38, b"a", &[]));
}

/// Strings the specification forbids.
const BAD_STRINGS: [(&str, &[u8]); 9] = [
    ("U+0000", b"a\0b"),
    ("a surrogate", &[b'a', 0xED, 0xA0, 0x80]),
    ("the last surrogate", &[0xED, 0xBF, 0xBF]),
    ("an over-long form", &[0xC0, 0xAF]),
    ("a lone continuation byte", &[b'a', 0x80]),
    ("a sequence cut off", &[0xE2, 0x82]),
    ("beyond U+10FFFF", &[0xF4, 0x90, 0x80, 0x80]),
    ("five bytes", &[0xF8, 0x88, 0x80, 0x80, 0x80]),
    ("0xFF", &[0xFF]),
];

#[test]
fn ill_formed_strings_are_refused_wherever_they_are() {
    let broker = Broker::start(1);
    let name = [MalformedPacket, ProtocolError, TopicNameInvalid];
    let filter = [MalformedPacket, ProtocolError, TopicFilterInvalid];
    for (what, text) in BAD_STRINGS {
        refused(&broker, &format!("topic with {what}"), &name, |v5| publish(v5, 0x30, text, &[]));
        refused(&broker, &format!("filter with {what}"), &filter, |v5| {
            filter_packet(v5, 0x82, 1, text, &[0])
        });
        refused(&broker, &format!("unsubscribe with {what}"), &filter, |v5| {
            filter_packet(v5, 0xA2, 1, text, &[])
        });
        for property in [0x03, 0x08] {
            let mut client = Login::v5("bad").open(&broker);
            let mut properties = vec![property];
            string(&mut properties, text);
            let section = [&[0, 1, b'a', properties.len() as u8][..], &properties].concat();
            client.send_raw(&frame(0x30, &section));
            client.expect_disconnect_of(&name);
        }
        let mut client = Login::v5("bad").open(&broker);
        let mut user = vec![0x26];
        string(&mut user, "name");
        string(&mut user, text);
        client.send_raw(&frame(0x30, &[&[0, 1, b'a', user.len() as u8][..], &user].concat()));
        client.expect_disconnect_of(&name);
    }
    assert_serves(&broker);
}

#[test]
fn packet_id_0_is_refused() {
    let broker = Broker::start(1);
    let reasons = [ProtocolError, MalformedPacket];
    refused(&broker, "PUBLISH of QoS 1", &reasons, |v5| publish(v5, 0x32, b"a", &[0, 0]));
    refused(&broker, "PUBLISH of QoS 2", &reasons, |v5| publish(v5, 0x34, b"a", &[0, 0]));
    refused(&broker, "SUBSCRIBE", &reasons, |v5| filter_packet(v5, 0x82, 0, b"a", &[0]));
    refused(&broker, "UNSUBSCRIBE", &reasons, |v5| filter_packet(v5, 0xA2, 0, b"a", &[]));
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        refused(&broker, "an acknowledgement", &reasons, |_| vec![first_byte, 2, 0, 0]);
    }
}

#[test]
fn publish_to_a_topic_with_wildcards_is_refused() {
    let broker = Broker::start(1);
    for topic in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
        refused(&broker, topic, &[TopicNameInvalid, MalformedPacket], |v5| {
            publish(v5, 0x30, topic.as_bytes(), &[])
        });
    }
}

#[test]
fn publish_without_a_topic_is_refused() {
    let broker = Broker::start(1);
    let reasons = [TopicNameInvalid, MalformedPacket, ProtocolError];
    refused(&broker, "empty topic", &reasons, |v5| publish(v5, 0x30, b"", &[]));
}

#[test]
fn a_topic_of_65535_slashes_is_refused() {
    at_shards(&[], |broker| {
        let slashes = vec![b'/'; 65_535];
        refused(broker, "slashes", &[TopicNameInvalid, MalformedPacket], |v5| {
            publish(v5, 0x30, &slashes, &[])
        });
        assert_serves(broker);
    });
}

#[test]
fn a_filter_of_65535_slashes_is_refused() {
    at_shards(&[], |broker| {
        let slashes = "/".repeat(65_535);
        let mut client = Login::v5("bad").open(broker);
        assert_eq!(client.subscribe_all(&[(&slashes, 0)], &[]), [0x8F]);
        client.ping();
    });
}

#[test]
fn the_deepest_topics_allowed_work() {
    at_shards(&["mqtt.max_topic_levels=65535", "mqtt.max_packet_size=1MB"], |broker| {
        let mut client = Login::v5("deep").open(broker);
        let deep = "/".repeat(65_000);
        let pluses = vec!["+"; 30_000].join("/");
        assert_eq!(
            client.subscribe_all(&[(&deep, 0), (&pluses, 0), (&format!("{}#", "/".repeat(60_000)), 0)], &[]),
            [0; 3]
        );
        client.publish(message(deep.as_str(), "deep").qos(1));
        client.expect_texts(["deep"]);
        client.publish(message(vec!["x"; 30_000].join("/"), "wide").qos(1));
        client.expect_texts(["wide"]);
        client.publish(message(deep.as_str(), "kept").qos(1).retained());
        client.expect_texts(["kept"]);
        client.disconnect();
        assert_serves(broker);
    });
}

#[test]
fn ten_thousand_filters_in_one_packet_are_answered() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("many").open(broker);
        let names: Vec<String> = (0..10_000).map(|i| format!("ten/thousand/{i}/+")).collect();
        let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(client.subscribe_all(&filters, &[]), vec![1; 10_000]);
        client.publish(message("ten/thousand/9999/x", "x").qos(1));
        client.expect_texts(["x"]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(client.unsubscribe(&names), vec![0; 10_000]);
        assert_serves(broker);
    });
}

#[test]
fn a_connect_that_trickles_too_slowly_is_closed() {
    at_shards(&["mqtt.idle_timeout=2s"], |broker| {
        let start = Instant::now();
        let mut silent = Client::unconnected(broker, ProtocolVersion::V311);
        let mut slow = Client::unconnected(broker, ProtocolVersion::V311);
        for byte in Login::v311("trickle-of-bytes").encode() {
            // A byte a second; each wait ends early when the broker gives up.
            if !slow.try_send_raw(&[byte]) {
                break;
            }
            match slow.poll(Duration::from_secs(1)) {
                Event::Silence => {}
                Event::Closed => break,
                other => panic!("{other:?}"),
            }
            assert!(start.elapsed() < Duration::from_secs(10), "still connected");
        }
        assert!(start.elapsed() >= Duration::from_millis(1900), "closed after {:?}", start.elapsed());
        silent.expect_closed();
        assert_serves(broker);
    });
}

#[test]
fn half_open_sockets_do_not_disturb_others() {
    at_shards(&[], |broker| {
        let silent: Vec<Client> =
            (0..200).map(|_| Client::unconnected(broker, ProtocolVersion::V311)).collect();
        let started: Vec<Client> = (0..100)
            .map(|_| {
                let mut client = Client::unconnected(broker, ProtocolVersion::V311);
                client.send_raw(&Login::v311("half").encode()[..10]);
                client
            })
            .collect();
        assert_serves(broker);
        drop(silent);
        drop(started);
        assert_serves(broker);
    });
}

#[test]
fn random_bytes_end_in_a_close() {
    let seed =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos()
            as u64;
    eprintln!("seed {seed}");
    at_shards(&[], |broker| {
        let mut state = seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..300 {
            let version = VERSIONS[round % 3];
            let mut bytes: Vec<u8> = (0..1 + random() % 60).map(|_| random() as u8).collect();
            let connected = round % 2 == 0;
            if !connected {
                // A first packet that is no CONNECT.
                bytes[0] |= 0x20;
            }
            let mut client = match connected {
                true => Login::new(version, "random").open(broker),
                false => Client::unconnected(broker, version),
            };
            client.send_raw(&bytes);
            client.vanish_quietly();
        }
        assert_serves(broker);
    });
}

#[test]
fn memory_returns_after_a_flood_of_bad_connections() {
    let broker = Broker::start(1);
    let mut before = 0;
    for round in 0..2000 {
        if round == 200 {
            before = broker.rss_bytes();
        }
        let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
        // An announced megabyte, of which a little comes.
        let mut bytes = vec![0x10, 0xF0, 0xFF, 0x3F];
        bytes.resize(5000, b'x');
        client.try_send_raw(&bytes);
        client.vanish_quietly();
    }
    assert_serves(&broker);
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "grew by {grown} bytes");
}
