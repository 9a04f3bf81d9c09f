//! What a session's queue prefers, and what becomes of a message that finds it full.

use crate::harness::*;

/// Creates a persistent session with one subscription and leaves it.
fn leave(broker: &Broker, version: ProtocolVersion, id: &str, filter: &str) {
    let mut client = Login::persistent(version, id).open_new(broker);
    client.subscribe(filter, 2);
    client.vanish();
}

fn publish_texts<'a>(publisher: &mut Client, topic: &str, texts: impl IntoIterator<Item = &'a str>) {
    for text in texts {
        publisher.publish(message(topic, text).qos(1));
    }
}

const PRIORITIES: [&str; 2] = ["mqtt.max_mqueue_len=3", "mqtt.mqueue_priorities={\"p/high\"=9, \"p/+\"=5}"];

#[test]
fn urgent_messages_leave_first_and_each_priority_has_its_own_bound() {
    at_shards(&PRIORITIES, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            leave(broker, version, "away", "#");
            publish_texts(&mut publisher, "other", ["o1", "o2", "o3", "o4"]);
            publish_texts(&mut publisher, "p/low", ["l1", "l2"]);
            publish_texts(&mut publisher, "p/high", ["h1", "h2", "h3", "h4", "h5"]);
            publish_texts(&mut publisher, "p/also", ["a1"]);
            publisher.settle();
            let mut client = Login::persistent(version, "away").open(broker);
            client.expect_texts(["h3", "h4", "h5", "l1", "l2", "a1", "o2", "o3", "o4"]);
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
        broker.wait_metric("delivery.dropped.queue_full", 9);
    });
}

#[test]
fn topics_without_a_priority_may_come_first() {
    at_shards(&[PRIORITIES[1], "mqtt.mqueue_default_priority=highest"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "#");
        publish_texts(&mut publisher, "p/high", ["h1", "h2"]);
        publish_texts(&mut publisher, "other", ["o1", "o2"]);
        publisher.settle();
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(["o1", "o2", "h1", "h2"]);
    });
}
