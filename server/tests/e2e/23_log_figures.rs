//! What the metrics say of the logs: records, bytes, commits and the level in force.

use crate::harness::*;

/// Messages published in each case.
const MESSAGES: u64 = 40;

/// Leaves a persistent session behind and publishes to it at QoS 1.
fn publish_to_one_who_is_away(broker: &Broker) {
    let mut away = Login::persistent(ProtocolVersion::V5, "away").open_new(broker);
    away.subscribe("figures", 1);
    away.vanish();
    let mut publisher = Login::v5("publisher").open(broker);
    publisher.publish_all((0..MESSAGES).map(|n| message("figures", n.to_string()).qos(1)), 20);
    publisher.disconnect();
}

/// The value of each bucket, lowest bound first.
fn buckets(broker: &Broker, name: &str) -> Vec<u64> {
    let (_, page) = broker.http_get("/api/v5/prometheus/stats");
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{")));
    lines.map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a number")).collect()
}

fn level_in_force(broker: &Broker) -> String {
    let (_, page) = broker.http_get("/api/v5/prometheus/stats");
    let mut chosen = page
        .lines()
        .filter(|line| line.starts_with("ringmq_durability_level{") && line.ends_with(" 1"))
        .filter_map(|line| line.split_once("level=\"")?.1.split_once('"').map(|(level, _)| level.to_owned()));
    let level = chosen.next().expect("a level");
    assert_eq!(chosen.next(), None, "one level is in force");
    level
}

#[test]
fn what_is_stored_for_one_who_is_away_shows_in_the_metrics() {
    for level in ["fsync", "wal"] {
        at_shards(&[&format!("durability.level={level}")], |broker| {
            publish_to_one_who_is_away(broker);
            // The body and the place in the queue of each message, besides the session and its subscription.
            broker.wait_metric("persistence.records.put", 2 * MESSAGES + 2);
            broker.wait_metric("persistence.records", 2 * MESSAGES + 2);
            broker.wait_metric("persistence.live.bytes", 2 * MESSAGES * 16);
            broker.wait_metric("persistence.bytes.written", broker.metric("persistence.live.bytes"));
            broker.wait_metric("persistence.writes", 1);
            broker.wait_metric("persistence.segments", 1);
            broker.wait_metric("persistence.allocated.bytes", 1);
            broker.wait_metric("persistence.index.bytes", 1);
            if level == "fsync" {
                broker.wait_metric("persistence.syncs", 1);
            }
            // Every publication was acknowledged, so every commit has ended.
            assert_eq!(broker.metric("persistence.commit.batch_size_sum"), MESSAGES);
            let batches = buckets(broker, "ringmq_persistence_commit_batch_size");
            assert_eq!(batches.len(), 10);
            assert!(batches.is_sorted(), "{batches:?}");
            let commits = broker.metric("persistence.commit.batch_size_count");
            assert!((1..=MESSAGES).contains(&commits) && batches[9] == commits, "{commits} of {batches:?}");
            let latencies = buckets(broker, "ringmq_persistence_commit_latency_ms");
            assert!(latencies[9] >= 1 && latencies.is_sorted(), "{latencies:?}");
            assert_eq!(broker.metric("persistence.commit.latency_ms_count"), latencies[9]);
            assert_eq!(broker.metric("persistence.failed_logs"), 0);
            assert_eq!(broker.metric("persistence.publications.refused"), 0);
            assert_eq!(level_in_force(broker), level);
            let mut away = Login::persistent(ProtocolVersion::V5, "away").open(broker);
            for n in 0..MESSAGES {
                assert_eq!(away.receive().text(), n.to_string());
            }
            broker.wait_metric("persistence.records.removed", 2 * MESSAGES);
        });
    }
}

#[test]
fn publications_that_cannot_be_stored_are_counted() {
    at_shards(&["persistence.segment_bytes=1MB", "persistence.max_bytes=8MB"], |broker| {
        let mut away = Login::persistent(ProtocolVersion::V5, "away").open_new(broker);
        away.subscribe("full", 1);
        away.vanish();
        let mut publisher = Login::v5("publisher").open(broker);
        let mut stored = 0;
        let refused = loop {
            let answer = publisher.publish(message("full", vec![b'x'; 64 << 10]).qos(1));
            if answer != ReasonCode::Success {
                break answer;
            }
            stored += 1;
            assert!(stored < 1000, "the store does not fill");
        };
        assert_eq!(refused, ReasonCode::QuotaExceeded);
        broker.wait_metric("persistence.publications.refused", 1);
        assert_eq!(broker.metric("persistence.publications.refused"), 1);
        assert_eq!(broker.metric("persistence.commit.batch_size_sum"), stored);
        assert_eq!(broker.metric("persistence.failed_logs"), 0, "a full store is not a failed one");
    });
}

#[test]
fn a_log_that_has_failed_raises_a_gauge() {
    for shards in [1, 4] {
        let data = tempfile::tempdir().expect("a temporary directory");
        let at = format!("node.data_dir={}", data.path().join("data").display());
        let broker = Broker::with(shards, &[&at, "persistence.segment_bytes=1MB"]);
        publish_to_one_who_is_away(&broker);
        assert_eq!(broker.metric("persistence.failed_logs"), 0);
        // The next segment cannot be created.
        std::fs::remove_dir_all(data.path().join("data/shards")).expect("removed");
        let mut publisher = Login::v5("publisher").open(&broker);
        let is_refused = (0..100).any(|_| {
            publisher.publish(message("figures", vec![b'x'; 64 << 10]).qos(1)) == ReasonCode::QuotaExceeded
        });
        assert!(is_refused, "6 MB went into a log without a directory");
        broker.wait_metric("persistence.failed_logs", 1);
        assert_eq!(broker.metric("persistence.failed_logs"), 1);
        broker.wait_metric("persistence.publications.refused", 1);
    }
}

#[test]
fn without_a_store_there_is_nothing_to_count() {
    at_shards(&["sessions.durable=false"], |broker| {
        publish_to_one_who_is_away(broker);
        let (_, page) = broker.http_get("/api/v5/prometheus/stats");
        let figures: Vec<&str> =
            page.lines().filter(|line| line.starts_with("ringmq_persistence_")).collect();
        assert!(figures.len() > 20, "{page}");
        assert!(figures.iter().all(|line| line.ends_with(" 0")), "{figures:?}");
        assert_eq!(level_in_force(broker), "memory");
    });
}
