//! One connection: bytes to packets and back over a blocking socket, every wait bounded. It knows nothing of
//! sessions, and never drops what the broker sent before its end: acknowledgements that a dying broker wrote
//! are read even when writing fails already.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{DISCONNECT, Hello, Packet, Version};

/// How long one attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a broker may take to answer a CONNECT, a SUBSCRIBE or a DISCONNECT.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long a write may block: the broker reads on as long as it lives.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// Between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// One life of the broker, from its start to its end, as its clients see it.
pub struct Life {
    /// Counts from 0.
    pub number: u32,
    /// Where the broker listens.
    pub address: SocketAddr,
    /// When a client gives up whatever it does.
    pub deadline: Instant,
    is_over: AtomicBool,
}

impl Life {
    /// A life that takes `limit` at most.
    pub fn new(number: u32, address: SocketAddr, limit: Duration) -> Self {
        Self { number, address, deadline: Instant::now() + limit, is_over: AtomicBool::new(false) }
    }

    /// Says that the broker is about to be ended: from here on connections may close.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether the broker is ended, or everybody waited too long.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst) || Instant::now() >= self.deadline
    }

    /// Whether the broker has been ended by this test.
    pub fn is_ended(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

/// Why a connection cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Gone {
    /// The broker closed it, or is gone.
    Closed,
    /// The broker sent what is no packet.
    Malformed,
}

/// A connection after its CONNECT.
pub struct Connection {
    stream: TcpStream,
    version: Version,
    input: Vec<u8>,
    /// How much of `input` has been read as packets.
    taken: usize,
    output: Vec<u8>,
    is_write_broken: bool,
}

/// What came of trying to connect.
pub enum Attempt {
    /// Accepted.
    Accepted {
        /// The connection.
        connection: Connection,
        /// Whether the broker kept the session.
        is_session_present: bool,
    },
    /// CONNACK refused it with this reason.
    Refused(u8),
    /// The broker's life ended first.
    Over,
}

impl Attempt {
    /// The connection, and whether the broker kept the session. `complain` is told of a broker that lives and does not let
    /// the client in.
    pub fn into_connection(self, life: &Life, complain: impl FnOnce(&str)) -> Option<(Connection, bool)> {
        match self {
            Attempt::Accepted { connection, is_session_present } => {
                return Some((connection, is_session_present));
            }
            Attempt::Refused(reason) => complain(&format!("CONNACK refuses with {reason:#04x}")),
            Attempt::Over if !life.is_ended() => complain("could not connect in time"),
            Attempt::Over => {}
        }
        None
    }
}

impl Connection {
    /// Connects as soon as the broker listens; tries until its life is over.
    pub fn open(life: &Life, version: Version, hello: &Hello<'_>) -> Attempt {
        while !life.is_over() {
            if let Some(attempt) = Self::try_open(life, version, hello) {
                return attempt;
            }
            thread::sleep(RETRY_PAUSE);
        }
        Attempt::Over
    }

    fn try_open(life: &Life, version: Version, hello: &Hello<'_>) -> Option<Attempt> {
        let stream = TcpStream::connect_timeout(&life.address, CONNECT_LIMIT).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_write_timeout(Some(WRITE_LIMIT)).ok()?;
        let (input, output) = (Vec::new(), Vec::new());
        let mut connection = Self { stream, version, input, taken: 0, output, is_write_broken: false };
        version.write_connect(hello, &mut connection.output);
        connection.flush();
        match connection.wait_packet(ANSWER_LIMIT).ok()?? {
            Packet::ConnAck { reason: 0, is_session_present } => {
                Some(Attempt::Accepted { connection, is_session_present })
            }
            Packet::ConnAck { reason, .. } => Some(Attempt::Refused(reason)),
            _ => None,
        }
    }

    /// The version it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where packets are appended; `flush` sends them.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends what was appended. A failure shows at the next read, behind all that the broker still sent.
    pub fn flush(&mut self) {
        if !self.output.is_empty() && !self.is_write_broken {
            self.is_write_broken = self.stream.write_all(&self.output).is_err();
        }
        self.output.clear();
    }

    /// The next packet, waiting at most `wait` for more bytes; `None` where no whole packet came.
    ///
    /// # Errors
    /// The connection is at its end.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Packet>, Gone> {
        if let Some(packet) = self.take_packet()? {
            return Ok(Some(packet));
        }
        self.input.drain(..self.taken);
        self.taken = 0;
        // A timeout of zero would mean to wait without end.
        let wait = wait.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(wait)).map_err(|_| Gone::Closed)?;
        let mut bytes = [0; 32 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(Gone::Closed),
            Ok(count) => {
                self.input.extend(&bytes[..count]);
                self.take_packet()
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut if self.is_write_broken => Err(Gone::Closed),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(Gone::Closed),
            },
        }
    }

    /// A packet that is already here.
    ///
    /// # Errors
    /// The bytes are no packet.
    pub fn take_packet(&mut self) -> Result<Option<Packet>, Gone> {
        match self.version.read(&self.input[self.taken..]) {
            Ok(Some((packet, length))) => {
                self.taken += length;
                Ok(Some(packet))
            }
            Ok(None) => Ok(None),
            Err(_) => Err(Gone::Malformed),
        }
    }

    /// The next packet, or `None` after `limit`.
    ///
    /// # Errors
    /// The connection is at its end.
    pub fn wait_packet(&mut self, limit: Duration) -> Result<Option<Packet>, Gone> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(packet) = self.poll(left)? {
                return Ok(Some(packet));
            }
        }
    }

    /// Sends all that is due and DISCONNECT, and waits until the broker has closed: whatever was sent is read
    /// by then. Whether it closed in time.
    pub fn leave(mut self) -> bool {
        self.output.extend(DISCONNECT);
        self.flush();
        let deadline = Instant::now() + ANSWER_LIMIT;
        while Instant::now() < deadline {
            if self.poll(Duration::from_millis(100)).is_err() {
                return true;
            }
        }
        false
    }
}
