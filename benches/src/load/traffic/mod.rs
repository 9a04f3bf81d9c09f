//! The clients of one worker that exchange messages: who publishes, who receives, what is verified on the way.
//!
//! A driver of the [`Engine`](crate::net::engine::Engine); it never touches a socket and never decides when a phase begins.

mod flow;
pub mod outcome;
pub mod plan;
pub mod subscribing;

use crate::load::payload::{self, Stamp};
use crate::load::schedule::Schedule;
use crate::net::client::{Clients, Greeting};
use crate::net::engine::Driver;
use crate::net::wire;
use crate::phase::{Phase, Shared};
use crate::scenarios::stage::Actor;
use anyhow::{Context, Result, bail, ensure};
use flow::Flow;
use outcome::Outcome;
use plan::Plan;
use ringmq_core::codec::{Ack, AckKind, Connack, Packet, ProtocolVersion, Publish, QoS, Suback};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use subscribing::{Gate, Subscribing};

/// A publisher whose socket takes no more than this waits, whatever its window says.
const BACKLOG_BYTES_MAX: usize = 256 * 1024;
/// At QoS 0, a full window that did not move for this long is regarded as lost.
const STALL_NS: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy)]
enum Role {
    Subscriber { number: u32 },
    Publisher { flow: u32 },
}

/// The clients of one worker.
#[derive(Debug)]
pub struct Traffic<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    gate: Arc<Gate>,
    worker: u16,
    version: ProtocolVersion,
    roles: Vec<Role>,
    /// How far each subscriber is, which is client of the same number; empty until the gate is open.
    subscribing: Vec<Subscribing>,
    is_subscribing: bool,
    flows: Vec<Flow>,
    /// The flow of each publisher of the run, `u32::MAX` for those of other workers.
    flow_of: Vec<u32>,
    /// Flows whose window may be open.
    queue: Vec<u32>,
    /// The open loop, once it has begun, and how many messages were due when last looked at.
    schedule: Option<Schedule>,
    due: u64,
    filling: Vec<u8>,
    phase: Phase,
    stalls_checked_ns: u64,
    published: u64,
    delivered: u64,
    releases_awaited: u64,
    outcome: Outcome,
}

impl<'a> Traffic<'a> {
    /// The clients that fall to `worker`.
    ///
    /// # Errors
    /// When the messages cannot be encoded.
    pub fn new(plan: &'a Plan, gate: Arc<Gate>, shared: &'a Shared, worker: u16) -> Result<Traffic<'a>> {
        let subscribing: Vec<Subscribing> =
            plan.members(plan.subscribers, worker).map(Subscribing::new).collect();
        let mut roles: Vec<Role> =
            plan.members(plan.subscribers, worker).map(|number| Role::Subscriber { number }).collect();
        let (mut flows, mut flow_of) = (Vec::new(), vec![u32::MAX; plan.publishers as usize]);
        for publisher in plan.members(plan.publishers, worker) {
            flow_of[publisher as usize] = flows.len() as u32;
            flows.push(Flow::new(plan, publisher, roles.len() as u32)?);
            roles.push(Role::Publisher { flow: flows.len() as u32 - 1 });
        }
        Ok(Traffic {
            plan,
            shared,
            gate,
            worker,
            version: plan.target.version(),
            roles,
            subscribing,
            is_subscribing: false,
            flows,
            flow_of,
            queue: Vec::new(),
            schedule: None,
            due: 0,
            filling: payload::filling(plan.payload_bytes),
            phase: Phase::Opening,
            stalls_checked_ns: 0,
            published: 0,
            delivered: 0,
            releases_awaited: 0,
            outcome: Outcome::default(),
        })
    }

    fn is_drained(&self) -> bool {
        self.releases_awaited == 0 && self.flows.iter().all(Flow::is_drained)
    }

    /// Sends the first SUBSCRIBE of every subscriber.
    fn begin_subscribing(&mut self, clients: &mut Clients) {
        self.is_subscribing = true;
        for index in 0..self.subscribing.len() as u32 {
            if let Err(cause) = self.subscribe_more(clients, index) {
                self.shared.note_failure(&cause);
                self.shared.progress(self.worker).failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn subscribe_more(&mut self, clients: &mut Clients, index: u32) -> Result<()> {
        let subscribing = &mut self.subscribing[index as usize];
        if !subscribing.poll_packet(self.plan, clients.out(index))? {
            self.gate.note_subscribed();
        }
        Ok(())
    }

    fn handle_suback(&mut self, clients: &mut Clients, index: u32, suback: &Suback) -> Result<()> {
        let subscribing = self.subscribing.get(index as usize).context("SUBACK at a publisher")?;
        subscribing.handle_suback(suback)?;
        self.subscribe_more(clients, index)
    }

    fn enqueue(&mut self, flow: u32) {
        let entry = &mut self.flows[flow as usize];
        if !entry.queued {
            entry.queued = true;
            self.queue.push(flow);
        }
    }

    /// Publishes until the window is full, or all that is due in an open loop. `false` when the socket takes no more and the
    /// flow has to come again.
    fn fill(&mut self, clients: &mut Clients, index: u32, now_ns: u64) -> bool {
        let flow = &mut self.flows[index as usize];
        if !flow.window.is_open() || clients.is_closed(flow.client) {
            return true;
        }
        let due = self.schedule.map_or(u64::MAX, |schedule| schedule.due_of(index, self.due));
        let room = BACKLOG_BYTES_MAX.saturating_sub(clients.backlog_bytes(flow.client));
        let mut messages = room.div_ceil(flow.template.bytes());
        let out = clients.out(flow.client);
        while flow.window.is_open() && flow.window.published() < due {
            if messages == 0 {
                return false;
            }
            messages -= 1;
            let number = flow.window.push();
            let sent_ns = self.schedule.map_or(now_ns, |schedule| schedule.intended_ns(index, number));
            if self.schedule.is_some() && self.phase == Phase::Measuring {
                self.outcome.lag_max_ns = self.outcome.lag_max_ns.max(now_ns.saturating_sub(sent_ns));
            }
            flow.template.write(number, Stamp { publisher: flow.publisher, number, sent_ns }, out);
            self.published += 1;
        }
        true
    }

    /// Puts the flows whose messages have become due on the list of those that may publish.
    fn advance_schedule(&mut self, now_ns: u64) {
        let Some(schedule) = self.schedule else { return };
        let (seen, due) = (self.due, schedule.due(now_ns));
        // After a long turn every flow has something due, once for all it has.
        for number in seen..due.min(seen + self.flows.len() as u64) {
            self.enqueue(schedule.flow_of(number));
        }
        self.due = due.max(seen);
    }

    fn handle_publish(
        &mut self,
        clients: &mut Clients,
        index: u32,
        publish: &Publish<'_>,
        now_ns: u64,
    ) -> Result<()> {
        match self.verify(index, publish, now_ns) {
            Ok(flow) => self.enqueue(flow),
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

    /// Checks that this message belongs here and counts it; returns its flow.
    fn verify(&mut self, index: u32, publish: &Publish<'_>, now_ns: u64) -> Result<u32> {
        let Role::Subscriber { number: subscriber } = self.roles[index as usize] else {
            bail!("a publisher received a message on {}", publish.topic)
        };
        let stamp = Stamp::read(publish.payload, &self.filling)?;
        let flow_index = self.flow_of.get(stamp.publisher as usize).copied().unwrap_or(u32::MAX);
        let flow = self.flows.get_mut(flow_index as usize).context("a message of an unknown publisher")?;
        let slot = self.plan.slot(stamp.publisher, subscriber);
        let (Some(slot), true) = (slot, publish.topic.as_bytes() == flow.template.topic()) else {
            bail!(
                "subscriber {subscriber} received a message of publisher {} on {}",
                stamp.publisher,
                publish.topic
            )
        };
        ensure!(
            publish.qos == self.plan.qos,
            "delivered at {:?}, published at {:?}",
            publish.qos,
            self.plan.qos
        );
        ensure!(stamp.number < flow.window.published(), "message {} was never published", stamp.number);
        flow.handle_delivery(stamp.number, slot);
        self.delivered += 1;
        if self.phase == Phase::Measuring {
            self.outcome.latency.record(now_ns.saturating_sub(stamp.sent_ns));
        }
        Ok(flow_index)
    }

    fn handle_ack(&mut self, clients: &mut Clients, index: u32, ack: &Ack) -> Result<()> {
        let flow = match (self.roles[index as usize], ack.kind) {
            (Role::Subscriber { .. }, AckKind::Pubrel) => {
                self.releases_awaited = self.releases_awaited.saturating_sub(1);
                return wire::acknowledge(AckKind::Pubcomp, ack.packet_id, self.version, clients.out(index));
            }
            (Role::Publisher { flow }, AckKind::Puback | AckKind::Pubrec | AckKind::Pubcomp) => flow,
            (role, kind) => bail!("unexpected {kind:?} at {role:?}"),
        };
        if ack.reason.is_error() {
            self.outcome.refused += 1;
        } else if ack.kind == AckKind::Pubrec {
            return wire::acknowledge(AckKind::Pubrel, ack.packet_id, self.version, clients.out(index));
        }
        if !self.flows[flow as usize].window.handle_acknowledgement(ack.packet_id) {
            self.outcome.acks_unexpected += 1;
        }
        self.enqueue(flow);
        Ok(())
    }

    /// A lost message at QoS 0 would close its window for ever.
    fn abandon_stalled(&mut self, now_ns: u64) {
        if self.plan.qos != QoS::AtMostOnce || now_ns < self.stalls_checked_ns + STALL_NS {
            return;
        }
        self.stalls_checked_ns = now_ns;
        for index in 0..self.flows.len() {
            let flow = &mut self.flows[index];
            let is_stalled = !flow.window.is_open() && flow.window.oldest() == flow.oldest_before;
            if is_stalled {
                flow.window.abandon();
                self.outcome.stalls += 1;
            }
            flow.oldest_before = flow.window.oldest();
            if is_stalled {
                self.enqueue(index as u32);
            }
        }
    }
}

impl Actor for Traffic<'_> {
    type Outcome = Outcome;

    fn clients(&self) -> u32 {
        self.roles.len() as u32
    }

    fn greeting(&self, index: u32) -> Result<(u32, Greeting)> {
        let target = &self.plan.target;
        let (number, id) = match self.roles[index as usize] {
            Role::Subscriber { number } => (number, format!("{}-s{number}", target.prefix)),
            Role::Publisher { flow } => {
                let publisher = self.flows[flow as usize].publisher;
                (self.plan.subscribers + publisher, format!("{}-p{publisher}", target.prefix))
            }
        };
        let connect = wire::connect(self.version, &id, true, target.keep_alive)?;
        Ok((number, Greeting { connect, subscribe: None }))
    }

    fn enter(&mut self, phase: Phase, now_ns: u64) {
        if self.phase < Phase::Warming && phase >= Phase::Warming {
            if self.plan.rate_per_s > 0.0 {
                // Each worker has the part of the rate that its flows are of all flows.
                let part = self.flows.len() as f64 / f64::from(self.plan.publishers);
                let per_s = self.plan.rate_per_s * part;
                self.schedule = (part > 0.0).then(|| Schedule::new(per_s, self.flows.len() as u32, now_ns));
            } else {
                (0..self.flows.len() as u32).for_each(|flow| self.enqueue(flow));
            }
        }
        self.phase = phase;
    }

    fn wait_max(&self, now_ns: u64) -> Option<Duration> {
        let schedule = self.schedule.filter(|_| self.phase < Phase::Draining)?;
        Some(Duration::from_nanos(schedule.time_ns(self.due).saturating_sub(now_ns)))
    }

    fn tell_progress(&self) {
        let progress = self.shared.progress(self.worker);
        progress.published.store(self.published, Ordering::Relaxed);
        progress.delivered.store(self.delivered, Ordering::Relaxed);
        if self.phase == Phase::Draining {
            progress.drained.store(self.is_drained(), Ordering::Relaxed);
        }
    }

    fn into_outcome(mut self) -> Outcome {
        for flow in &self.flows {
            self.outcome.findings.add(flow.findings());
            self.outcome.handshakes_open += flow.window.unacknowledged();
        }
        self.outcome.handshakes_open += self.releases_awaited;
        self.outcome
    }
}

impl Driver for Traffic<'_> {
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()> {
        wire::check_qos(connack, self.plan.qos)?;
        if let (Role::Publisher { flow }, Some(maximum)) =
            (self.roles[index as usize], connack.properties.receive_maximum)
            && self.plan.qos != QoS::AtMostOnce
        {
            self.flows[flow as usize].window.restrict(u32::from(maximum));
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
            Packet::Publish(publish) => self.handle_publish(clients, index, &publish, now_ns),
            Packet::Ack(ack) => self.handle_ack(clients, index, &ack),
            Packet::Suback(suback) => self.handle_suback(clients, index, &suback),
            Packet::Pingresp => Ok(()),
            other => wire::refuse(&other),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        self.shared.note_closed(self.worker, was_ready, &cause);
    }

    fn handle_turn(&mut self, clients: &mut Clients, now_ns: u64) {
        if !self.is_subscribing && self.gate.is_open() {
            self.begin_subscribing(clients);
        }
        if !matches!(self.phase, Phase::Warming | Phase::Measuring) {
            return;
        }
        self.advance_schedule(now_ns);
        self.abandon_stalled(now_ns);
        let mut waiting = 0;
        for position in 0..self.queue.len() {
            let flow = self.queue[position];
            if self.fill(clients, flow, now_ns) {
                self.flows[flow as usize].queued = false;
            } else {
                self.queue[waiting] = flow;
                waiting += 1;
            }
        }
        self.queue.truncate(waiting);
    }
}
