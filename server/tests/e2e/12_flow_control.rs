//! Receive Maximum in both directions, packet identifiers, and peers that do not acknowledge.

use crate::harness::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn publish_numbers(publisher: &mut Client, topic: &str, count: usize, qos: u8) {
    publisher.publish_all((0..count).map(|i| message(topic, format!("{i}")).qos(qos)), 20);
}

/// Reads the messages that come without acknowledging; after `count` of them nothing more may come.
fn receive_window(client: &mut Client, count: usize) -> Vec<Message> {
    let window = (0..count).map(|_| client.receive_unacked()).collect();
    client.ping();
    client.expect_silence(Duration::from_millis(150));
    window
}

#[test]
fn the_clients_receive_maximum_is_respected() {
    at_shards(&[], |broker| {
        for qos in [1, 2] {
            let login = Login::v5(&format!("narrow{qos}")).with(Property::ReceiveMaximum(2));
            let mut client = login.open(broker);
            let topic = format!("narrow/{qos}");
            client.subscribe(&topic, qos);
            let mut publisher = Login::v5("publisher").open(broker);
            publish_numbers(&mut publisher, &topic, 10, qos);
            let mut window = receive_window(&mut client, 2);
            for next in 2..10 {
                client.acknowledge(&window.remove(0));
                let received = client.receive_unacked();
                assert_eq!(received.text(), next.to_string());
                window.push(received);
            }
            for message in window {
                client.acknowledge(&message);
            }
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn qos_0_is_not_held_back_by_a_full_window() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("narrow").with(Property::ReceiveMaximum(1)).open(broker);
        client.subscribe("zero", 0);
        client.subscribe("one", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("one", "held").qos(1));
        let held = client.receive_unacked();
        for i in 0..5 {
            publisher.publish(message("zero", format!("{i}")));
        }
        client.expect_texts(["0", "1", "2", "3", "4"]);
        client.acknowledge(&held);
    });
}

#[test]
fn other_packets_are_not_held_back_by_a_full_window() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("narrow").with(Property::ReceiveMaximum(1)).open(broker);
        client.subscribe("full", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "full", 3, 2);
        let first = client.receive_unacked();
        client.ping();
        client.subscribe("another", 1);
        client.unsubscribe(&["another"]);
        assert_eq!(client.publish(message("nobody", "x").qos(1)), ReasonCode::NoMatchingSubscribers);
        assert_eq!(client.publish(message("nobody", "x").qos(2)), ReasonCode::NoMatchingSubscribers);
        client.acknowledge(&first);
        client.expect_texts(["1", "2"]);
    });
}

#[test]
fn a_negative_pubrec_makes_room_in_the_window() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("narrow").with(Property::ReceiveMaximum(1)).open(broker);
        client.subscribe("room", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "room", 3, 2);
        for i in 0..3 {
            let received = client.receive_unacked();
            assert_eq!(received.text(), i.to_string());
            client.ack_with(AckKind::Pubrec, received.packet_id(), ReasonCode::QuotaExceeded);
        }
    });
}

#[test]
fn the_window_counts_qos_2_until_pubcomp() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("narrow").with(Property::ReceiveMaximum(1)).open(broker);
        client.subscribe("comp", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "comp", 2, 2);
        let first = client.receive_unacked().packet_id();
        client.ack(AckKind::Pubrec, first);
        client.expect_ack(AckKind::Pubrel, first);
        client.ping();
        client.expect_silence(Duration::from_millis(150));
        client.ack(AckKind::Pubcomp, first);
        client.expect_texts(["1"]);
    });
}

#[test]
fn max_inflight_bounds_the_window_of_clients_that_allow_more() {
    at_shards(&["mqtt.max_inflight=5"], |broker| {
        for version in VERSIONS {
            let id = format!("client{version:?}");
            let mut client = Login::new(version, &id).open(broker);
            client.subscribe(&id, 1);
            let mut publisher = Login::v5("publisher").open(broker);
            publish_numbers(&mut publisher, &id, 8, 1);
            for message in receive_window(&mut client, 5) {
                client.acknowledge(&message);
            }
            client.expect_texts(["5", "6", "7"]);
        }
    });
}

#[test]
fn the_default_window_is_32() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let id = format!("client{version:?}");
        let mut client = Login::new(version, &id).open(&broker);
        client.subscribe(&id, 1);
        let mut publisher = Login::v5("publisher").open(&broker);
        publish_numbers(&mut publisher, &id, 40, 1);
        receive_window(&mut client, 32);
    }
}

#[test]
fn identifiers_in_flight_are_distinct_and_not_zero() {
    at_shards(&[], |broker| {
        let mut client = Login::v311("client").open(broker);
        client.subscribe("distinct", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish_all((0..32).map(|i| message("distinct", "x").qos(1 + i % 2)), 16);
        let window = receive_window(&mut client, 32);
        let ids: BTreeSet<u16> = window.iter().map(Message::packet_id).collect();
        assert_eq!(ids.len(), 32);
    });
}

#[test]
fn an_identifier_in_use_is_skipped_when_identifiers_wrap() {
    let broker = Broker::start(1);
    let mut client = Login::v311("client").open(&broker);
    client.subscribe("wrap", 1);
    let mut publisher = Login::v311("publisher").open(&broker);
    publisher.publish(message("wrap", "held").qos(1));
    let held = client.receive_unacked();
    let mut wrapped = false;
    let mut last = held.packet_id();
    for _ in 0..3300 {
        for _ in 0..20 {
            publisher.send(message("wrap", "x").qos(1));
        }
        for _ in 0..20 {
            let id = client.receive().packet_id();
            assert_ne!(id, held.packet_id(), "an identifier in use [MQTT-2.2.1-4]");
            wrapped |= id < last;
            last = id;
        }
        for _ in 0..20 {
            assert!(matches!(publisher.expect_packet(), Packet::Ack { kind: AckKind::Puback, .. }));
        }
    }
    assert!(wrapped || held.packet_id() != 1, "66,000 messages need identifiers again");
    client.acknowledge(&held);
    client.ping();
}

#[test]
fn with_all_identifiers_in_flight_the_next_message_waits_for_one() {
    let broker = Broker::with(1, &["mqtt.max_inflight=65535", "mqtt.max_mqueue_len=infinity"]);
    let mut client = Login::v5("client").open(&broker);
    client.subscribe("exhaust", 1);
    let mut publisher = Login::v5("publisher").open(&broker);
    publisher.publish_all((0..65_600).map(|i| message("exhaust", format!("{i}")).qos(1)), 100);
    let mut in_use = vec![false; 65_536];
    for _ in 0..65_535 {
        let id = usize::from(client.receive_unacked().packet_id());
        assert!(!in_use[id], "{id} is given twice");
        in_use[id] = true;
    }
    client.ping();
    client.expect_silence(Duration::from_millis(150));
    for (next, free) in (65_535..65_600).zip([40_000, 1, 65_535].into_iter().chain(2..)) {
        client.ack(AckKind::Puback, free);
        let received = client.receive_unacked();
        assert_eq!((received.packet_id(), received.text()), (free, next.to_string().as_str()));
    }
}

#[test]
fn acknowledgements_in_any_order_are_accepted() {
    at_shards(&[], |broker| {
        let mut client = Login::v311("client").open(broker);
        client.subscribe("any", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "any", 60, 1);
        let mut window = receive_window(&mut client, 32);
        while let Some(message) = window.pop() {
            client.acknowledge(&message);
        }
        client.expect_texts((32..60).map(|i| i.to_string()));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn a_client_that_exceeds_the_brokers_receive_maximum_is_disconnected() {
    at_shards(&["mqtt.max_awaiting_rel=5"], |broker| {
        let mut client = Login::v5("client").open(broker);
        for i in 0..5 {
            client.send(message("exceed", "x").qos(2).id(10 + i));
            client.expect_ack(AckKind::Pubrec, 10 + i);
        }
        // The sixth without a PUBREL.
        client.send(message("exceed", "x").qos(2).id(99));
        client.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
    });
}

#[test]
fn pubrel_makes_room_for_the_next_qos_2_message() {
    at_shards(&["mqtt.max_awaiting_rel=2"], |broker| {
        let mut client = Login::v5("client").open(broker);
        for _ in 0..20 {
            client.publish(message("room", "x").qos(2));
            client.publish(message("room", "x").qos(1));
        }
    });
}

#[test]
fn an_unreleased_qos_2_message_loses_its_place_after_a_while() {
    at_shards(&["mqtt.await_rel_timeout=1s", "mqtt.max_awaiting_rel=1"], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.send(message("await", "x").qos(2).id(5));
        client.expect_ack(AckKind::Pubrec, 5);
        time_passes(1500);
        // The only place is needed now.
        client.send(message("await", "x").qos(2).id(6));
        client.expect_ack(AckKind::Pubrec, 6);
        broker.wait_metric("messages.dropped.await_pubrel_timeout", 1);
        client.ack(AckKind::Pubrel, 5);
        assert_eq!(client.expect_ack(AckKind::Pubcomp, 5), ReasonCode::PacketIdentifierNotFound);
    });
}

#[test]
fn a_smaller_receive_maximum_holds_after_reconnect() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let mut client = login.clone().open(broker);
        client.subscribe("shrink", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "shrink", 6, 1);
        receive_window(&mut client, 6);
        client.vanish();
        let mut client = login.with(Property::ReceiveMaximum(2)).open(broker);
        let mut window = receive_window(&mut client, 2);
        for next in 2..6 {
            client.acknowledge(&window.remove(0));
            let received = client.receive_unacked();
            assert_eq!(received.text(), next.to_string());
            window.push(received);
        }
    });
}

#[test]
fn a_client_that_never_acknowledges_holds_nobody_up() {
    at_shards(&[], |broker| {
        let mut stuck: Vec<Client> = (0..4)
            .map(|i| {
                let mut client = Login::v311(&format!("stuck{i}")).open(broker);
                client.subscribe("hold/#", 2);
                client
            })
            .collect();
        let mut good = Login::v311("good").open(broker);
        good.subscribe("hold/#", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..500 {
            publisher.publish(message("hold/x", format!("{i}")).qos(1 + (i % 2) as u8));
            good.expect_texts([i.to_string()]);
        }
        stuck.iter_mut().for_each(Client::ping);
    });
}

#[test]
fn a_client_that_never_reads_holds_nobody_up() {
    at_shards(&[], |broker| {
        let before = broker.rss_bytes();
        let mut deaf: Vec<Client> = (0..2)
            .map(|i| {
                let mut client = Login::v311(&format!("deaf{i}")).open(broker);
                client.subscribe("deaf", 0);
                client
            })
            .collect();
        let mut good = Login::v311("good").open(broker);
        good.subscribe("deaf", 0);
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..2000_u32 {
            let mut payload = i.to_be_bytes().to_vec();
            payload.resize(100_000, 0);
            publisher.publish(message("deaf", payload));
            assert_eq!(good.receive().payload[..4], i.to_be_bytes());
        }
        // 200 MB went to each of two clients that did not read.
        let grown = broker.rss_bytes().saturating_sub(before);
        assert!(grown < 160 << 20, "grew by {grown} bytes");
        broker.wait_metric("delivery.dropped", 1);
        for client in &mut deaf {
            client.receive();
        }
    });
}
