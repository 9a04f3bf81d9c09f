//! Publishers that are held back: by the queue of a session that is to lose nothing, and by a store that is nearly full.

use crate::harness::*;
use std::thread;

const BLOCK: [&str; 2] = ["mqtt.mqueue_full_policy=block", "mqtt.max_mqueue_len=4"];

/// Creates a persistent session with one subscription and leaves it.
fn leave(broker: &Broker, id: &str, filter: &str) {
    let mut client = Login::persistent(ProtocolVersion::V5, id).open_new(broker);
    client.subscribe(filter, 2);
    client.vanish();
}

fn texts(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| n.to_string())
}

/// Publishes `0`, `1` and so on, some ahead of their acknowledgements; none may be refused.
fn publish_texts(publisher: &mut Client, topic: &str, qos: u8, count: usize) {
    publisher.publish_all(texts(count).map(|text| message(topic, text).qos(qos)), 20);
}

#[test]
fn a_full_queue_holds_back_its_publishers_alone_until_it_has_drained() {
    for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
        at_shards(&BLOCK, |broker| {
            leave(broker, "away", "full/#");
            let mut other = Login::new(version, "other").open(broker);
            let mut reader = Login::new(version, "reader").open(broker);
            reader.subscribe("free", 1);
            for qos in [1, 2] {
                let holds = broker.metric("publisher.holds");
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut publisher = Login::new(version, "publisher").open(broker);
                        publish_texts(&mut publisher, "full/x", qos, 60);
                        publisher.disconnect();
                    });
                    broker.wait_metric("publisher.holds", holds + 1);
                    publish_texts(&mut other, "free", 1, 20);
                    reader.expect_texts(texts(20));
                    let mut client = Login::persistent(ProtocolVersion::V5, "away").open(broker);
                    client.expect_texts(texts(60));
                    client.vanish();
                });
            }
            assert_eq!(broker.metric("delivery.dropped.queue_full"), 0);
            assert_eq!(broker.metric("messages.refused.queue_full"), 0);
        });
    }
}

#[test]
fn a_slow_client_holds_back_its_publishers_and_they_are_still_heard() {
    at_shards(&[], |broker| {
        let mut slow = Login::persistent(ProtocolVersion::V5, "slow")
            .with(Property::ReceiveMaximum(1))
            .with(Property::user("ringmq-mqueue-len", "3"))
            .with(Property::user("ringmq-mqueue-policy", "block"))
            .open_new(broker);
        slow.subscribe("work", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        // One is on its way and three wait: the queue is full, and all shards know when these are acknowledged.
        publish_texts(&mut publisher, "work", 1, 4);
        let sent: Vec<u16> = texts(40).map(|text| publisher.send(message("work", text).qos(1))).collect();
        broker.wait_metric("publisher.holds", 1);
        // What comes behind the message that waits, and needs no room, is answered.
        publisher.ping();
        slow.expect_texts(texts(4).chain(texts(40)));
        for packet_id in sent {
            assert_eq!(publisher.expect_ack(AckKind::Puback, packet_id), ReasonCode::Success);
        }
        assert_eq!(broker.metric("delivery.dropped.queue_full"), 0);
    });
}

#[test]
fn a_client_whose_own_queue_is_full_is_not_held_back() {
    at_shards(&BLOCK, |broker| {
        let mut client = Login::persistent(ProtocolVersion::V5, "itself")
            .with(Property::ReceiveMaximum(1))
            .open_new(broker);
        client.subscribe("own", 1);
        publish_texts(&mut client, "own", 1, 60);
        client.expect_texts(texts(60));
    });
}

/// Two listeners, and sessions that came through the second queue nothing at QoS 0.
const ZONED: [&str; 3] = [
    "listeners.tcp.zoned.bind=127.0.0.1:0",
    "listeners.tcp.zoned.zone=small",
    "zones.small.mqtt.mqueue_store_qos0=false",
];

#[test]
fn a_session_that_queues_nothing_at_qos_0_holds_back_no_publisher_at_qos_0() {
    at_shards(&[&BLOCK[..], &ZONED].concat(), |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "small");
        let mut client = login.open_over(connect(broker.listener("tcp:zoned")));
        client.subscribe("full", 1);
        client.vanish();
        let mut publisher = Login::v5("publisher").open(broker);
        publish_texts(&mut publisher, "full", 1, 4);
        publisher.settle();
        publish_texts(&mut publisher, "full", 0, 20);
        // It would wait behind them.
        publisher.publish(message("free", "behind").qos(1));
        assert_eq!(broker.metric("publisher.holds"), 0);
        // A session that would lose them does, on the same topic.
        leave(broker, "large", "full");
        publish_texts(&mut publisher, "full", 0, 4);
        publisher.settle();
        publish_texts(&mut publisher, "full", 0, 4);
        broker.wait_metric("publisher.holds", 1);
        Login::persistent(ProtocolVersion::V5, "large").open(broker).expect_texts(texts(4).chain(texts(4)));
    });
}

#[test]
fn messages_that_are_upgraded_from_qos_0_wait_for_room_too() {
    let settings = ["mqtt.mqueue_store_qos0=false", "mqtt.upgrade_qos=true"];
    at_shards(&[&BLOCK[..], &settings].concat(), |broker| {
        leave(broker, "away", "full");
        let mut publisher = Login::v5("publisher").open(broker);
        publish_texts(&mut publisher, "full", 0, 4);
        publisher.settle();
        publish_texts(&mut publisher, "full", 0, 40);
        broker.wait_metric("publisher.holds", 1);
        Login::persistent(ProtocolVersion::V5, "away").open(broker).expect_texts(texts(4).chain(texts(40)));
        assert_eq!(broker.metric("delivery.dropped.queue_full"), 0);
    });
}

/// Sixty are within the quota. One more is within the rate.
const COUNTED: [&str; 2] = ["listeners.tcp.default.messages_rate=60/24h", "quota.client.messages_per_day=60"];

/// The publisher of sixty messages that had to wait finds its quota used up, and then its rate, neither of them earlier.
#[track_caller]
fn expect_sixty_counted(broker: &Broker, publisher: &mut Client) {
    assert_eq!(publisher.publish(message("free", "x").qos(1)), ReasonCode::QuotaExceeded);
    assert_eq!(broker.metric("publisher.throttles"), 0);
    publisher.send(message("free", "x").qos(1));
    broker.wait_metric("publisher.throttles", 1);
}

#[test]
fn a_message_that_waits_for_a_queue_counts_once_against_rates_and_quotas() {
    at_shards(&[&BLOCK[..], &COUNTED].concat(), |broker| {
        leave(broker, "away", "full");
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut publisher = Login::v5("publisher").open(broker);
                publish_texts(&mut publisher, "full", 1, 60);
                expect_sixty_counted(broker, &mut publisher);
            });
            broker.wait_metric("publisher.holds", 1);
            let mut client = Login::persistent(ProtocolVersion::V5, "away").open(broker);
            client.expect_texts(texts(60));
        });
    });
}

#[test]
fn publishers_go_on_when_the_session_or_its_subscription_ends() {
    at_shards(&BLOCK, |broker| {
        for ends_session in [true, false] {
            let holds = broker.metric("publisher.holds");
            leave(broker, "away", "full");
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut publisher = Login::v5("publisher").open(broker);
                    publish_texts(&mut publisher, "full", 1, 60);
                });
                broker.wait_metric("publisher.holds", holds + 1);
                if ends_session {
                    Login::v5("away").clean().open(broker).disconnect();
                } else {
                    let asks_one = Property::ReceiveMaximum(1);
                    let mut client =
                        Login::persistent(ProtocolVersion::V5, "away").with(asks_one).open(broker);
                    client.unsubscribe(&["full"]);
                    client.vanish_quietly();
                }
            });
            Login::v5("away").clean().open(broker).disconnect();
        }
    });
}

#[test]
fn a_session_that_holds_back_publishers_changes_its_subscriptions_at_the_cost_of_the_change() {
    let broker = Broker::with(2, &BLOCK);
    let filters: Vec<String> = (0..20_000).map(|number| format!("many/{number}")).collect();
    let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
    let login = Login::persistent(ProtocolVersion::V5, "itself").with(Property::ReceiveMaximum(1));
    let mut client = login.open_new(&broker);
    client.subscribe_all(&asked[..10_000], &[]);
    let mut publisher = Login::v5("publisher").open(&broker);
    publish_texts(&mut publisher, "many/1", 1, 5);
    publisher.settle();
    // It holds back publishers of what it subscribes to now,
    client.subscribe_all(&asked[10_000..], &[]);
    publisher.settle();
    let held = publisher.send(message("many/19999", "held").qos(1));
    broker.wait_metric("publisher.holds", 1);
    // and of nothing that it does not any more.
    let names: Vec<&str> = filters.iter().map(String::as_str).collect();
    assert!(client.unsubscribe(&names).iter().all(|code| *code == 0));
    assert_eq!(publisher.expect_ack(AckKind::Puback, held), ReasonCode::NoMatchingSubscribers);
    client.ping();
}

const STORE: [&str; 3] =
    ["persistence.max_bytes=4MB", "mqtt.max_mqueue_len=infinity", "persistence.segment_bytes=1MB"];
/// Several times what a store of that size holds.
const LARGE: usize = 700;
const LARGE_BYTES: usize = 10_000;

/// `0`, `1` and so on, each followed by many blanks.
fn large(count: usize) -> impl Iterator<Item = Message> {
    padded(count, LARGE_BYTES)
}

fn padded(count: usize, bytes: usize) -> impl Iterator<Item = Message> {
    texts(count).map(move |text| message("large", text + &" ".repeat(bytes)).qos(1))
}

#[test]
fn a_store_that_is_nearly_full_holds_back_those_who_need_it() {
    let broker = Broker::with(1, &[&STORE[..], &["persistence.full_policy=stop_reading"]].concat());
    leave(&broker, "away", "large");
    let mut other = Login::v5("other").open(&broker);
    let mut reader = Login::v311("reader").open(&broker);
    reader.subscribe("free", 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Login::v5("publisher").open(&broker);
            publisher.publish_all(large(LARGE), 20);
        });
        broker.wait_metric("publisher.holds", 1);
        publish_texts(&mut other, "free", 1, 20);
        reader.expect_texts(texts(20));
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open(&broker);
        for text in texts(LARGE) {
            assert_eq!(client.receive().text().trim_end(), text);
        }
    });
    assert_eq!(broker.metric("delivery.dropped.store_full"), 0);
}

#[test]
fn a_message_that_waits_for_the_store_counts_once_against_rates_and_quotas() {
    let settings = ["persistence.full_policy=stop_reading"];
    let broker = Broker::with(1, &[&STORE[..], &settings, &COUNTED].concat());
    leave(&broker, "away", "large");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Login::v5("publisher").open(&broker);
            // Many at a time: they may all come in one pass of the shard.
            publisher.publish_all(padded(60, 10 * LARGE_BYTES), 20);
            expect_sixty_counted(&broker, &mut publisher);
        });
        broker.wait_metric("publisher.holds", 1);
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open(&broker);
        for text in texts(60) {
            assert_eq!(client.receive().text().trim_end(), text);
        }
    });
}

#[test]
fn a_store_that_is_nearly_full_drops_what_it_has_had_longest() {
    let broker = Broker::with(1, &[&STORE[..], &["persistence.full_policy=drop_oldest"]].concat());
    leave(&broker, "away", "large");
    leave(&broker, "small", "other");
    let mut publisher = Login::v5("publisher").open(&broker);
    publisher.publish_all(large(LARGE), 20);
    publish_texts(&mut publisher, "other", 1, 3);
    broker.wait_metric("delivery.dropped.store_full", 1);
    let mut client = Login::persistent(ProtocolVersion::V5, "small").open(&broker);
    client.expect_texts(texts(3));
    let mut client = Login::persistent(ProtocolVersion::V5, "away").open(&broker);
    // Some more may be dropped while the first ones are sent.
    let (mut received, mut next) = (0, 0);
    while next < LARGE {
        let number: usize = client.receive().text().trim_end().parse().expect("a number");
        assert!(number >= next, "{number} came after {next}");
        (received, next) = (received + 1, number + 1);
    }
    broker.wait_metric("delivery.dropped.store_full", (LARGE - received) as u64);
}
