//! Very many retained messages for one wildcard subscription: complete, paced by the receiver, bounded in memory.

use crate::harness::*;

const TOPICS: usize = 100_000;

/// Publishes the retained messages, `bytes` of payload each, and waits until all are stored.
fn fill(broker: &Broker, bytes: usize) {
    let mut publisher = Login::v5("publisher").open(broker);
    let messages = (0..TOPICS).map(|i| {
        let mut payload = format!("{i} ").into_bytes();
        payload.resize(bytes.max(payload.len()), b'.');
        message(format!("r/{}/{i}", i % 100), payload).qos(1).retained()
    });
    publisher.publish_all(messages, 100);
    broker.wait_metric("messages.retained", TOPICS as u64);
}

/// Reads `count` retained messages and checks that no topic comes twice.
fn read_distinct(client: &mut Client, count: usize) {
    let mut seen = vec![false; TOPICS];
    for _ in 0..count {
        let message = client.receive();
        assert!(message.retain);
        let number = message.text().split(' ').next().and_then(|number| number.parse::<usize>().ok());
        let number = number.expect("a number");
        assert!(!seen[number], "{} came twice", message.topic);
        seen[number] = true;
    }
}

#[test]
fn a_hundred_thousand_retained_messages_all_arrive() {
    at_shards(&[], |broker| {
        fill(broker, 10);
        let mut publisher = Login::v5("live").open(broker);
        for (version, qos) in
            [(ProtocolVersion::V311, 0), (ProtocolVersion::V5, 1), (ProtocolVersion::V31, 2)]
        {
            eprintln!("{version:?} at QoS {qos}");
            let mut client = Login::new(version, "reader").open(broker);
            client.subscribe("#", qos);
            read_distinct(&mut client, TOPICS);
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
        let mut client = Login::v5("part").open(broker);
        client.subscribe("r/7/+", 0);
        read_distinct(&mut client, TOPICS / 100);
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn a_slow_reader_gets_everything_in_bounded_memory() {
    at_shards(&[], |broker| {
        fill(broker, 1000);
        let before = broker.rss_bytes();
        let mut readers: Vec<Client> =
            (0..3).map(|i| Login::v311(&format!("slow{i}")).open(broker)).collect();
        readers.iter_mut().for_each(|reader| reader.subscribe("r/#", 0));
        // While three readers of 100 MB each do not read, others are served and memory stays.
        let mut other = Login::v5("other").open(broker);
        other.subscribe("other", 1);
        for _ in 0..300 {
            other.publish(message("other", "x").qos(1));
            other.expect_texts(["x"]);
        }
        let grown = broker.rss_bytes().saturating_sub(before);
        assert!(grown < 48 << 20, "grew by {grown} bytes");
        // At once, because a peer that takes nothing for `send_timeout` is closed.
        std::thread::scope(|scope| {
            for reader in &mut readers {
                scope.spawn(|| read_distinct(reader, TOPICS));
            }
        });
        let grown = broker.rss_bytes().saturating_sub(before);
        assert!(grown < 64 << 20, "grew by {grown} bytes");
    });
}

#[test]
fn live_messages_arrive_while_retained_ones_stream() {
    at_shards(&[], |broker| {
        fill(broker, 10);
        let mut client = Login::v5("reader").open(broker);
        let mut publisher = Login::v5("live").open(broker);
        client.subscribe("#", 0);
        publisher.publish(message("live/1", "live").qos(1));
        let mut retained = 0;
        let mut live = 0;
        while retained < TOPICS || live < 1 {
            let message = client.receive();
            match message.retain {
                true => retained += 1,
                false => live += 1,
            }
        }
        assert_eq!((retained, live), (TOPICS, 1));
    });
}
