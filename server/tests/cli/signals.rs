//! Signals to stop: the first in order, the second at once.

use crate::process::{APART, PATIENCE, Running, ringmq};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn sigterm_and_sigint_end_the_process_with_0_within_5_s() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let mut running = Running::serving(&mut ringmq(directory.path(), &APART));
        let addresses = [running.address("listening on tcp:default "), running.address("http on ")];
        // Connections that say nothing must not hold the process.
        let _silent = addresses.map(|address| TcpStream::connect(address).unwrap());
        let start = Instant::now();
        running.signal(signal);
        let status = running.wait(PATIENCE).expect("the process ends");
        assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
        assert_eq!(status.code(), Some(0), "{}", running.stderr());
    }
}

/// A client that has subscribed to `#` and then reads nothing any more.
fn deaf_subscriber(running: &Running) -> TcpStream {
    let mut stream = connected(running, b"deaf");
    stream.write_all(b"\x82\x06\x00\x01\x00\x01#\x00").unwrap();
    let mut suback = [0; 5];
    stream.read_exact(&mut suback).unwrap();
    assert_eq!(suback, *b"\x90\x03\x00\x01\x00");
    stream
}

fn connected(running: &Running, client_id: &[u8; 4]) -> TcpStream {
    let mut stream = TcpStream::connect(running.address("listening on tcp:default ")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04").unwrap();
    stream.write_all(client_id).unwrap();
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack, *b"\x20\x02\x00\x00");
    stream
}

#[test]
fn second_signal_ends_the_process_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let slow = [
        "--set",
        "node.shutdown_timeout=60s",
        "--set",
        "listeners.tcp.default.tcp_options.high_watermark=256MB",
        "--set",
        "listeners.tcp.default.tcp_options.send_timeout=1h",
    ];
    let mut running = Running::serving(&mut ringmq(directory.path(), &[&APART[..], &slow].concat()));
    let _deaf = deaf_subscriber(&running);
    let mut publisher = connected(&running, b"loud");
    let payload = vec![b'x'; 1_000_000 - 3];
    for _ in 0..32 {
        // A QoS 0 PUBLISH to `t` of 1,000,000 bytes; the deaf client's socket holds far less than 32 of them.
        publisher.write_all(b"\x30\xc0\x84\x3d\x00\x01t").unwrap();
        publisher.write_all(&payload).unwrap();
    }
    publisher.write_all(b"\xc0\x00").unwrap();
    let mut pingresp = [0; 2];
    publisher.read_exact(&mut pingresp).unwrap();
    running.signal(Signal::TERM);
    running.wait_for("the first signal", |running| running.stderr().contains("stopping"));
    assert!(running.wait(Duration::from_millis(300)).is_none(), "nothing was left to flush");
    running.signal(Signal::TERM);
    let status = running.wait(Duration::from_secs(2)).expect("the process ends at once");
    assert_eq!(status.code(), Some(128 + 15), "{}", running.stderr());
}
