//! The clients of one worker that exchange messages: who publishes, who receives, what is verified on the way.
//!
//! A driver of the [`Engine`](crate::net::engine::Engine); it never touches a socket and never decides when a phase begins.

use crate::args::TargetArguments;
use crate::load::histogram::Histogram;
use crate::load::payload::{self, Stamp};
use crate::load::sequence::{Findings, Sequence};
use crate::load::window::Window;
use crate::net::client::{Clients, Greeting};
use crate::net::engine::Driver;
use crate::net::wire::{self, PublishTemplate};
use crate::phase::{Phase, Shared};
use anyhow::{Context, Result, bail, ensure};
use ringmq_core::codec::{Ack, AckKind, Connack, Packet, ProtocolVersion, Publish, QoS};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A publisher whose socket takes no more than this waits, whatever its window says.
const BACKLOG_BYTES_MAX: usize = 256 * 1024;
/// At QoS 0, a full window that did not move for this long is regarded as lost.
const STALL_NS: u64 = 1_000_000_000;

/// What a run with messages shall do; the fields are those of [`TrafficArguments`](crate::args::TrafficArguments).
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: TargetArguments,
    pub publishers: u32,
    pub subscribers: u32,
    pub qos: QoS,
    pub measured: Duration,
    pub warmup: Duration,
    pub payload_bytes: usize,
    pub window_messages: u32,
    pub pause: Duration,
    pub allow_loss: bool,
}

impl Plan {
    /// Publisher i and subscriber j belong together when both have the same group, the remainder by the smaller side's
    /// size: pairs when both are equal, fan-out and fan-in otherwise.
    fn groups(&self) -> u32 {
        self.publishers.min(self.subscribers)
    }

    /// The members of one side that `worker` drives: those of every group that falls to it.
    fn members(&self, count: u32, worker: u16) -> impl Iterator<Item = u32> + use<> {
        let (groups, workers) = (self.groups(), u32::from(self.target.threads));
        (0..count).filter(move |member| member % groups % workers == u32::from(worker))
    }

    fn topic(&self, publisher: u32) -> String {
        format!("{}/{publisher}", self.target.prefix)
    }
}

/// What one worker found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Latencies of the messages delivered while measuring.
    pub latency: Histogram,
    /// Lost, duplicated, out of order.
    pub findings: Findings,
    /// Messages that arrived damaged, at the wrong subscriber or with the wrong quality of service.
    pub damaged: u64,
    /// Messages the broker refused by the reason code of its acknowledgement.
    pub refused: u64,
    /// Acknowledgements of nothing.
    pub acks_unexpected: u64,
    /// QoS 2 deliveries whose PUBREL did not come, and publications whose acknowledgement did not.
    pub handshakes_open: u64,
    /// Windows regarded as lost because nothing moved.
    pub stalls: u64,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Subscriber { number: u32 },
    Publisher { flow: u32 },
}

/// The messages of one publisher.
#[derive(Debug)]
struct Flow {
    publisher: u32,
    client: u32,
    template: PublishTemplate,
    window: Window,
    /// One for each subscriber of the group, in their order.
    sequences: Vec<Sequence>,
    queued: bool,
    oldest_before: u64,
}

/// The clients of one worker.
#[derive(Debug)]
pub struct Traffic<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    worker: u16,
    version: ProtocolVersion,
    roles: Vec<Role>,
    flows: Vec<Flow>,
    /// The flow of each publisher of the run, `u32::MAX` for those of other workers.
    flow_of: Vec<u32>,
    /// Flows whose window may be open.
    queue: Vec<u32>,
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
    pub fn new(plan: &'a Plan, shared: &'a Shared, worker: u16) -> Result<Traffic<'a>> {
        let version = plan.target.version();
        let mut roles: Vec<Role> =
            plan.members(plan.subscribers, worker).map(|number| Role::Subscriber { number }).collect();
        let (mut flows, mut flow_of) = (Vec::new(), vec![u32::MAX; plan.publishers as usize]);
        for publisher in plan.members(plan.publishers, worker) {
            let group = publisher % plan.groups();
            let subscribers = (0..plan.subscribers).filter(|number| number % plan.groups() == group).count();
            let topic = plan.topic(publisher);
            let template = PublishTemplate::new(version, &topic, plan.qos, plan.payload_bytes)?;
            flow_of[publisher as usize] = flows.len() as u32;
            flows.push(Flow {
                publisher,
                client: roles.len() as u32,
                template,
                window: Window::new(plan.window_messages, subscribers as u32, plan.qos != QoS::AtMostOnce),
                sequences: (0..subscribers).map(|_| Sequence::default()).collect(),
                queued: false,
                oldest_before: 0,
            });
            roles.push(Role::Publisher { flow: flows.len() as u32 - 1 });
        }
        Ok(Traffic {
            plan,
            shared,
            worker,
            version,
            roles,
            flows,
            flow_of,
            queue: Vec::new(),
            filling: payload::filling(plan.payload_bytes),
            phase: Phase::Opening,
            stalls_checked_ns: 0,
            published: 0,
            delivered: 0,
            releases_awaited: 0,
            outcome: Outcome::default(),
        })
    }

    /// How many clients there are to be opened.
    pub fn clients(&self) -> u32 {
        self.roles.len() as u32
    }

    /// What client `index` says first, and its number among all clients of the run.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn greeting(&self, index: u32) -> Result<(u32, Greeting)> {
        let (plan, target) = (self.plan, &self.plan.target);
        let connect = |id: &str| wire::connect(self.version, id, true, target.keep_alive);
        match self.roles[index as usize] {
            Role::Subscriber { number } => {
                let filters: Vec<String> = (0..plan.publishers)
                    .filter(|publisher| publisher % plan.groups() == number % plan.groups())
                    .map(|publisher| plan.topic(publisher))
                    .collect();
                let subscribe = Some(wire::subscribe(self.version, &filters, plan.qos)?);
                Ok((
                    number,
                    Greeting { connect: connect(&format!("{}-s{number}", target.prefix))?, subscribe },
                ))
            }
            Role::Publisher { flow } => {
                let publisher = self.flows[flow as usize].publisher;
                let connect = connect(&format!("{}-p{publisher}", target.prefix))?;
                Ok((plan.subscribers + publisher, Greeting { connect, subscribe: None }))
            }
        }
    }

    /// Does what a newly declared phase asks for.
    pub fn enter(&mut self, phase: Phase) {
        if self.phase < Phase::Warming && phase >= Phase::Warming {
            (0..self.flows.len() as u32).for_each(|flow| self.enqueue(flow));
        }
        self.phase = phase;
    }

    /// Publishes the worker's counters to the main thread.
    pub fn tell_progress(&self) {
        let progress = self.shared.progress(self.worker);
        progress.published.store(self.published, Ordering::Relaxed);
        progress.delivered.store(self.delivered, Ordering::Relaxed);
        if self.phase == Phase::Draining {
            progress.drained.store(self.is_drained(), Ordering::Relaxed);
        }
    }

    /// What was found, when nothing more is expected.
    pub fn into_outcome(mut self) -> Outcome {
        for flow in &self.flows {
            let published = flow.window.published();
            flow.sequences
                .iter()
                .for_each(|sequence| self.outcome.findings.add(sequence.findings(published)));
            self.outcome.handshakes_open += flow.window.unacknowledged();
        }
        self.outcome.handshakes_open += self.releases_awaited;
        self.outcome
    }

    fn is_drained(&self) -> bool {
        self.releases_awaited == 0
            && self.flows.iter().all(|flow| {
                let published = flow.window.published();
                flow.window.is_empty() && flow.sequences.iter().all(|sequence| sequence.next() == published)
            })
    }

    fn enqueue(&mut self, flow: u32) {
        let entry = &mut self.flows[flow as usize];
        if !entry.queued {
            entry.queued = true;
            self.queue.push(flow);
        }
    }

    /// Publishes until the window is full. `false` when the socket takes no more and the flow has to come again.
    fn fill(&mut self, clients: &mut Clients, flow: u32, now_ns: u64) -> bool {
        let flow = &mut self.flows[flow as usize];
        if !flow.window.is_open() || clients.is_closed(flow.client) {
            return true;
        }
        let room = BACKLOG_BYTES_MAX.saturating_sub(clients.backlog_bytes(flow.client));
        let mut messages = room.div_ceil(flow.template.bytes());
        let out = clients.out(flow.client);
        while flow.window.is_open() {
            if messages == 0 {
                return false;
            }
            messages -= 1;
            let number = flow.window.push();
            flow.template.write(Stamp { publisher: flow.publisher, number, sent_ns: now_ns }, out);
            self.published += 1;
        }
        true
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
        let groups = self.plan.publishers.min(self.plan.subscribers);
        ensure!(
            publish.topic.as_bytes() == flow.template.topic()
                && stamp.publisher % groups == subscriber % groups,
            "subscriber {subscriber} received a message of publisher {} on {}",
            stamp.publisher,
            publish.topic
        );
        ensure!(
            publish.qos == self.plan.qos,
            "delivered at {:?}, published at {:?}",
            publish.qos,
            self.plan.qos
        );
        ensure!(stamp.number < flow.window.published(), "message {} was never published", stamp.number);
        let slot = (subscriber / groups) as usize;
        for settled in flow.sequences[slot].handle_delivery(stamp.number) {
            flow.window.handle_delivery(settled);
        }
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

impl Driver for Traffic<'_> {
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()> {
        let maximum = connack.properties.maximum_qos.unwrap_or(QoS::ExactlyOnce);
        ensure!(maximum >= self.plan.qos, "the broker supports no more than {maximum:?}");
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
            Packet::Pingresp => Ok(()),
            Packet::Disconnect(disconnect) => bail!("the broker disconnected: {:?}", disconnect.reason),
            other => bail!("unexpected {other:?}"),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        let progress = self.shared.progress(self.worker);
        let counter = if was_ready { &progress.disconnected } else { &progress.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.shared.note_failure(&cause);
    }

    fn handle_turn(&mut self, clients: &mut Clients, now_ns: u64) {
        if !matches!(self.phase, Phase::Warming | Phase::Measuring) {
            return;
        }
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
