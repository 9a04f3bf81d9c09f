//! A publisher with a session: QoS 1 and QoS 2 with a window, its unacknowledged packets sent again after a
//! reconnect as the specification demands. It keeps its own state and never asks the broker what it knows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::client::{Connection, Gone, Life};
use super::dice::Dice;
use super::ledger::{Fault, Finding, Sent};
use super::message::{DATA_TOPICS, MessageId, Topic};
use super::wire::{AckKind, Hello, Packet, Publish, Version};

/// Messages that may wait for their acknowledgement.
const WINDOW: usize = 20;
/// Between two messages of the first publisher under load, so many times more for each that follows: what a run
/// queues is bounded by it.
const PACE: Duration = Duration::from_millis(2);
/// Every so manieth message is a retained one.
const RETAINED_EACH: u32 = 25;
/// How long a read waits while nothing else is due.
const READ_WAIT: Duration = Duration::from_millis(2);

/// How far a publisher is, for those who look on while it runs.
#[derive(Default)]
pub struct Progress {
    /// Messages sent for the first time.
    pub sent: AtomicU32,
    /// One more than the number of the last acknowledged retained message; 0 before there is one.
    pub retained: AtomicU32,
}

/// How much a publisher sends in a life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// At its pace until the broker is gone.
    UntilGone,
    /// So many messages, then it waits for every acknowledgement and leaves.
    Finish(u32),
}

struct InFlight {
    number: u32,
    packet_id: u16,
    /// PUBREC came; PUBREL is what is sent again.
    is_received: bool,
}

/// A publisher and all it ever sent.
pub struct Publisher {
    /// Its index among the publishers.
    pub index: usize,
    /// All messages by their numbers.
    pub sent: Vec<Sent>,
    /// What it noticed.
    pub found: Vec<Finding>,
    client_id: String,
    version: Version,
    dice: Dice,
    has_session: bool,
    window: VecDeque<InFlight>,
    packet_id: u16,
}

impl Publisher {
    /// A publisher that has not connected yet.
    pub fn new(index: usize, version: Version, dice: Dice) -> Self {
        Self {
            index,
            sent: Vec::new(),
            found: Vec::new(),
            client_id: format!("kill9-publisher-{index}"),
            version,
            dice,
            has_session: false,
            window: VecDeque::new(),
            packet_id: 0,
        }
    }

    /// Messages that were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.sent.iter().filter(|sent| sent.acked_life.is_some()).count()
    }

    /// Publishes while this life of the broker lasts.
    pub fn publish(&mut self, life: &Life, amount: Amount, progress: &Progress) {
        let Some(mut connection) = self.connect(life) else { return };
        self.write_resends(connection.output());
        connection.flush();
        match self.exchange(&mut connection, life, amount, progress) {
            Ok(()) if !connection.leave() => self.note(Fault::Broker, life, "DISCONNECT did not close"),
            Err(gone) if !life.is_ended() || gone == Gone::Malformed => {
                self.note(Fault::Broker, life, &format!("the connection of a living broker ended: {gone:?}"));
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn connect(&mut self, life: &Life) -> Option<Connection> {
        let hello = Hello { client_id: &self.client_id, is_clean: false, receive_max: 0 };
        let attempt = Connection::open(life, self.version, &hello);
        let complain = |what: &str| self.note(Fault::Broker, life, what);
        let (connection, is_session_present) = attempt.into_connection(life, complain)?;
        self.handle_accepted(is_session_present, life);
        Some(connection)
    }

    fn handle_accepted(&mut self, is_session_present: bool, life: &Life) {
        if self.has_session && !is_session_present {
            self.note(Fault::Session, life, "session present is 0");
        }
        self.has_session = true;
    }

    /// [MQTT-4.4.0-1]: PUBLISH again with DUP and its packet id, PUBREL again, in the original order.
    fn write_resends(&mut self, out: &mut Vec<u8>) {
        let version = self.version;
        for flight in &self.window {
            if flight.is_received {
                version.write_ack(AckKind::PubRel, flight.packet_id, out);
            } else if let Some(sent) = self.sent.get_mut(flight.number as usize) {
                sent.sends += 1;
                let id = MessageId { publisher: self.index, number: flight.number };
                version.write_publish(&packet(id, sent), out);
            }
        }
    }

    fn exchange(
        &mut self,
        connection: &mut Connection,
        life: &Life,
        amount: Amount,
        progress: &Progress,
    ) -> Result<(), Gone> {
        let pace = PACE * (self.index as u32 + 1);
        let mut due = Instant::now();
        let mut left = match amount {
            Amount::UntilGone => u32::MAX,
            Amount::Finish(count) => count,
        };
        loop {
            // A publisher that could not keep its pace does not catch up in one burst.
            due = due.max(Instant::now().checked_sub(pace * 10).unwrap_or(due));
            while left > 0
                && self.window.len() < WINDOW
                && (Instant::now() >= due || amount != Amount::UntilGone)
            {
                self.write_next(connection.output(), life.number, progress);
                left -= 1;
                due += pace;
            }
            connection.flush();
            if left == 0 && self.window.is_empty() {
                return Ok(());
            }
            let mut next = connection.poll(READ_WAIT)?;
            while let Some(packet) = next {
                self.handle_packet(packet, connection.output(), life, progress);
                next = connection.take_packet()?;
            }
            if Instant::now() >= life.deadline {
                self.note(
                    Fault::Broker,
                    life,
                    &format!("{} acknowledgements did not come", self.window.len()),
                );
                return Err(Gone::Closed);
            }
        }
    }

    fn write_next(&mut self, out: &mut Vec<u8>, life: u32, progress: &Progress) {
        let number = self.sent.len() as u32;
        let id = MessageId { publisher: self.index, number };
        let (topic, qos) = if number % RETAINED_EACH == RETAINED_EACH - 1 {
            (Topic::Retained(self.index), 1)
        } else {
            let topic = self.dice.below(u64::from(DATA_TOPICS)) as u8;
            (Topic::Data(self.index, topic), 1 + self.dice.below(2) as u8)
        };
        let packet_id = self.next_packet_id();
        let sent = Sent { topic, qos, packet_id, sends: 1, sent_life: life, acked_life: None };
        // Whoever subscribes from here on need not get it; see `Subscriber::since`.
        progress.sent.store(number + 1, Ordering::SeqCst);
        let first = Publish { is_dup: false, ..packet(id, &sent) };
        self.version.write_publish(&first, out);
        self.sent.push(sent);
        self.window.push_back(InFlight { number, packet_id, is_received: false });
    }

    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
            if self.window.iter().all(|flight| flight.packet_id != self.packet_id) {
                return self.packet_id;
            }
        }
    }

    fn handle_packet(&mut self, packet: Packet, out: &mut Vec<u8>, life: &Life, progress: &Progress) {
        match packet {
            Packet::Ack { kind: AckKind::PubAck, packet_id, reason } => {
                self.handle_first(1, packet_id, reason, life, progress);
            }
            Packet::Ack { kind: AckKind::PubRec, packet_id, reason } => {
                if self.handle_first(2, packet_id, reason, life, progress) {
                    self.version.write_ack(AckKind::PubRel, packet_id, out);
                }
            }
            Packet::Ack { kind: AckKind::PubComp, packet_id, .. } => {
                let at = self.window.iter().position(|f| f.packet_id == packet_id && f.is_received);
                match at {
                    Some(at) => drop(self.window.remove(at)),
                    None => {
                        self.note(Fault::Broker, life, &format!("PUBCOMP of unknown packet id {packet_id}"))
                    }
                }
            }
            Packet::Disconnect { reason } if !life.is_ended() => {
                self.note(Fault::Broker, life, &format!("DISCONNECT with {reason:#04x}"));
            }
            Packet::Disconnect { .. } => {}
            other => self.note(Fault::Broker, life, &format!("a publisher got {other:?}")),
        }
    }

    /// PUBACK or PUBREC: the broker has the message, whatever happens from here on. Whether it took it.
    fn handle_first(
        &mut self,
        qos: u8,
        packet_id: u16,
        reason: u8,
        life: &Life,
        progress: &Progress,
    ) -> bool {
        let is_due = |flight: &&InFlight, sent: &[Sent]| {
            !flight.is_received && sent.get(flight.number as usize).is_some_and(|sent| sent.qos == qos)
        };
        let oldest = self.window.iter().find(|flight| is_due(flight, &self.sent)).map(|f| f.packet_id);
        let at = self.window.iter().position(|f| f.packet_id == packet_id && is_due(&f, &self.sent));
        let Some(at) = at else {
            self.note(Fault::Broker, life, &format!("QoS {qos}: acknowledges unknown packet id {packet_id}"));
            return false;
        };
        if let Some(oldest) = oldest.filter(|oldest| *oldest != packet_id) {
            let text =
                format!("QoS {qos}: packet id {packet_id} is acknowledged before {oldest}, sent earlier");
            self.note(Fault::AckOrder, life, &text);
        }
        let number = self.window[at].number;
        if reason >= 0x80 {
            let text = format!("message {number}, packet id {packet_id}: refused with {reason:#04x}");
            self.note(Fault::Broker, life, &text);
            self.window.remove(at);
            return false;
        }
        if let Some(sent) = self.sent.get_mut(number as usize) {
            sent.acked_life.get_or_insert(life.number);
            if matches!(sent.topic, Topic::Retained(_)) {
                progress.retained.fetch_max(number + 1, Ordering::SeqCst);
            }
        }
        self.window[at].is_received = true;
        if qos == 1 {
            self.window.remove(at);
        }
        true
    }

    fn note(&mut self, fault: Fault, life: &Life, text: &str) {
        self.found.push(Finding::new(fault, format!("{}, life {}: {text}", self.client_id, life.number)));
    }
}

/// The PUBLISH that sends a message again.
fn packet(id: MessageId, sent: &Sent) -> Publish {
    Publish {
        topic: sent.topic.to_string(),
        qos: sent.qos,
        is_dup: true,
        is_retained: matches!(sent.topic, Topic::Retained(_)),
        packet_id: sent.packet_id,
        payload: id.to_payload(),
    }
}

#[cfg(test)]
mod tests;
