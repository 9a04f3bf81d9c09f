//! A shard: all connections, sessions and routing state of one core.
//!
//! A shard is a state machine like the sessions it owns. Its reactor hands it events and the time, and takes
//! [`Command`]s and outboxes from it; lanes carry messages to and from other shards. It performs no IO.

mod admission;
mod connection;
mod credit;
mod journal;
mod lanes;
mod outlets;
mod oversize;
mod packets;
mod parting;
mod publish;
mod retained;
mod sessions;
mod shared;
mod subscribe;
mod timers;

pub use connection::ListenerTerms;
pub use journal::{Journal, READ_BACKS_MAX, Remembered, WallClock};
pub use lanes::{Handover, LaneMessage};
pub use outlets::{Command, SCRATCH_KEPT};

use crate::access::Access;
use crate::allowance::Registers;
use crate::config::DataPlaneConfig;
use crate::durability::DurabilityLevel;
use crate::log_port::LogPort;
use crate::mesh::{Bell, Mesh};
use crate::metrics::{Gauge, ShardCells};
use crate::quota::Quota;
use crate::reactor::Event;
use crate::transport::Layers;
use admission::{Crowd, Handshakes, Inquiries, Parking, Revision};
use connection::Connection;
use credit::Credit;
use crossbeam_channel::Receiver;
use journal::{Arrivals, Forwardings, LogFigures, Receipts};
use outlets::{Outlets, SpentBuffers};
use publish::{Errand, Matches};
use retained::Retained;
use ringmq_core::config::{MqttConfig, QueueFullPolicy, ZoneId};
use ringmq_core::metrics::Tally;
use ringmq_core::routing::{FilterIndex, GroupTable, Interest, ShardId, ShardSet};
use ringmq_core::session::TemplateCache;
use ringmq_core::shelf::Shelf;
use ringmq_core::time::Timestamp;
use ringmq_core::wheel::TimingWheel;
use sessions::{SessionKey, Sessions, Slot};
use shared::SharedGroups;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use subscribe::{InterestLedger, Subscribers};
use timers::TimerKey;

/// What the control plane asks of a shard.
#[derive(Clone)]
pub enum Control {
    /// Stop accepting, say goodbye, flush, end.
    Shutdown,
    /// New connections of each listener begin with this.
    Layers(Arc<[Layers]>),
    /// From now on this says who may enter and what they may do.
    Access(Arc<dyn Access>),
}

/// What a shard is made of.
pub struct ShardParts {
    /// The configuration, shared by all shards.
    pub config: Arc<DataPlaneConfig>,
    /// Lanes to all other shards.
    pub mesh: Mesh<LaneMessage>,
    /// How many shards there are.
    pub shards: usize,
    /// Where this shard publishes its metrics.
    pub cells: Arc<ShardCells>,
    /// The terms of each listener, for all shards.
    pub limits: Arc<[ListenerTerms]>,
    /// What the connections of each listener begin with.
    pub layers: Arc<[Layers]>,
    /// Who may enter and what they may do.
    pub access: Arc<dyn Access>,
    /// What clients and users have published, over all shards, where that is bounded.
    pub usage: Arc<Registers>,
    /// Retained messages, over all shards.
    pub retained: Arc<Quota>,
    /// Requests of the control plane.
    pub control: Receiver<Control>,
    /// What the shard remembers beyond the process.
    pub journal: Journal,
    /// Seed of this shard's random numbers.
    pub seed: u64,
    /// The time.
    pub now: Timestamp,
}

/// One shard.
pub struct Shard {
    id: ShardId,
    shards: usize,
    config: Arc<DataPlaneConfig>,
    now: Timestamp,
    mesh: Mesh<LaneMessage>,
    control: Receiver<Control>,
    connections: Shelf<Connection>,
    limits: Arc<[ListenerTerms]>,
    layers: Arc<[Layers]>,
    handshakes: Handshakes,
    access: Arc<dyn Access>,
    parking: Parking,
    crowd: Crowd,
    revision: Revision,
    usage: Arc<Registers>,
    /// What external sources are asked about clients.
    inquiries: Inquiries,
    sessions: Sessions,
    index: FilterIndex<Subscribers>,
    interest: Interest,
    ledger: InterestLedger,
    groups: GroupTable,
    shared: SharedGroups,
    retained: Retained,
    wheel: TimingWheel<TimerKey>,
    due: Vec<TimerKey>,
    outlets: Outlets,
    credit: Credit,
    spent: SpentBuffers,
    matches: Matches,
    templates: TemplateCache,
    tally: Tally,
    cells: Arc<ShardCells>,
    random: fastrand::Rng,
    subscriptions: usize,
    subscriptions_shared: usize,
    live_connections: usize,
    ending: Ending,
    journal: Journal,
    receipts: Receipts,
    log_figures: LogFigures,
    /// The thread that does the log's operations.
    log_port: Option<LogPort>,
    /// Shards with subscriptions of sessions that outlive the process; this one among them once it has told the others.
    durable_shards: ShardSet,
    /// Shards with sessions that have messages refused rather than lose one.
    rejecting_shards: ShardSet,
    /// Sessions of this shard that do.
    rejecting_sessions: usize,
    /// What other shards are to do with the message at hand when it is stored here.
    deferred: Vec<Errand>,
    forwardings: Forwardings,
    arrivals: Arrivals,
    /// The level at which messages are stored before other shards are sent them: one for all, so that they leave in order.
    forwarding_level: DurabilityLevel,
}

/// How far the shard is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Serving,
    /// Outboxes drain until this moment.
    Draining(Timestamp),
    Finished,
}

/// Borrows what handlers of a session of this zone need from a shard, field by field, so that its sessions and connections stay
/// free.
macro_rules! cx {
    ($shard:expr, $zone:expr) => {
        ringmq_core::session::Cx {
            now: $shard.now,
            config: $shard.config.zones.of($zone),
            tally: &mut $shard.tally,
            memory: &mut $shard.journal,
        }
    };
}
pub(crate) use cx;

/// Lane messages handled in one pass before the network gets its turn.
const LANE_MESSAGES_PER_PASS: usize = 1024;

impl Shard {
    /// A shard with nothing in it.
    pub fn new(parts: ShardParts) -> Shard {
        let ShardParts {
            config,
            mesh,
            shards,
            cells,
            limits,
            layers,
            access,
            usage,
            retained,
            control,
            journal,
            seed,
            now,
        } = parts;
        let id = mesh.shard();
        let mut inquiries = Inquiries::default();
        inquiries.change(access.asks_sources());
        Shard {
            id,
            shards,
            now,
            mesh,
            control,
            connections: Shelf::default(),
            limits,
            layers,
            handshakes: Handshakes::default(),
            access,
            parking: Parking::default(),
            crowd: Crowd::default(),
            revision: Revision::default(),
            usage,
            inquiries,
            sessions: Sessions::default(),
            index: FilterIndex::new(),
            interest: Interest::new(),
            ledger: InterestLedger::new(shards),
            groups: GroupTable::new(),
            shared: SharedGroups::default(),
            retained: Retained::new(retained),
            wheel: TimingWheel::new(now),
            due: Vec::new(),
            outlets: Outlets::default(),
            credit: Credit::default(),
            spent: SpentBuffers::default(),
            matches: Matches::default(),
            templates: TemplateCache::default(),
            tally: Tally::default(),
            cells,
            random: fastrand::Rng::with_seed(seed),
            subscriptions: 0,
            subscriptions_shared: 0,
            live_connections: 0,
            ending: Ending::Serving,
            journal,
            receipts: Receipts::default(),
            log_figures: LogFigures::default(),
            log_port: None,
            durable_shards: ShardSet::EMPTY,
            rejecting_shards: rejecting_shards(config.zones.of(ZoneId::DEFAULT), shards),
            rejecting_sessions: 0,
            deferred: Vec::new(),
            forwardings: Forwardings::default(),
            arrivals: Arrivals::default(),
            forwarding_level: config.durability.highest(),
            config,
        }
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The descriptor that becomes readable when another thread rings this shard.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn doorbell(&mut self) -> io::Result<OwnedFd> {
        self.mesh.doorbell()
    }

    /// A handle to ring this shard with.
    pub fn bell(&self) -> Bell {
        self.mesh.bell()
    }

    /// From now on this thread does the operations of the shard's log.
    pub fn connect_log(&mut self, port: LogPort) {
        self.log_port = Some(port);
    }

    /// A pass begins at this moment.
    pub fn begin_pass(&mut self, now: Timestamp) {
        self.now = now;
        self.journal.begin_pass(now);
        self.handshakes.begin_pass();
        self.crowd.begin_pass(&self.config.overload_protection);
    }

    /// Handles what the network did.
    pub fn handle_event(&mut self, event: Event<'_>) {
        match event {
            Event::Accepted { listener, socket, peer } => self.handle_accepted(listener, socket, peer),
            Event::Received { token, bytes } => self.handle_received(token, bytes),
            Event::Progressed { token } => self.handle_progress(token),
            Event::Sent { token } => self.handle_sent(token),
            Event::Closed { token } => self.handle_closed(token),
        }
    }

    /// Handles what other shards sent.
    ///
    /// Requests for retained messages are answered after the lanes were drained once more: what was published before the
    /// subscription was known everywhere is in some lane by the time the request comes, and must be in the answer. Pages
    /// are handled last, after the messages that were routed to the subscriber directly.
    pub fn handle_lanes(&mut self) {
        self.take_arrivals();
        let mut batch = std::mem::take(&mut self.outlets.arrived);
        let queries = self.take_queries();
        let received = self.mesh.receive(LANE_MESSAGES_PER_PASS, |from, message| batch.push((from, message)));
        for (from, message) in batch.drain(..) {
            self.handle_lane_message(from, message);
        }
        self.outlets.arrived = batch;
        for (from, query) in queries {
            if received < LANE_MESSAGES_PER_PASS {
                self.answer(from, *query)
            } else {
                self.keep_query(from, query)
            }
        }
        self.handle_pages();
        self.acknowledge_interest();
    }

    /// Handles what the control plane asked.
    pub fn handle_control(&mut self) {
        self.handle_revision();
        while !self.control.is_empty()
            && let Ok(control) = self.control.try_recv()
        {
            match control {
                Control::Shutdown => self.begin_shutdown(),
                Control::Layers(layers) => self.layers = layers,
                Control::Access(access) => self.change_access(access),
            }
        }
        if let Ending::Draining(until) = self.ending
            && (self.connections.is_empty() || self.now >= until)
        {
            self.ending = Ending::Finished;
        }
    }

    /// Messages for other shards leave. Before the clients' bytes do, so that nobody who read a SUBACK can publish ahead
    /// of what the subscription asked of other shards.
    pub fn flush_lanes(&mut self) {
        self.post_news();
        self.post_credit();
        self.mesh.flush();
    }

    /// The pass is over: held clients go on if there is room, counts are published.
    pub fn end_pass(&mut self) {
        self.post_news();
        self.resume_held();
        self.settle_credit();
        self.commit();
        self.post_log_operations();
        self.evict_bodies();
        self.mesh.flush();
        self.publish_log_figures();
        self.cells.publish(&mut self.tally);
        for (gauge, value) in [
            (Gauge::Sessions, self.sessions.len()),
            (Gauge::LiveConnections, self.live_connections),
            (Gauge::Connections, self.connections.len()),
            (Gauge::Subscriptions, self.subscriptions),
            (Gauge::SubscriptionsShared, self.subscriptions_shared),
            (Gauge::Topics, self.index.len() + self.shared.len()),
            (Gauge::Subscribers, self.sessions.subscribers()),
            (Gauge::Retained, self.retained.len()),
        ] {
            self.cells.set(gauge, value);
        }
    }

    /// The pass that began last has ended at this moment.
    pub fn note_pass(&mut self, end: Timestamp) {
        self.crowd.note_pass(end.since_ms(self.now));
    }

    /// Whether the next pass has work without any event.
    pub fn is_busy(&self) -> bool {
        self.has_streams()
            || self.has_queries()
            || self.outlets.has_work()
            || self.credit.is_busy()
            || self.handshakes.are_waiting()
            || self.crowd.is_waiting()
            || self.revision.is_running()
            || self.journal.has_arrivals()
            || self.arrivals.is_ready()
            || self.ending == Ending::Finished
    }

    /// Announces that the shard goes to sleep; false if it must not.
    pub fn park(&mut self) -> bool {
        if !self.mesh.park() {
            return false;
        }
        let has_answers =
            self.log_port.as_ref().is_some_and(LogPort::has_answers) || self.parking.has_answers();
        if self.control.is_empty() && !has_answers && !self.inquiries.has_answers() {
            self.outlets.release_memory();
            self.due.shrink_to(SCRATCH_KEPT);
            self.matches.release_memory();
            return true;
        }
        self.mesh.unpark();
        false
    }

    /// The shard is awake.
    pub fn unpark(&mut self) {
        self.mesh.unpark();
    }

    /// When the shard must wake without being woken.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timers = [self.wheel.next_deadline(), self.credit.next_deadline()];
        let timer = timers.into_iter().flatten().min();
        match self.ending {
            Ending::Draining(until) => Some(timer.map_or(until, |timer| timer.min(until))),
            _ => timer,
        }
    }

    /// What holds for a session.
    fn settings_of(&self, slot: &Slot) -> &MqttConfig {
        self.config.zones.of(slot.session.zone())
    }

    /// What holds for a session, by its key.
    fn settings_of_session(&self, key: SessionKey) -> &MqttConfig {
        self.config.zones.of(self.sessions.get(key).map_or(ZoneId::DEFAULT, |slot| slot.session.zone()))
    }

    /// How many messages a client's session has queued.
    #[cfg(test)]
    pub fn queued(&self, client_id: &str) -> usize {
        let slot = self.sessions.find(client_id).and_then(|key| self.sessions.get(key));
        slot.map_or(0, |slot| slot.session.queued())
    }

    /// How many publishers wait for room.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.credit.held()
    }

    /// Whether messages of other shards wait for room in the log.
    #[cfg(test)]
    pub fn has_waiting_forwards(&self) -> bool {
        self.arrivals.is_waiting()
    }

    /// Whether the shard has ended.
    pub fn is_finished(&self) -> bool {
        self.ending == Ending::Finished
    }

    /// Publishes the last counts.
    pub fn end(&mut self) {
        self.close_log();
        self.cells.publish(&mut self.tally);
        tracing::debug!(shard = self.id.0, "shard ended");
    }
}

/// Where messages may be refused for want of room: everywhere if that is configured for clients of no particular zone.
fn rejecting_shards(config: &MqttConfig, shards: usize) -> ShardSet {
    let mut rejecting = ShardSet::EMPTY;
    if config.mqueue_full_policy == QueueFullPolicy::Reject {
        for shard in 0..shards {
            rejecting.insert(ShardId(shard as u8));
        }
    }
    rejecting
}
