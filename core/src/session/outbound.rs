//! Broker to client: delivering, acknowledging, sending again.

use super::alias::Link;
use super::delivery::{Delivered, Delivery, DropReason, Outgoing, ShareTag};
use super::durable::{Body, Memory, SessionNumber};
use super::inflight::{Inflight, Phase};
use super::outbox::Outbox;
use super::queue::await_first;
use super::template::{TemplateCache, packet, set_packet_id};
use super::{Cx, Flows, Session, own_topic};
use crate::codec::{Ack, AckKind, PacketId, Publish, QoS};
use crate::metrics::Metric;
use crate::publication::Publication;
use crate::reason::ReasonCode;
use crate::topic::Mountpoint;

impl Session {
    /// Delivers a message to this session: into `out` if the connection can take it now, else into the queue.
    pub fn handle_delivery(
        &mut self,
        delivery: Delivery<'_>,
        templates: &mut TemplateCache,
        cx: &mut Cx<'_>,
        out: Option<&mut Outbox>,
    ) -> Delivered {
        if delivery.message.view().expires_at <= cx.now {
            cx.count_drop(DropReason::Expired, 1);
            return Delivered::Dropped(DropReason::Expired);
        }
        match out {
            Some(out) if self.can_send_now(delivery.qos, out) => self.send(delivery, templates, cx, out),
            _ => self.enqueue(delivery.to_outgoing(), cx),
        }
    }

    /// Whether a message of this QoS would go straight into the outbox.
    pub fn can_send_now(&self, qos: QoS, out: &Outbox) -> bool {
        let Some(link) = &self.link else { return false };
        if out.is_congested() {
            return false;
        }
        // The send window has at least one place.
        let Some(flows) = self.flows.as_deref() else { return true };
        if qos == QoS::AtMostOnce {
            return !flows.queue.holds_qos0();
        }
        flows.queue.len() == 0
            && !flows.inflight.awaits_resend()
            && flows.inflight.window_used() < usize::from(link.terms.send_window)
    }

    /// Handles PUBACK.
    pub fn handle_puback(&mut self, ack: &Ack, cx: &mut Cx<'_>, out: &mut Outbox) {
        cx.tally.bump(Metric::PacketsPubackReceived);
        if self.end_exchange(ack.packet_id, |phase| matches!(phase, Phase::Puback(_)), cx) {
            cx.count_acked(ack.reason);
            self.pump(cx, out);
        } else {
            cx.tally.bump(Metric::PacketsPubackMissed);
        }
    }

    /// Handles PUBREC: the client has the message, PUBREL follows. [MQTT-4.3.3-4]
    pub fn handle_pubrec(&mut self, ack: &Ack, cx: &mut Cx<'_>, out: &mut Outbox) {
        cx.tally.bump(Metric::PacketsPubrecReceived);
        let Some(link) = &self.link else { return };
        let version = link.terms.version;
        let is_refused = ack.reason.is_error();
        let known = self.flows.as_deref_mut().and_then(|flows| flows.inflight.find(ack.packet_id));
        let reason = match known.filter(|entry| !matches!(entry.phase, Phase::Puback(_))) {
            Some(entry) => {
                let is_first = matches!(entry.phase, Phase::Pubrec(_));
                if is_first {
                    cx.count_acked(ack.reason);
                }
                if is_refused {
                    self.end_exchange(ack.packet_id, |_| true, cx);
                    return self.pump(cx, out);
                }
                let mut stored = entry.phase.stored();
                if let (true, Some(old), Some(number)) = (is_first, stored, self.number) {
                    // Once the client reads PUBREL it forgets the identifier: it would take the message a second time.
                    stored = cx.memory.taken(number, old, ack.packet_id);
                    out.hold();
                }
                entry.phase = Phase::Pubcomp(stored);
                ReasonCode::Success
            }
            None => {
                cx.tally.bump(Metric::PacketsPubrecMissed);
                if is_refused {
                    // The client has nothing that could be released.
                    return;
                }
                ReasonCode::PacketIdentifierNotFound
            }
        };
        out.push_ack(&Ack::new(AckKind::Pubrel, ack.packet_id, reason), version, cx.tally);
    }

    /// Handles PUBCOMP: the exchange is over.
    pub fn handle_pubcomp(&mut self, ack: &Ack, cx: &mut Cx<'_>, out: &mut Outbox) {
        cx.tally.bump(Metric::PacketsPubcompReceived);
        if self.end_exchange(ack.packet_id, |phase| matches!(phase, Phase::Pubcomp(_)), cx) {
            self.pump(cx, out);
        } else {
            cx.tally.bump(Metric::PacketsPubcompMissed);
        }
    }

    /// Frees a packet identifier whose exchange is in a phase that `is_over` accepts; whether there was one.
    fn end_exchange(
        &mut self,
        packet_id: PacketId,
        is_over: impl FnOnce(&Phase) -> bool,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(flows) = self.flows.as_deref_mut() else { return false };
        let Some(entry) = flows.inflight.remove_if(packet_id, is_over) else { return false };
        if let Some(stored) = entry.phase.stored() {
            cx.memory.forget(stored);
        }
        true
    }

    /// Sends again what an earlier connection left unacknowledged, then what is queued, as far as the send window and the
    /// outbox allow. Call after attaching and whenever room appeared.
    pub fn pump(&mut self, cx: &mut Cx<'_>, out: &mut Outbox) {
        let Some(link) = self.link.as_mut() else { return };
        let Some(Flows { inflight, .. }) = self.flows.as_deref_mut() else { return };
        let window = usize::from(link.terms.send_window);
        while !out.is_congested() && inflight.window_used() < window {
            let Some(entry) = inflight.next_to_resend() else { break };
            let message = match &entry.phase {
                Phase::Puback(message) | Phase::Pubrec(message) => message,
                Phase::Pubcomp(_) => {
                    let pubrel = Ack::new(AckKind::Pubrel, entry.packet_id, ReasonCode::Success);
                    out.push_ack(&pubrel, link.terms.version, cx.tally);
                    inflight.note_resent();
                    continue;
                }
            };
            let reason = match message.body(cx.memory) {
                Body::Here(publication) => {
                    let publish = unmounted(to_packet(message, &publication, cx), self.mount.as_deref());
                    if let Some(at) = publish.as_ref().and_then(|publish| append(publish, link, out)) {
                        let qos = message.qos;
                        out.mark_dup(at, entry.packet_id);
                        inflight.note_resent();
                        cx.count_sent(qos);
                        continue;
                    }
                    // This connection takes smaller packets than the one before, or has another mountpoint. It is as if the
                    // delivery were complete. [MQTT-3.1.2-25]
                    if publish.is_none() { DropReason::Mountpoint } else { DropReason::TooLarge }
                }
                Body::Away => return await_first(inflight.messages_to_resend(), self.number, cx.memory),
                Body::Lost => DropReason::StoreLost,
            };
            if let Some(stored) = inflight.give_up_next().and_then(|entry| entry.phase.stored()) {
                cx.memory.forget(stored);
            }
            cx.count_drop(reason, 1);
        }
        if !inflight.awaits_resend() {
            self.pump_queue(cx, out);
        }
    }

    fn pump_queue(&mut self, cx: &mut Cx<'_>, out: &mut Outbox) {
        let Some(link) = self.link.as_mut() else { return };
        let Some(Flows { inflight, queue, .. }) = self.flows.as_deref_mut() else { return };
        let window = usize::from(link.terms.send_window);
        while let Some(front) = queue.front() {
            let full = front.qos > QoS::AtMostOnce && inflight.window_used() >= window;
            if full || out.is_congested() {
                break;
            }
            let is_expired = front.expires_at() <= cx.now;
            let mount = self.mount.as_deref();
            let body = if is_expired { Body::Lost } else { front.body(cx.memory) };
            let useless = match &body {
                Body::Here(publication) => {
                    let topic = publication.topic();
                    let is_outside =
                        mount.is_some() && own_topic(mount, &self.subscriptions, topic).is_none();
                    is_outside.then_some(DropReason::Mountpoint)
                }
                // Messages keep their order: those behind it wait as well.
                Body::Away => return await_first(queue.iter(), self.number, cx.memory),
                Body::Lost if is_expired => Some(DropReason::Expired),
                Body::Lost => Some(DropReason::StoreLost),
            };
            let Some(message) = queue.pop() else { return };
            if let (None, Body::Here(publication)) = (useless, &body) {
                send_queued((message, publication), (self.number, mount), link, inflight, cx, out);
                continue;
            }
            cx.count_drop(useless.unwrap_or(DropReason::StoreLost), 1);
            if let Some(stored) = message.stored() {
                cx.memory.forget(stored);
            }
        }
        queue.read_ahead(cx.memory);
    }

    /// Appends a message to the outbox. The caller made sure that the window and the outbox have room.
    fn send(
        &mut self,
        delivery: Delivery<'_>,
        templates: &mut TemplateCache,
        cx: &mut Cx<'_>,
        out: &mut Outbox,
    ) -> Delivered {
        let Some(link) = self.link.as_mut() else { return self.enqueue(delivery.to_outgoing(), cx) };
        let view = delivery.message.view();
        let Delivery { qos, retain, subscription_ids, .. } = delivery;
        let start = if link.terms.alias_out_max > 0 || self.mount.is_some() || templates.is_first_use() {
            let publish = packet(view, qos, retain, subscription_ids, cx.now);
            let Some(publish) = unmounted(publish, self.mount.as_deref()) else {
                cx.count_drop(DropReason::Mountpoint, 1);
                return Delivered::Dropped(DropReason::Mountpoint);
            };
            append_aliased(publish, link, out)
        } else {
            let bytes = templates.encoded(view, link.terms.version, qos, retain, subscription_ids, cx.now);
            let fits = !bytes.is_empty() && bytes.len() <= link.terms.packet_bytes_max as usize;
            fits.then(|| out.append(bytes))
        };
        let Some(start) = start else {
            cx.count_drop(DropReason::TooLarge, 1);
            return Delivered::Dropped(DropReason::TooLarge);
        };
        if qos > QoS::AtMostOnce {
            let inflight = &mut Flows::open(&mut self.flows, self.last_id).inflight;
            let mut message = delivery.to_outgoing();
            let packet_id = begin(start, inflight, out);
            if let Some(number) = self.number {
                let stored = cx.memory.keep(number, &message, Some(packet_id));
                message.remember(stored);
                hold_exactly_once(&message, out);
            }
            inflight.push_sent(packet_id, Phase::of(message));
        }
        cx.count_delivered(qos);
        Delivered::Sent
    }

    fn enqueue(&mut self, message: Outgoing, cx: &mut Cx<'_>) -> Delivered {
        let queue = &mut Flows::open(&mut self.flows, self.last_id).queue;
        let pushed = queue.push(message, cx);
        if let Some((reason, count)) = pushed.lost {
            cx.count_drop(reason, count);
            if !pushed.is_queued {
                return Delivered::Dropped(reason);
            }
        }
        if let (Some(number), Some(message)) = (self.number, queue.newest_mut()) {
            let stored = cx.memory.keep(number, message, None);
            message.remember(stored);
        }
        Delivered::Queued
    }

    /// Takes what other members of the shared subscriptions `wanted` names can be sent instead: queued messages and
    /// unacknowledged QoS 1 messages. Call without a connection: what a connected client has not acknowledged takes a
    /// place of its Receive Maximum, whoever is sent it instead. [MQTT-4.8.2-4, MQTT-4.8.2-5]
    pub fn take_shared(&mut self, wanted: impl Fn(ShareTag) -> bool) -> Vec<Outgoing> {
        debug_assert!(!self.is_online(), "shared messages are taken from sessions without connection");
        let Some(flows) = self.flows.as_deref_mut() else { return Vec::new() };
        let mut shared = flows.inflight.take_shared(&wanted);
        shared.extend(flows.queue.take_shared(&wanted));
        shared
    }

    /// Nothing of the session is to be remembered any more; it ends.
    pub fn forget(&self, memory: &mut dyn Memory) {
        let Some(flows) = &self.flows else { return };
        let inflight = flows.inflight.iter().filter_map(|entry| entry.phase.stored());
        let queued = flows.queue.iter().filter_map(Outgoing::stored);
        for stored in inflight.chain(queued).chain(flows.inbound.stored()) {
            memory.forget(stored);
        }
    }

    /// Drops what an earlier life left in the queue beyond its bound.
    pub fn trim_queue(&mut self, cx: &mut Cx<'_>) {
        let Some(flows) = self.flows.as_deref_mut() else { return };
        let dropped = flows.queue.trim(cx.config, cx.memory);
        cx.count_drop(DropReason::QueueFull, dropped);
    }

    /// Drops the queued message that was remembered first, for want of room where it is remembered, and what stands before
    /// it that could not be remembered.
    pub fn drop_oldest_stored(&mut self, cx: &mut Cx<'_>) {
        let Some(flows) = self.flows.as_deref_mut() else { return };
        while let Some(message) = flows.queue.pop_towards_oldest_stored() {
            cx.count_drop(DropReason::StoreFull, 1);
            if let Some(stored) = message.stored() {
                return cx.memory.forget(stored);
            }
        }
    }

    /// Removes queued messages whose expiry has passed and counts them. Called now and then, it also gives back memory that
    /// is not in use.
    pub fn remove_expired(&mut self, cx: &mut Cx<'_>) {
        let Some(flows) = self.flows.as_deref_mut() else { return };
        let expired = flows.queue.remove_expired(cx.now, cx.memory);
        cx.count_drop(DropReason::Expired, expired);
        self.rest();
    }
}

/// As `Session::send`, for a message of the queue, which is encoded for this client alone.
fn send_queued(
    (mut message, publication): (Outgoing, &Publication),
    (number, mount): (Option<SessionNumber>, Option<&Mountpoint>),
    link: &mut Link,
    inflight: &mut Inflight,
    cx: &mut Cx<'_>,
    out: &mut Outbox,
) {
    let publish = unmounted(to_packet(&message, publication, cx), mount);
    let Some(start) = publish.and_then(|publish| append_aliased(publish, link, out)) else {
        if let Some(stored) = message.stored() {
            cx.memory.forget(stored);
        }
        return cx.count_drop(DropReason::TooLarge, 1);
    };
    let qos = message.qos;
    if qos > QoS::AtMostOnce {
        let packet_id = begin(start, inflight, out);
        if let (Some(stored), Some(number)) = (message.stored(), number) {
            let stored = cx.memory.sent(number, &message, stored, packet_id);
            message.remember(Some(stored));
            hold_exactly_once(&message, out);
        }
        inflight.push_sent(packet_id, Phase::of(message));
    } else if let Some(stored) = message.stored() {
        cx.memory.forget(stored);
    }
    cx.count_delivered(qos);
}

/// Gives the packet at `start` an identifier.
fn begin(start: usize, inflight: &mut Inflight, out: &mut Outbox) -> PacketId {
    let packet_id = inflight.free_id();
    set_packet_id(out.packet_mut(start), packet_id);
    packet_id
}

/// A message published at QoS 2 leaves when its identifier is remembered: a broker that forgot it would send the message
/// again under another one. Its publisher may be acknowledged by then, and does not send it again itself.
fn hold_exactly_once(message: &Outgoing, out: &mut Outbox) {
    let is_exactly_once = QoS::ExactlyOnce == message.qos.max(message.published_qos());
    if is_exactly_once && message.stored().is_some() {
        out.hold();
    }
}

/// The packet for a message the session keeps, with its full topic.
fn to_packet<'a>(message: &Outgoing, publication: &'a Publication, cx: &Cx<'_>) -> Publish<'a> {
    packet(publication.view(), message.qos, message.retain, message.subscription_ids(), cx.now)
}

/// The packet with its topic as the client knows it; none if it is not behind its mountpoint.
fn unmounted<'a>(publish: Publish<'a>, mount: Option<&Mountpoint>) -> Option<Publish<'a>> {
    match mount {
        None => Some(publish),
        Some(mount) => mount.unmount(publish.topic).map(|topic| Publish { topic, ..publish }),
    }
}

/// Appends a packet with a topic alias if there is one to be had; returns where it starts. `None` when the client's
/// Maximum Packet Size is too small for it.
fn append_aliased(mut publish: Publish<'_>, link: &mut Link, out: &mut Outbox) -> Option<usize> {
    let alias_max = link.alias_out_max();
    if alias_max == 0 {
        return append(&publish, link, out);
    }
    let topic = publish.topic;
    let Some((alias, is_known)) = link.aliases.assign(topic, alias_max) else {
        return append(&publish, link, out);
    };
    publish.properties.topic_alias = Some(alias);
    if is_known {
        publish.topic = "";
    }
    if let Some(start) = append(&publish, link, out) {
        return Some(start);
    }
    if !is_known {
        // The client never saw this alias.
        link.aliases.revoke(topic);
    }
    // An alias takes three bytes; without them the packet may fit.
    publish.properties.topic_alias = None;
    publish.topic = topic;
    append(&publish, link, out)
}

/// Appends a packet as it is, unless it is too large for the client.
fn append(publish: &Publish<'_>, link: &Link, out: &mut Outbox) -> Option<usize> {
    // Encoding reserves what it takes.
    let room = out.room(0);
    let start = room.len();
    publish.encode_within(link.terms.version, link.terms.packet_bytes_max, room).is_ok().then_some(start)
}

impl Outbox {
    fn append(&mut self, packet: &[u8]) -> usize {
        let bytes = self.room(packet.len());
        let start = bytes.len();
        bytes.extend_from_slice(packet);
        start
    }

    /// Marks the PUBLISH at `start` as sent again. [MQTT-3.3.1-1]
    fn mark_dup(&mut self, start: usize, packet_id: PacketId) {
        let packet = self.packet_mut(start);
        packet[0] |= 0b1000;
        set_packet_id(packet, packet_id);
    }
}

impl Cx<'_> {
    pub(super) fn count_drop(&mut self, reason: DropReason, count: u64) {
        let metric = match reason {
            DropReason::QueueFull => Metric::DeliveryDroppedQueueFull,
            DropReason::Qos0 => Metric::DeliveryDroppedQos0Msg,
            DropReason::TooLarge => Metric::DeliveryDroppedTooLarge,
            DropReason::Expired => Metric::DeliveryDroppedExpired,
            DropReason::StoreFull => Metric::DeliveryDroppedStoreFull,
            DropReason::StoreLost => Metric::DeliveryDroppedStoreLost,
            DropReason::Mountpoint => Metric::DeliveryDroppedMountpoint,
        };
        self.tally.add(metric, count);
        self.tally.add(Metric::DeliveryDropped, count);
    }

    fn count_sent(&mut self, qos: QoS) {
        let by_qos = match qos {
            QoS::AtMostOnce => Metric::MessagesQos0Sent,
            QoS::AtLeastOnce => Metric::MessagesQos1Sent,
            QoS::ExactlyOnce => Metric::MessagesQos2Sent,
        };
        for metric in [by_qos, Metric::MessagesSent, Metric::PacketsPublishSent, Metric::PacketsSent] {
            self.tally.bump(metric);
        }
    }

    /// The first time a message is sent; repetitions are only sent.
    fn count_delivered(&mut self, qos: QoS) {
        self.count_sent(qos);
        self.tally.bump(Metric::MessagesDelivered);
    }

    fn count_acked(&mut self, reason: ReasonCode) {
        if reason.is_error() {
            self.tally.bump(Metric::DeliveryDroppedPeerRefused);
            self.tally.bump(Metric::DeliveryDropped);
        } else {
            self.tally.bump(Metric::MessagesAcked);
        }
    }
}
