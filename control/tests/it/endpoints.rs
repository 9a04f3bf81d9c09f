//! What the endpoints answer.

use crate::client::{config, control, fetch};
use ringmq_control::ControlSocket;
use ringmq_core::metrics::{Metric, Tally};
use ringmq_shards::metrics::ShardCells;
use std::sync::Arc;

#[test]
fn status_is_text_or_json() {
    let control = control(&[Arc::default(), Arc::default()]);
    let text = fetch(control.address(), "/api/v5/status");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("\r\n\r\nNode ringmq@test is started\nringmq is running"), "{text}");
    let json = fetch(control.address(), "/api/v5/status?format=json");
    let body: serde_json::Value = serde_json::from_str(json.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["node_name"], "ringmq@test");
    assert_eq!(body["rel_vsn"], "1.2.3");
    assert_eq!(body["broker_status"], "started");
    assert_eq!(body["app_status"], "running");
    assert_eq!(body["shards"], 2);
    control.shutdown();
}

#[test]
fn status_turns_to_503_when_the_node_stops() {
    let control = control(&[Arc::default()]);
    control.announce_stopping();
    let answer = fetch(control.address(), "/api/v5/status").to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 15\r\n"), "{answer}");
    assert!(answer.ends_with("ringmq is not running"), "{answer}");
    control.shutdown();
}

#[test]
fn prometheus_scrape_shows_what_a_shard_published() {
    let cells = [Arc::new(ShardCells::default())];
    let control = control(&cells);
    let mut tally = Tally::default();
    tally.add(Metric::MessagesReceived, 41);
    cells[0].publish(&mut tally);
    let answer = fetch(control.address(), "/api/v5/prometheus/stats");
    assert!(answer.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nemqx_messages_received{node=\"ringmq@test\"} 41\n"), "{answer}");
    control.shutdown();
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let control = control(&[Arc::default()]);
    assert!(fetch(control.address(), "/").starts_with("HTTP/1.1 404"));
    assert!(fetch(control.address(), "/api/v5/nothing").starts_with("HTTP/1.1 404"));
    control.shutdown();
}

#[test]
fn port_in_use_names_the_key_and_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = ControlSocket::bind(&config(&address)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("dashboard.listeners.http.bind = \"{address}\": ")), "{error}");
    assert!(error.contains("choose another address"), "{error}");
}

#[test]
fn disabled_listener_is_not_bound() {
    let mut config = config("127.0.0.1:0");
    config.listeners.http.enable = false;
    assert!(ControlSocket::bind(&config).unwrap().is_none());
}
