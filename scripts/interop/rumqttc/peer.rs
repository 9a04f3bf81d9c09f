//! One connected client, whichever version it speaks: requests go down, what the broker says comes up as
//! `Seen`. It never waits longer than `LIMIT` for anything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// The longest wait for one thing.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How long the pump sleeps in the library before it looks whether to stop.
pub const TICK: Duration = Duration::from_millis(20);
/// Publications without their acknowledgement; no broker has to take more than its receive maximum.
pub const WINDOW: u16 = 20;
/// Room for the largest payload sent here.
pub const PACKET_BYTES_MAX: u32 = 1 << 20;

/// A will: topic, payload, retain; always QoS 1.
pub type Will = (String, String, bool);

/// How to make a connection: host, port, client id, clean, will.
pub type Connect = fn(&Run, String, bool, Option<Will>) -> Result<Link>;

/// The arguments of the program.
pub struct Run {
    /// Where the broker listens.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What every topic and client id begins with.
    pub prefix: String,
    /// The version to speak.
    pub connect: Connect,
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The QoS it was delivered at.
    pub qos: u8,
    /// Its retain flag.
    pub retain: bool,
}

impl Message {
    /// The payload as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// What the broker said.
#[derive(Debug)]
pub enum Seen {
    /// CONNACK accepted, with its session-present flag.
    Connected(bool),
    /// SUBACK with the QoS granted, `None` for a refusal.
    Subscribed(Option<u8>),
    /// PUBACK or PUBCOMP.
    Acknowledged,
    /// PUBLISH.
    Message(Message),
    /// The connection ended with this error.
    Ended(String),
}

/// What a client can be asked for.
pub trait Requests {
    /// SUBSCRIBE to one filter.
    fn subscribe(&self, filter: &str, qos: u8) -> Result<()>;
    /// PUBLISH.
    fn publish(&self, topic: &str, payload: Vec<u8>, qos: u8, retain: bool) -> Result<()>;
    /// DISCONNECT.
    fn disconnect(&self) -> Result<()>;
}

/// A connection in the making: its requests, its events, and the switch of the thread that pumps them.
pub struct Link {
    /// The way down.
    pub requests: Box<dyn Requests>,
    /// The way up.
    pub seen: Receiver<Seen>,
    /// Tells the pump to drop the socket.
    pub stop: Arc<AtomicBool>,
}

/// A connected client.
pub struct Peer {
    link: Link,
    messages: VecDeque<Message>,
    acknowledged: usize,
    /// What CONNACK said.
    pub session_present: bool,
}

impl Peer {
    /// Connects with a clean session.
    pub fn clean(run: &Run, name: &str) -> Result<Self> {
        Self::connect(run, name, true, None)
    }

    /// Connects and waits for CONNACK.
    pub fn connect(run: &Run, name: &str, clean: bool, will: Option<Will>) -> Result<Self> {
        let link = (run.connect)(run, format!("{}{name}", run.prefix), clean, will)?;
        let mut peer = Self { link, messages: VecDeque::new(), acknowledged: 0, session_present: false };
        let deadline = Instant::now() + LIMIT;
        match peer.see(deadline, "CONNACK")? {
            Seen::Connected(present) => peer.session_present = present,
            other => bail!("{other:?} before CONNACK"),
        }
        Ok(peer)
    }

    /// Subscribes and waits for SUBACK.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> Result<()> {
        self.link.requests.subscribe(filter, qos)?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.see(deadline, "SUBACK")? {
                Seen::Subscribed(granted) => {
                    ensure!(granted == Some(qos), "SUBACK grants {granted:?}, asked for {qos}");
                    return Ok(());
                }
                other => self.keep(other)?,
            }
        }
    }

    /// Publishes and waits for the acknowledgement.
    pub fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: u8, retain: bool) -> Result<()> {
        self.link.requests.publish(topic, payload.into(), qos, retain)?;
        self.acknowledged(usize::from(qos > 0))
    }

    /// Publishes without waiting; `acknowledged` waits later.
    pub fn send(&mut self, topic: &str, payload: String, qos: u8) -> Result<()> {
        self.link.requests.publish(topic, payload.into_bytes(), qos, false)
    }

    /// Waits for `count` acknowledgements.
    pub fn acknowledged(&mut self, count: usize) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.acknowledged < count {
            let seen = self.see(deadline, "acknowledgement")?;
            self.keep(seen)?;
        }
        self.acknowledged -= count;
        Ok(())
    }

    /// The next message.
    pub fn next(&mut self) -> Result<Message> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(message);
            }
            let seen = self.see(deadline, "message")?;
            self.keep(seen)?;
        }
    }

    /// Texts up to and without the sentinel `last`.
    pub fn until(&mut self, last: &str) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            let text = self.next()?.text();
            if text == last {
                return Ok(texts);
            }
            texts.push(text);
        }
    }

    /// Disconnects in order and waits until the socket is closed.
    pub fn end(self) -> Result<()> {
        self.link.requests.disconnect()?;
        self.until_closed()
    }

    /// Closes the socket without a DISCONNECT.
    pub fn crash(self) -> Result<()> {
        self.link.stop.store(true, Ordering::Relaxed);
        self.until_closed()
    }

    fn until_closed(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.link.seen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => continue,
                Err(RecvTimeoutError::Timeout) => bail!("the socket stayed open"),
                // The pump holds the other end until the socket is closed.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn see(&mut self, deadline: Instant, what: &str) -> Result<Seen> {
        match self.link.seen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Seen::Ended(error)) => bail!("waiting for {what}: the connection ended: {error}"),
            Ok(seen) => Ok(seen),
            Err(_) => bail!("no {what} within {} s", LIMIT.as_secs()),
        }
    }

    fn keep(&mut self, seen: Seen) -> Result<()> {
        match seen {
            Seen::Message(message) => self.messages.push_back(message),
            Seen::Acknowledged => self.acknowledged += 1,
            other => bail!("did not expect {other:?}"),
        }
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.link.stop.store(true, Ordering::Relaxed);
    }
}
