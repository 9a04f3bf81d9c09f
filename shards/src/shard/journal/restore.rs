//! A shard as it was: what its log holds becomes sessions, subscriptions and retained messages.
//!
//! A crash can leave a record beside the one that takes its place, and records whose session is gone: they are removed.

use super::forwarding::errand_of;
use super::{Bodies, KeptSession, PendingForwarding, WallClock, records};
use crate::config::DataPlaneConfig;
use crate::shard::publish::Errand;
use crate::shard::sessions::SessionKey;
use crate::shard::timers::TimerKey;
use crate::shard::{Shard, cx};
use ringmq_core::codec::PacketId;
use ringmq_core::config::{MqttConfig, Priority, ZoneId};
use ringmq_core::hash::SeededMap;
use ringmq_core::publication::{Outline, Publication};
use ringmq_core::session::{
    self, BodyKey, DeliveryTerms, Memory, Outgoing, QueueTerms, Restored, RestoredMessage, Session,
    SessionNumber, Stored, Subscription,
};
use ringmq_core::time::Timestamp;
use ringmq_persistence::Id;
use ringmq_persistence::record::{
    self, Applied, Body, Forwarding, Queued, Received, Record, RecordError, Retained, Sent, access,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

/// What a log holds, record by record.
#[derive(Debug)]
pub struct Remembered {
    clock: WallClock,
    sessions: BTreeMap<SessionNumber, RememberedSession>,
    bodies: Bodies,
    /// What each record of a body is, in their order.
    found: Vec<Found>,
    /// The body taken last, whether it is kept in memory or not: what was to be forwarded follows its body.
    latest: Option<(u64, Publication)>,
    /// Topics of messages, where queues have priorities.
    topics: Topics,
    messages: Vec<Message>,
    retained: Vec<(NonZeroU64, Publication)>,
    forwardings: Vec<RememberedForwarding>,
    applied: Vec<(Id, u8, u64)>,
    /// Records that another one has taken the place of, or that nothing can be made of.
    stale: Vec<Id>,
    unreadable: usize,
}

/// A body, without its bytes.
#[derive(Debug)]
struct Found {
    record: u64,
    key: BodyKey,
    outline: Outline,
    /// Its place among the topics.
    topic: u32,
}

/// Topics, each once.
#[derive(Debug, Default)]
struct Topics {
    are_wanted: bool,
    texts: Vec<Arc<str>>,
    places: SeededMap<Arc<str>, u32>,
}

impl Topics {
    fn place_of(&mut self, topic: &str) -> u32 {
        if !self.are_wanted {
            return 0;
        }
        if let Some(place) = self.places.get(topic) {
            return *place;
        }
        let (text, place): (Arc<str>, u32) = (topic.into(), self.texts.len() as u32);
        self.texts.push(Arc::clone(&text));
        self.places.insert(text, place);
        place
    }

    fn priority_of(&self, place: u32, config: &MqttConfig) -> Option<Priority> {
        let topic = self.texts.get(place as usize).filter(|_| !config.mqueue_priorities.is_empty())?;
        Some(config.priority_of(topic))
    }
}

#[derive(Debug)]
struct RememberedForwarding {
    record: NonZeroU64,
    sequence: u64,
    body: u64,
    publication: Option<Publication>,
    errands: Vec<Errand>,
}

/// A session without its messages.
#[derive(Debug, Default)]
struct RememberedSession {
    own: Option<(Id, OwnRecord)>,
    rest: BesideOwn,
}

/// What is remembered of a session in records beside its own.
#[derive(Debug, Default)]
struct BesideOwn {
    queue_terms: Option<(Id, QueueTerms)>,
    zone: Option<(Id, Box<str>)>,
    subscriptions: SeededMap<Box<str>, (Id, Subscription)>,
    begun: Vec<(PacketId, Stored)>,
}

impl BesideOwn {
    fn records(&self) -> impl Iterator<Item = Id> {
        let zone = self.zone.iter().map(|(id, _)| *id);
        let subscriptions = self.subscriptions.values().map(|(id, _)| *id);
        let begun = self.begun.iter().map(|(_, stored)| Id(stored.record.get()));
        self.queue_terms.iter().map(|(id, _)| *id).chain(zone).chain(subscriptions).chain(begun)
    }
}

#[derive(Debug)]
struct OwnRecord {
    client_id: Box<str>,
    created_ms: u64,
    expires_at_ms: Option<u64>,
    expiry_interval_s: u32,
    will: Option<(Box<ringmq_core::codec::Will>, Option<u64>)>,
}

/// A message of a session, in the order of the log.
#[derive(Debug)]
struct Message {
    record: NonZeroU64,
    session: SessionNumber,
    packet_id: Option<PacketId>,
    replaces: u64,
    /// `None`: PUBCOMP is awaited.
    body: Option<(u64, Delivery)>,
}

/// A message to be delivered, but for its body.
#[derive(Debug)]
struct Delivery {
    share: Option<u64>,
    qos: ringmq_core::codec::QoS,
    retain: bool,
    subscription_ids: Box<[u32]>,
}

impl Remembered {
    /// Nothing yet; deadlines are read by this clock.
    pub fn new(clock: WallClock, config: &DataPlaneConfig) -> Remembered {
        Remembered {
            clock,
            sessions: BTreeMap::new(),
            bodies: Bodies::bounded(config.persistence.cache_bytes.0),
            found: Vec::new(),
            latest: None,
            topics: Topics { are_wanted: config.zones.has_priorities(), ..Topics::default() },
            messages: Vec::new(),
            retained: Vec::new(),
            forwardings: Vec::new(),
            applied: Vec::new(),
            stale: Vec::new(),
            unreadable: 0,
        }
    }

    /// Sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Messages of all sessions.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Retained messages.
    pub fn retained(&self) -> usize {
        self.retained.len()
    }

    /// Records that nothing can be made of.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Takes a record; ids ascend. One that cannot be read, because a newer broker wrote it, stays in the log.
    pub fn take(&mut self, id: Id, kind: u16, payload: &[u8]) {
        if self.try_take(id, kind, payload).is_err() {
            self.unreadable += 1;
        }
    }

    fn try_take(&mut self, id: Id, kind: u16, payload: &[u8]) -> Result<(), RecordError> {
        let Some(record) = NonZeroU64::new(id.0) else { return Ok(()) };
        match kind {
            record::Session::KIND => self.take_session(id, access::<record::Session>(kind, payload)?),
            record::Subscription::KIND => {
                let stored = access::<record::Subscription>(kind, payload)?;
                let Some(session) = self.session(stored.session.to_native()) else { return Ok(()) };
                let subscription = records::subscription_of(stored);
                let replaced =
                    session.rest.subscriptions.insert(stored.filter.as_str().into(), (id, subscription));
                self.stale.extend(replaced.map(|(id, _)| id));
            }
            record::QueueTerms::KIND => {
                let stored = access::<record::QueueTerms>(kind, payload)?;
                let Some(session) = self.session(stored.session.to_native()) else { return Ok(()) };
                let replaced = session.rest.queue_terms.replace((id, records::queue_terms_of(stored)));
                self.stale.extend(replaced.map(|(id, _)| id));
            }
            record::SessionZone::KIND => {
                let stored = access::<record::SessionZone>(kind, payload)?;
                let Some(session) = self.session(stored.session.to_native()) else { return Ok(()) };
                let replaced = session.rest.zone.replace((id, stored.zone.as_str().into()));
                self.stale.extend(replaced.map(|(id, _)| id));
            }
            Body::KIND => {
                let publication = records::publication(access::<Body<'_>>(kind, payload)?, &self.clock);
                self.take_body(id.0, publication);
            }
            Queued::KIND => self.take_queued(record, access::<Queued<'_>>(kind, payload)?),
            Sent::KIND => {
                let stored = access::<Sent>(kind, payload)?;
                let packet_id = PacketId::new(stored.packet_id.to_native());
                let Some(session) = records::number(stored.session.to_native()) else { return Ok(()) };
                let replaces = stored.replaces.to_native();
                self.messages.push(Message { record, session, packet_id, replaces, body: None });
            }
            Received::KIND => {
                let stored = access::<Received>(kind, payload)?;
                let packet_id = PacketId::new(stored.packet_id.to_native());
                let session = self.session(stored.session.to_native());
                if let (Some(session), Some(packet_id)) = (session, packet_id) {
                    session.rest.begun.push((packet_id, Stored { record, body: BodyKey::NONE }));
                }
            }
            Retained::KIND => {
                let body = &access::<Retained<'_>>(kind, payload)?.body;
                self.retained.push((record, records::publication(body, &self.clock)));
            }
            Forwarding::KIND => {
                let stored = access::<Forwarding>(kind, payload)?;
                let errands = stored.targets.iter().filter_map(|target| {
                    let shares = target.shares.iter().map(|tag| tag.to_native());
                    errand_of(target.shard.to_native(), target.deliver, target.retain, shares)
                });
                let (sequence, body) = (stored.sequence.to_native(), stored.body.to_native());
                let publication = self.publication(body);
                let errands = errands.collect();
                self.forwardings.push(RememberedForwarding { record, sequence, body, publication, errands });
            }
            Applied::KIND => {
                let stored = access::<Applied>(kind, payload)?;
                if let Ok(from) = u8::try_from(stored.from.to_native()) {
                    self.applied.push((id, from, stored.sequence.to_native()));
                }
            }
            found => return Err(RecordError::Kind { found, expected: record::Session::KIND }),
        }
        Ok(())
    }

    /// Takes a body. The first ones stay in memory, as many as are kept there: they are wanted first.
    fn take_body(&mut self, record: u64, publication: Publication) {
        let topic = self.topics.place_of(publication.topic());
        let outline = publication.outline();
        let cached = self.bodies.has_room(&publication).then(|| publication.clone());
        let key = self.bodies.insert(record, cached, 0);
        self.found.push(Found { record, key, outline, topic });
        self.latest = Some((record, publication));
    }

    fn find_body(&self, record: u64) -> Option<&Found> {
        let at = self.found.binary_search_by_key(&record, |found| found.record).ok()?;
        self.found.get(at)
    }

    fn publication(&self, record: u64) -> Option<Publication> {
        let latest = self.latest.as_ref().filter(|(latest, _)| *latest == record);
        latest.map(|(_, publication)| publication.clone()).or_else(|| {
            match self.bodies.get(self.find_body(record)?.key) {
                session::Body::Here(publication) => Some(publication),
                session::Body::Away | session::Body::Lost => None,
            }
        })
    }

    fn session(&mut self, number: u64) -> Option<&mut RememberedSession> {
        Some(self.sessions.entry(records::number(number)?).or_default())
    }

    fn take_session(&mut self, id: Id, stored: &record::ArchivedSession) {
        let own = OwnRecord {
            client_id: stored.client_id.as_str().into(),
            created_ms: stored.created_ms.to_native(),
            expires_at_ms: stored.expires_at_ms.as_ref().map(|ms| ms.to_native()),
            expiry_interval_s: stored.expiry_interval_s.to_native(),
            will: records::will(stored),
        };
        let Some(session) = self.session(stored.number.to_native()) else { return };
        let replaced = session.own.replace((id, own));
        self.stale.extend(replaced.map(|(id, _)| id));
    }

    fn take_queued(&mut self, record: NonZeroU64, stored: &record::ArchivedQueued<'_>) {
        let Some(session) = records::number(stored.session.to_native()) else { return };
        let delivery = Delivery {
            share: Some(stored.share.to_native()).filter(|share| *share > 0),
            qos: ringmq_core::codec::QoS::from_u8(stored.qos).unwrap_or_default(),
            retain: stored.retain,
            subscription_ids: stored.identifiers.iter().map(|id| id.to_native()).collect(),
        };
        let packet_id = stored.packet_id.as_ref().and_then(|id| PacketId::new(id.to_native()));
        let (replaces, body) = (stored.replaces.to_native(), stored.body.to_native());
        self.messages.push(Message { record, session, packet_id, replaces, body: Some((body, delivery)) });
    }
}

/// The messages of one session.
#[derive(Debug, Default)]
struct Flows {
    inflight: Vec<(PacketId, RestoredMessage)>,
    /// With the place of each one's topic.
    queue: Vec<(Outgoing, u32)>,
}

impl Shard {
    /// Takes over what the log holds.
    pub fn restore(&mut self, mut remembered: Remembered, now: Timestamp) {
        self.begin_pass(now);
        let mut flows = self.restore_messages(&mut remembered);
        for (number, session) in std::mem::take(&mut remembered.sessions) {
            self.journal.skip_numbers(number.0.get());
            let RememberedSession { own, rest } = session;
            let Some((id, own)) = own else {
                // Its session was forgotten first.
                remembered.stale.extend(rest.records());
                self.forget_messages(flows.remove(&number));
                continue;
            };
            let flows = flows.remove(&number).unwrap_or_default();
            let terms = (remembered.clock, &remembered.topics);
            self.restore_session(number, (id, own), rest, flows, terms);
        }
        for (_, orphaned) in flows.drain() {
            self.forget_messages(Some(orphaned));
        }
        for (record, publication) in remembered.retained {
            self.restore_retained(publication, record);
        }
        for id in remembered.stale {
            self.journal.remove(id);
        }
        self.journal.seal(false);
    }

    fn forget_messages(&mut self, flows: Option<Flows>) {
        let Some(Flows { inflight, queue }) = flows else { return };
        let inflight = inflight.into_iter().filter_map(|(_, message)| match message {
            RestoredMessage::Sent(message) => message.stored(),
            RestoredMessage::Taken(stored) => Some(stored),
        });
        for stored in inflight.chain(queue.into_iter().filter_map(|(message, _)| message.stored())) {
            self.journal.forget(stored);
        }
    }

    /// Puts messages and bodies together. What was sent comes before what waits, both in the order of the log.
    fn restore_messages(&mut self, remembered: &mut Remembered) -> SeededMap<SessionNumber, Flows> {
        let mut flows: SeededMap<SessionNumber, Flows> = SeededMap::default();
        let replaced: SeededMap<u64, ()> =
            remembered.messages.iter().filter(|m| m.replaces > 0).map(|m| (m.replaces, ())).collect();
        for message in std::mem::take(&mut remembered.messages) {
            let Message { record, session, packet_id, body, .. } = message;
            if replaced.contains_key(&record.get()) {
                remembered.stale.push(Id(record.get()));
                continue;
            }
            let of_session = flows.entry(session).or_default();
            let Some((body, delivery)) = body else {
                let taken = RestoredMessage::Taken(Stored { record, body: BodyKey::NONE });
                of_session.inflight.extend(packet_id.map(|packet_id| (packet_id, taken)));
                continue;
            };
            let Some(&Found { key, outline, topic, .. }) = remembered.find_body(body) else {
                // The body was damaged; verifying the log has said so.
                remembered.unreadable += 1;
                remembered.stale.push(Id(record.get()));
                continue;
            };
            remembered.bodies.share(key);
            let terms = DeliveryTerms {
                subscription_ids: &delivery.subscription_ids,
                share: delivery.share,
                qos: delivery.qos,
                retain: delivery.retain,
            };
            let message = Outgoing::restored(outline, terms, Stored { record, body: key });
            match packet_id {
                Some(packet_id) => of_session.inflight.push((packet_id, RestoredMessage::Sent(message))),
                None => of_session.queue.push((message, topic)),
            }
        }
        self.restore_forwardings(remembered);
        for Found { record, key, .. } in std::mem::take(&mut remembered.found) {
            if remembered.bodies.references(key) == 0 {
                remembered.bodies.release(key);
                remembered.stale.push(Id(record));
            }
        }
        self.journal.adopt_bodies(std::mem::take(&mut remembered.bodies));
        flows
    }

    fn restore_forwardings(&mut self, remembered: &mut Remembered) {
        for forwarding in std::mem::take(&mut remembered.forwardings) {
            let RememberedForwarding { record, sequence, body, publication, errands } = forwarding;
            self.journal.skip_sequences(sequence);
            let found = remembered.find_body(body).map(|found| found.key);
            let (Some(key), Some(publication)) = (found, publication) else {
                remembered.unreadable += 1;
                remembered.stale.push(Id(record.get()));
                continue;
            };
            remembered.bodies.share(key);
            let stored = Stored { record, body: key };
            self.forwardings.insert(PendingForwarding { sequence, publication, errands, stored });
        }
        for (id, from, sequence) in std::mem::take(&mut remembered.applied) {
            self.journal.adopt_applied(from, sequence, id);
        }
    }

    fn restore_session(
        &mut self,
        number: SessionNumber,
        (id, own): (Id, OwnRecord),
        rest: BesideOwn,
        flows: Flows,
        (clock, topics): (WallClock, &Topics),
    ) {
        let BesideOwn { queue_terms, zone, subscriptions, begun } = rest;
        let zone = self.restore_zone(zone);
        let OwnRecord { client_id, created_ms, expires_at_ms, expiry_interval_s, will } = own;
        if let Some(older) = self.sessions.find(&client_id) {
            // Its end was not written any more.
            self.end_session(older);
        }
        let (will, will_due_ms) = will.map_or((None, None), |(will, due_ms)| (Some(will), due_ms));
        let settings = self.config.zones.of(zone.map_or(ZoneId::DEFAULT, |(_, zone)| zone));
        let prioritised = |(message, topic)| (message, topics.priority_of(topic, settings));
        let delay_s = will.as_ref().map(|will| will.delay_interval_s.min(expiry_interval_s));
        let restored = Restored {
            number,
            client_id: (&*client_id).into(),
            expiry_interval_s,
            queue_terms: queue_terms.map(|(_, terms)| terms).unwrap_or_default(),
            zone: zone.map_or(ZoneId::DEFAULT, |(_, zone)| zone),
            will,
            inflight: flows.inflight,
            queue: flows.queue.into_iter().map(prioritised).collect(),
            begun,
        };
        let key = self.sessions.insert(Session::restore(restored, self.now));
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.session.trim_queue(&mut cx!(self, slot.session.zone()));
            let rejects = slot.session.rejects(self.config.zones.of(slot.session.zone()));
            self.count_rejecting(false, rejects);
        }
        let mut kept = KeptSession {
            record: id,
            key,
            created_ms,
            expires_at_ms,
            queue_terms,
            zone,
            subscriptions: SeededMap::default(),
        };
        let mut entered = Vec::with_capacity(subscriptions.len());
        for (filter, (id, subscription)) in subscriptions {
            kept.subscriptions.insert(filter.clone(), id);
            entered.push((filter, subscription));
        }
        self.journal.adopt_session(number, kept);
        self.sessions.count_subscriber(0, entered.len());
        for (filter, subscription) in entered {
            if let Some(slot) = self.sessions.get_mut(key) {
                slot.session.restore_subscription(&filter, subscription);
            }
            self.enter(key, &filter, subscription, true);
        }
        // Who was connected when the process ended counts as gone from now on.
        let expires_at = match (expires_at_ms, expiry_interval_s) {
            (Some(ms), _) => Some(clock.moment_of(ms)),
            (None, u32::MAX) => None,
            (None, interval_s) => Some(self.now.after_s(u64::from(interval_s))),
        };
        let will_at = delay_s.map(|delay_s| {
            will_due_ms.map_or_else(|| self.now.after_s(u64::from(delay_s)), |ms| clock.moment_of(ms))
        });
        self.schedule_restored(key, expires_at, will_at);
    }

    /// The zone of this name; where there is none any more, what holds in no particular zone holds for the session.
    fn restore_zone(&mut self, zone: Option<(Id, Box<str>)>) -> Option<(Id, ZoneId)> {
        let (id, name) = zone?;
        let found = self.config.zones.find(&name);
        if found.is_none() {
            self.journal.remove(id);
        }
        Some((id, found?))
    }

    fn schedule_restored(
        &mut self,
        key: SessionKey,
        expires_at: Option<Timestamp>,
        will_at: Option<Timestamp>,
    ) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.expiry_timer = expires_at.map(|at| self.wheel.schedule(at, TimerKey::SessionExpiry(key)));
        slot.will_timer = will_at.map(|at| self.wheel.schedule(at, TimerKey::WillDelay(key)));
    }
}
