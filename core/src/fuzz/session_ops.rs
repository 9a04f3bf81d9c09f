//! Bytes as a story of one session and its client: messages, acknowledgements, lost connections, time. After each
//! operation every message must be accounted for, and in the end every promise kept.

mod client;
mod observer;

use crate::authorization::Subject;
use crate::codec::{
    Ack, AckKind, Connect, ConnectProperties, Disconnect, PacketId, ProtocolVersion, Publish,
    PublishProperties, QoS, decode_frame, decode_packet,
};
use crate::config::{ByteSize, Duration, Limit, MqttConfig, QueueFullPolicy};
use crate::metrics::{Metric, Tally};
use crate::publication::{LazyPublication, Origin, PublicationRef};
use crate::reason::ReasonCode;
use crate::session::{
    CloseCause, Cx, Delivery, Forgetful, Inbound, Outbox, Routed, Session, TemplateCache, Terms,
};
use crate::time::Timestamp;
use crate::topic::{MountTemplate, Mountpoint};
use client::{Client, Sending};
use observer::{Limits, Observer};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

/// Operations one input may have: fewer than would bring packet identifiers round.
const OPERATIONS_MAX: usize = 2000;
const TOPICS: [&str; 3] = ["t", "topic/two", "a/rather/longer/topic"];
/// The mountpoints of listeners: behind each but the first there is one of the topics, or none.
const MOUNTS: [&str; 4] = ["", "a/", "topic/", "a/rather/longer/topic/"];
/// The identifiers of acknowledgements for nothing.
const STRAY_ID: u16 = 0xF000;
/// The tag of the shared subscription that some messages come through.
const SHARE: u64 = 1;

/// A message the broker was given for this session.
#[derive(Debug)]
struct Message {
    serial: u32,
    padding: usize,
    qos: QoS,
    expires_at: Option<Timestamp>,
}

impl Message {
    fn retain(&self) -> bool {
        self.serial.is_multiple_of(7)
    }

    fn subscription_ids(&self) -> &'static [u32] {
        if self.serial.is_multiple_of(5) { &[7, 300] } else { &[] }
    }

    fn topic(&self) -> &'static str {
        TOPICS[self.serial as usize % TOPICS.len()]
    }

    fn payload(&self) -> Vec<u8> {
        payload(self.serial, self.padding)
    }
}

/// A payload that says which message it is.
fn payload(serial: u32, padding: usize) -> Vec<u8> {
    let mut payload = serial.to_be_bytes().to_vec();
    payload.resize(4 + padding, b'.');
    payload
}

fn serial_of(payload: &[u8]) -> u32 {
    let (serial, _) = payload.split_first_chunk().expect("a payload of these tests");
    u32::from_be_bytes(*serial)
}

/// What the input has not yet decided; 0 beyond its end.
struct Input<'a>(std::slice::Iter<'a, u8>);

impl Input<'_> {
    fn u8(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, end: u8) -> u8 {
        self.u8() % end
    }

    fn qos(&mut self) -> QoS {
        QoS::from_u8(self.below(3)).expect("below 3")
    }
}

/// Reads `data` as operations on a session and its client.
///
/// # Panics
/// If the session breaks a rule of the specification or loses count of a message.
pub fn session_ops(data: &[u8]) {
    let mut input = Input(data.iter());
    let mut world = World::new(&mut input);
    for _ in 0..OPERATIONS_MAX {
        let Some(&operation) = input.0.next() else { break };
        world.step(operation, &mut input);
        world.check();
    }
    world.settle();
}

/// A connection as both ends have it.
struct Line {
    out: Outbox,
    /// Bytes of the outbox that were looked at.
    observed: usize,
    /// Bytes that left the broker and did not reach the client.
    wire: Vec<u8>,
    limits: Limits,
    aliases: BTreeSet<u16>,
}

/// The session under test, the model of its client, and what is between them.
struct World {
    config: MqttConfig,
    watermark: usize,
    tally: Tally,
    now: Timestamp,
    templates: TemplateCache,
    session: Option<Session>,
    session_expires_at: Timestamp,
    line: Option<Line>,
    /// One of [`MOUNTS`]: that of the listener which the client came through last.
    mount: &'static str,
    client: Client,
    observer: Observer,
    messages: Vec<Message>,
    /// Messages that waited in a session when it ended, or were taken from its queue.
    gone: u64,
    /// The client's own messages by number: their QoS, and how often the broker routed them.
    published: BTreeMap<u32, (QoS, u32)>,
    /// The client's own messages that ended with a session.
    abandoned: BTreeSet<u32>,
}

macro_rules! cx {
    ($world:expr) => {
        &mut Cx { now: $world.now, config: &$world.config, tally: &mut $world.tally, memory: &mut Forgetful }
    };
}

impl World {
    fn new(input: &mut Input<'_>) -> World {
        let policies = [QueueFullPolicy::DropOldest, QueueFullPolicy::DropNewest, QueueFullPolicy::Reject];
        let config = MqttConfig {
            max_inflight: u16::from(input.below(6)) + 1,
            max_awaiting_rel: u16::from(input.below(4)) + 1,
            max_mqueue_len: Limit(usize::from(input.below(20))),
            max_mqueue_bytes: ByteSize(u64::from(input.u8()) * 8),
            mqueue_full_policy: policies[usize::from(input.below(3))],
            mqueue_store_qos0: input.below(3) > 0,
            max_topic_alias: 3,
            session_expiry_interval: Duration::from_s(60),
            ..MqttConfig::default()
        };
        World {
            config,
            watermark: usize::from(input.u8()) * 4 + 1,
            tally: Tally::default(),
            now: Timestamp::from_ms(1_000_000),
            templates: TemplateCache::default(),
            session: None,
            session_expires_at: Timestamp::NEVER,
            line: None,
            mount: "",
            client: Client::default(),
            observer: Observer::default(),
            messages: Vec::new(),
            gone: 0,
            published: BTreeMap::new(),
            abandoned: BTreeSet::new(),
        }
    }

    fn step(&mut self, operation: u8, input: &mut Input<'_>) {
        match operation % 16 {
            0 => self.connect(input),
            1..=3 => self.deliver(input),
            4 | 5 => self.write(),
            6 | 7 => self.read(usize::from(input.below(8)) + 1),
            8 | 9 => self.acknowledge(usize::from(input.below(8)) + 1),
            10 => self.publish(input),
            11 => self.repeat(input),
            12 => self.close(CloseCause::Lost),
            13 => self.wait(input),
            14 => self.disconnect(input),
            _ => match input.below(4) {
                0 => self.client.refuses_next = self.is_v5(),
                1 => self.stray(input),
                2 => self.remove_expired(),
                _ => self.take_shared(),
            },
        }
    }

    fn is_v5(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.limits.version == ProtocolVersion::V5)
    }

    /// The client connects as the input has it, whatever was before.
    fn connect(&mut self, input: &mut Input<'_>) {
        let versions =
            [ProtocolVersion::V311, ProtocolVersion::V5, ProtocolVersion::V5, ProtocolVersion::V31];
        let choice = usize::from(input.u8());
        let version = versions[choice % versions.len()];
        self.mount = MOUNTS[choice / versions.len() % MOUNTS.len()];
        let clean_start = input.below(8) == 0;
        let mut properties = ConnectProperties::default();
        if version == ProtocolVersion::V5 {
            properties = ConnectProperties {
                session_expiry_interval_s: [None, Some(30), Some(u32::MAX)][usize::from(input.below(3))],
                receive_maximum: [None, Some(1), Some(2), Some(5)][usize::from(input.below(4))],
                maximum_packet_size: [None, None, Some(40), Some(60)][usize::from(input.below(4))],
                topic_alias_maximum: u16::from(input.below(4)),
                ..ConnectProperties::default()
            };
        }
        self.attach(&connect(version, clean_start, properties));
    }

    fn attach(&mut self, connect: &Connect) {
        self.close(if connect.clean_start { CloseCause::Discarded } else { CloseCause::TakenOver });
        if connect.clean_start {
            self.end_session();
        }
        let is_present = self.session.is_some();
        if !is_present {
            self.abandoned.extend(self.client.forget().iter().map(|sending| sending.serial));
        }
        let terms = Terms::negotiate(connect, &self.config);
        let limits = Limits {
            version: connect.version,
            window: usize::from(self.config.max_inflight.min(terms.send_window)),
            packet_bytes_max: terms.packet_bytes_max,
            alias_max: terms.alias_out_max,
            mount: self.mount,
        };
        let mut out = Outbox::new(self.watermark);
        out.limit_packets(terms.packet_bytes_max);
        let connack = terms.accept(connect, &self.config, is_present, None);
        assert!(out.push_connack(&connack, connect.version, &mut self.tally), "it fits");
        self.client.receive_maximum = usize::from(connack.properties.receive_maximum.unwrap_or(u16::MAX));
        let session = self.session.get_or_insert_with(|| Session::new("client".into()));
        session.mount(mountpoint(self.mount));
        session.attach(terms, None);
        session.pump(cx!(self), &mut out);
        self.line = Some(Line { out, observed: 0, wire: Vec::new(), limits, aliases: BTreeSet::new() });
        self.observe();
        self.resend();
    }

    /// The broker has messages for the session.
    fn deliver(&mut self, input: &mut Input<'_>) {
        for _ in 0..=input.below(4) {
            let kind = input.u8();
            let serial = self.messages.len() as u32;
            let message = Message {
                serial,
                padding: usize::from(kind / 4 % 32),
                qos: QoS::from_u8(kind % 3).expect("below 3"),
                expires_at: (kind >= 0xC0).then(|| self.now.after_s(u64::from(kind % 8))),
            };
            let payload = message.payload();
            let lazy = LazyPublication::borrowed(PublicationRef {
                topic: message.topic(),
                properties: &[],
                payload: &payload,
                qos: message.qos,
                retain: false,
                expires_at: message.expires_at.unwrap_or(Timestamp::NEVER),
                origin: Origin::BROKER,
            });
            let share = (serial.is_multiple_of(4)).then_some(SHARE);
            let Some(session) = &mut self.session else { return };
            let delivery = Delivery {
                message: &lazy,
                qos: message.qos,
                retain: message.retain(),
                subscription_ids: message.subscription_ids(),
                share,
            };
            self.templates.clear();
            let out = self.line.as_mut().map(|line| &mut line.out);
            self.messages.push(message);
            session.handle_delivery(delivery, &mut self.templates, cx!(self), out);
            self.observe();
        }
    }

    /// Looks at everything the session added to its outbox.
    fn observe(&mut self) {
        let Some(line) = &mut self.line else { return };
        let mut rest = &line.out.as_bytes()[line.observed..];
        while !rest.is_empty() {
            let frame = decode_frame(rest, u32::MAX).expect("a frame").expect("a whole packet");
            let packet = decode_packet(frame, line.limits.version).expect("a valid packet");
            self.observer.sent(&packet, frame.bytes, line.limits, &self.messages, self.now);
            rest = &rest[frame.bytes..];
        }
        line.observed = line.out.as_bytes().len();
    }

    /// The outbox goes on the wire; or the write that did so before is complete, and the session goes on.
    fn write(&mut self) {
        let (Some(line), Some(session)) = (&mut self.line, &mut self.session) else { return };
        if line.out.is_sending() {
            line.out.sent();
            session.pump(cx!(self), &mut line.out);
            self.observe();
        } else {
            line.wire.extend(line.out.take(0));
            line.observed = 0;
        }
    }

    /// The client reads packets.
    fn read(&mut self, packets: usize) {
        let Some(line) = &mut self.line else { return };
        let mut read = 0;
        for _ in 0..packets {
            let Some(frame) = decode_frame(&line.wire[read..], u32::MAX).expect("a frame") else { break };
            self.client.read(&decode_packet(frame, line.limits.version).expect("a valid packet"));
            read += frame.bytes;
        }
        line.wire.drain(..read);
        self.resend();
    }

    /// The client sends acknowledgements it owes.
    fn acknowledge(&mut self, acks: usize) {
        for _ in 0..acks {
            let Some(ack) = self.client.owed.pop_front() else { return };
            self.handle_ack(&ack);
        }
    }

    fn handle_ack(&mut self, ack: &Ack) {
        let (Some(line), Some(session)) = (&mut self.line, &mut self.session) else { return };
        let out = &mut line.out;
        self.observer.acknowledged(ack);
        match ack.kind {
            AckKind::Puback => session.handle_puback(ack, cx!(self), out),
            AckKind::Pubrec => session.handle_pubrec(ack, cx!(self), out),
            AckKind::Pubrel => session.handle_pubrel(ack, cx!(self), out),
            AckKind::Pubcomp => session.handle_pubcomp(ack, cx!(self), out),
        }
        self.observe();
    }

    /// An acknowledgement for nothing.
    fn stray(&mut self, input: &mut Input<'_>) {
        let kinds = [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp];
        let packet_id = PacketId::new(STRAY_ID).expect("not 0");
        self.handle_ack(&Ack::new(kinds[usize::from(input.below(4))], packet_id, ReasonCode::Success));
    }

    /// The client publishes a message of its own.
    fn publish(&mut self, input: &mut Input<'_>) {
        let (qos, aliasing) = (input.qos(), input.below(4));
        let is_ready = self.client.sending.iter().all(|sending| sending.is_sent) && self.client.has_quota();
        if self.line.is_none() || (qos > QoS::AtMostOnce && !is_ready) {
            return;
        }
        let serial = self.published.len() as u32;
        self.published.insert(serial, (qos, 0));
        let packet_id = (qos > QoS::AtMostOnce).then(|| self.client.begin(serial, qos).packet_id);
        self.send_publish(serial, qos, packet_id, false, aliasing);
    }

    /// The client sends an unacknowledged message again on the same connection.
    fn repeat(&mut self, input: &mut Input<'_>) {
        let candidates: Vec<Sending> =
            self.client.sending.iter().filter(|sending| sending.is_sent).copied().collect();
        if candidates.is_empty() {
            return;
        }
        let sending = candidates[usize::from(input.u8()) % candidates.len()];
        // PUBREC may be on its way: the client does not know, and the message must not be routed again.
        if !sending.is_released {
            self.send_publish(sending.serial, sending.qos, Some(sending.packet_id), true, 0);
        }
    }

    /// What an earlier connection left unfinished is sent again, in order.
    fn resend(&mut self) {
        while self.line.is_some() {
            let Some(Sending { packet_id, serial, qos, is_released, .. }) = self.client.resend_next() else {
                return;
            };
            if is_released {
                let packet_id = PacketId::new(packet_id).expect("not 0");
                self.handle_ack(&Ack::new(AckKind::Pubrel, packet_id, ReasonCode::Success));
            } else {
                self.send_publish(serial, qos, Some(packet_id), true, 0);
            }
        }
    }

    /// A PUBLISH of the client reaches the session; with an alias if `aliasing` names one.
    fn send_publish(&mut self, serial: u32, qos: QoS, packet_id: Option<u16>, dup: bool, aliasing: u8) {
        let is_v5 = self.is_v5();
        let (Some(line), Some(session)) = (&mut self.line, &mut self.session) else { return };
        let body = payload(serial, 0);
        // Each alias always stands for the same topic, which is sent with it the first time.
        let alias = NonZeroU16::new(u16::from(aliasing)).filter(|_| is_v5);
        let topic = TOPICS[alias.map_or(serial as usize, |alias| usize::from(alias.get())) % TOPICS.len()];
        let is_known = alias.is_some_and(|alias| !line.aliases.insert(alias.get()));
        let publish = Publish {
            dup,
            qos,
            retain: false,
            topic: if is_known { "" } else { topic },
            packet_id: packet_id.and_then(PacketId::new),
            properties: PublishProperties { topic_alias: alias, ..PublishProperties::default() },
            payload: &body,
        };
        let inbound = session.handle_publish(&publish, cx!(self));
        let (_, routed) = self.published.get_mut(&serial).expect("published before");
        match inbound.expect("a client that keeps the rules is not refused") {
            Inbound::Route { aliased, mounted } => {
                assert_eq!(aliased.as_deref().unwrap_or(publish.topic), topic);
                let behind = (!self.mount.is_empty()).then(|| [self.mount, topic].concat());
                assert_eq!(mounted.as_deref(), behind.as_deref());
                *routed += 1;
                assert!(qos == QoS::AtLeastOnce || *routed == 1, "{serial} routed {routed} times");
                let outcome = if serial.is_multiple_of(2) { Routed::Matched } else { Routed::NoSubscribers };
                session.handle_routed(publish.acknowledgement(), outcome, cx!(self), &mut line.out);
            }
            Inbound::Answer(outcome) => {
                assert!(qos == QoS::ExactlyOnce && *routed == 1, "{serial} is not routed");
                session.handle_routed(publish.acknowledgement(), outcome, cx!(self), &mut line.out);
            }
        }
        self.observe();
    }

    /// The connection ends; what is on the wire is lost.
    fn close(&mut self, cause: CloseCause) {
        let (Some(_), Some(session)) = (self.line.take(), &mut self.session) else { return };
        let parting = session.handle_closed(cause);
        self.observer.disconnected();
        self.client.disconnected();
        match parting.keep_s {
            None => self.end_session(),
            Some(u32::MAX) => self.session_expires_at = Timestamp::NEVER,
            Some(keep_s) => self.session_expires_at = self.now.after_s(u64::from(keep_s)),
        }
    }

    fn disconnect(&mut self, input: &mut Input<'_>) {
        let session_expiry_interval_s = [None, Some(0), Some(9)][usize::from(input.below(3))];
        let (Some(_), Some(session)) = (&self.line, &mut self.session) else { return };
        let has_expiry = session.terms().is_some_and(|terms| terms.session_expiry_interval_s > 0);
        let disconnect = Disconnect {
            session_expiry_interval_s: session_expiry_interval_s.filter(|_| has_expiry),
            ..Disconnect::new(ReasonCode::Success)
        };
        let cx = Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        let cause = session.handle_disconnect(&disconnect, &cx).expect("no violation");
        self.close(cause);
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        let span_ms = [1, 900, 5000, 100_000][usize::from(input.below(4))];
        self.now = self.now.after_ms(span_ms);
        if self.line.is_none() && self.session_expires_at <= self.now {
            self.end_session();
        }
    }

    fn end_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.gone += session.queued() as u64;
        self.observer.ended();
    }

    fn remove_expired(&mut self) {
        if let Some(session) = &mut self.session {
            session.remove_expired(cx!(self));
        }
    }

    /// The shared messages of a session without connection go to somebody else.
    fn take_shared(&mut self) {
        let (None, Some(session)) = (&self.line, &mut self.session) else { return };
        for outgoing in session.take_shared(|tag| tag == SHARE) {
            let was_sent = self
                .observer
                .taken(serial_of(outgoing.publication().expect("nothing is remembered").view().payload));
            self.gone += u64::from(!was_sent);
        }
    }

    /// Every message is delivered, queued, or counted among those that were lost, and for one reason.
    fn check(&mut self) {
        let queued = self.session.as_ref().map_or(0, Session::queued);
        assert!(queued <= self.config.max_mqueue_len.0);
        if let (Some(session), Some(line)) = (&self.session, &self.line) {
            self.observer.reconcile(session.inflight(), line.limits, &self.messages);
        }
        let count = |metric| self.tally.count(metric);
        let delivered = count(Metric::MessagesDelivered);
        assert_eq!(delivered, self.observer.attempted.len() as u64);
        let unsent = count(Metric::DeliveryDroppedTooLarge) + count(Metric::DeliveryDroppedMountpoint)
            - self.observer.given_up.len() as u64;
        let dropped = count(Metric::DeliveryDroppedQueueFull)
            + count(Metric::DeliveryDroppedQos0Msg)
            + count(Metric::DeliveryDroppedExpired)
            + unsent;
        assert_eq!(self.messages.len() as u64, delivered + queued as u64 + dropped + self.gone);
    }

    /// A connection that lasts, to a client that keeps up: all that was begun comes to its end.
    fn settle(&mut self) {
        let properties =
            ConnectProperties { session_expiry_interval_s: Some(u32::MAX), ..ConnectProperties::default() };
        self.attach(&connect(ProtocolVersion::V5, false, properties));
        self.client.refuses_next = false;
        loop {
            let has_output = self.line.as_ref().is_some_and(|line| line.out.pending_bytes() > 0);
            if !has_output && self.client.owed.is_empty() {
                break;
            }
            self.write();
            self.read(usize::MAX);
            self.acknowledge(usize::MAX);
            self.check();
        }
        let session = self.session.as_ref().expect("attached");
        assert_eq!((session.queued(), session.inflight()), (0, 0), "all is done");
        assert!(self.client.sending.is_empty(), "{:?}", self.client.sending);
        for serial in &self.observer.attempted {
            let is_excused = self.messages[*serial as usize].qos == QoS::AtMostOnce
                || self.client.refused.contains(serial)
                || self.observer.given_up.contains(serial)
                || self.observer.excused.contains(serial);
            assert!(is_excused || self.client.got.contains_key(serial), "message {serial} never came");
        }
        for (serial, (_, routed)) in &self.published {
            assert!(*routed > 0 || self.abandoned.contains(serial), "{serial} was never routed");
        }
    }
}

/// What stands before the topics of clients of a listener.
fn mountpoint(text: &str) -> Option<Box<Mountpoint>> {
    let template: MountTemplate = text.parse().expect("one of these tests");
    let subject = Subject::new("client", SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    template.fill_in(&subject).expect("it has no placeholders").map(Box::new)
}

fn connect(version: ProtocolVersion, clean_start: bool, properties: ConnectProperties) -> Connect {
    Connect {
        version,
        bridge: false,
        clean_start,
        keep_alive_s: 0,
        client_id: "client".into(),
        will: None,
        user_name: None,
        password: None,
        properties,
    }
}
