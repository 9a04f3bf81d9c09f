//! Publishes a given number of messages, each once: retained messages, or messages for sessions that are offline.
//!
//! A driver of the [`Engine`](crate::net::engine::Engine); nobody receives what it publishes while it does.

use crate::args::TargetArguments;
use crate::clock::Clock;
use crate::load::numbered::NumberedPublish;
use crate::load::payload::Stamp;
use crate::load::traffic::outcome::Outcome;
use crate::load::window::Window;
use crate::net::client::{Clients, Greeting};
use crate::net::engine::Driver;
use crate::net::wire;
use crate::phase::{Phase, Shared};
use crate::scenarios::stage::Actor;
use anyhow::{Result, ensure};
use ringmq_core::codec::{Ack, AckKind, Connack, Packet, ProtocolVersion, QoS};
use std::sync::atomic::Ordering;

/// A publisher whose socket takes no more than this waits, whatever its window says.
const BACKLOG_BYTES_MAX: usize = 256 * 1024;

/// What is to be published: `messages` to each of `topics` topics.
#[derive(Debug, Clone)]
pub struct Deposit {
    pub target: TargetArguments,
    /// Beginning of the topics; a number follows.
    pub prefix: String,
    pub topics: u32,
    pub messages: u32,
    pub publishers: u32,
    pub qos: QoS,
    pub retain: bool,
    /// 0 clears retained messages.
    pub payload_bytes: usize,
    pub window_messages: u32,
}

/// One publisher: its messages go to every `publishers`-th topic in turn, until each has all of its own.
#[derive(Debug)]
struct Depositor {
    number: u32,
    topics: u64,
    total: u64,
    published: u64,
    acknowledged: u64,
    window: Window,
    /// When the messages in the window were sent, by their number; as many as the window holds.
    sent_ns: Vec<u64>,
    /// At QoS 0 nothing is acknowledged; the answer to a PINGREQ behind the last message says that all were read.
    is_pinged: bool,
    is_done: bool,
}

/// The publishers of one worker.
#[derive(Debug)]
pub struct Depositors<'a> {
    deposit: &'a Deposit,
    shared: &'a Shared,
    clock: Clock,
    worker: u16,
    version: ProtocolVersion,
    template: NumberedPublish,
    publishers: Vec<Depositor>,
    ping: Vec<u8>,
    phase: Phase,
    outcome: Outcome,
}

impl<'a> Depositors<'a> {
    /// The publishers that fall to `worker`.
    ///
    /// # Errors
    /// When the messages cannot be encoded.
    pub fn new(
        deposit: &'a Deposit,
        shared: &'a Shared,
        worker: u16,
        clock: Clock,
    ) -> Result<Depositors<'a>> {
        let version = deposit.target.version();
        let numbers = (0..deposit.publishers)
            .filter(|number| number % u32::from(deposit.target.threads) == u32::from(worker));
        let publishers = numbers.map(|number| {
            let topics = deposit.topics.saturating_sub(number).div_ceil(deposit.publishers);
            Depositor {
                number,
                topics: u64::from(topics),
                total: u64::from(topics) * u64::from(deposit.messages),
                published: 0,
                acknowledged: 0,
                window: Window::new(deposit.window_messages, 0, true),
                sent_ns: vec![0; deposit.window_messages.max(1) as usize],
                is_pinged: false,
                is_done: topics == 0,
            }
        });
        let (qos, retain) = (deposit.qos, deposit.retain);
        Ok(Depositors {
            deposit,
            shared,
            clock,
            worker,
            version,
            template: NumberedPublish::new(version, &deposit.prefix, qos, retain, deposit.payload_bytes)?,
            publishers: publishers.collect(),
            ping: wire::ping(version)?,
            phase: Phase::Opening,
            outcome: Outcome::default(),
        })
    }

    /// Publishes what window and socket take.
    fn fill(&mut self, clients: &mut Clients, index: u32, now_ns: u64) {
        let (deposit, publisher) = (self.deposit, &mut self.publishers[index as usize]);
        if publisher.is_done || publisher.is_pinged || clients.is_closed(index) {
            return;
        }
        let is_acknowledged = deposit.qos != QoS::AtMostOnce;
        let room = BACKLOG_BYTES_MAX.saturating_sub(clients.backlog_bytes(index));
        let mut messages = room.div_ceil(self.template.bytes());
        let out = clients.out(index);
        while messages > 0 && publisher.published < publisher.total {
            if is_acknowledged && !publisher.window.is_open() {
                return;
            }
            if is_acknowledged {
                let places = publisher.sent_ns.len();
                publisher.sent_ns[publisher.window.push() as usize % places] = now_ns;
            }
            let sequence = publisher.published;
            let (round, position) = (sequence / publisher.topics, sequence % publisher.topics);
            let topic = publisher.number + position as u32 * deposit.publishers;
            let stamp = stamp_of(topic, round, now_ns);
            self.template.write(topic, sequence, stamp, out);
            publisher.published += 1;
            messages -= 1;
        }
        if !is_acknowledged && publisher.published == publisher.total {
            publisher.is_pinged = true;
            out.extend_from_slice(&self.ping);
        }
    }

    fn handle_ack(&mut self, clients: &mut Clients, index: u32, ack: &Ack, now_ns: u64) -> Result<()> {
        ensure!(
            matches!(ack.kind, AckKind::Puback | AckKind::Pubrec | AckKind::Pubcomp),
            "unexpected {:?} at a publisher",
            ack.kind
        );
        if ack.reason.is_error() {
            self.outcome.refused += 1;
        } else if ack.kind == AckKind::Pubrec {
            return wire::acknowledge(AckKind::Pubrel, ack.packet_id, self.version, clients.out(index));
        }
        let publisher = &mut self.publishers[index as usize];
        let number = publisher.window.number_of(ack.packet_id).unwrap_or_default();
        if publisher.window.handle_acknowledgement(ack.packet_id) {
            publisher.acknowledged += 1;
            let sent_ns = publisher.sent_ns[number as usize % publisher.sent_ns.len()];
            self.outcome.latency.record(now_ns.saturating_sub(sent_ns));
        } else {
            self.outcome.acks_unexpected += 1;
        }
        if publisher.acknowledged == publisher.total {
            publisher.is_done = true;
            self.outcome.last_ns = self.clock.now_ns();
        }
        Ok(())
    }

    fn handle_pong(&mut self, index: u32) {
        let publisher = &mut self.publishers[index as usize];
        if publisher.is_pinged {
            publisher.is_done = true;
            self.outcome.last_ns = self.clock.now_ns();
        }
    }
}

/// What the payload of message `round` (from 0) to a topic says.
pub fn stamp_of(topic: u32, round: u64, sent_ns: u64) -> Stamp {
    // A stamp's publisher has 20 bits, a topic 27; both numbers fit into the 44 of its number.
    Stamp { publisher: 0, number: u64::from(topic) << 16 | round, sent_ns }
}

/// Topic and round of a payload's stamp.
pub fn topic_and_round(stamp: Stamp) -> (u32, u64) {
    ((stamp.number >> 16) as u32, stamp.number & 0xFFFF)
}

impl Actor for Depositors<'_> {
    type Outcome = Outcome;

    fn clients(&self) -> u32 {
        self.publishers.len() as u32
    }

    fn greeting(&self, index: u32) -> Result<(u32, Greeting)> {
        let (target, number) = (&self.deposit.target, self.publishers[index as usize].number);
        let id = format!("{}-p{number}", target.prefix);
        let connect = wire::connect(self.version, &id, true, target.keep_alive)?;
        Ok((number, Greeting { connect, subscribe: None }))
    }

    fn enter(&mut self, phase: Phase, _now_ns: u64) {
        self.phase = phase;
    }

    fn tell_progress(&self) {
        let progress = self.shared.progress(self.worker);
        let published = self.publishers.iter().map(|publisher| publisher.published).sum();
        progress.published.store(published, Ordering::Relaxed);
        let is_drained = self.publishers.iter().all(|publisher| publisher.is_done);
        progress.drained.store(is_drained, Ordering::Relaxed);
    }

    fn into_outcome(mut self) -> Outcome {
        if self.deposit.qos != QoS::AtMostOnce {
            let open = self.publishers.iter().map(|publisher| publisher.window.unacknowledged());
            self.outcome.handshakes_open += open.sum::<u64>();
        }
        self.outcome
    }
}

impl Driver for Depositors<'_> {
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()> {
        wire::check_qos(connack, self.deposit.qos)?;
        ensure!(
            !(self.deposit.retain && connack.properties.retain_unavailable),
            "the broker does not retain messages"
        );
        if let Some(maximum) = connack.properties.receive_maximum {
            self.publishers[index as usize].window.restrict(u32::from(maximum));
        }
        Ok(())
    }

    fn handle_ready(&mut self, _clients: &mut Clients, _index: u32, _now_ns: u64) {
        self.shared.progress(self.worker).ready.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_packet(
        &mut self,
        clients: &mut Clients,
        index: u32,
        packet: Packet<'_>,
        now_ns: u64,
    ) -> Result<()> {
        match packet {
            Packet::Ack(ack) => self.handle_ack(clients, index, &ack, now_ns),
            Packet::Pingresp => {
                self.handle_pong(index);
                Ok(())
            }
            other => wire::refuse(&other),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        self.shared.note_closed(self.worker, was_ready, &cause);
    }

    fn handle_turn(&mut self, clients: &mut Clients, now_ns: u64) {
        if self.phase == Phase::Measuring {
            (0..self.publishers.len() as u32).for_each(|index| self.fill(clients, index, now_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::numbered::TOPICS_MAX;

    #[test]
    fn topic_and_round_survive_the_stamp_at_their_bounds() {
        for (topic, round) in [(0, 0), (TOPICS_MAX - 1, 0xFFFF), (7, 20)] {
            let mut payload = [0; 16];
            stamp_of(topic, round, 5).write(&mut payload);
            assert_eq!(topic_and_round(Stamp::read(&payload, &[]).unwrap()), (topic, round));
        }
    }
}
