//! What carries a client's bytes: a socket, or something upon one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::{Broker, Client, PATIENCE, message};

/// A stream of bytes with a socket at its bottom.
pub trait Stream: Read + Write + Send {
    /// The socket, whose time-outs, addresses and end are those of the stream.
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// A socket connected to this address that never waits forever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the listener accepts");
    socket.set_nodelay(true).expect("a TCP socket");
    socket.set_write_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket
}

/// Lets the test and the brokers it starts open as many sockets as the system allows: a shell gives 1,024 to a process unless it
/// is asked for more.
pub fn allow_many_sockets() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("up to the maximum");
}

/// Sends bytes on a new connection, whether or not all are taken, and returns everything until the broker closes it.
pub fn answer_to(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address);
    let _ = socket.write_all(bytes);
    read_to_close(&mut socket)
}

/// Everything that comes until the broker closes the connection; that it is reset at the end is no failure.
pub fn read_to_close(stream: &mut impl Read) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        assert!(Instant::now() < deadline, "not closed after {} bytes", all.len());
        match stream.read(&mut chunk) {
            Ok(0) => return all,
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("not closed after {} bytes", all.len())
            }
            Err(_) => return all,
        }
    }
}

/// Begins a thousand connections that go no further than `begin` has them, while `good` is served, and returns how many bytes
/// the broker grew by.
pub fn begin_a_thousand(broker: &Broker, good: &mut Client, begin: impl Fn(usize) -> TcpStream) -> u64 {
    good.subscribe("a", 1);
    good.publish(message("a", "before").qos(1));
    good.expect_texts(["before"]);
    let before = broker.rss_bytes();
    let mut begun = Vec::new();
    for number in 0..1000 {
        begun.push(begin(number));
        if number % 100 == 0 {
            good.publish(message("a", format!("{number}")).qos(1));
            good.expect_texts([number.to_string()]);
        }
    }
    good.ping();
    broker.rss_bytes().saturating_sub(before)
}
