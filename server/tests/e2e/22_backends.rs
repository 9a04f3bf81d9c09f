//! Both network backends, and shards with descriptor tables of their own.

use super::harness::{Broker, Login, message};
use std::process::Command;

const BACKENDS: [&str; 2] = ["node.net_backend=glommio", "node.net_backend=io_uring"];
const PRIVATE: &str = "node.private_fd_tables=true";

/// Every client publishes to the next one, so that messages cross all borders between shards.
fn exchange(broker: &Broker, clients: usize, payload: usize) {
    let mut all: Vec<_> = (0..clients)
        .map(|i| {
            let mut client = Login::v5(&format!("client-{i}")).open(broker);
            client.subscribe(&format!("to/{i}"), 1);
            client
        })
        .collect();
    let text = "x".repeat(payload);
    for (i, client) in all.iter_mut().enumerate() {
        let next = format!("to/{}", (i + 1) % clients);
        client.publish(message(next, text.clone()).qos(1));
    }
    for client in &mut all {
        client.expect_texts([text.clone()]);
        client.ping();
    }
}

#[test]
fn messages_of_every_size_pass_on_both_backends() {
    for backend in BACKENDS {
        for shards in [1, 4] {
            let broker = Broker::with(shards, &[backend]);
            for payload in [1, 3_000, 900_000] {
                exchange(&broker, 8, payload);
            }
        }
    }
}

#[test]
fn connections_move_to_their_home_between_private_descriptor_tables() {
    for backend in BACKENDS {
        let broker = Broker::with(4, &[backend, PRIVATE]);
        exchange(&broker, 64, 16);
    }
}

#[test]
fn with_private_tables_the_descriptor_limit_is_per_shard() {
    let broker = Broker::with(4, &[PRIVATE]);
    // Room for about 100 connections in each of the four tables, and far too little for 240 in one.
    let limit = Command::new("prlimit").args(["--pid", &broker.pid().to_string(), "--nofile=150"]).status();
    assert!(limit.expect("prlimit of util-linux").success());
    exchange(&broker, 240, 16);
}
