//! One MQTT client: a socket, its handshake and its buffers. It never decides what to publish.

use crate::net::{sources, syscalls};
use anyhow::{Context, Result};
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// connect() has not completed.
    Connecting,
    /// CONNECT is sent, CONNACK awaited.
    Greeting,
    /// SUBSCRIBE is sent, SUBACK awaited.
    Subscribing,
    /// The handshake is over.
    Ready,
    /// The socket is gone.
    Closed,
}

/// What a client says first.
#[derive(Debug)]
pub struct Greeting {
    /// The bytes of CONNECT.
    pub connect: Vec<u8>,
    /// The bytes of SUBSCRIBE, sent after CONNACK.
    pub subscribe: Option<Vec<u8>>,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// How far it has come.
    pub stage: Stage,
    /// When connect() was called.
    pub opened_ns: u64,
    /// `None` once closed.
    pub stream: Option<TcpStream>,
    /// SUBSCRIBE, until it is sent.
    pub subscribe: Option<Vec<u8>>,
    /// The beginning of a packet whose end has not arrived.
    pub partial: Vec<u8>,
    /// Bytes to be sent, of which `sent` are.
    out: Vec<u8>,
    sent: usize,
    queued: bool,
}

impl Client {
    /// Begins to connect to `target`; `index` chooses the source address.
    ///
    /// # Errors
    /// What the system calls answer, as when descriptors or ports run out.
    pub fn open(target: SocketAddr, index: u32, greeting: Greeting, now_ns: u64) -> Result<Client> {
        let stream = connect(target, index)?;
        Ok(Client {
            stage: Stage::Connecting,
            opened_ns: now_ns,
            stream: Some(stream),
            subscribe: greeting.subscribe,
            partial: Vec::new(),
            out: greeting.connect,
            sent: 0,
            queued: false,
        })
    }

    /// A client that could not even begin; it keeps the place of its number.
    pub fn closed(now_ns: u64) -> Client {
        Client {
            stage: Stage::Closed,
            opened_ns: now_ns,
            stream: None,
            subscribe: None,
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            queued: false,
        }
    }

    /// Sends what the socket takes. What it does not take is sent when it becomes writable.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Without this a client that is always behind would never reuse what it has sent.
                    if self.sent > self.out.len() / 2 {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Closes the socket and frees all buffers.
    pub fn close(&mut self) {
        *self = Client::closed(self.opened_ns);
    }

    /// Frees the buffers that are empty: an idle client should cost the kernel's memory, not ours.
    pub fn shrink(&mut self) {
        self.partial.shrink_to_fit();
        self.out.shrink_to_fit();
    }
}

fn connect(target: SocketAddr, index: u32) -> Result<TcpStream> {
    let socket =
        Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP)).context("socket")?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // A closed client leaves no TIME_WAIT behind, which would keep its port from the next run.
    socket.set_linger(Some(Duration::ZERO))?;
    if let Some(source) = sources::source_for(target, index) {
        syscalls::bind_address_no_port(&socket)?;
        socket.bind(&source.into()).with_context(|| format!("bind to {source}"))?;
    }
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            Err(error).with_context(|| format!("connect to {target}"))
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// All clients of one thread, by the number in which they were opened.
#[derive(Debug, Default)]
pub struct Clients {
    list: Vec<Client>,
    queue: Vec<u32>,
}

impl Clients {
    /// Adds a client and returns its number.
    pub fn push(&mut self, client: Client) -> u32 {
        self.list.push(client);
        self.list.len() as u32 - 1
    }

    /// The client with this number.
    pub fn at(&mut self, index: u32) -> &mut Client {
        &mut self.list[index as usize]
    }

    /// Where to append what this client shall send at the end of the turn.
    pub fn out(&mut self, index: u32) -> &mut Vec<u8> {
        let client = &mut self.list[index as usize];
        if !client.queued {
            client.queued = true;
            self.queue.push(index);
        }
        &mut client.out
    }

    /// Whether this client's socket is gone.
    pub fn is_closed(&self, index: u32) -> bool {
        self.list[index as usize].stage == Stage::Closed
    }

    /// Bytes this client has to send.
    pub fn backlog_bytes(&self, index: u32) -> usize {
        let client = &self.list[index as usize];
        client.out.len() - client.sent
    }

    /// Takes a client that has something to send.
    pub fn poll_queued(&mut self) -> Option<u32> {
        let index = self.queue.pop()?;
        self.list[index as usize].queued = false;
        Some(index)
    }

    /// How many clients were opened.
    pub fn len(&self) -> u32 {
        self.list.len() as u32
    }
}
