//! Receives what [`Deposit`](crate::load::deposit::Deposit) has published: retained messages after a SUBSCRIBE, or what
//! persistent sessions hold. Verifies that each message comes exactly once and undamaged; sessions also keep their order.
//!
//! A driver of the [`Engine`](crate::net::engine::Engine); it publishes nothing.

use crate::args::TargetArguments;
use crate::clock::Clock;
use crate::load::deposit::topic_and_round;
use crate::load::numbered;
use crate::load::payload::{self, Stamp};
use crate::load::sequence::Sequence;
use crate::load::traffic::outcome::Outcome;
use crate::net::client::{Clients, Greeting};
use crate::net::engine::Driver;
use crate::net::wire;
use crate::phase::{Phase, Shared};
use crate::scenarios::stage::Actor;
use anyhow::{Context, Result, ensure};
use ringmq_core::codec::{Ack, AckKind, Connack, Packet, ProtocolVersion, Publish, QoS, Suback};
use std::sync::atomic::Ordering;

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Subscribe to everything below the prefix once all are connected, and receive retained messages.
    Retained,
    /// Begin a persistent session with a subscription to a topic that follows from the client's number.
    Begin,
    /// Resume the session and receive what it holds.
    Resume,
    /// End the session.
    End,
}

/// What is to be received.
#[derive(Debug, Clone)]
pub struct Collection {
    pub target: TargetArguments,
    pub step: Step,
    /// Beginning of the topics and of the clients' identifiers.
    pub prefix: String,
    pub clients: u32,
    pub qos: QoS,
    pub payload_bytes: usize,
    /// Topics at [`Step::Retained`].
    pub topics: u32,
    /// Sessions with the same topic at the other steps; at least 1.
    pub fanout: u32,
    /// Messages of each session at [`Step::Resume`].
    pub messages: u32,
}

impl Collection {
    /// Deliveries to all clients, if nothing is lost.
    pub fn total(&self) -> u64 {
        match self.step {
            Step::Retained => u64::from(self.clients) * u64::from(self.topics),
            Step::Resume => u64::from(self.clients) * u64::from(self.messages),
            Step::Begin | Step::End => 0,
        }
    }
}

/// What one client has received.
#[derive(Debug)]
enum Receipts {
    /// One bit for each topic.
    Topics { seen: Vec<u64>, distinct: u32 },
    /// In the order they were published.
    Session(Sequence),
}

#[derive(Debug)]
struct Collector {
    number: u32,
    receipts: Receipts,
    is_subscribed: bool,
}

/// The receiving clients of one worker.
#[derive(Debug)]
pub struct Collectors<'a> {
    collection: &'a Collection,
    shared: &'a Shared,
    clock: Clock,
    worker: u16,
    version: ProtocolVersion,
    collectors: Vec<Collector>,
    filling: Vec<u8>,
    phase: Phase,
    is_subscribing: bool,
    ready: u64,
    delivered: u64,
    /// Deliveries that were no duplicates.
    distinct: u64,
    expected: u64,
    releases_awaited: u64,
    outcome: Outcome,
}

impl<'a> Collectors<'a> {
    /// The clients that fall to `worker`.
    pub fn new(collection: &'a Collection, shared: &'a Shared, worker: u16, clock: Clock) -> Collectors<'a> {
        let threads = u32::from(collection.target.threads);
        let numbers = (0..collection.clients).filter(|number| number % threads == u32::from(worker));
        let words = collection.topics.div_ceil(64) as usize;
        let collectors: Vec<Collector> = numbers
            .map(|number| Collector {
                number,
                receipts: match collection.step {
                    Step::Retained => Receipts::Topics { seen: vec![0; words], distinct: 0 },
                    _ => Receipts::Session(Sequence::default()),
                },
                is_subscribed: false,
            })
            .collect();
        let share = collectors.len() as u64;
        Collectors {
            collection,
            shared,
            clock,
            worker,
            version: collection.target.version(),
            expected: collection.total() / u64::from(collection.clients.max(1)) * share,
            collectors,
            filling: payload::filling(collection.payload_bytes),
            phase: Phase::Opening,
            is_subscribing: false,
            ready: 0,
            delivered: 0,
            distinct: 0,
            releases_awaited: 0,
            outcome: Outcome::default(),
        }
    }

    fn client_id(&self, index: u32) -> String {
        format!("{}-{}", self.collection.prefix.replace('/', "-"), self.collectors[index as usize].number)
    }

    fn handle_publish(&mut self, clients: &mut Clients, index: u32, publish: &Publish<'_>) -> Result<()> {
        match self.verify(index, publish) {
            Ok(is_first) => {
                self.delivered += 1;
                self.distinct += u64::from(is_first);
                if self.distinct == self.expected {
                    self.outcome.last_ns = self.clock.now_ns();
                }
            }
            Err(cause) => {
                self.outcome.damaged += 1;
                self.shared.note_failure(&cause);
            }
        }
        let Some(id) = publish.packet_id else { return Ok(()) };
        let kind = if publish.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
        self.releases_awaited += u64::from(kind == AckKind::Pubrec);
        wire::acknowledge(kind, id, self.version, clients.out(index))
    }

    /// Checks that this message belongs here and counts it; returns whether it came for the first time.
    fn verify(&mut self, index: u32, publish: &Publish<'_>) -> Result<bool> {
        let collection = self.collection;
        let collector = &mut self.collectors[index as usize];
        let topic = numbered::number_of(&collection.prefix, publish.topic);
        let topic = topic.with_context(|| format!("a message on {}", publish.topic))?;
        let (stamped, round) = topic_and_round(Stamp::read(publish.payload, &self.filling)?);
        ensure!(stamped == topic, "the message to topic {stamped} came on topic {topic}");
        ensure!(
            publish.qos == collection.qos,
            "delivered at {:?}, published at {:?}",
            publish.qos,
            collection.qos
        );
        match &mut collector.receipts {
            Receipts::Topics { seen, distinct } => {
                ensure!(publish.retain, "a retained message came without its flag");
                ensure!(topic < collection.topics, "topic {topic} was never published to");
                let (word, bit) = (topic as usize / 64, 1 << (topic % 64));
                let is_first = seen[word] & bit == 0;
                seen[word] |= bit;
                *distinct += u32::from(is_first);
                self.outcome.findings.duplicated += u64::from(!is_first);
                Ok(is_first)
            }
            Receipts::Session(sequence) => {
                ensure!(
                    topic == collector.number / collection.fanout,
                    "session {} received from topic {topic}",
                    collector.number
                );
                ensure!(round < u64::from(collection.messages), "message {round} was never published");
                let before = sequence.findings(sequence.next()).duplicated;
                sequence.handle_delivery(round);
                Ok(sequence.findings(sequence.next()).duplicated == before)
            }
        }
    }

    fn handle_suback(&mut self, index: u32, suback: &Suback) -> Result<()> {
        let collector = &mut self.collectors[index as usize];
        ensure!(self.is_subscribing && !collector.is_subscribed, "SUBACK that was not asked for");
        wire::check_granted(suback)?;
        collector.is_subscribed = true;
        Ok(())
    }

    fn handle_ack(&mut self, clients: &mut Clients, index: u32, ack: &Ack) -> Result<()> {
        ensure!(ack.kind == AckKind::Pubrel, "unexpected {:?} at a subscriber", ack.kind);
        self.releases_awaited = self.releases_awaited.saturating_sub(1);
        wire::acknowledge(AckKind::Pubcomp, ack.packet_id, self.version, clients.out(index))
    }
}

impl Actor for Collectors<'_> {
    type Outcome = Outcome;

    fn clients(&self) -> u32 {
        self.collectors.len() as u32
    }

    fn greeting(&self, index: u32) -> Result<(u32, Greeting)> {
        let (collection, number) = (self.collection, self.collectors[index as usize].number);
        let is_clean = matches!(collection.step, Step::Retained | Step::End);
        let keep_alive_s = collection.target.keep_alive;
        let connect = wire::connect(self.version, &self.client_id(index), is_clean, keep_alive_s)?;
        let filters = [numbered::topic(&collection.prefix, number / collection.fanout)];
        let is_beginning = collection.step == Step::Begin;
        let subscribe = is_beginning.then(|| wire::subscribe(self.version, &filters, collection.qos));
        Ok((number, Greeting { connect, subscribe: subscribe.transpose()? }))
    }

    fn enter(&mut self, phase: Phase, _now_ns: u64) {
        self.phase = phase;
    }

    fn tell_progress(&self) {
        let progress = self.shared.progress(self.worker);
        progress.delivered.store(self.delivered, Ordering::Relaxed);
        let is_ready = self.ready == self.collectors.len() as u64
            && (self.collection.step != Step::Retained
                || self.collectors.iter().all(|one| one.is_subscribed));
        let is_drained = is_ready && self.distinct == self.expected && self.releases_awaited == 0;
        progress.drained.store(is_drained, Ordering::Relaxed);
    }

    fn into_outcome(mut self) -> Outcome {
        let is_resumed = self.collection.step == Step::Resume;
        for collector in &self.collectors {
            match &collector.receipts {
                Receipts::Topics { distinct, .. } => {
                    self.outcome.findings.lost += u64::from(self.collection.topics - distinct);
                }
                Receipts::Session(sequence) if is_resumed => {
                    self.outcome.findings.add(sequence.findings(u64::from(self.collection.messages)));
                }
                Receipts::Session(_) => {}
            }
        }
        self.outcome.handshakes_open += self.releases_awaited;
        self.outcome
    }
}

impl Driver for Collectors<'_> {
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()> {
        let (expected, found) = (self.collection.step == Step::Resume, connack.session_present);
        // Whether there is a session to end depends on what was there before, and MQTT 3.1 does not tell.
        let is_told = matches!(self.collection.step, Step::Begin | Step::Resume)
            && self.version != ProtocolVersion::V31;
        let number = self.collectors[index as usize].number;
        ensure!(!is_told || expected == found, "session {number}: session present is {found} in CONNACK");
        Ok(())
    }

    fn handle_ready(&mut self, _clients: &mut Clients, _index: u32, _now_ns: u64) {
        self.ready += 1;
        self.shared.progress(self.worker).ready.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_packet(
        &mut self,
        clients: &mut Clients,
        index: u32,
        packet: Packet<'_>,
        _now_ns: u64,
    ) -> Result<()> {
        match packet {
            Packet::Publish(publish) => self.handle_publish(clients, index, &publish),
            Packet::Ack(ack) => self.handle_ack(clients, index, &ack),
            Packet::Suback(suback) => self.handle_suback(index, &suback),
            Packet::Pingresp => Ok(()),
            other => wire::refuse(&other),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        self.shared.note_closed(self.worker, was_ready, &cause);
    }

    fn handle_turn(&mut self, clients: &mut Clients, _now_ns: u64) {
        let is_due = self.collection.step == Step::Retained && self.phase == Phase::Measuring;
        if self.is_subscribing || !is_due {
            return;
        }
        self.is_subscribing = true;
        let filter = [format!("{}/#", self.collection.prefix)];
        match wire::subscribe(self.version, &filter, self.collection.qos) {
            Ok(bytes) => (0..self.collectors.len() as u32)
                .for_each(|index| clients.out(index).extend_from_slice(&bytes)),
            Err(cause) => {
                self.shared.note_failure(&cause);
                self.shared.progress(self.worker).failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
