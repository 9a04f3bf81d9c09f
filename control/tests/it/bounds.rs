//! What happens at the limits.

use crate::client::{connect, control, fetch};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether the server closed the connection within `wait`.
fn closed_within(stream: &mut TcpStream, wait: Duration) -> bool {
    stream.set_read_timeout(Some(wait)).unwrap();
    match stream.read(&mut [0; 256]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn connection_beyond_the_bound_is_closed_and_room_returns() {
    let control = control(&[Arc::default()]);
    let mut open: Vec<TcpStream> = (0..512).map(|_| connect(control.address())).collect();
    // Connections are accepted in order, so the answer on the last one proves that all 512 are.
    write!(open[511], "GET /api/v5/status HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(open[511].read(&mut [0; 256]).unwrap() > 0);
    assert!(closed_within(&mut connect(control.address()), Duration::from_secs(5)));
    drop(open);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut stream = connect(control.address());
        let mut answer = String::new();
        let sent = write!(stream, "GET /api/v5/status HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        if sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < deadline, "no room returned");
    }
    control.shutdown();
}

#[test]
fn endless_head_is_refused_while_others_are_served() {
    let control = control(&[Arc::default()]);
    let mut stream = connect(control.address());
    let mut sent = write!(stream, "GET /{} HTTP/1.1\r\n", "a".repeat(40_000));
    for _ in 0..1000 {
        if sent.is_err() {
            break;
        }
        sent = write!(stream, "x-header: value\r\n");
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(fetch(control.address(), "/api/v5/status").starts_with("HTTP/1.1 200"));
    control.shutdown();
}

#[test]
fn shutdown_does_not_wait_for_idle_connections() {
    let control = control(&[Arc::default()]);
    let mut idle = connect(control.address());
    assert!(fetch(control.address(), "/api/v5/status").starts_with("HTTP/1.1 200"));
    let begin = Instant::now();
    control.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert!(closed_within(&mut idle, Duration::from_secs(2)));
}
