//! Client to broker: publishing, and the receiver's half of QoS 2.

use super::durable::{Memory, Stored};
use super::violation::Violation;
use super::{Cx, Flows, Outbox, Session};
use crate::codec::{Ack, AckKind, PacketId, ProtocolVersion, Publish, QoS};
use crate::config::Duration;
use crate::metrics::Metric;
use crate::publication::{Origin, PublicationRef};
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// QoS 2 identifiers the client has begun and not released; bounded by the number of identifiers there are.
#[derive(Debug, Default)]
pub struct InboundQos2 {
    begun: BTreeMap<PacketId, Begun>,
    /// How many of them count against Receive Maximum.
    counted: usize,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Timestamp,
    /// Published on the current connection: Receive Maximum knows no other. (Section 4.9)
    counts: bool,
    /// Where it is remembered beyond the process.
    stored: Option<Stored>,
}

impl InboundQos2 {
    /// Whether no exchange is open.
    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    fn holds(&self, packet_id: PacketId) -> bool {
        self.begun.contains_key(&packet_id)
    }

    /// The connection is gone: nothing was published on the next one yet.
    pub(super) fn rewind(&mut self) {
        self.counted = 0;
        for begun in self.begun.values_mut() {
            begun.counts = false;
        }
    }

    /// Whether the client repeats what it has begun; then the repetition counts from now on.
    fn is_repetition(&mut self, packet_id: PacketId) -> bool {
        let Some(begun) = self.begun.get_mut(&packet_id) else { return false };
        self.counted += usize::from(!begun.counts);
        begun.counts = true;
        true
    }

    fn begin(&mut self, packet_id: PacketId, at: Timestamp) {
        self.counted += 1;
        self.begun.insert(packet_id, Begun { at, counts: true, stored: None });
    }

    /// Adds an exchange of an earlier life.
    pub(super) fn push_restored(&mut self, packet_id: PacketId, stored: Stored, at: Timestamp) {
        self.begun.insert(packet_id, Begun { at, counts: false, stored: Some(stored) });
    }

    /// Where the exchanges are remembered beyond the process.
    pub(super) fn stored(&self) -> impl Iterator<Item = Stored> {
        self.begun.values().filter_map(|begun| begun.stored)
    }

    /// Ends an exchange, if there is one. Whether it was remembered: then the client must not know before that is forgotten,
    /// because it may use the identifier for another message.
    fn release(&mut self, packet_id: PacketId, memory: &mut dyn Memory) -> Option<bool> {
        let begun = self.begun.remove(&packet_id)?;
        self.counted -= usize::from(begun.counts);
        if let Some(stored) = begun.stored {
            memory.forget(stored);
        }
        Some(begun.stored.is_some())
    }

    fn remove_stale(&mut self, now: Timestamp, timeout: Duration, memory: &mut dyn Memory) -> u64 {
        let before = self.begun.len();
        self.begun.retain(|_, begun| {
            let is_fresh = now.since_ms(begun.at) < timeout.as_ms();
            if let Some(stored) = begun.stored.filter(|_| !is_fresh) {
                memory.forget(stored);
            }
            is_fresh
        });
        self.counted = self.begun.values().filter(|begun| begun.counts).count();
        (before - self.begun.len()) as u64
    }
}

/// What the driver must do with a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// Route it, then call [`Session::handle_routed`].
    Route {
        /// The topic an alias stands for; `None` when the packet's own topic counts.
        aliased: Option<Arc<str>>,
        /// The topic behind the client's mountpoint, by which it is routed; `None` when there is no mountpoint.
        mounted: Option<Box<str>>,
    },
    /// Do not route it. [`Session::handle_routed`] with this answers it, once earlier packets of the client are answered.
    /// [MQTT-4.6.0-2, MQTT-4.6.0-3]
    Answer(Routed),
}

/// What routing a message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// Somebody subscribed to it.
    Matched,
    /// Nobody did.
    NoSubscribers,
    /// Somebody who must remember it cannot, or has no room for it.
    Refused,
    /// The client may not publish it.
    Denied,
    /// The client has published as much as it may for now.
    OverQuota,
    /// It is larger than packets may be, and was not read.
    TooLarge,
    /// Its identifier stands for another message. Only v5 clients are told.
    IdInUse,
}

impl Routed {
    /// Whether it was kept from being routed, so that nobody will ever have it.
    pub fn is_stopped(self) -> bool {
        matches!(self, Routed::Denied | Routed::OverQuota | Routed::TooLarge | Routed::IdInUse)
    }
}

impl Session {
    /// Checks a PUBLISH, and tells new messages from repetitions.
    ///
    /// # Errors
    /// The violation to disconnect with.
    pub fn handle_publish(&mut self, publish: &Publish<'_>, cx: &mut Cx<'_>) -> Result<Inbound, Violation> {
        let Some(link) = self.link.as_mut() else { return Ok(Inbound::Answer(Routed::Refused)) };
        count_received(publish.qos, cx);
        if publish.qos as u8 > cx.config.max_qos_allowed {
            return Err(Violation::new(ReasonCode::QosNotSupported, "QoS above the maximum"));
        }
        if publish.retain && !cx.config.retain_available {
            return Err(Violation::new(
                ReasonCode::RetainNotSupported,
                "retained messages are not available",
            ));
        }
        if !publish.properties.subscription_ids.is_empty() {
            return Err(Violation::protocol("subscription identifier in a PUBLISH from a client"));
        }
        let aliased = match publish.properties.topic_alias {
            Some(alias) => Some(link.aliases.resolve(alias, publish.topic, link.terms.alias_in_max)?),
            None => None,
        };
        let topic = aliased.as_deref().unwrap_or(publish.topic);
        let levels_max = usize::from(cx.config.max_topic_levels);
        // A topic that is shorter than that is not counted.
        if topic.len() >= levels_max && topic.bytes().filter(|byte| *byte == b'/').count() >= levels_max {
            return Err(Violation::new(ReasonCode::TopicNameInvalid, "topic has too many levels"));
        }
        let mounted = match &self.mount {
            Some(mount) => Some(mount.mount(topic).map_err(|_| {
                Violation::new(ReasonCode::TopicNameInvalid, "topic is too long behind the mountpoint")
            })?),
            None => None,
        };
        if let (QoS::AtLeastOnce, Some(packet_id)) = (publish.qos, publish.packet_id)
            && link.terms.version == ProtocolVersion::V5
            && self.flows.as_ref().is_some_and(|flows| flows.inbound.holds(packet_id))
        {
            return Ok(Inbound::Answer(Routed::IdInUse));
        }
        if let (QoS::ExactlyOnce, Some(packet_id)) = (publish.qos, publish.packet_id) {
            if self.flows.as_mut().is_some_and(|flows| flows.inbound.is_repetition(packet_id)) {
                return Ok(Inbound::Answer(Routed::Matched));
            }
            self.begin_qos2(packet_id, cx)?;
        }
        Ok(Inbound::Route { aliased, mounted })
    }

    /// Whether a v5 client uses this identifier for a QoS 2 message already, so that another packet with it is answered
    /// 0x91. [MQTT-2.2.1-3] A 3.x client cannot be told and is served.
    pub fn holds_id(&self, packet_id: PacketId) -> bool {
        let v5 = self.terms().is_some_and(|terms| terms.version == ProtocolVersion::V5);
        v5 && self.flows.as_ref().is_some_and(|flows| flows.inbound.holds(packet_id))
    }

    /// A begun exchange is forgotten only when its place is needed and it is older than `await_rel_timeout`, so a client
    /// that comes back late still gets exactly once as long as there is room.
    fn begin_qos2(&mut self, packet_id: PacketId, cx: &mut Cx<'_>) -> Result<(), Violation> {
        let receive_maximum = self.link.as_ref().map_or(u16::MAX, |link| link.terms.receive_maximum);
        let inbound = &mut Flows::open(&mut self.flows, self.last_id).inbound;
        if inbound.counted >= usize::from(receive_maximum) {
            let stale = inbound.remove_stale(cx.now, cx.config.await_rel_timeout, cx.memory);
            cx.tally.add(Metric::MessagesDroppedAwaitPubrelTimeout, stale);
            if inbound.counted >= usize::from(receive_maximum) {
                return Err(Violation::new(
                    ReasonCode::ReceiveMaximumExceeded,
                    "more than Receive Maximum messages begun",
                ));
            }
        }
        inbound.begin(packet_id, cx.now);
        Ok(())
    }

    /// The message a PUBLISH carries.
    pub fn publication<'a>(
        publish: &'a Publish<'_>,
        topic: &'a str,
        origin: Origin,
        cx: &Cx<'_>,
    ) -> PublicationRef<'a> {
        PublicationRef {
            topic,
            properties: &publish.properties.forward,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            expires_at: expires_at(publish.properties.message_expiry_interval_s, cx),
            origin,
        }
    }

    /// Acknowledges a PUBLISH. [MQTT-4.3.2-4, MQTT-4.3.3-8]
    pub fn handle_routed(
        &mut self,
        acknowledgement: Option<(AckKind, PacketId)>,
        routed: Routed,
        cx: &mut Cx<'_>,
        out: &mut Outbox,
    ) {
        let (Some((kind, packet_id)), Some(link)) = (acknowledgement, self.link.as_ref()) else { return };
        let v5 = link.terms.version == ProtocolVersion::V5;
        let reason = match routed {
            Routed::NoSubscribers if v5 => ReasonCode::NoMatchingSubscribers,
            // Other clients cannot be told, and get no answer: their connection is closed.
            Routed::Refused | Routed::OverQuota | Routed::TooLarge if v5 => ReasonCode::QuotaExceeded,
            Routed::Refused | Routed::OverQuota | Routed::TooLarge => return,
            // Other clients cannot be told, and would send it again.
            Routed::Denied if v5 => ReasonCode::NotAuthorized,
            Routed::IdInUse if v5 => ReasonCode::PacketIdentifierInUse,
            _ => ReasonCode::Success,
        };
        out.push_ack(&Ack::new(kind, packet_id, reason), link.terms.version, cx.tally);
    }

    /// A QoS 2 message was routed: its identifier is remembered behind everything that routing has recorded.
    pub fn remember_begun(&mut self, packet_id: PacketId, cx: &mut Cx<'_>) {
        let (Some(number), Some(flows)) = (self.number, self.flows.as_mut()) else { return };
        if let Some(begun) = flows.inbound.begun.get_mut(&packet_id) {
            begun.stored = cx.memory.begun(number, packet_id);
        }
    }

    /// A QoS 2 message was refused: its identifier stands for nothing. [MQTT-4.3.3-9] Whether it was remembered: then the client
    /// must not know before it is forgotten, because it may use the identifier for another message.
    pub fn abandon_begun(&mut self, packet_id: PacketId, cx: &mut Cx<'_>) -> bool {
        self.release(packet_id, cx).unwrap_or(false)
    }

    fn release(&mut self, packet_id: PacketId, cx: &mut Cx<'_>) -> Option<bool> {
        self.flows.as_mut()?.inbound.release(packet_id, cx.memory)
    }

    /// Handles PUBREL: the identifier is free again. [MQTT-4.3.3-11]
    pub fn handle_pubrel(&mut self, ack: &Ack, cx: &mut Cx<'_>, out: &mut Outbox) {
        cx.tally.bump(Metric::PacketsPubrelReceived);
        let Some(version) = self.terms().map(|terms| terms.version) else { return };
        let released = self.release(ack.packet_id, cx);
        let reason = match released {
            Some(_) => ReasonCode::Success,
            None => {
                cx.tally.bump(Metric::PacketsPubrelMissed);
                ReasonCode::PacketIdentifierNotFound
            }
        };
        if released == Some(true) {
            out.hold();
        }
        out.push_ack(&Ack::new(AckKind::Pubcomp, ack.packet_id, reason), version, cx.tally);
    }
}

/// The moment a message published now expires: by its own interval, else by the configured one.
pub(super) fn expires_at(interval_s: Option<u32>, cx: &Cx<'_>) -> Timestamp {
    match interval_s {
        Some(interval_s) => cx.now.after_s(u64::from(interval_s)),
        None if cx.config.message_expiry_interval.is_infinite() => Timestamp::NEVER,
        None => cx.now.after_ms(cx.config.message_expiry_interval.as_ms()),
    }
}

fn count_received(qos: QoS, cx: &mut Cx<'_>) {
    let by_qos = match qos {
        QoS::AtMostOnce => Metric::MessagesQos0Received,
        QoS::AtLeastOnce => Metric::MessagesQos1Received,
        QoS::ExactlyOnce => Metric::MessagesQos2Received,
    };
    for metric in [by_qos, Metric::MessagesReceived, Metric::PacketsPublishReceived, Metric::MessagesPublish]
    {
        cx.tally.bump(metric);
    }
}
