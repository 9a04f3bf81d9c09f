//! Rates of listeners: who comes or sends too fast waits, and loses nothing.

use crate::harness::*;
use std::time::{Duration, Instant};

#[test]
fn a_client_over_its_message_rate_is_slowed_and_loses_nothing() {
    let settings = ["listeners.tcp.default.messages_rate=20/s"];
    at_shards(&settings, |broker| {
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("r", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        let begun = Instant::now();
        publisher.publish_all((0..60).map(|number| message("r", number.to_string()).qos(1)), 60);
        assert!(begun.elapsed() > Duration::from_millis(1_500), "20 at once, then 20 a second");
        subscriber.expect_texts((0..60).map(|number| number.to_string()));
        assert!(broker.metric("publisher.throttles") > 0);
    });
}

/// A listener with these keys is slowed to 20 KB a second, after 40 KB at once.
#[track_caller]
fn expect_slowed_to_20_kb(settings: &[&str]) {
    let broker = Broker::with(2, settings);
    let mut subscriber = Login::v5("subscriber").open(&broker);
    subscriber.subscribe("r", 1);
    let mut publisher = Login::v5("publisher").open(&broker);
    let begun = Instant::now();
    let texts: Vec<String> = (0..20).map(|number| format!("{number:04000}")).collect();
    publisher.publish_all(texts.iter().map(|text| message("r", text.clone()).qos(1)), 20);
    assert!(begun.elapsed() > Duration::from_millis(1_000), "40 KB at once, 80 KB in all");
    subscriber.expect_texts(texts);
}

#[test]
fn a_client_over_its_byte_rate_is_slowed_and_loses_nothing() {
    expect_slowed_to_20_kb(&[
        "listeners.tcp.default.bytes_rate=20KB/s",
        "listeners.tcp.default.bytes_burst=20KB",
    ]);
}

#[test]
fn a_byte_rate_may_be_written_as_emq_x_4_has_it() {
    expect_slowed_to_20_kb(&["listeners.tcp.default.rate_limit='20480,40960'"]);
}

#[test]
fn connections_that_come_too_fast_wait_for_their_turn() {
    let settings = ["listeners.tcp.default.max_conn_rate=10/s"];
    let broker = Broker::with(2, &settings);
    let begun = Instant::now();
    let clients: Vec<Client> = (0..25).map(|number| Login::v5(&format!("c{number}")).open(&broker)).collect();
    assert!(begun.elapsed() > Duration::from_millis(1_000), "10 at once, then 10 a second");
    assert!(broker.metric("connections.delayed") > 0);
    for client in clients {
        client.disconnect();
    }
}
