//! SUBSCRIBE and UNSUBSCRIBE: the local index, and what other shards must know before SUBACK.

use super::lanes::{InterestChange, LaneMessage};
use super::publish::Subscriber;
use super::sessions::SessionKey;
use super::{Shard, cx};
use crate::reactor::Token;
use ringmq_core::codec::{RetainHandling, Suback, Subscribe};
use ringmq_core::config::{QueueFullPolicy, ZoneId};
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::routing::{InterestKey, Member, Roster, ShardId, ShardSet};
use ringmq_core::session::{Change, FilterVerdict, Subscription, Violation};
use ringmq_core::topic::TopicFilter;
use std::collections::VecDeque;
use std::sync::Arc;

/// The sessions subscribed to one filter.
pub type Subscribers = Roster<Subscriber>;

impl Member for Subscriber {
    fn number(&self) -> u32 {
        self.session.0
    }
}

/// A SUBACK that waits until every shard has applied the change.
#[derive(Debug)]
struct PendingSuback {
    epoch: u64,
    session: SessionKey,
    attachment: u32,
    suback: Suback,
    verdicts: Vec<FilterVerdict>,
}

/// Changes of interest that travel in one message.
const CHANGES_PER_MESSAGE: usize = 64;

/// What this shard told the others of its interest, and what they have applied.
///
/// Changes are told when all others have applied what they were told before. While nothing else is on its way that is at
/// once; in a rush of subscriptions each message carries what came up during the one before it, and the shards wake each
/// other for many changes instead of for each.
#[derive(Debug)]
pub struct InterestLedger {
    /// The number of the last change.
    epoch: u64,
    /// Changes that are not yet told, the last of them `epoch`.
    news: Vec<InterestChange>,
    /// The number of the last change that was told, and who has not applied it.
    told: u64,
    unapplied: ShardSet,
    /// The number of the last change that all have applied.
    in_force: u64,
    /// What we have applied of each other shard, and whom we have not told.
    heard: Vec<u64>,
    untold: ShardSet,
    pending: VecDeque<PendingSuback>,
}

impl InterestLedger {
    /// Nothing told, nothing heard.
    pub fn new(shards: usize) -> InterestLedger {
        InterestLedger {
            epoch: 0,
            news: Vec::new(),
            told: 0,
            unapplied: ShardSet::EMPTY,
            in_force: 0,
            heard: vec![0; shards],
            untold: ShardSet::EMPTY,
            pending: VecDeque::new(),
        }
    }
}

impl Shard {
    /// A SUBSCRIBE from a client.
    pub(super) fn handle_subscribe(
        &mut self,
        token: Token,
        key: SessionKey,
        subscribe: Subscribe,
    ) -> Result<(), Violation> {
        self.tally.bump(Metric::PacketsSubscribeReceived);
        let packet_id = subscribe.packet_id;
        let denied = self.denied_filters(key, &subscribe)?;
        let Some(slot) = self.sessions.get_mut(key) else { return Ok(()) };
        let before = slot.session.subscription_count();
        let verdicts =
            slot.session.handle_subscribe(subscribe, &denied, &mut cx!(self, slot.session.zone()))?;
        let attachment = slot.attachment;
        self.sessions
            .count_subscriber(before, before + usize::from(verdicts.iter().any(|v| v.granted.is_some())));
        for verdict in &verdicts {
            match &verdict.granted {
                Some((subscription, change)) => {
                    self.tally.bump(Metric::ClientSubscribe);
                    self.remember_subscription(key, &verdict.filter, subscription);
                    let is_new = *change == Change::Added;
                    self.enter(key, &verdict.filter, *subscription, is_new);
                    if is_new {
                        self.follow_subscription(key, &verdict.filter, true);
                    }
                }
                None => self.tally.bump(Metric::PacketsSubscribeError),
            }
        }
        let suback = Suback {
            packet_id,
            reasons: verdicts.iter().map(|verdict| verdict.reason).collect(),
            reason_string: None,
            user_properties: Vec::new(),
        };
        let pending = PendingSuback { epoch: self.ledger.epoch, session: key, attachment, suback, verdicts };
        debug_assert!(self.connections.contains(token as usize));
        self.ledger.pending.push_back(pending);
        self.release_subacks();
        Ok(())
    }

    /// A session has messages refused rather than lost, or did so before. Only while some do, other shards ask this one whether
    /// it refuses a message.
    pub(super) fn count_rejecting(&mut self, before: bool, after: bool) {
        if before == after {
            return;
        }
        self.rejecting_sessions = self.rejecting_sessions + usize::from(after) - usize::from(before);
        let general = self.config.zones.of(ZoneId::DEFAULT);
        let is_configured = general.mqueue_full_policy == QueueFullPolicy::Reject;
        let is_rejecting = is_configured || self.rejecting_sessions > 0;
        if is_rejecting == self.rejecting_shards.contains(self.id) {
            return;
        }
        if is_rejecting {
            self.rejecting_shards.insert(self.id);
        } else {
            self.rejecting_shards.remove(self.id);
        }
        self.tell(InterestChange::Rejecting(is_rejecting));
    }

    /// Enters a subscription into the index.
    pub(super) fn enter(&mut self, key: SessionKey, text: &str, subscription: Subscription, new: bool) {
        if self.is_remembered(key) && !self.durable_shards.contains(self.id) {
            self.durable_shards.insert(self.id);
            self.tell(InterestChange::Durable);
        }
        let Ok(TopicFilter { share, filter }) = TopicFilter::parse(text) else { return };
        self.subscriptions += usize::from(new);
        let subscriber =
            Subscriber { session: key, options: subscription.options, id: subscription.id.unwrap_or(0) };
        if let Some(share) = share {
            self.enter_group(share, filter, subscriber, new);
            return;
        }
        let subscribers = self.index.entry(filter);
        if !new {
            return subscribers.replace(subscriber);
        }
        subscribers.insert(subscriber);
        if subscribers.members().len() == 1 {
            self.tell(InterestChange::Add(InterestKey::of(filter)));
        }
    }

    /// Removes a subscription of a session; the code for UNSUBACK. [MQTT-3.10.4-1]
    pub(super) fn unsubscribe(&mut self, key: SessionKey, text: &str) -> ReasonCode {
        let Some(slot) = self.sessions.get_mut(key) else { return ReasonCode::NoSubscriptionExisted };
        let text = &*slot.session.mounted_filter(text);
        if slot.session.unsubscribe(text).is_none() {
            let valid = TopicFilter::parse(text).is_ok();
            return if valid { ReasonCode::NoSubscriptionExisted } else { ReasonCode::TopicFilterInvalid };
        }
        let after = slot.session.subscription_count();
        self.sessions.count_subscriber(after + 1, after);
        self.tally.bump(Metric::ClientUnsubscribe);
        self.forget_subscription(key, text);
        self.leave(key, text);
        self.follow_subscription(key, text, false);
        ReasonCode::Success
    }

    /// Takes a subscription out of the index.
    pub(super) fn leave(&mut self, key: SessionKey, text: &str) {
        let Ok(TopicFilter { share, filter }) = TopicFilter::parse(text) else { return };
        self.subscriptions -= 1;
        if let Some(share) = share {
            self.leave_group(share, filter, key);
            return;
        }
        let Some(subscribers) = self.index.get_mut(filter) else { return };
        subscribers.remove(key.0);
        if subscribers.members().is_empty() {
            // Other shards know exact filters by hash only: another filter of the same hash keeps the interest alive.
            let hash_is_shared = self.index.exact_hash_is_shared(filter);
            self.index.remove(filter);
            if !hash_is_shared {
                self.tell(InterestChange::Remove(InterestKey::of(filter)));
            }
        }
    }

    /// Tells every other shard about a change, as soon as they have applied what came before.
    pub(super) fn tell(&mut self, change: InterestChange) {
        if self.shards == 1 {
            return;
        }
        self.ledger.epoch += 1;
        self.ledger.news.push(change);
    }

    /// Hands the changes that are not told to the lanes, unless earlier ones are still on their way.
    pub(super) fn post_news(&mut self) {
        let ledger = &mut self.ledger;
        if ledger.news.is_empty() || !ledger.unapplied.is_empty() {
            return;
        }
        let others = (0..self.shards).map(|shard| ShardId(shard as u8)).filter(|shard| *shard != self.id);
        ledger.unapplied = others.collect();
        let mut news = ledger.news.drain(..);
        while news.len() > 0 {
            let changes: Arc<[InterestChange]> = news.by_ref().take(CHANGES_PER_MESSAGE).collect();
            ledger.told += changes.len() as u64;
            for shard in ledger.unapplied.iter() {
                let (epoch, changes) = (ledger.told, Arc::clone(&changes));
                self.mesh.stage(shard, LaneMessage::Interest { epoch, changes });
            }
        }
        // What a rush of subscriptions needed is not kept for the next one.
        drop(news);
        ledger.news.shrink_to(CHANGES_PER_MESSAGE);
    }

    /// Applies another shard's changes.
    pub(super) fn apply_interest(&mut self, from: ShardId, epoch: u64, changes: &[InterestChange]) {
        for change in changes {
            match change {
                InterestChange::Add(key) => self.interest.add(key, from),
                InterestChange::Remove(key) => self.interest.remove(key, from),
                InterestChange::Members { share, filter, members, online } => {
                    self.groups.set_members(share, filter, from, *members, *online);
                }
                InterestChange::Durable => {
                    self.durable_shards.insert(from);
                }
                InterestChange::Rejecting(true) => {
                    self.rejecting_shards.insert(from);
                }
                InterestChange::Rejecting(false) => {
                    self.rejecting_shards.remove(from);
                }
            }
        }
        self.ledger.heard[from.index()] = epoch;
        self.ledger.untold.insert(from);
    }

    /// Tells those whose changes were applied in this pass.
    pub(super) fn acknowledge_interest(&mut self) {
        if self.ledger.untold.is_empty() {
            return;
        }
        let untold = std::mem::take(&mut self.ledger.untold);
        for shard in untold.iter() {
            let epoch = self.ledger.heard[shard.index()];
            self.mesh.stage(shard, LaneMessage::InterestApplied { epoch });
        }
    }

    /// Before the shards start: what this one has of subscriptions, which all others are told at once.
    pub fn introduce(&mut self) -> (ShardId, Vec<InterestChange>) {
        let ledger = &mut self.ledger;
        ledger.told = ledger.epoch;
        ledger.in_force = ledger.epoch;
        (self.id, std::mem::take(&mut ledger.news))
    }

    /// Before the shards start: what another one has.
    pub fn meet(&mut self, other: ShardId, news: &[InterestChange]) {
        self.apply_interest(other, news.len() as u64, news);
        self.ledger.untold.remove(other);
    }

    /// Another shard has applied our changes up to `epoch`.
    pub(super) fn handle_interest_applied(&mut self, from: ShardId, epoch: u64) {
        let ledger = &mut self.ledger;
        if epoch == ledger.told && ledger.unapplied.remove(from) && ledger.unapplied.is_empty() {
            ledger.in_force = ledger.told;
            self.release_subacks();
        }
    }

    /// Sends the SUBACKs whose changes are in force everywhere: whoever publishes after SUBACK reaches the subscriber.
    fn release_subacks(&mut self) {
        while self.ledger.pending.front().is_some_and(|pending| pending.epoch <= self.ledger.in_force) {
            let Some(pending) = self.ledger.pending.pop_front() else { return };
            self.release(pending);
        }
    }

    fn release(&mut self, pending: PendingSuback) {
        let Some(slot) = self.sessions.get(pending.session) else { return };
        let Some(token) = slot.connection.filter(|_| slot.attachment == pending.attachment) else { return };
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.outbox.push_suback(&pending.suback, connection.version, &mut self.tally);
        if slot.session.number().is_some() {
            connection.outbox.hold();
        }
        self.mark_dirty(token);
        for FilterVerdict { filter, granted, .. } in pending.verdicts {
            let Some((subscription, change)) = granted else { continue };
            let wanted = match subscription.options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => change == Change::Added,
                RetainHandling::DoNotSend => false,
            };
            if wanted && TopicFilter::parse(&filter).is_ok_and(|parsed| parsed.share.is_none()) {
                self.begin_stream(pending.session, filter, subscription);
            }
        }
    }
}
