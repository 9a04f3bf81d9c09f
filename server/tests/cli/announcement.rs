//! What a serving broker says on standard output and over HTTP.

use crate::process::{APART, Running, fetch, ringmq};
use std::net::TcpStream;

#[test]
fn start_tells_shards_listeners_and_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let more = ["serve", "--set", "node.shards=3", "--set", "listeners.tcp.lan.bind=127.0.0.2:0"];
    let mut running = Running::serving(&mut ringmq(directory.path(), &[&APART[..], &more].concat()));
    let stdout = running.stdout();
    assert!(stdout.starts_with(&format!("ringmq {}, 3 shards\n", env!("CARGO_PKG_VERSION"))), "{stdout}");
    let (default, lan) =
        (running.address("listening on tcp:default "), running.address("listening on tcp:lan "));
    for address in [default, lan, running.address("http on ")] {
        assert_ne!(address.port(), 0);
        TcpStream::connect(address).unwrap();
    }
    assert_eq!(lan.ip().to_string(), "127.0.0.2");
    let next = format!("\nnext: mosquitto_sub -h 127.0.0.1 -p {} -t '#' -v\n", default.port());
    assert!(stdout.ends_with(&next), "{stdout}");
    assert!(directory.path().join("data").is_dir());
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(crate::process::PATIENCE).is_some());
}

#[test]
fn management_plane_can_be_closed() {
    let directory = tempfile::tempdir().unwrap();
    let closed = ["--set", "dashboard.listeners.http.enable=false"];
    let running = Running::serving(&mut ringmq(directory.path(), &[&APART[..], &closed].concat()));
    assert!(!running.stdout().contains("http on "), "{}", running.stdout());
}

#[test]
fn endpoints_show_the_node_and_its_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let named = ["--set", "node.name=here@test", "--set", "node.shards=2"];
    let running = Running::serving(&mut ringmq(directory.path(), &[&APART[..], &named].concat()));
    let http = running.address("http on ");
    assert!(fetch(http, "/api/v5/status").ends_with("Node here@test is started\nringmq is running"));
    let page = fetch(http, "/api/v5/prometheus/stats");
    for text in [
        "\n# TYPE emqx_delivery_dropped_queue_full counter\n",
        "\nemqx_delivery_dropped_queue_full{node=\"here@test\"} 0\n",
        "\n# TYPE emqx_connections_count gauge\n",
        "\nringmq_shards{node=\"here@test\"} 2\n",
        "\nprocess_resident_memory_bytes{node=\"here@test\"} ",
    ] {
        assert!(page.contains(text), "`{text}` is not in {page}");
    }
}

#[test]
fn second_broker_on_the_same_port_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::serving(&mut ringmq(directory.path(), &APART));
    let bind = format!("listeners.tcp.default.bind={}", running.address("listening on tcp:default "));
    let outcome = crate::process::run_ringmq(&[&APART[..], &["--set", &bind]].concat());
    outcome.assert_refused(1, &["listeners.tcp.default.bind = ", "in use"]);
}
