//! What a session keeps for a client that is away or slow.

use crate::harness::*;

/// Creates a persistent session with one subscription and leaves it.
fn leave(broker: &Broker, version: ProtocolVersion, id: &str, filter: &str, qos: u8) {
    let mut client = Login::persistent(version, id).open_new(broker);
    client.subscribe(filter, qos);
    client.vanish();
}

fn texts(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|i| i.to_string())
}

fn publish_numbers(publisher: &mut Client, topic: &str, range: std::ops::Range<usize>, qos: u8) {
    publisher.publish_all(texts(range).map(|text| message(topic, text).qos(qos)), 50);
    publisher.settle();
}

#[test]
fn messages_of_qos_1_and_2_wait_in_order() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            for i in 0..4 {
                let id = format!("away{version:?}{i}");
                leave(broker, version, &id, &id, 2);
                for n in 0..100 {
                    publisher.publish(message(id.as_str(), format!("{n}")).qos(1 + n % 2));
                }
                let mut client = Login::persistent(version, &id).open(broker);
                for n in 0..100 {
                    let received = client.receive();
                    assert_eq!((received.text(), received.qos), (n.to_string().as_str(), 1 + n % 2));
                    assert!(!received.dup, "a first transmission");
                }
                client.expect_nothing_from(&mut publisher);
            }
        }
    });
}

#[test]
fn queued_messages_have_the_subscriptions_qos() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "down", 1);
        publisher.publish(message("down", "x").qos(2));
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        assert_eq!(client.receive().qos, 1);
    });
}

#[test]
fn puback_to_a_publisher_counts_subscribers_that_are_away() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..8 {
            let id = format!("away{i}");
            leave(broker, ProtocolVersion::V5, &id, &id, 1);
            assert_eq!(publisher.publish(message(id, "x").qos(1)), ReasonCode::Success);
        }
    });
}

#[test]
fn messages_of_qos_0_wait_by_default() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            leave(broker, version, "away", "zero", 0);
            publisher.publish(message("zero", "a"));
            publisher.publish(message("zero", "b").qos(1));
            let mut client = Login::persistent(version, "away").open(broker);
            client.expect_texts(["a", "b"]);
        }
    });
}

#[test]
fn messages_of_qos_0_do_not_wait_if_configured() {
    at_shards(&["mqtt.mqueue_store_qos0=false"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "zero", 1);
        publisher.publish(message("zero", "a"));
        publisher.publish(message("zero", "b").qos(1));
        publisher.settle();
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(["b"]);
        broker.wait_metric("delivery.dropped.qos0_msg", 1);
    });
}

#[test]
fn a_full_queue_drops_the_oldest() {
    at_shards(&["mqtt.max_mqueue_len=5"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            leave(broker, version, "away", "full", 1);
            publish_numbers(&mut publisher, "full", 0..12, 1);
            let mut client = Login::persistent(version, "away").open(broker);
            client.expect_texts(texts(7..12));
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
        broker.wait_metric("delivery.dropped.queue_full", 21);
    });
}

#[test]
fn a_full_queue_drops_the_newest_if_configured() {
    at_shards(&["mqtt.max_mqueue_len=5", "mqtt.mqueue_full_policy=drop_newest"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "full", 1);
        publish_numbers(&mut publisher, "full", 0..12, 1);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(texts(0..5));
        client.expect_nothing_from(&mut publisher);
        broker.wait_metric("delivery.dropped.queue_full", 7);
    });
}

#[test]
fn the_default_queue_holds_a_thousand_messages() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "default", 1);
        publish_numbers(&mut publisher, "default", 0..1100, 1);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(texts(100..1100));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn a_queue_without_bound_keeps_everything() {
    at_shards(&["mqtt.max_mqueue_len=infinity"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "infinite", 2);
        publish_numbers(&mut publisher, "infinite", 0..3000, 2);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(texts(0..3000));
    });
}

#[test]
fn a_queue_of_length_0_keeps_nothing() {
    at_shards(&["mqtt.max_mqueue_len=0"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "none", 1);
        publish_numbers(&mut publisher, "none", 0..3, 1);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_nothing_from(&mut publisher);
        publish_numbers(&mut publisher, "none", 3..4, 1);
        client.expect_texts(["3"]);
    });
}

#[test]
fn a_queue_is_bounded_in_bytes() {
    at_shards(&["mqtt.max_mqueue_bytes=10KB"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "bytes", 1);
        for i in 0..20_u8 {
            publisher.publish(message("bytes", vec![i; 1024]).qos(1));
        }
        publisher.settle();
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        let first = client.receive().payload[0];
        assert!((10..=13).contains(&first), "the first that is left is {first}");
        for i in first + 1..20 {
            assert_eq!(client.receive().payload, vec![i; 1024]);
        }
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn the_bounds_hold_for_a_connected_client_that_does_not_acknowledge() {
    at_shards(&["mqtt.max_mqueue_len=5", "mqtt.max_inflight=3"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut client = Login::v311("slow").open(broker);
        client.subscribe("slow", 1);
        publish_numbers(&mut publisher, "slow", 0..20, 1);
        broker.wait_metric("delivery.dropped.queue_full", 12);
        client.expect_texts(texts(0..3));
        client.expect_texts(texts(15..20));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn expired_messages_are_not_delivered_late() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            leave(broker, version, &format!("{version:?}"), "expire", 1);
        }
        for (text, seconds) in [("short", 1), ("long", 1000)] {
            publisher.publish(message("expire", text).qos(1).with(Property::MessageExpiry(seconds)));
        }
        publisher.publish(message("expire", "without").qos(1));
        time_passes(2100);
        for version in VERSIONS {
            let mut client = Login::persistent(version, &format!("{version:?}")).open(broker);
            let long = client.receive();
            assert_eq!(long.text(), "long");
            if version == ProtocolVersion::V5 {
                let left = long.expiry_s().expect("an expiry");
                assert!((900..=998).contains(&left), "{left} s left [MQTT-3.3.2-6]");
            }
            let without = client.receive();
            assert_eq!((without.text(), without.expiry_s()), ("without", None));
            client.disconnect();
        }
        broker.wait_metric("delivery.dropped.expired", 3);
    });
}

#[test]
fn messages_without_expiry_get_the_configured_one() {
    at_shards(&["mqtt.message_expiry_interval=1s"], |broker| {
        let mut publisher = Login::v311("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "expire", 1);
        publisher.publish(message("expire", "x").qos(1));
        time_passes(2100);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn overlapping_subscriptions_queue_one_copy() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open(broker);
        client.subscribe_id("over/lap", 1, 1);
        client.subscribe_id("over/+", 2, 2);
        client.vanish();
        publisher.publish(message("over/lap", "x").qos(2));
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open(broker);
        let received = client.receive();
        assert_eq!((received.qos, received.subscription_ids()), (2, vec![1, 2]));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn messages_wait_until_the_next_of_several_short_visits() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "visit", 1);
        publish_numbers(&mut publisher, "visit", 0..200, 1);
        for visit in 0..10 {
            let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
            client.expect_texts(texts(visit * 20..visit * 20 + 20));
            client.ping();
            client.vanish();
        }
    });
}
