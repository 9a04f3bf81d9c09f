//! The way of a message: one match on the publisher's shard, local deliveries, one lane message for each other shard.

use super::journal::{Goal, Outcome, PendingAck, Receipt};
use super::lanes::{GroupPick, LaneMessage};
use super::outlets::SCRATCH_KEPT;
use super::sessions::SessionKey;
use super::{Shard, cx};
use crate::durability::DurabilityLevel;
use crate::reactor::Token;
use ringmq_core::authorization::Action;
use ringmq_core::codec::{AckKind, Publish, QoS, SubscriptionOptions};
use ringmq_core::metrics::Metric;
use ringmq_core::publication::{LazyPublication, Origin, Publication, PublicationRef};
use ringmq_core::routing::{ShardId, ShardSet};
use ringmq_core::session::{Delivered, Delivery, Inbound, Routed, Session, ShareTag, Violation};
use smallvec::SmallVec;

/// A matching subscription of a session on this shard.
#[derive(Debug, Clone, Copy)]
pub struct Subscriber {
    pub session: SessionKey,
    pub options: SubscriptionOptions,
    /// Subscription identifier, 0 for none.
    pub id: u32,
}

/// What another shard is to do with a message.
#[derive(Debug, Clone)]
pub struct Errand {
    pub shard: ShardId,
    /// Its subscribers want it.
    pub deliver: bool,
    /// It owns the topic's retained message.
    pub retain: bool,
    /// Shared subscriptions of which it picks a member.
    pub groups: SmallVec<[GroupPick; 2]>,
}

/// Scratch space for matching, kept to spare the allocation.
#[derive(Debug, Default)]
pub struct Matches {
    found: Vec<Subscriber>,
}

impl Matches {
    /// Gives back what a message to many needed.
    pub fn release_memory(&mut self) {
        self.found.shrink_to(SCRATCH_KEPT);
    }
}

impl Shard {
    /// A PUBLISH from a client.
    pub(super) fn handle_publish(
        &mut self,
        token: Token,
        key: SessionKey,
        publish: &Publish<'_>,
    ) -> Result<(), Violation> {
        let before = self.before_routing();
        let Some(slot) = self.sessions.get_mut(key) else { return Ok(()) };
        let (zone, is_bound) = (slot.session.zone(), slot.rights.binds_publisher());
        let has_rules = slot.rights.policy().is_some();
        let Some(connection) = self.connections.get_mut(token as usize) else { return Ok(()) };
        if publish.qos > QoS::AtMostOnce {
            self.spent.lend(&mut connection.outbox);
        }
        let inbound = slot.session.handle_publish(publish, &mut cx!(self, zone))?;
        if publish.qos > QoS::AtMostOnce {
            self.mark_dirty(token);
        }
        let (aliased, mounted) = match inbound {
            Inbound::Route { aliased, mounted } => (aliased, mounted),
            Inbound::Answer(routed) => {
                self.answer_unrouted(token, key, publish, routed);
                return Ok(());
            }
        };
        let own_topic = aliased.as_deref().unwrap_or(publish.topic);
        let topic = mounted.as_deref().unwrap_or(own_topic);
        let view = Session::publication(publish, topic, self.origin(key), &cx!(self, zone));
        let stopped = if is_bound { self.stop_publish(token, key, publish, own_topic, &view)? } else { None };
        if has_rules && !is_bound {
            // They allow every PUBLISH, which was found when they were made.
            self.count_allowed();
        }
        let level = if stopped.is_some() { None } else { self.awaited_level(publish, &view) };
        let may_refuse = !self.rejecting_shards.is_empty() || !self.credit.is_ample();
        let is_refusable = publish.qos > QoS::AtMostOnce && may_refuse && stopped.is_none();
        self.open_scope(key, publish.qos, level, is_refusable);
        let message = LazyPublication::borrowed(view);
        let routed = stopped.unwrap_or_else(|| self.publish(&message, Some(key)));
        let Some((kind, packet_id)) = publish.acknowledgement() else { return Ok(()) };
        let forwarding = self.keep_forwarding(&message);
        let Some(slot) = self.sessions.get_mut(key) else { return Ok(()) };
        if kind == AckKind::Pubrec && stopped.is_none() && !self.receipts.is_refused() {
            slot.session.remember_begun(packet_id, &mut cx!(self, zone));
        }
        if level.is_some() {
            self.note_recorded(before);
        }
        let Some(slot) = self.sessions.get(key) else { return Ok(()) };
        let ack = PendingAck::new(packet_id, kind, routed, slot.attachment);
        let outcome = self.receipts.end(|receipts| {
            let turn = receipts.push_ack(key, ack);
            forwarding.map_or(Goal::Acknowledge(turn), |forwarding| Goal::Forward(turn, forwarding))
        });
        if let Some(outcome) = outcome {
            self.acknowledge_in_turn(token, key, ack, outcome);
        }
        Ok(())
    }

    /// Answers a PUBLISH that is not routed. A repetition whose first answer is still to come gets that one, in its own turn.
    fn answer_unrouted(&mut self, token: Token, key: SessionKey, publish: &Publish<'_>, routed: Routed) {
        let (Some((kind, packet_id)), Some(slot)) = (publish.acknowledgement(), self.sessions.get(key))
        else {
            return;
        };
        let attachment = slot.attachment;
        if kind == AckKind::Pubrec && self.receipts.repeat(key, packet_id, attachment) {
            return self.send_acks(key);
        }
        let ack = PendingAck::new(packet_id, kind, routed, attachment);
        self.acknowledge_in_turn(token, key, ack, Outcome::Stored);
    }

    /// Why a client may not publish this, if rules or quotas have it so. Counted.
    ///
    /// # Errors
    /// Where it is to be disconnected for that.
    fn stop_publish(
        &mut self,
        token: Token,
        key: SessionKey,
        publish: &Publish<'_>,
        own_topic: &str,
        view: &PublicationRef<'_>,
    ) -> Result<Option<Routed>, Violation> {
        let action = Action::Publish { qos: publish.qos, retain: publish.retain };
        if self.denies(key, action, own_topic, Metric::PacketsPublishAuthError)? {
            return Ok(Some(Routed::Denied));
        }
        Ok(self.exceeds_quota(token, view).then_some(Routed::OverQuota))
    }

    /// While a message is routed, receipts are asked for: of what must be stored at this level, and of who may refuse it.
    fn open_scope(&mut self, key: SessionKey, qos: QoS, level: Option<DurabilityLevel>, is_refusable: bool) {
        match level {
            Some(_) if qos == QoS::ExactlyOnce && self.is_remembered(key) => {
                self.receipts.begin_deferred(self.forwarding_level);
            }
            Some(level) => self.receipts.begin(level),
            None if is_refusable => self.receipts.begin(DurabilityLevel::Memory),
            None => {}
        }
        if is_refusable {
            self.receipts.allow_refusal();
        }
    }

    /// How this shard's sessions are known as publishers.
    pub(super) fn origin(&self, key: SessionKey) -> Origin {
        Origin { shard: self.id.0, session: key.0 }
    }

    /// The shard that owns the retained message of a topic.
    pub(super) fn topic_owner(&self, topic: &str) -> ShardId {
        ShardId::home_of(topic, self.shards)
    }

    /// Routes a message to everybody who wants it. `publisher` keeps its place in shared subscriptions.
    pub(super) fn publish(&mut self, message: &LazyPublication<'_>, publisher: Option<SessionKey>) -> Routed {
        let view = message.view();
        let clears = view.retain && view.payload.is_empty();
        let mut matched = false;
        let mut wanted = ShardSet::default();
        let mut picks: SmallVec<[(ShardId, GroupPick); 2]> = SmallVec::new();
        if !(clears && self.config.retainer.stop_publish_clear_msg) {
            matched = self.deliver_local(message);
            if self.receipts.is_refused() {
                return Routed::Refused;
            }
            if self.shards > 1 {
                self.interest.shards_for(view.topic, &mut wanted);
                wanted.remove(self.id);
            }
            if !self.groups.is_empty() {
                picks = self.pick_members(view.topic, publisher);
            }
            matched |= !wanted.is_empty() || !picks.is_empty();
        }
        let owner = view.retain.then(|| self.topic_owner(view.topic));
        if owner == Some(self.id) {
            self.retain(message);
        }
        if wanted.is_empty() && picks.is_empty() && owner.is_none_or(|owner| owner == self.id) {
            return self.routed(matched, view.retain);
        }
        self.forward(message, wanted, &picks, owner);
        self.routed(matched, view.retain)
    }

    /// Sends the message once to each other shard that wants it in any way, and hands shared picks of this shard out.
    fn forward(
        &mut self,
        message: &LazyPublication<'_>,
        wanted: ShardSet,
        picks: &[(ShardId, GroupPick)],
        owner: Option<ShardId>,
    ) {
        let mut targets = wanted;
        for (shard, _) in picks {
            targets.insert(*shard);
        }
        if let Some(owner) = owner {
            targets.insert(owner);
        }
        targets.remove(self.id);
        let must_remember = |shard| owner == Some(shard) || self.durable_shards.contains(shard);
        // Who is acknowledged before other shards are asked cannot be refused any more.
        let may_refuse = |shard| self.receipts.is_refusable() && self.rejecting_shards.contains(shard);
        let is_deferred = self.receipts.is_deferred()
            && targets.iter().any(must_remember)
            && !targets.iter().chain(picks.iter().map(|(shard, _)| *shard)).any(may_refuse);
        for shard in targets.iter() {
            let groups = picks.iter().filter(|(target, _)| *target == shard).map(|(_, pick)| *pick).collect();
            let errand =
                Errand { shard, deliver: wanted.contains(shard), retain: owner == Some(shard), groups };
            if is_deferred {
                self.deferred.push(errand);
            } else {
                let receipt = self.ask_receipt(shard, errand.retain);
                self.send_errand(message.shared(), errand, receipt);
            }
        }
        for (shard, pick) in picks {
            if *shard == self.id {
                self.deliver_shared(message, *pick);
            }
        }
    }

    /// Sends a message to another shard.
    pub(super) fn send_errand(&mut self, publication: Publication, errand: Errand, receipt: Option<Receipt>) {
        let Errand { shard, deliver, retain, groups } = errand;
        self.tally.bump(Metric::LaneMessages);
        self.mesh.stage(
            shard,
            match groups[..] {
                [pick] if !deliver && !retain => LaneMessage::Share { publication, pick, receipt },
                _ => {
                    let groups = (!groups.is_empty()).then(|| groups.into_boxed_slice());
                    LaneMessage::Publish { publication, deliver, retain, groups, receipt }
                }
            },
        );
    }

    fn routed(&mut self, matched: bool, retained: bool) -> Routed {
        if matched {
            return Routed::Matched;
        }
        if !retained {
            self.tally.bump(Metric::MessagesDropped);
            self.tally.bump(Metric::MessagesDroppedNoSubscribers);
        }
        Routed::NoSubscribers
    }

    /// A message another shard routed here.
    pub(super) fn handle_forwarded(
        &mut self,
        publication: &Publication,
        deliver: bool,
        retain: bool,
        groups: &[GroupPick],
        receipt: Option<Receipt>,
    ) {
        let message = LazyPublication::of(publication);
        self.tally.bump(Metric::MessagesForward);
        let before = self.before_routing();
        if let Some(receipt) = receipt {
            self.receipts.begin(receipt.level);
            if receipt.is_refusable {
                self.receipts.allow_refusal();
            }
        }
        if deliver {
            self.deliver_local(&message);
        }
        if !self.receipts.is_refused() {
            for pick in groups {
                self.deliver_shared(&message, *pick);
            }
            if retain {
                self.retain(&message);
            }
        }
        let Some(receipt) = receipt else { return };
        self.note_recorded(before);
        if let Some(outcome) = self.receipts.end(|_| Goal::Answer(receipt)) {
            self.receipts.answer(receipt, outcome);
        }
    }

    /// Delivers to the subscribers on this shard; whether there are any.
    fn deliver_local(&mut self, message: &LazyPublication<'_>) -> bool {
        if self.index.is_empty() {
            return false;
        }
        let mut found = std::mem::take(&mut self.matches.found);
        let mut filters = 0;
        self.index.for_each_match(message.view().topic, |subscribers| {
            filters += 1;
            found.extend_from_slice(subscribers.members());
        });
        self.templates.clear();
        let matched = !found.is_empty();
        if let Some(refusal) = self.refusal(&message.view(), &found) {
            self.receipts.note_refused(refusal);
        } else if filters > 1 {
            found.sort_by_key(|subscriber| subscriber.session);
            for overlapping in found.chunk_by(|a, b| a.session == b.session) {
                self.deliver_overlapping(message, overlapping);
            }
        } else {
            for subscriber in &found {
                self.deliver_to(message, *subscriber);
            }
        }
        found.clear();
        self.matches.found = found;
        matched
    }

    /// Delivers what several subscriptions of one session match: one copy, or one for each where its zone has it so.
    fn deliver_overlapping(&mut self, message: &LazyPublication<'_>, overlapping: &[Subscriber]) {
        if self.config.zones.copy_overlaps()
            && let [first, _, ..] = overlapping
            && self.settings_of_session(first.session).overlapping_subscription_copies
        {
            for subscriber in overlapping {
                self.deliver_to(message, *subscriber);
            }
            return;
        }
        self.deliver_merged(message, overlapping);
    }

    /// Delivers what one subscription matches.
    fn deliver_to(&mut self, message: &LazyPublication<'_>, subscriber: Subscriber) {
        let Subscriber { session, options, id } = subscriber;
        if options.no_local && message.view().origin == self.origin(session) {
            return self.count_echo();
        }
        let ids: &[u32] = if id > 0 { &[id] } else { &[] };
        self.deliver_granted(message, session, options, ids);
    }

    /// Delivers one copy for all subscriptions of one session that match: the highest QoS, every identifier.
    /// [MQTT-3.3.4-2, MQTT-3.3.4-3]
    fn deliver_merged(&mut self, message: &LazyPublication<'_>, overlapping: &[Subscriber]) {
        let mut ids: SmallVec<[u32; 4]> = SmallVec::new();
        let mut granted: Option<SubscriptionOptions> = None;
        for Subscriber { session, options, id } in overlapping {
            if options.no_local && message.view().origin == self.origin(*session) {
                continue;
            }
            let merged = granted.get_or_insert(*options);
            merged.qos = merged.qos.max(options.qos);
            merged.retain_as_published |= options.retain_as_published;
            if *id > 0 {
                ids.push(*id);
            }
        }
        let (Some(granted), Some(first)) = (granted, overlapping.first()) else { return self.count_echo() };
        ids.sort_unstable();
        ids.dedup();
        self.deliver_granted(message, first.session, granted, &ids);
    }

    fn deliver_granted(
        &mut self,
        message: &LazyPublication<'_>,
        session: SessionKey,
        granted: SubscriptionOptions,
        subscription_ids: &[u32],
    ) {
        let view = message.view();
        if view.retain {
            self.note_live(session, view.topic);
        }
        let delivery = Delivery {
            message,
            qos: self.delivery_qos(view.qos, granted.qos, session),
            retain: view.retain && granted.retain_as_published,
            subscription_ids,
            share: None,
        };
        self.deliver(session, delivery);
    }

    /// A client does not want to have what it published itself.
    fn count_echo(&mut self) {
        self.tally.bump(Metric::DeliveryDropped);
        self.tally.bump(Metric::DeliveryDroppedNoLocal);
    }

    /// The QoS of a delivery. [MQTT-3.8.4-8]
    pub(super) fn delivery_qos(&self, published: QoS, granted: QoS, subscriber: SessionKey) -> QoS {
        if self.config.zones.upgrade_qos() && self.settings_of_session(subscriber).upgrade_qos {
            return published.max(granted);
        }
        published.min(granted)
    }

    /// Hands a message to a session of this shard.
    pub(super) fn deliver(&mut self, key: SessionKey, delivery: Delivery<'_>) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let topic = delivery.message.view().topic;
        if !slot.may_receive(topic) {
            let is_outside = slot.session.own_topic(topic).is_none();
            return self.count_unseen(is_outside);
        }
        let zone = slot.session.zone();
        let connection = slot.connection.and_then(|token| self.connections.get_mut(token as usize));
        let out = connection.map(|connection| {
            self.spent.lend(&mut connection.outbox);
            &mut connection.outbox
        });
        let delivered =
            slot.session.handle_delivery(delivery, &mut self.templates, &mut cx!(self, zone), out);
        let connection = slot.connection;
        if delivered == Delivered::Queued {
            self.note_queued(key);
        }
        let Some(token) = connection else { return };
        if delivered == Delivered::Sent {
            self.mark_dirty(token);
        } else if let Some(connection) = self.connections.get_mut(token as usize) {
            self.spent.take_back(&mut connection.outbox);
        }
    }

    /// Whether a member of a shared subscription could be sent a message right now.
    pub(super) fn can_send_now(&self, key: SessionKey, qos: QoS) -> bool {
        let Some(slot) = self.sessions.get(key) else { return false };
        slot.connection
            .and_then(|token| self.connections.get(token as usize))
            .is_some_and(|connection| slot.session.can_send_now(qos, &connection.outbox))
    }

    /// Marks a delivery as coming through a shared subscription and hands it over.
    pub(super) fn deliver_to_member(
        &mut self,
        message: &LazyPublication<'_>,
        member: Subscriber,
        share: ShareTag,
    ) {
        let view = message.view();
        let ids: &[u32] = if member.id > 0 { &[member.id] } else { &[] };
        self.templates.clear();
        let delivery = Delivery {
            message,
            qos: self.delivery_qos(view.qos, member.options.qos, member.session),
            retain: view.retain && member.options.retain_as_published,
            subscription_ids: ids,
            share: Some(share),
        };
        self.deliver(member.session, delivery);
    }
}
