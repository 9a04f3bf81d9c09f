//! One thread's event loop: epoll, reading, cutting into packets, handshakes, writing once per turn.
//!
//! It never looks into messages and never decides when to open or to publish; that is the [`Driver`]'s part.

use crate::clock::Clock;
use crate::net::client::{Client, Clients, Greeting, Stage};
use crate::net::endpoint::Endpoint;
use crate::net::{syscalls, wire};
use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use ringmq_core::codec::{Connack, Frame, Packet, ProtocolVersion, decode_frame};
use ringmq_core::limits::REMAINING_LENGTH_MAX;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// One buffer for the reads of all clients of the thread.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one client in a turn, so that a busy one does not starve the others.
const READS_MAX: u32 = 4;
const EVENTS_MAX: usize = 1024;
/// epoll_wait rounds up to milliseconds, so shorter waits are made otherwise.
const WAIT_FINE_MAX: Duration = Duration::from_millis(5);

/// What a scenario does with its clients.
pub trait Driver {
    /// A client's CONNACK came this long after its CONNECT was given to the transport; on TLS that includes the
    /// handshake of TLS.
    fn handle_greeted(&mut self, _index: u32, _waited_ns: u64) {}

    /// The broker accepted a client, and these are its terms.
    ///
    /// # Errors
    /// When the scenario cannot work on them; the client is then closed.
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()>;

    /// The handshake of a client is over, SUBACK included.
    fn handle_ready(&mut self, clients: &mut Clients, index: u32, now_ns: u64);

    /// A ready client received a packet.
    ///
    /// # Errors
    /// When the packet has no place here; the client is then closed.
    fn handle_packet(
        &mut self,
        clients: &mut Clients,
        index: u32,
        packet: Packet<'_>,
        now_ns: u64,
    ) -> Result<()>;

    /// A client that was ready, or never became so, is gone.
    fn handle_closed(&mut self, index: u32, was_ready: bool, cause: anyhow::Error);

    /// All events of this turn are handled; what is appended to clients now is sent at once.
    fn handle_turn(&mut self, clients: &mut Clients, now_ns: u64);
}

/// The event loop of one thread.
#[derive(Debug)]
pub struct Engine {
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    /// The MQTT that a read of a layered client held.
    opened: Vec<u8>,
    clients: Clients,
    /// Clients whose READS_MAX was reached; epoll is edge-triggered and will not name them again.
    unread: Vec<u32>,
    /// Clients in the order they were opened, until their handshake was over or too long.
    handshakes: VecDeque<u32>,
    connecting: u32,
    endpoint: Endpoint,
    version: ProtocolVersion,
    handshake_ns_max: u64,
    clock: Clock,
}

impl Engine {
    /// A loop without clients, for the calling thread, which has its own descriptors from now on if the endpoint says so.
    ///
    /// # Errors
    /// When there is no epoll descriptor left.
    pub fn new(
        endpoint: Endpoint,
        version: ProtocolVersion,
        handshake_max: Duration,
        clock: Clock,
    ) -> Result<Engine> {
        if endpoint.private_fd_tables {
            syscalls::unshare_descriptors().context("unshare(CLONE_FILES)")?;
        }
        Ok(Engine {
            poll: Poll::new().context("epoll")?,
            events: Events::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            opened: Vec::new(),
            clients: Clients::default(),
            unread: Vec::new(),
            handshakes: VecDeque::new(),
            connecting: 0,
            endpoint,
            version,
            handshake_ns_max: handshake_max.as_nanos() as u64,
            clock,
        })
    }

    /// Makes room for exactly this many clients, where there are many.
    pub fn reserve(&mut self, clients: u32) {
        self.clients.reserve(clients);
    }

    /// Begins a connection; clients are numbered from 0 in the order of the calls. `source` chooses the source address.
    pub fn open(&mut self, driver: &mut impl Driver, source: u32, greeting: Greeting) {
        let index = self.clients.push(Client::closed(self.clock.now_ns()));
        self.reopen(driver, index, source, greeting);
    }

    /// Begins a connection again for a client that is closed.
    pub fn reopen(&mut self, driver: &mut impl Driver, index: u32, source: u32, greeting: Greeting) {
        let now_ns = self.clock.now_ns();
        let opened = Client::open(&self.endpoint, source, greeting, now_ns).and_then(|mut client| {
            if let Some(stream) = &mut client.stream {
                let token = Token(index as usize);
                self.poll.registry().register(stream, token, Interest::READABLE | Interest::WRITABLE)?;
            }
            Ok(client)
        });
        match opened {
            Ok(client) => {
                self.clients.replace(index, client);
                self.handshakes.push_back(index);
                self.connecting += 1;
            }
            Err(cause) => driver.handle_closed(index, false, cause),
        }
    }

    /// Clients whose handshake is in progress.
    pub fn connecting(&self) -> u32 {
        self.connecting
    }

    /// Waits for events at most `wait`, handles them and sends what the driver has to say.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn turn(&mut self, driver: &mut impl Driver, wait: Duration) -> Result<()> {
        let wait = if self.unread.is_empty() { wait } else { Duration::ZERO };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let wait = if wait < WAIT_FINE_MAX { self.wait_fine(wait) } else { wait };
        let polled = self.poll.poll(&mut events, Some(wait));
        for index in std::mem::take(&mut self.unread) {
            self.handle_readable(driver, index, false);
        }
        if polled.is_ok() {
            for event in &events {
                let index = event.token().0 as u32;
                if event.is_writable() {
                    self.handle_writable(driver, index);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.handle_readable(driver, index, event.is_read_closed() || event.is_error());
                }
            }
        }
        self.events = events;
        if let Err(error) = polled
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error).context("epoll_wait");
        }
        let now_ns = self.clock.now_ns();
        self.expire_handshakes(driver, now_ns);
        driver.handle_turn(&mut self.clients, now_ns);
        self.flush(driver);
        Ok(())
    }

    /// Closes every client at once and without a word, as when the network goes; the driver is not told.
    pub fn drop_all(&mut self) {
        for index in 0..self.clients.len() {
            self.clients.at(index).close();
        }
        self.handshakes.clear();
        self.connecting = 0;
    }

    /// Appends `farewell` to every ready client, sends it as far as possible and closes all.
    pub fn close_all(&mut self, farewell: &[u8]) {
        for index in 0..self.clients.len() {
            if self.clients.at(index).stage == Stage::Ready {
                self.clients.out(index).extend_from_slice(farewell);
                // The connection is closed next, so a broken one makes no difference.
                let _ = self.clients.flush(index);
            }
        }
        self.drop_all();
    }

    /// Appends `farewell` to every ready client and waits until the broker has closed their connections, at most `wait_max`:
    /// whoever connects next under the same name then does not meet what is left of the one before. The driver is not told.
    pub fn leave(&mut self, farewell: &[u8], wait_max: Duration) {
        let deadline_ns = self.clock.now_ns() + wait_max.as_nanos() as u64;
        let mut open = 0_u32;
        for index in 0..self.clients.len() {
            self.clients.out(index).extend_from_slice(farewell);
            let is_leaving =
                self.clients.at(index).stage == Stage::Ready && self.clients.flush(index).is_ok();
            if is_leaving {
                open += 1;
            } else {
                self.clients.at(index).close();
            }
        }
        while open > 0 && self.clock.now_ns() < deadline_ns {
            let wait = Duration::from_nanos(deadline_ns - self.clock.now_ns().min(deadline_ns));
            if self.poll.poll(&mut self.events, Some(wait)).is_err() {
                break;
            }
            for event in &self.events {
                let client = self.clients.at(event.token().0 as u32);
                if client.stream.as_mut().is_some_and(|stream| is_ended(stream, &mut self.buffer)) {
                    client.close();
                    open -= 1;
                }
            }
        }
        self.drop_all();
    }

    /// Waits for events with the resolution of a nanosecond; what is left to wait afterwards is nothing.
    fn wait_fine(&self, wait: Duration) -> Duration {
        if !wait.is_zero() {
            syscalls::wait_readable(&self.poll, wait);
        }
        Duration::ZERO
    }

    /// Appends a PINGREQ to what this client sends next, if it is ready, and returns whether it is.
    pub fn ping(&mut self, index: u32, pingreq: &[u8]) -> bool {
        let is_ready = index < self.clients.len() && self.clients.at(index).stage == Stage::Ready;
        if is_ready {
            self.clients.out(index).extend_from_slice(pingreq);
        }
        is_ready
    }

    /// The same for a client that had nothing to send since this was called for it last.
    pub fn ping_silent(&mut self, index: u32, pingreq: &[u8]) {
        if index < self.clients.len() && self.clients.was_silent(index) {
            self.ping(index, pingreq);
        }
    }

    fn flush(&mut self, driver: &mut impl Driver) {
        while let Some(index) = self.clients.poll_queued() {
            if let Err(cause) = self.clients.flush(index) {
                self.close(driver, index, cause);
            }
        }
    }

    fn handle_writable(&mut self, driver: &mut impl Driver, index: u32) {
        let client = self.clients.at(index);
        let mut connected = Ok(());
        if let (Some(stream), Stage::Connecting) = (&client.stream, client.stage) {
            connected = stream.take_error().and_then(|error| error.map_or(Ok(()), Err));
            client.stage = Stage::Greeting;
            client.greeted_ns = self.clock.now_ns();
        }
        let address = self.endpoint.address;
        let connected = connected.with_context(|| format!("connect to {address}"));
        if let Err(cause) = connected.and_then(|()| self.clients.flush(index)) {
            self.close(driver, index, cause);
        }
    }

    fn handle_readable(&mut self, driver: &mut impl Driver, index: u32, is_hangup: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.read(driver, index, is_hangup, &mut buffer);
        self.buffer = buffer;
        if let Err(cause) = outcome {
            self.close(driver, index, cause);
        }
    }

    fn read(
        &mut self,
        driver: &mut impl Driver,
        index: u32,
        is_hangup: bool,
        buffer: &mut [u8],
    ) -> Result<()> {
        let mut reads = 0;
        while reads < READS_MAX {
            let client = self.clients.at(index);
            let is_layered = client.is_layered();
            let Some(stream) = &mut client.stream else { return Ok(()) };
            match stream.read(buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(bytes) => {
                    if is_layered {
                        self.handle_layered(driver, index, &buffer[..bytes])?;
                    } else {
                        self.handle_bytes(driver, index, &buffer[..bytes])?;
                    }
                    // A short read means the socket is empty, and what comes later is a new edge; only a hang-up that
                    // was announced already is not announced again.
                    if bytes < buffer.len() && !is_hangup {
                        return Ok(());
                    }
                    reads += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unread.push(index);
        Ok(())
    }

    fn handle_layered(&mut self, driver: &mut impl Driver, index: u32, bytes: &[u8]) -> Result<()> {
        let mut mqtt = std::mem::take(&mut self.opened);
        mqtt.clear();
        let opened = self.clients.at(index).open_layers(bytes, &mut mqtt);
        if let Ok(true) = opened {
            // Naming the buffer is what has it sent at the end of the turn.
            self.clients.out(index);
        }
        let handled = if mqtt.is_empty() { Ok(()) } else { self.handle_bytes(driver, index, &mqtt) };
        self.opened = mqtt;
        handled.and(opened.map(drop))
    }

    fn handle_bytes(&mut self, driver: &mut impl Driver, index: u32, bytes: &[u8]) -> Result<()> {
        let now_ns = self.clock.now_ns();
        let mut partial = std::mem::take(&mut self.clients.at(index).partial);
        if partial.is_empty() {
            let used = self.handle_frames(driver, index, bytes, now_ns)?;
            partial.extend_from_slice(&bytes[used..]);
        } else {
            partial.extend_from_slice(bytes);
            let used = self.handle_frames(driver, index, &partial, now_ns)?;
            partial.drain(..used);
        }
        // A client between packets keeps no buffer for them.
        self.clients.at(index).partial = if partial.is_empty() { Vec::new() } else { partial };
        Ok(())
    }

    fn handle_frames(
        &mut self,
        driver: &mut impl Driver,
        index: u32,
        bytes: &[u8],
        now_ns: u64,
    ) -> Result<usize> {
        let mut used = 0;
        while let Some(frame) = decode_frame(&bytes[used..], REMAINING_LENGTH_MAX)? {
            used += frame.bytes;
            self.handle_frame(driver, index, frame, now_ns)?;
        }
        Ok(used)
    }

    fn handle_frame(
        &mut self,
        driver: &mut impl Driver,
        index: u32,
        frame: Frame<'_>,
        now_ns: u64,
    ) -> Result<()> {
        let packet = wire::decode(frame, self.version)?;
        match self.clients.at(index).stage {
            Stage::Ready => return driver.handle_packet(&mut self.clients, index, packet, now_ns),
            Stage::Greeting => self.handle_greeting(driver, index, packet, now_ns)?,
            Stage::Subscribing => {
                let Packet::Suback(suback) = packet else { bail!("expected SUBACK, received {packet:?}") };
                wire::check_granted(&suback)?;
                self.clients.at(index).stage = Stage::Ready;
            }
            Stage::Connecting | Stage::Closed => bail!("unexpected {packet:?}"),
        }
        if self.clients.at(index).stage == Stage::Ready {
            self.connecting -= 1;
            driver.handle_ready(&mut self.clients, index, now_ns);
        }
        Ok(())
    }

    fn handle_greeting(
        &mut self,
        driver: &mut impl Driver,
        index: u32,
        packet: Packet<'_>,
        now_ns: u64,
    ) -> Result<()> {
        let Packet::Connack(connack) = packet else { bail!("expected CONNACK, received {packet:?}") };
        ensure!(!connack.reason.is_error(), "the broker refused the connection: {:?}", connack.reason);
        driver.handle_greeted(index, now_ns.saturating_sub(self.clients.at(index).greeted_ns));
        driver.handle_connack(index, &connack)?;
        match self.clients.at(index).subscribe.take() {
            Some(subscribe) => {
                self.clients.out(index).extend_from_slice(&subscribe);
                self.clients.at(index).stage = Stage::Subscribing;
            }
            None => self.clients.at(index).stage = Stage::Ready,
        }
        Ok(())
    }

    fn expire_handshakes(&mut self, driver: &mut impl Driver, now_ns: u64) {
        while let Some(&index) = self.handshakes.front() {
            let client = self.clients.at(index);
            let is_over = matches!(client.stage, Stage::Ready | Stage::Closed);
            if !is_over && now_ns.saturating_sub(client.opened_ns) < self.handshake_ns_max {
                return;
            }
            self.handshakes.pop_front();
            if !is_over {
                self.close(driver, index, anyhow::anyhow!("the handshake timed out"));
            }
        }
    }

    fn close(&mut self, driver: &mut impl Driver, index: u32, cause: anyhow::Error) {
        let client = self.clients.at(index);
        let was = std::mem::replace(&mut client.stage, Stage::Closed);
        if was == Stage::Closed {
            return;
        }
        client.close();
        if was != Stage::Ready {
            self.connecting -= 1;
        }
        driver.handle_closed(index, was == Stage::Ready, cause);
    }
}

/// Reads what is there and forgets it; whether the broker has closed the connection.
fn is_ended(stream: &mut impl Read, buffer: &mut [u8]) -> bool {
    loop {
        match stream.read(buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}
