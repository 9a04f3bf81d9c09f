//! Packets above `mqtt.max_packet_size`, where they are dropped rather than end the connection.

use crate::harness::*;

const DROP: [&str; 2] = ["mqtt.max_packet_size=1KB", "mqtt.max_packet_size_policy=drop"];

fn large(qos: u8) -> Message {
    message("o", "x".repeat(100_000)).qos(qos)
}

#[test]
fn a_publish_that_is_too_large_is_dropped_refused_and_counted_and_all_else_goes_on() {
    at_shards(&DROP, |broker| {
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("o", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("o", "before").qos(1));
        publisher.publish(large(0));
        assert_eq!(publisher.publish(large(1)), ReasonCode::QuotaExceeded);
        assert_eq!(publisher.publish(large(2).id(900)), ReasonCode::QuotaExceeded);
        // Each answer stands in its place, and the identifier is free.
        let ids = [
            message("o", "a").qos(1),
            large(1),
            message("o", "b").qos(1),
            large(0),
            message("o", "c").qos(1),
        ]
        .map(|message| publisher.send(message));
        for (id, is_refused) in [(ids[0], false), (ids[1], true), (ids[2], false), (ids[4], false)] {
            match publisher.expect_packet() {
                Packet::Ack { packet_id, reason, .. } => {
                    assert_eq!((packet_id, reason.is_error()), (id, is_refused));
                }
                other => panic!("expected PUBACK, got {other:?}"),
            }
        }
        assert_eq!(publisher.publish(message("o", "after").qos(2).id(900)), ReasonCode::Success);
        subscriber.expect_texts(["before", "a", "b", "c", "after"]);
        assert_eq!(broker.metric("messages.refused.too_large"), 3);
        assert_eq!(broker.metric("messages.dropped.too_large"), 2);
    });
}

#[test]
fn it_is_discarded_however_it_is_cut() {
    let broker = Broker::with(2, &DROP);
    let mut subscriber = Login::v5("subscriber").open(&broker);
    subscriber.subscribe("o", 1);
    let mut publisher = Login::v5("publisher").open(&broker);
    let bytes = [
        message("o", "1").encode(ProtocolVersion::V5),
        message("o", "x".repeat(1100)).qos(1).id(5).encode(ProtocolVersion::V5),
        message("o", "2").encode(ProtocolVersion::V5),
    ]
    .concat();
    for piece in [1, 2, 7, 1000, bytes.len()] {
        for piece in bytes.chunks(piece) {
            publisher.send_raw(piece);
        }
        assert_eq!(publisher.expect_ack(AckKind::Puback, 5), ReasonCode::QuotaExceeded);
        subscriber.expect_texts(["1", "2"]);
    }
    // A topic as long as topics may be comes before the identifier.
    let longest = Message { topic: "t".repeat(65_535), ..message("", "x") };
    assert_eq!(publisher.publish(longest.qos(1)), ReasonCode::QuotaExceeded);
}

#[test]
fn older_clients_are_closed_or_told_that_all_is_well() {
    for policy in ["close", "drop"] {
        let settings = [DROP[0], DROP[1], &format!("mqtt.mqueue_reject_v3={policy}")];
        let broker = Broker::with(2, &settings);
        for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
            let mut publisher = Login::new(version, "publisher").open(&broker);
            publisher.publish(large(0));
            publisher.ping();
            if policy == "drop" {
                publisher.publish(large(1));
                publisher.publish(large(2));
                publisher.disconnect();
            } else {
                let packet = large(1).id(3).encode(version);
                publisher.try_send_raw(&packet);
                publisher.expect_closed();
            }
        }
        assert_eq!(broker.metric("messages.dropped.too_large"), if policy == "drop" { 6 } else { 2 });
    }
}

#[test]
fn other_packets_that_are_too_large_end_the_connection_and_so_does_a_publish_by_default() {
    let settings: [&[&str]; 2] = [&DROP, &DROP[..1]];
    for (settings, is_dropped) in settings.into_iter().zip([true, false]) {
        let broker = Broker::with(1, settings);
        let mut client = Login::v5("client").open(&broker);
        let long = "f/".repeat(60);
        let filters: Vec<(&str, u8)> = (0..20).map(|_| (long.as_str(), 0)).collect();
        client.send_subscribe(&filters, &[]);
        client.expect_disconnect(ReasonCode::PacketTooLarge);
        if !is_dropped {
            let mut client = Login::v5("client").open(&broker);
            client.send_raw(&large(1).id(1).encode(ProtocolVersion::V5)[..2000]);
            client.expect_disconnect(ReasonCode::PacketTooLarge);
        }
        // What comes before CONNECT is complete is not a client's yet.
        let mut stranger = Client::unconnected(&broker, ProtocolVersion::V5);
        stranger.send_raw(&large(0).encode(ProtocolVersion::V5)[..100]);
        stranger.expect_closed();
    }
}

#[test]
fn dropped_packets_take_no_memory() {
    let broker = Broker::with(1, &DROP);
    let mut publisher = Login::v5("publisher").open(&broker);
    publisher.publish(large(1));
    let before = broker.rss_bytes();
    for _ in 0..4 {
        publisher.publish(message("o", "x".repeat(16 << 20)).qos(1));
    }
    let after = broker.rss_bytes();
    assert!(after < before + (8 << 20), "{before} bytes before, {after} after");
}
