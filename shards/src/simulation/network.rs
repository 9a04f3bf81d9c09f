//! The network of a simulated life: bytes between clients and shards, moved only when they are told to. No socket is ever
//! written to; the descriptors that shards give each other are of /dev/null and name a line.

use crate::reactor::{Event, Reactor, SendOutcome, Token};
use fastrand::Rng;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Names a connection, as its client knows it.
pub type Line = usize;

/// A connection, both ends and what is between them.
#[derive(Debug)]
struct Pipe {
    line: Line,
    /// The shard that has it, or whose listener will accept it.
    shard: usize,
    is_accepted: bool,
    /// What that shard calls it, while it has it.
    token: Option<Token>,
    /// The descriptor that names it, unless it is on its way.
    socket: Option<OwnedFd>,
    descriptor: i32,
    to_broker: Vec<u8>,
    /// How many of these bytes the broker's machine has.
    arrived: usize,
    to_client: Vec<u8>,
    /// What the broker's machine was asked to send and has not taken.
    sending: Option<Vec<u8>>,
    is_sent: bool,
    is_paused: bool,
    has_client: bool,
    /// The broker sends no more.
    is_ended: bool,
    /// The broker has closed its end.
    is_closed: bool,
}

/// All connections.
#[derive(Debug)]
pub struct Network {
    pipes: Vec<Pipe>,
    next: Line,
    spent: Vec<Vec<u8>>,
    nowhere: File,
}

impl Network {
    /// A network without connections.
    pub fn new() -> Network {
        let nowhere = File::open("/dev/null").expect("every machine has it");
        Network { pipes: Vec::new(), next: 0, spent: Vec::new(), nowhere }
    }

    /// The broker is gone, and every connection with it.
    pub fn clear(&mut self) {
        self.pipes.clear();
        self.spent.clear();
    }

    /// A client connects to the listener of a shard.
    pub fn connect(&mut self, shard: usize) -> Line {
        let socket = OwnedFd::from(self.nowhere.try_clone().expect("descriptors"));
        self.next += 1;
        self.pipes.push(Pipe {
            line: self.next,
            shard,
            is_accepted: false,
            token: None,
            descriptor: socket.as_raw_fd(),
            socket: Some(socket),
            to_broker: Vec::new(),
            arrived: 0,
            to_client: Vec::new(),
            sending: None,
            is_sent: false,
            is_paused: false,
            has_client: true,
            is_ended: false,
            is_closed: false,
        });
        self.next
    }

    fn pipe(&mut self, line: Line) -> Option<&mut Pipe> {
        self.pipes.iter_mut().find(|pipe| pipe.line == line)
    }

    /// A client writes.
    pub fn write(&mut self, line: Line, bytes: &[u8]) {
        if let Some(pipe) = self.pipe(line)
            && !pipe.is_closed
        {
            pipe.to_broker.extend_from_slice(bytes);
        }
    }

    /// A client closes its end. Some of what it wrote last gets lost if `lost` says so.
    pub fn hang_up(&mut self, line: Line, lost: usize) {
        let Some(pipe) = self.pipe(line) else { return };
        pipe.has_client = false;
        pipe.to_client.clear();
        let kept = (pipe.to_broker.len() - lost.min(pipe.to_broker.len())).max(pipe.arrived);
        pipe.to_broker.truncate(kept);
        pipe.arrived = kept;
        self.forget_ended();
    }

    /// A client reads at most so many bytes.
    pub fn read(&mut self, line: Line, max: usize) -> Vec<u8> {
        let Some(pipe) = self.pipe(line) else { return Vec::new() };
        let length = max.min(pipe.to_client.len());
        pipe.to_client.drain(..length).collect()
    }

    /// Whether a client has read everything that will ever come.
    pub fn is_at_end(&mut self, line: Line) -> bool {
        self.pipe(line).is_none_or(|pipe| {
            let is_over = pipe.is_closed || (pipe.is_ended && pipe.sending.is_none());
            is_over && pipe.to_client.is_empty()
        })
    }

    /// At most so many more bytes reach the broker's machine; whether there were any.
    pub fn carry_up(&mut self, line: Line, max: usize) -> bool {
        let Some(pipe) = self.pipe(line) else { return false };
        let length = max.min(pipe.to_broker.len() - pipe.arrived);
        pipe.arrived += length;
        length > 0
    }

    /// At most so many bytes of a send under way leave; whether there were any.
    pub fn carry_down(&mut self, line: Line, max: usize) -> bool {
        let Some(pipe) = self.pipe(line) else { return false };
        let Some(sending) = &mut pipe.sending else { return false };
        let length = max.min(sending.len());
        pipe.to_client.extend(sending.drain(..length));
        if !pipe.has_client {
            pipe.to_client.clear();
        }
        if sending.is_empty() {
            pipe.is_sent = true;
            let spent = pipe.sending.take();
            self.spent.extend(spent);
        }
        true
    }

    /// Whether nothing is on its way.
    pub fn is_still(&self) -> bool {
        self.pipes.iter().all(|pipe| {
            pipe.has_client
                && pipe.is_accepted
                && pipe.token.is_some()
                && pipe.to_broker.is_empty()
                && pipe.to_client.is_empty()
                && pipe.sending.is_none()
                && !pipe.is_sent
        })
    }

    /// All connections, also those whose client is gone.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.pipes.iter().map(|pipe| pipe.line)
    }

    fn forget_ended(&mut self) {
        self.pipes.retain(|pipe| pipe.has_client || !pipe.is_closed);
    }
}

/// The network as one shard sees it in one pass.
pub struct Ends<'a> {
    network: &'a mut Network,
    random: &'a mut Rng,
    shard: usize,
    /// Connections that are still to be looked at.
    unseen: Vec<Line>,
    received: Vec<u8>,
}

impl<'a> Ends<'a> {
    /// The ends of a shard, which sees its connections in any order, and sometimes not all of them.
    pub fn new(network: &'a mut Network, random: &'a mut Rng, shard: usize) -> Ends<'a> {
        let mut unseen: Vec<Line> =
            network.pipes.iter().filter(|pipe| pipe.shard == shard).map(|pipe| pipe.line).collect();
        random.shuffle(&mut unseen);
        if random.u32(..4) == 0 {
            unseen.truncate(random.usize(..=unseen.len()));
        }
        Ends { network, random, shard, unseen, received: Vec::new() }
    }

    fn known(&mut self, token: Token) -> Option<&mut Pipe> {
        let shard = self.shard;
        self.network.pipes.iter_mut().find(|pipe| pipe.shard == shard && pipe.token == Some(token))
    }
}

/// What a shard is to be told next.
enum Tidings {
    Accepted(OwnedFd),
    Received(Token),
    Sent(Token),
    Closed(Token),
}

impl Pipe {
    fn poll(&mut self, random: &mut Rng, received: &mut Vec<u8>) -> Option<Tidings> {
        if !self.is_accepted {
            self.is_accepted = true;
            return self.socket.take().map(Tidings::Accepted);
        }
        let token = self.token?;
        if std::mem::take(&mut self.is_sent) {
            return Some(Tidings::Sent(token));
        }
        if self.arrived > 0 && !self.is_paused {
            let length = if random.bool() { self.arrived } else { random.usize(1..=self.arrived) };
            self.arrived -= length;
            received.clear();
            received.extend(self.to_broker.drain(..length));
            return Some(Tidings::Received(token));
        }
        (!self.has_client && self.to_broker.is_empty()).then_some(Tidings::Closed(token))
    }
}

impl Reactor for Ends<'_> {
    fn adopt(&mut self, token: Token, socket: OwnedFd) {
        let (shard, descriptor) = (self.shard, socket.as_raw_fd());
        let pipe = self.network.pipes.iter_mut().find(|pipe| pipe.descriptor == descriptor);
        let pipe = pipe.expect("a descriptor that shards pass on names a line until it is closed");
        (pipe.shard, pipe.token, pipe.socket) = (shard, Some(token), Some(socket));
    }

    fn settle(&mut self, _: Token) {}

    fn send(&mut self, token: Token, bytes: Vec<u8>) -> SendOutcome {
        let way = self.random.u32(..8);
        let Some(pipe) = self.known(token) else { return SendOutcome::Failed };
        assert!(pipe.sending.is_none() && !pipe.is_sent && !pipe.is_ended, "one send at a time");
        if !pipe.has_client && way == 0 {
            return SendOutcome::Failed;
        }
        match way {
            0..=1 => pipe.sending = Some(bytes),
            2 => {
                pipe.sending = Some(bytes);
                return SendOutcome::Pending;
            }
            _ => {
                if pipe.has_client {
                    pipe.to_client.extend_from_slice(&bytes);
                }
                self.network.spent.push(bytes);
                return SendOutcome::Done;
            }
        }
        SendOutcome::Begun
    }

    fn pause(&mut self, token: Token) {
        if let Some(pipe) = self.known(token) {
            pipe.is_paused = true;
        }
    }

    fn resume(&mut self, token: Token) {
        if let Some(pipe) = self.known(token) {
            pipe.is_paused = false;
        }
    }

    fn shutdown_send(&mut self, token: Token) {
        if let Some(pipe) = self.known(token) {
            pipe.is_ended = true;
        }
    }

    fn close(&mut self, token: Token) {
        let is_reset = self.random.bool();
        let Some(pipe) = self.known(token) else { return };
        (pipe.token, pipe.socket, pipe.sending, pipe.is_sent) = (None, None, None, false);
        // The number may be that of another one soon.
        pipe.descriptor = -1;
        (pipe.is_closed, pipe.arrived) = (true, 0);
        pipe.to_broker.clear();
        if is_reset {
            pipe.to_client.clear();
        }
        self.network.forget_ended();
    }

    fn release(&mut self, token: Token) -> Option<OwnedFd> {
        let pipe = self.known(token)?;
        pipe.token = None;
        pipe.socket.take()
    }

    fn stop_accepting(&mut self) {}

    fn poll_spent(&mut self) -> Option<Vec<u8>> {
        self.network.spent.pop()
    }

    fn poll_event(&mut self) -> Option<Event<'_>> {
        let tidings = loop {
            let line = *self.unseen.last()?;
            let shard = self.shard;
            let pipe = self.network.pipes.iter_mut().find(|pipe| pipe.line == line && pipe.shard == shard);
            if let Some(tidings) = pipe.and_then(|pipe| pipe.poll(self.random, &mut self.received)) {
                break tidings;
            }
            self.unseen.pop();
        };
        Some(match tidings {
            Tidings::Accepted(socket) => {
                Event::Accepted { listener: 0, socket, peer: SocketAddr::from(([127, 0, 0, 1], 1)) }
            }
            Tidings::Received(token) => Event::Received { token, bytes: &self.received },
            Tidings::Sent(token) => Event::Sent { token },
            Tidings::Closed(token) => Event::Closed { token },
        })
    }
}
