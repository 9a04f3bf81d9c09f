//! Queues that are larger than what shards keep in memory: everything comes, in order, before a restart and after it.

use crate::harness::*;
use std::path::Path;

const MESSAGES: usize = 1_500;
/// Bytes of bodies that a shard keeps in memory: a few of them.
const SMALL: &str = "10KB";
const V5: ProtocolVersion = ProtocolVersion::V5;

fn start(data: &Path, shards: usize, more: &[&str]) -> Broker {
    let data_dir = format!("node.data_dir={}", data.join("data").display());
    let cache = format!("persistence.cache_bytes={SMALL}");
    let mut settings = vec![data_dir.as_str(), &cache, "mqtt.max_mqueue_len=100000"];
    settings.extend(more);
    Broker::with(shards, &settings)
}

fn kill(mut broker: Broker) {
    broker.signal(Signal::KILL);
    assert!(broker.wait(PATIENCE).is_some());
}

/// Creates a persistent session with one subscription and leaves it.
fn leave(broker: &Broker, id: &str, filter: &str) {
    let mut client = Login::persistent(V5, id).open_new(broker);
    client.subscribe(filter, 2);
    client.vanish();
}

/// A payload that tells its number and is different everywhere.
fn body(number: usize) -> String {
    format!("{number:05} {}", format!("{:x}.", number * 7919).repeat(40))
}

fn publish_bodies(broker: &Broker, topic: &str, numbers: std::ops::Range<usize>) {
    let mut publisher = Login::v5("publisher").open(broker);
    publisher.publish_all(numbers.map(|n| message(topic, body(n)).qos(1 + n as u8 % 2)), 100);
    publisher.disconnect();
}

fn back(broker: &Broker, id: &str) -> Client {
    let client = Login::persistent(V5, id).open(broker);
    assert!(client.session_present(), "{id}");
    client
}

#[test]
fn a_queue_beyond_the_cache_is_drained_in_order_before_and_after_a_restart() {
    for shards in [1, 4] {
        let data = tempfile::tempdir().expect("a temporary directory");
        let broker = start(data.path(), shards, &[]);
        let ids = ["away-0", "away-1", "away-2"];
        ids.iter().for_each(|id| leave(&broker, id, "much"));
        publish_bodies(&broker, "much", 0..MESSAGES);
        broker.wait_metric("persistence.bodies.evicted", MESSAGES as u64 / 2);
        assert!(broker.metric("persistence.bodies_away") > MESSAGES as u64 / 2);
        assert!(broker.metric("persistence.cached_bytes") < 200_000);
        for id in ids {
            let mut client = back(&broker, id);
            client.expect_texts((0..MESSAGES / 3).map(body));
            client.vanish_quietly();
        }
        assert!(broker.metric("persistence.bodies.read_back") > MESSAGES as u64 / 4);
        kill(broker);
        let broker = start(data.path(), shards, &[]);
        assert!(
            broker.metric("persistence.cached_bytes") < 200_000,
            "what does not fit is not kept at the start"
        );
        publish_bodies(&broker, "much", MESSAGES..MESSAGES + 100);
        let mut publisher = Login::v5("last").open(&broker);
        for id in ids {
            let mut client = back(&broker, id);
            // What was on its way comes again, ahead of all others; a PUBREL whose PUBCOMP was not stored comes behind what was
            // sent before it.
            let mut expected = (MESSAGES / 3..MESSAGES + 100).map(body).peekable();
            let mut may_repeat = true;
            while let Some(next) = expected.peek() {
                match client.expect_packet() {
                    Packet::Ack { kind: AckKind::Pubrel, packet_id, .. } => {
                        client.ack(AckKind::Pubcomp, packet_id)
                    }
                    Packet::Publish(message) => {
                        client.acknowledge(&message);
                        may_repeat &= message.text() < body(MESSAGES / 3).as_str();
                        assert!(may_repeat || message.text() == next, "{message:?} instead of {next}");
                        if !may_repeat {
                            expected.next();
                        }
                    }
                    other => panic!("expected a message, got {other:?}"),
                }
            }
            client.expect_nothing_from(&mut publisher);
            client.vanish();
        }
        assert_eq!(broker.metric("delivery.dropped"), 0);
        assert_eq!(broker.metric("persistence.bodies_away"), 0);
        assert_eq!(broker.metric("persistence.cached_bytes"), 0);
    }
}

#[test]
fn a_client_that_waits_for_the_disk_does_not_hold_up_others() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = start(data.path(), 1, &["mqtt.max_inflight=1000"]);
    leave(&broker, "away", "much");
    publish_bodies(&broker, "much", 0..MESSAGES);
    let mut slow = back(&broker, "away");
    let mut reader = Login::v5("reader").open(&broker);
    reader.subscribe("now", 1);
    let mut publisher = Login::v5("other").open(&broker);
    for number in 0..50 {
        publisher.publish(message("now", number.to_string()).qos(1));
        assert_eq!(reader.receive().text(), number.to_string());
    }
    slow.expect_texts((0..MESSAGES).map(body));
}

#[test]
fn what_another_member_of_a_group_is_given_may_come_from_the_disk() {
    for shards in [1, 4] {
        let data = tempfile::tempdir().expect("a temporary directory");
        let broker = start(data.path(), shards, &[]);
        leave(&broker, "first", "$share/group/jobs");
        publish_bodies(&broker, "jobs", 0..MESSAGES);
        broker.wait_metric("persistence.bodies_away", MESSAGES as u64 / 2);
        let mut second = Login::v5("second").open(&broker);
        second.subscribe("$share/group/jobs", 2);
        // The session ends, and with it whoever had the messages.
        Login::v5("first").open(&broker).disconnect();
        let mut received: Vec<String> = (0..MESSAGES).map(|_| second.receive().text().to_owned()).collect();
        received.sort();
        assert!(received.into_iter().eq((0..MESSAGES).map(body)));
    }
}

#[test]
fn a_body_that_the_disk_has_damaged_costs_one_message() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let broker = start(data.path(), 1, &["durability.level=wal"]);
    leave(&broker, "away", "much");
    publish_bodies(&broker, "much", 0..200);
    broker.wait_metric("persistence.bodies_away", 100);
    let segment = data.path().join("data/shards/00/00000001.seg");
    let mut bytes = std::fs::read(&segment).expect("the log");
    let damaged = body(7);
    let at = bytes.windows(damaged.len()).position(|found| found == damaged.as_bytes()).expect("a body");
    bytes[at] ^= 1;
    {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(&segment).expect("the log");
        file.write_all_at(&bytes[at..=at], at as u64).expect("written");
    }
    let mut client = back(&broker, "away");
    client.expect_texts((0..200).filter(|number| *number != 7).map(body));
    assert_eq!(broker.metric("delivery.dropped.store_lost"), 1);
    assert!(broker.stderr().contains("a message cannot be read from the log"), "{}", broker.stderr());
    publish_bodies(&broker, "much", 200..210);
    client.expect_texts((200..210).map(body));
}
