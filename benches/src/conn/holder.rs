//! One worker of `conn`: opens its share of the connections, keeps them alive, and does with them what the board says.

use crate::args::ConnArguments;
use crate::clock::Clock;
use crate::conn::active::{self, Active};
use crate::conn::board::{Board, Counts, Step};
use crate::conn::broadcast::Broadcast;
use crate::load::histogram::Histogram;
use crate::load::sequence::Findings;
use crate::net::client::{Clients, Greeting};
use crate::net::endpoint::Endpoint;
use crate::net::engine::{Driver, Engine};
use crate::net::opener::Opener;
use crate::net::pinger::Pinger;
use crate::net::wire;
use crate::phase::{Phase, Share, Shared};
use anyhow::Result;
use ringmq_core::codec::{AckKind, Connack, Packet, ProtocolVersion, Publish, QoS};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A worker without events looks at phase and step this often.
const TURN_MAX: Duration = Duration::from_millis(5);
/// While connections are held, a worker has nothing to do but pings.
const TURN_QUIET: Duration = Duration::from_millis(50);

/// What one worker found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lost, duplicated, out of order, of the messages to active clients.
    pub findings: Findings,
    /// Messages never acknowledged, and acknowledgements of nothing or that say no.
    pub acks_wrong: u64,
    /// Messages that are not ours, or came to the wrong client.
    pub damaged: u64,
    /// Arrivals of the broadcast where it had arrived.
    pub broadcast_duplicated: u64,
    /// Latencies of the messages to active clients.
    pub latency: Histogram,
    /// Latencies of the broadcast.
    pub broadcast_latency: Histogram,
}

/// Works until the main thread says stop.
///
/// # Errors
/// When a packet cannot be encoded or epoll fails; a connection that fails is counted instead.
pub fn work(
    arguments: &ConnArguments,
    shared: &Shared,
    board: &Board,
    share: Share,
    endpoint: Endpoint,
    clock: Clock,
) -> Result<Outcome> {
    let target = &arguments.target;
    let timeout = Duration::from_secs(target.connect_timeout);
    let mut engine = Engine::new(endpoint, target.version(), timeout, clock)?;
    let mut holder = Holder::new(arguments, shared, board, share)?;
    // The publisher is the last, so that a client's index is its place among the held ones.
    let count = share.count() + u32::from(holder.has_publisher);
    engine.reserve(count);
    let threads = u32::from(target.threads);
    let rate = f64::from(arguments.rate) / f64::from(threads);
    let mut opener = Opener::new(count, target.connecting_max / threads, rate, clock.now_ns());
    let ping = wire::ping(target.version())?;
    let mut pinger = Pinger::new(target.keep_alive, share.count(), clock.now_ns());
    while shared.phase() != Phase::Stopping {
        while let Some(index) = opener.poll_due(engine.connecting(), clock.now_ns()) {
            let greeting = holder.greeting(arguments, index)?;
            engine.open(&mut holder, share.connection(index), greeting);
        }
        let step = board.step();
        while step != Step::Draining
            && let Some(index) = pinger.poll_due(clock.now_ns())
        {
            holder.counts.pings += u64::from(engine.ping(index, &ping));
        }
        engine.turn(&mut holder, if step == Step::Quiet { TURN_QUIET } else { TURN_MAX })?;
    }
    engine.close_all(&wire::disconnect(target.version())?);
    Ok(holder.into_outcome())
}

/// The driver of held connections.
#[derive(Debug)]
struct Holder<'a> {
    shared: &'a Shared,
    board: &'a Board,
    share: Share,
    version: ProtocolVersion,
    qos: QoS,
    has_publisher: bool,
    active: Active,
    broadcast: Broadcast,
    counts: Counts,
    damaged: u64,
}

impl<'a> Holder<'a> {
    fn new(
        arguments: &ConnArguments,
        shared: &'a Shared,
        board: &'a Board,
        share: Share,
    ) -> Result<Holder<'a>> {
        let target = &arguments.target;
        let (version, qos) = (target.version(), QoS::from_u8(arguments.qos).unwrap_or_default());
        let chosen = active::chosen(arguments.active_percent, share.count_before(), share.count());
        let has_publisher = !chosen.is_empty() || (arguments.broadcast && share.worker == 0);
        let chosen = chosen.into_iter().map(|index| (index, share.connection(index)));
        let asking_max = target.connecting_max / u32::from(share.threads);
        Ok(Holder {
            shared,
            board,
            share,
            version,
            qos,
            has_publisher,
            active: Active::new(chosen, |connection| own_topic(arguments, connection), version, qos)?,
            broadcast: Broadcast::new(&format!("{}/broadcast", target.prefix), version, qos, asking_max)?,
            counts: Counts::default(),
            damaged: 0,
        })
    }

    fn greeting(&self, arguments: &ConnArguments, index: u32) -> Result<Greeting> {
        let (prefix, keep_alive) = (&arguments.target.prefix, arguments.target.keep_alive);
        if self.is_publisher(index) {
            let id = format!("{prefix}-publisher-{}", self.share.worker);
            // It says enough while it is needed, and nothing before and after.
            return Ok(Greeting { connect: wire::connect(self.version, &id, true, 0)?, subscribe: None });
        }
        let connection = self.share.connection(index);
        let id = format!("{prefix}-{connection}");
        let connect = wire::connect(self.version, &id, arguments.clean_session, keep_alive)?;
        let filter = arguments.subscribe.then(|| own_topic(arguments, connection));
        let subscribe =
            filter.map(|filter| wire::subscribe(self.version, &[filter], self.qos)).transpose()?;
        Ok(Greeting { connect, subscribe })
    }

    fn is_publisher(&self, index: u32) -> bool {
        index == self.share.count()
    }

    fn handle_publish(
        &mut self,
        clients: &mut Clients,
        index: u32,
        publish: &Publish<'_>,
        now_ns: u64,
    ) -> Result<()> {
        let verified = if self.broadcast.is_topic(publish.topic) {
            self.broadcast.handle_publish(index, publish, now_ns)
        } else {
            self.active.handle_publish(index, publish, now_ns)
        };
        if let Err(cause) = verified {
            self.damaged += 1;
            self.shared.note_failure(&cause);
        }
        match publish.packet_id {
            Some(id) => wire::acknowledge(AckKind::Puback, id, self.version, clients.out(index)),
            None => Ok(()),
        }
    }

    fn into_outcome(self) -> Outcome {
        let (findings, unacknowledged) = self.active.findings();
        Outcome {
            findings,
            acks_wrong: unacknowledged + self.active.acks_wrong,
            damaged: self.damaged,
            broadcast_duplicated: self.broadcast.duplicated,
            latency: self.active.latency,
            broadcast_latency: self.broadcast.latency,
        }
    }
}

/// The topic that only this connection subscribes to.
fn own_topic(arguments: &ConnArguments, connection: u32) -> String {
    format!("{}/conn/{connection}", arguments.target.prefix)
}

impl Driver for Holder<'_> {
    fn handle_connack(&mut self, index: u32, connack: &Connack) -> Result<()> {
        wire::check_qos(connack, self.qos)?;
        if let (true, Some(maximum)) = (self.is_publisher(index), connack.properties.receive_maximum) {
            self.active.restrict(maximum);
        }
        Ok(())
    }

    fn handle_ready(&mut self, _clients: &mut Clients, index: u32, _now_ns: u64) {
        if self.is_publisher(index) {
            self.counts.publishers += 1;
        } else {
            self.shared.progress(self.share.worker).ready.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn handle_packet(
        &mut self,
        clients: &mut Clients,
        index: u32,
        packet: Packet<'_>,
        now_ns: u64,
    ) -> Result<()> {
        match packet {
            Packet::Pingresp => {
                self.counts.pongs += 1;
                Ok(())
            }
            Packet::Publish(publish) => self.handle_publish(clients, index, &publish, now_ns),
            Packet::Ack(ack) if ack.kind == AckKind::Puback && self.is_publisher(index) => {
                // Nothing to active clients is on its way any more when the broadcast is published.
                if self.board.step() == Step::Broadcasting && !ack.reason.is_error() {
                    self.broadcast.acknowledged += 1;
                } else {
                    self.active.handle_puback(ack.packet_id, ack.reason.is_error());
                }
                Ok(())
            }
            Packet::Suback(suback) => self.broadcast.handle_suback(&suback),
            other => wire::refuse(&other),
        }
    }

    fn handle_closed(&mut self, _index: u32, was_ready: bool, cause: anyhow::Error) {
        self.shared.note_closed(self.share.worker, was_ready, &cause);
    }

    fn handle_turn(&mut self, clients: &mut Clients, now_ns: u64) {
        let publisher = self.share.count();
        let can_publish = self.counts.publishers > 0 && !clients.is_closed(publisher);
        match self.board.step() {
            Step::Active if can_publish => self.active.write_due(now_ns, clients.out(publisher)),
            Step::Gathering => self.broadcast.gather(clients, publisher),
            Step::Broadcasting if can_publish && self.share.worker == 0 => {
                self.broadcast.publish(now_ns, clients.out(publisher));
            }
            _ => {}
        }
        self.counts.published = self.active.published();
        self.counts.settled = self.active.settled();
        self.counts.gathered = self.broadcast.gathered;
        self.counts.broadcasts = self.broadcast.arrived;
        self.board.tell(self.share.worker, &self.counts);
        let progress = self.shared.progress(self.share.worker);
        progress.published.store(self.counts.published, Ordering::Relaxed);
        progress.delivered.store(self.active.delivered() + self.broadcast.arrived, Ordering::Relaxed);
    }
}
