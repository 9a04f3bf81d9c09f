//! Limits that configuration and peers set.

use crate::harness::*;

#[test]
fn a_packet_over_the_brokers_maximum_is_refused_before_it_arrives() {
    at_shards(&["mqtt.max_packet_size=1KB"], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.subscribe("size", 0);
            let overhead = message("size", "").encode(version).len() + 1;
            client.publish(message("size", vec![b'x'; 1024 - overhead]));
            assert_eq!(client.receive().payload.len(), 1024 - overhead);
            // Header and topic of a packet of 1,025 bytes; the payload is never sent.
            let packet = message("size", vec![b'x'; 1025 - overhead]).encode(version);
            client.send_raw(&packet[..20]);
            client.expect_disconnect(ReasonCode::PacketTooLarge);
        }
    });
}

#[test]
fn a_packet_over_the_clients_maximum_is_dropped() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "small").with(Property::MaximumPacketSize(100));
        let mut small = login.clone().open(broker);
        let mut large = Login::v5("large").open(broker);
        small.subscribe("size", 2);
        large.subscribe("size", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in 0..=2 {
            publisher.publish(message("size", vec![b'x'; 200]).qos(qos));
            publisher.publish(message("size", "fits").qos(qos));
            assert_eq!(large.receive().payload.len(), 200);
            large.expect_texts(["fits"]);
            small.expect_texts(["fits"]);
        }
        broker.wait_metric("delivery.dropped.too_large", 3);
        small.vanish();
        let mut small = login.open(broker);
        small.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn the_clients_maximum_is_exact() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut client = Login::v5("exact").with(Property::MaximumPacketSize(100)).open(broker);
        client.subscribe("exact", 0);
        let overhead = message("exact", "").encode(ProtocolVersion::V5).len();
        for (bytes, arrives) in [(99, true), (100, true), (101, false)] {
            publisher.publish(message("exact", vec![b'x'; bytes - overhead]));
            if arrives {
                assert_eq!(client.receive().payload.len(), bytes - overhead);
            } else {
                client.expect_nothing_from(&mut publisher);
            }
        }
    });
}

#[test]
fn a_client_id_over_the_limit_is_refused() {
    let broker = Broker::with(1, &["mqtt.max_clientid_len=23"]);
    let (fits, long) = ("x".repeat(23), "x".repeat(24));
    for version in VERSIONS {
        Login::new(version, &fits).open(&broker).disconnect();
        let code = if version == ProtocolVersion::V5 { 0x85 } else { 2 };
        Login::new(version, &long).refused(&broker, code);
    }
}

#[test]
fn filters_with_too_many_levels_are_refused_one_by_one() {
    at_shards(&["mqtt.max_topic_levels=4"], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0x8F)] {
            let mut client = Login::new(version, "client").open(broker);
            let filters = [("a/b/c/d", 0), ("a/b/c/d/e", 0), ("a/b/c/d/#", 0), ("a/b/c/#", 0)];
            let codes = client.subscribe_all(&filters, &[]);
            assert_eq!(codes, [0, code, code, 0]);
        }
    });
}

#[test]
fn topics_with_too_many_levels_are_refused() {
    at_shards(&["mqtt.max_topic_levels=4"], |broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 0);
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.publish(message("a/b/c/d", "fits").qos(1));
            watcher.expect_texts(["fits"]);
            let id = client.send(message("a/b/c/d/e", "deep").qos(1));
            match client.expect_event() {
                Event::Packet(Packet::Ack { packet_id, reason, .. }) => {
                    assert_eq!(packet_id, id);
                    assert!(version != ProtocolVersion::V5 || reason == ReasonCode::TopicNameInvalid);
                }
                Event::Packet(Packet::Disconnect { reason, .. }) => {
                    assert_eq!(reason, ReasonCode::TopicNameInvalid);
                }
                Event::Closed => assert_ne!(version, ProtocolVersion::V5),
                other => panic!("{other:?}"),
            }
        }
        let mut other = Login::v5("other").open(broker);
        watcher.expect_nothing_from(&mut other);
    });
}

#[test]
fn qos_above_the_maximum_is_refused_or_lowered() {
    for maximum in [0, 1] {
        at_shards(&[&format!("mqtt.max_qos_allowed={maximum}")], |broker| {
            let mut client = Login::v5("client").open(broker);
            assert!(client.connack_properties().contains(&Property::MaximumQos(maximum)), "[MQTT-3.2.2-9]");
            let granted = client.subscribe_all(&[("a", 0), ("b", 1), ("c", 2)], &[]);
            assert_eq!(granted, [0, maximum.min(1), maximum], "[MQTT-3.2.2-10]");
            client.publish(message("c", "x").qos(maximum));
            assert_eq!(client.receive().qos, maximum);
            client.send(message("c", "x").qos(maximum + 1));
            client.expect_disconnect(ReasonCode::QosNotSupported);

            let will = Will::new("will", "x").qos(maximum + 1);
            Login::v5("will").will(will).refused(broker, ReasonCode::QosNotSupported.as_u8());
        });
    }
}

#[test]
fn clients_of_3_x_are_granted_the_maximum_qos() {
    at_shards(&["mqtt.max_qos_allowed=1"], |broker| {
        for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
            let mut client = Login::new(version, "client").open(broker);
            assert_eq!(client.subscribe_all(&[("a", 2)], &[]), [1]);
            client.send(message("a", "x").qos(2));
            client.expect_closed();
        }
    });
}

#[test]
fn retain_is_refused_where_it_is_unavailable() {
    at_shards(&["mqtt.retain_available=false"], |broker| {
        let mut client = Login::v5("client").open(broker);
        assert!(client.connack_properties().contains(&Property::RetainAvailable(0)));
        client.send(message("a", "x").qos(1).retained());
        client.expect_disconnect(ReasonCode::RetainNotSupported);
        let will = Will::new("will", "x").retained();
        Login::v5("will").will(will).refused(broker, ReasonCode::RetainNotSupported.as_u8());
    });
}

#[test]
fn wildcards_are_refused_where_they_are_unavailable() {
    at_shards(&["mqtt.wildcard_subscription=false"], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0xA2)] {
            let mut client = Login::new(version, "client").open(broker);
            let codes = client.subscribe_all(&[("a/b", 0), ("a/#", 0), ("+", 0), ("$share/g/+", 0)], &[]);
            assert_eq!(codes, [0, code, code, code]);
        }
    });
}

#[test]
fn shared_subscriptions_are_refused_where_they_are_unavailable() {
    at_shards(&["mqtt.shared_subscription=false"], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0x9E)] {
            let mut client = Login::new(version, "client").open(broker);
            let codes = client.subscribe_all(&[("a", 0), ("$share/g/a", 0), ("$queue/a", 0)], &[]);
            assert_eq!(codes, [0, code, code]);
        }
    });
}

#[test]
fn subscriptions_over_the_maximum_are_refused_one_by_one() {
    at_shards(&["mqtt.max_subscriptions=2"], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0x97)] {
            let mut client = Login::new(version, "client").open(broker);
            assert_eq!(client.subscribe_all(&[("a", 0), ("b", 0), ("c", 0)], &[]), [0, 0, code]);
            assert_eq!(client.subscribe_all(&[("a", 1)], &[]), [1], "a known filter is replaced");
            client.unsubscribe(&["b"]);
            assert_eq!(client.subscribe_all(&[("d", 0), ("e", 0)], &[]), [0, code]);
        }
    });
}

#[test]
fn connections_over_the_listeners_maximum_are_refused() {
    at_shards(&["listeners.tcp.default.max_connections=3"], |broker| {
        let mut clients: Vec<Client> = (0..3).map(|i| Login::v5(&format!("c{i}")).open(broker)).collect();
        let mut fourth = Client::unconnected(broker, ProtocolVersion::V5);
        fourth.try_send_raw(&Login::v5("fourth").encode());
        for packet in fourth.read_until_closed() {
            assert!(matches!(&packet, Packet::Connack(connack) if connack.code >= 0x80), "{packet:?}");
        }
        clients.iter_mut().for_each(Client::ping);
        if let Some(client) = clients.pop() {
            client.disconnect();
        }
        // The place is free as soon as the broker has closed the connection.
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let mut next = Client::unconnected(broker, ProtocolVersion::V5);
            next.try_send_raw(&Login::v5("next").encode());
            if matches!(next.expect_event(), Event::Packet(Packet::Connack(connack)) if connack.code == 0) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "the place stays taken");
        }
    });
}
