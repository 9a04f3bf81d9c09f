//! A subscriber with a session: a receiver that keeps QoS 1 and QoS 2 exactly as the specification demands,
//! across reconnects, and writes down every PUBLISH it reads. It judges only what no look at the end can tell.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{ANSWER_LIMIT, Connection, Gone, Life};
use super::ledger::{Audience, Fault, Finding, Receipt, Skip, Waiting};
use super::message::{Filter, MessageId, Topic};
use super::publisher::Progress;
use super::wire::{AckKind, Hello, Packet, Publish, Version};

/// How long a read waits for more; acknowledgements held back go out when nothing came for as long.
const READ_WAIT: Duration = Duration::from_millis(20);
/// Without a message for as long, a subscriber that has all it is due counts as drained.
const QUIET: Duration = Duration::from_millis(200);
/// Without a message for as long, a subscriber that is due more gives up: the check at the end names what.
const STALL_LIMIT: Duration = Duration::from_secs(15);
/// The same for one that gave up before: what it is due will hardly come now.
const STALL_AGAIN_LIMIT: Duration = Duration::from_secs(2);

/// How long a subscriber stays.
pub enum Stay<'a> {
    /// Until the broker is gone.
    UntilGone,
    /// Until it has read so many messages; it leaves with DISCONNECT or, if `is_rude`, just closes.
    Visit {
        /// So many.
        messages: u32,
        /// Without DISCONNECT, and without the acknowledgements it holds back.
        is_rude: bool,
    },
    /// Until it has all of these and nothing more comes.
    Drain(&'a BTreeSet<MessageId>),
}

/// What a subscriber is.
#[derive(Clone)]
pub struct Profile {
    /// Its client id.
    pub name: String,
    /// The version it speaks.
    pub version: Version,
    /// What it wants.
    pub filter: Filter,
    /// The QoS of its subscription.
    pub qos: u8,
    /// It acknowledges when it holds so many back, or nothing more comes.
    pub acks_held: usize,
    /// Receive Maximum in MQTT 5.0; 0 leaves it out.
    pub receive_max: u16,
}

/// A subscriber and all it ever read.
pub struct Subscriber {
    /// What it is.
    pub profile: Profile,
    /// For each publisher the number of the first message it must get; `None` before SUBACK.
    pub since: Option<Vec<u32>>,
    /// Every PUBLISH.
    pub receipts: Vec<Receipt>,
    /// What it noticed.
    pub found: Vec<Finding>,
    has_session: bool,
    /// QoS 2 packet ids between PUBLISH and PUBREL.
    held: BTreeMap<u16, MessageId>,
    /// Read, but PUBACK or PUBREC never written, in the order the broker first sent them.
    unanswered: VecDeque<Waiting>,
    /// Acknowledgements that wait to be written.
    answers: VecDeque<(AckKind, u16)>,
    /// Of `unanswered`, what this connection must bring first.
    resends: VecDeque<Waiting>,
    skips: Vec<Skip>,
    /// In which life each message came first.
    seen: HashMap<MessageId, u32>,
    /// Before this life everything was acknowledged and the broker was stopped cleanly.
    settled_life: Option<u32>,
    has_stalled: bool,
}

impl Subscriber {
    /// A subscriber that has not connected yet.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            since: None,
            receipts: Vec::new(),
            found: Vec::new(),
            has_session: false,
            held: BTreeMap::new(),
            unanswered: VecDeque::new(),
            answers: VecDeque::new(),
            resends: VecDeque::new(),
            skips: Vec::new(),
            seen: HashMap::new(),
            settled_life: None,
            has_stalled: false,
        }
    }

    /// How it looks to the checks; `None` where its subscription was never acknowledged.
    pub fn audience(&self) -> Option<Audience<'_>> {
        let (filter, qos) = (self.profile.filter, self.profile.qos);
        let (since, receipts, skips) = (self.since.as_deref()?, &self.receipts, &self.skips);
        Some(Audience { name: &self.profile.name, filter, qos, since, receipts, skips })
    }

    /// Connects, makes the session, subscribes and leaves.
    pub fn subscribe(&mut self, life: &Life, progress: &[Progress]) {
        let Some(mut connection) = self.connect(life) else { return };
        let (filter, qos) = (self.profile.filter.to_string(), self.profile.qos);
        self.profile.version.write_subscribe(1, &filter, qos, connection.output());
        connection.flush();
        let deadline = Instant::now() + ANSWER_LIMIT;
        while self.since.is_none() && Instant::now() < deadline {
            match connection.poll(READ_WAIT) {
                Ok(Some(Packet::SubAck { reasons })) if reasons == [qos] => {
                    self.since = Some(progress.iter().map(|one| one.sent.load(Ordering::SeqCst)).collect());
                }
                Ok(Some(Packet::Publish(publish))) => self.handle_publish(publish, life),
                Ok(Some(other)) => {
                    self.note(Fault::Broker, life, &format!("SUBSCRIBE was answered {other:?}"))
                }
                Ok(None) => {}
                Err(_) => return self.end(life),
            }
        }
        self.finish(connection, life);
    }

    /// Reads while this life of the broker lasts, or as long as it is to stay.
    pub fn receive(&mut self, life: &Life, stay: &Stay<'_>) {
        if self.since.is_none() {
            return;
        }
        let Some(mut connection) = self.connect(life) else { return };
        match self.exchange(&mut connection, life, stay) {
            Ok(()) if matches!(stay, Stay::Visit { is_rude: true, .. }) => self.answers.clear(),
            Ok(()) => {
                let is_drained = matches!(stay, Stay::Drain(_));
                self.finish(connection, life);
                // From the next start on, which follows a clean stop, nothing may come again.
                self.settled_life = is_drained.then_some(life.number);
            }
            Err(Gone::Malformed) => self.note(Fault::Broker, life, "sent what is no packet"),
            Err(Gone::Closed) => self.end(life),
        }
    }

    fn connect(&mut self, life: &Life) -> Option<Connection> {
        let Profile { name, version, receive_max, .. } = &self.profile;
        let hello = Hello { client_id: name, is_clean: false, receive_max: *receive_max };
        let attempt = Connection::open(life, *version, &hello);
        let complain = |what: &str| self.note(Fault::Broker, life, what);
        let (connection, is_session_present) = attempt.into_connection(life, complain)?;
        self.handle_accepted(is_session_present, life);
        Some(connection)
    }

    fn handle_accepted(&mut self, is_session_present: bool, life: &Life) {
        if self.has_session && !is_session_present {
            self.note(Fault::Session, life, "session present is 0");
            self.held.clear();
            self.unanswered.clear();
        }
        self.has_session = true;
        self.answers.clear();
        self.resends.clone_from(&self.unanswered);
    }

    fn exchange(&mut self, connection: &mut Connection, life: &Life, stay: &Stay<'_>) -> Result<(), Gone> {
        let begun = self.receipts.len();
        let mut missing: BTreeSet<MessageId> = match stay {
            Stay::Drain(due) => due.iter().filter(|id| !self.seen.contains_key(id)).copied().collect(),
            _ => BTreeSet::new(),
        };
        let mut last = Instant::now();
        loop {
            let mut next = connection.poll(READ_WAIT)?;
            if next.is_none() {
                self.answer(connection, 0);
            }
            while let Some(packet) = next {
                last = Instant::now();
                self.handle_packet(packet, life);
                if let Some(receipt) = self.receipts.last() {
                    missing.remove(&receipt.id);
                }
                self.answer(connection, self.profile.acks_held);
                if is_visited(stay, self.receipts.len() - begun) {
                    connection.flush();
                    return Ok(());
                }
                next = connection.take_packet()?;
            }
            connection.flush();
            let is_done = missing.is_empty() && self.held.is_empty();
            let limit = match (is_done, self.has_stalled) {
                (true, _) => QUIET,
                (false, false) => STALL_LIMIT,
                (false, true) => STALL_AGAIN_LIMIT,
            };
            if matches!(stay, Stay::Drain(_)) && last.elapsed() >= limit {
                self.has_stalled |= !is_done;
                self.check_drained(life);
                return Ok(());
            }
            if Instant::now() >= life.deadline {
                return Err(Gone::Closed);
            }
        }
    }

    fn handle_packet(&mut self, packet: Packet, life: &Life) {
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish, life),
            Packet::Ack { kind: AckKind::PubRel, packet_id, .. } => {
                self.held.remove(&packet_id);
                self.answers.push_back((AckKind::PubComp, packet_id));
            }
            Packet::Disconnect { .. } if life.is_ended() => {}
            other => self.note(Fault::Broker, life, &format!("a subscriber got {other:?}")),
        }
    }

    fn handle_publish(&mut self, publish: Publish, life: &Life) {
        let Publish { topic, qos, is_dup, is_retained, packet_id, payload } = publish;
        let (Some(id), Some(topic)) = (MessageId::from_payload(&payload), Topic::from_name(&topic)) else {
            return self.note(
                Fault::Strange,
                life,
                &format!("a damaged message on {topic}, packet id {packet_id}"),
            );
        };
        if is_retained || qos == 0 {
            let text =
                format!("{id} came at QoS {qos}, retained {is_retained}, to a subscription made long ago");
            return self.note(Fault::Strange, life, &text);
        }
        self.check_settled(id, life);
        self.check_resend(id, packet_id, is_dup, life);
        let is_handed_on = qos == 1 || self.hold(id, packet_id, is_dup, life);
        let ack = if qos == 1 { AckKind::PubAck } else { AckKind::PubRec };
        self.answers.push_back((ack, packet_id));
        if self.unanswered.iter().all(|waiting| waiting.packet_id != packet_id) {
            // What the last connection lost on its way stands before what was sent behind it.
            let behind =
                self.resends.front().and_then(|next| self.unanswered.iter().position(|one| one == next));
            let waiting = Waiting { id, packet_id, qos, life: life.number };
            self.unanswered.insert(behind.unwrap_or(self.unanswered.len()), waiting);
        }
        self.seen.entry(id).or_insert(life.number);
        self.receipts.push(Receipt { id, topic, qos, packet_id, is_dup, is_handed_on, life: life.number });
    }

    /// [MQTT-4.3.3-10]: a packet id is held from PUBLISH to PUBREL, and what comes under it is not handed on.
    fn hold(&mut self, id: MessageId, packet_id: u16, is_dup: bool, life: &Life) -> bool {
        let Some(held) = self.held.insert(packet_id, id) else { return true };
        if held != id {
            let text = format!("packet id {packet_id} brings {id} before PUBREL ended it for {held}");
            self.note(Fault::PacketId, life, &text);
        } else if !is_dup {
            self.note(Fault::Flag, life, &format!("{id}, packet id {packet_id}, came again without DUP"));
        }
        false
    }

    fn check_resend(&mut self, id: MessageId, packet_id: u16, is_dup: bool, life: &Life) {
        let is_it = |waiting: &Waiting| waiting.id == id && waiting.packet_id == packet_id;
        match self.resends.iter().position(is_it) {
            Some(at) => {
                self.skip(at, life, &format!("packet id {packet_id} was sent again before"));
                self.resends.pop_front();
            }
            None if is_dup => {}
            None => {
                let text = format!("{id}, packet id {packet_id}, came as new before what was in flight");
                self.skip(self.resends.len(), life, &text);
            }
        }
    }

    /// The first `count` of what this connection must bring first did not come.
    fn skip(&mut self, count: usize, life: &Life, text: &str) {
        let missing: Vec<Waiting> = self.resends.drain(..count).collect();
        if !missing.is_empty() {
            let text = format!("{}, life {}: {text}", self.profile.name, life.number);
            self.skips.push(Skip { missing, text });
        }
    }

    fn check_settled(&mut self, id: MessageId, life: &Life) {
        let is_settled = |first: u32| self.settled_life.is_some_and(|settled| first <= settled);
        if self.settled_life < Some(life.number) && self.seen.get(&id).copied().is_some_and(is_settled) {
            self.note(Fault::Again, life, &format!("{id} came again after a clean stop"));
        }
    }

    fn check_drained(&mut self, life: &Life) {
        self.skip(self.resends.len(), life, "in flight and never sent again");
        if !self.held.is_empty() {
            let held = self.held.iter().map(|(packet_id, id)| format!("{id} (packet id {packet_id})"));
            let held = held.collect::<Vec<_>>().join(", ");
            let text = format!("PUBREC was sent and PUBREL never came: {held}");
            self.note(Fault::ResendOrder, life, &text);
        }
    }

    /// Writes the acknowledgements if more than `held_max` wait.
    fn answer(&mut self, connection: &mut Connection, held_max: usize) {
        if self.answers.len() > held_max {
            self.take_answers(connection.version(), connection.output());
        }
    }

    fn take_answers(&mut self, version: Version, out: &mut Vec<u8>) {
        for (kind, packet_id) in self.answers.drain(..) {
            version.write_ack(kind, packet_id, out);
            if kind != AckKind::PubComp {
                self.unanswered.retain(|waiting| waiting.packet_id != packet_id);
            }
        }
    }

    fn finish(&mut self, mut connection: Connection, life: &Life) {
        self.answer(&mut connection, 0);
        if !connection.leave() {
            self.note(Fault::Broker, life, "did not close after DISCONNECT");
        }
    }

    fn end(&mut self, life: &Life) {
        if !life.is_ended() {
            self.note(Fault::Broker, life, "the connection of a living broker ended");
        }
    }

    fn note(&mut self, fault: Fault, life: &Life, text: &str) {
        let text = format!("{}, life {}: {text}", self.profile.name, life.number);
        self.found.push(Finding::new(fault, text));
    }
}

fn is_visited(stay: &Stay<'_>, count: usize) -> bool {
    matches!(stay, Stay::Visit { messages, .. } if count >= *messages as usize)
}

#[cfg(test)]
mod tests;
