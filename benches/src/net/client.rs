//! One MQTT client: a socket, its handshake and its buffers. It never decides what to publish.

use crate::net::endpoint::Endpoint;
use crate::net::transport::Layers;
use crate::net::{sources, syscalls};
use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// Empty buffers kept for clients that have something to send; more are freed.
const SPARE_BUFFERS_MAX: usize = 1024;
/// A larger buffer is freed once it is sent.
const SPARE_BYTES_MAX: usize = 64 * 1024;

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

/// A client. Idle, it owns no memory but this and, on plain TCP, nothing on the heap: there may be a million.
#[derive(Debug)]
pub struct Client {
    /// How far it has come.
    pub stage: Stage,
    /// When connect() was called.
    pub opened_ns: u64,
    /// When CONNECT was given to the transport.
    pub greeted_ns: u64,
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
    /// Whether it had something to send since [`Clients::was_silent`] was asked.
    spoke: bool,
    /// `None` on plain TCP.
    layers: Option<Box<Layers>>,
}

impl Client {
    /// Begins to connect to `endpoint`; `index` chooses the source address.
    ///
    /// # Errors
    /// What the system calls answer, as when descriptors or ports run out.
    pub fn open(endpoint: &Endpoint, index: u32, greeting: Greeting, now_ns: u64) -> Result<Client> {
        let layers = endpoint.transport.layers()?;
        let stream = connect(endpoint.address, index)?;
        Ok(Client {
            stage: Stage::Connecting,
            opened_ns: now_ns,
            greeted_ns: now_ns,
            stream: Some(stream),
            subscribe: greeting.subscribe,
            partial: Vec::new(),
            out: greeting.connect,
            sent: 0,
            queued: false,
            spoke: false,
            layers,
        })
    }

    /// A client that could not even begin; it keeps the place of its number.
    pub fn closed(now_ns: u64) -> Client {
        Client {
            stage: Stage::Closed,
            opened_ns: now_ns,
            greeted_ns: now_ns,
            stream: None,
            subscribe: None,
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            queued: false,
            spoke: false,
            layers: None,
        }
    }

    /// Sends what the socket takes. What it does not take is sent when it becomes writable.
    ///
    /// # Errors
    /// When the connection is broken.
    fn flush(&mut self) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if let Some(layers) = &mut self.layers {
            return flush_layers(stream, layers, &mut self.out);
        }
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(0) => bail!("the socket takes no more"),
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
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Whether the bytes of the socket are not MQTT yet.
    pub fn is_layered(&self) -> bool {
        self.layers.is_some()
    }

    /// Takes what the socket of a layered client read, appends the MQTT in it to `mqtt`, and tells whether there is
    /// something to send now.
    ///
    /// # Errors
    /// When a layer is broken or closed; what came before stands in `mqtt` all the same.
    pub fn open_layers(&mut self, bytes: &[u8], mqtt: &mut Vec<u8>) -> Result<bool> {
        let Some(layers) = &mut self.layers else { return Ok(false) };
        layers.handle_input(bytes, mqtt)?;
        Ok(!layers.pending().is_empty() || (layers.is_open() && !self.out.is_empty()))
    }

    /// Closes the socket and frees all buffers.
    pub fn close(&mut self) {
        // Whether the queue names this client does not change.
        *self = Client { queued: self.queued, ..Client::closed(self.opened_ns) };
    }
}

/// Sends what waits in the layers, then what waits for them, as long as the socket takes it.
fn flush_layers(stream: &mut TcpStream, layers: &mut Layers, out: &mut Vec<u8>) -> Result<()> {
    loop {
        while !layers.pending().is_empty() {
            match stream.write(layers.pending()) {
                Ok(0) => bail!("the socket takes no more"),
                Ok(bytes) => layers.handle_sent(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if out.is_empty() || !layers.is_open() {
            return Ok(());
        }
        layers.seal(out)?;
        out.clear();
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
    /// Empty buffers with room.
    spare: Vec<Vec<u8>>,
}

impl Clients {
    /// Makes room for exactly this many more clients.
    pub fn reserve(&mut self, clients: u32) {
        self.list.reserve_exact(clients as usize);
    }

    /// Adds a client and returns its number.
    pub fn push(&mut self, client: Client) -> u32 {
        self.list.push(client);
        self.list.len() as u32 - 1
    }

    /// Puts a client in the place of one that is closed.
    pub fn replace(&mut self, index: u32, client: Client) {
        // The old one may still be queued for sending.
        let queued = self.list[index as usize].queued;
        self.list[index as usize] = Client { queued, ..client };
    }

    /// The client with this number.
    pub fn at(&mut self, index: u32) -> &mut Client {
        &mut self.list[index as usize]
    }

    /// Where to append what this client shall send at the end of the turn.
    pub fn out(&mut self, index: u32) -> &mut Vec<u8> {
        let client = &mut self.list[index as usize];
        if !client.queued {
            (client.queued, client.spoke) = (true, true);
            self.queue.push(index);
            if client.out.capacity() == 0 {
                client.out = self.spare.pop().unwrap_or_default();
            }
        }
        &mut client.out
    }

    /// Sends what this client has to send and takes its buffer back once it is empty.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self, index: u32) -> Result<()> {
        let client = &mut self.list[index as usize];
        client.flush()?;
        if client.out.is_empty() && client.out.capacity() > 0 {
            let buffer = std::mem::take(&mut client.out);
            if self.spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
                self.spare.push(buffer);
            }
        }
        Ok(())
    }

    /// Whether this client had nothing to send since this was asked last.
    pub fn was_silent(&mut self, index: u32) -> bool {
        !std::mem::take(&mut self.list[index as usize].spoke)
    }

    /// Whether this client's socket is gone.
    pub fn is_closed(&self, index: u32) -> bool {
        self.list[index as usize].stage == Stage::Closed
    }

    /// Bytes this client has to send.
    pub fn backlog_bytes(&self, index: u32) -> usize {
        let client = &self.list[index as usize];
        let sealed = client.layers.as_ref().map_or(0, |layers| layers.pending().len());
        client.out.len() - client.sent + sealed
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
