//! Checkpoints of the logs: written while the broker runs and when it is stopped, used by the next start, and missed by nobody
//! when they are gone or broken.

use crate::harness::*;
use std::fs;
use std::path::{Path, PathBuf};

const MESSAGES: usize = 400;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn start(data: &Path, shards: usize) -> Broker {
    let data_dir = format!("node.data_dir={}", data.join("data").display());
    let settings = ["persistence.checkpoint_bytes=64KB", "persistence.cache_bytes=10KB"];
    Broker::with(shards, &[&[data_dir.as_str()], settings.as_slice()].concat())
}

fn end(mut broker: Broker, signal: Signal) {
    broker.signal(signal);
    assert!(broker.wait(PATIENCE).is_some());
}

/// The checkpoints that lie in the directories of logs.
fn checkpoints(data: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(data.join("data/shards")).expect("the store");
    let directories = shards.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let files = directories.flat_map(|path| fs::read_dir(path).expect("a log"));
    let paths = files.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "ckpt")).collect()
}

fn body(number: usize) -> String {
    format!("{number:05} {}", "x".repeat(1_000))
}

fn publish_bodies(broker: &Broker, numbers: std::ops::Range<usize>) {
    let mut publisher = Login::v5("publisher").open(broker);
    publisher.publish_all(numbers.map(|n| message("much", body(n)).qos(1)), 20);
    publisher.disconnect();
}

/// Takes the next messages and leaves.
fn take(broker: &Broker, numbers: std::ops::Range<usize>) {
    let mut client = Login::persistent(V5, "away").open(broker);
    assert!(client.session_present());
    client.expect_texts(numbers.map(body));
    client.vanish_quietly();
}

#[test]
fn queues_are_there_after_every_end_with_checkpoints_without_and_with_broken_ones() {
    for shards in [1, 4] {
        let data = tempfile::tempdir().expect("a temporary directory");
        let broker = start(data.path(), shards);
        let mut client = Login::persistent(V5, "away").open_new(&broker);
        client.subscribe("much", 1);
        client.disconnect();
        publish_bodies(&broker, 0..MESSAGES);
        broker.wait_metric("persistence.checkpoints", 2);
        end(broker, Signal::KILL);
        assert!(!checkpoints(data.path()).is_empty());
        let broker = start(data.path(), shards);
        publish_bodies(&broker, MESSAGES..MESSAGES + 50);
        end(broker, Signal::TERM);
        let broker = start(data.path(), shards);
        end(broker, Signal::TERM);
        for path in checkpoints(data.path()) {
            let mut bytes = fs::read(&path).expect("a checkpoint");
            bytes[4_200] ^= 1;
            fs::write(&path, bytes).expect("it can be changed");
        }
        let broker = start(data.path(), shards);
        end(broker, Signal::KILL);
        for path in checkpoints(data.path()) {
            fs::remove_file(path).expect("it can be deleted");
        }
        let broker = start(data.path(), shards);
        take(&broker, 0..MESSAGES + 50);
        assert_eq!(broker.metric("delivery.dropped"), 0);
    }
}
