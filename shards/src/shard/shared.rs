//! Shared subscriptions: every shard knows how many members a group has where, the publisher's shard picks the shard, and
//! that shard picks the member.

use super::Shard;
use super::journal::{Goal, Outcome};
use super::lanes::{GroupPick, InterestChange, LaneMessage};
use super::publish::Subscriber;
use super::sessions::{SessionKey, Turn};
use ringmq_core::config::{MqttConfig, SharedStrategy, StickyPick, ZoneId};
use ringmq_core::hash::{ProcessHasher, SeededMap, hash_str};
use ringmq_core::metrics::Metric;
use ringmq_core::publication::LazyPublication;
use ringmq_core::routing::{Group, GroupId, ShardId};
use ringmq_core::session::{Body, Memory, Outgoing, ShareTag, await_first};
use ringmq_core::topic::TopicFilter;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

/// Publishers a group remembers the member of, under the sticky strategy; beyond it the group starts afresh.
const STICKY_PUBLISHERS_MAX: usize = 65_536;
/// Groups a publisher keeps its place in; beyond it the publisher starts afresh.
const TURNS_MAX: usize = 1024;
/// How often a message is passed on because its member was gone when it came.
const HOPS_MAX: u8 = 8;

/// The members of a group on this shard.
#[derive(Debug, Default)]
struct LocalGroup {
    members: Vec<Subscriber>,
    online: u32,
    sticky: SeededMap<u64, SessionKey>,
}

/// The groups with members on this shard, and the turns of groups whose turn is kept here.
#[derive(Debug, Default)]
pub struct SharedGroups {
    local: SeededMap<ShareTag, LocalGroup>,
    turns: SeededMap<ShareTag, u32>,
    /// Messages that look for another member, in their order.
    unplaced: VecDeque<Outgoing>,
}

impl SharedGroups {
    /// Groups with members on this shard.
    pub fn len(&self) -> usize {
        self.local.len()
    }
}

/// Names a group on all shards.
fn tag_of(share: &str, filter: &str) -> ShareTag {
    let mut hasher = ProcessHasher.build_hasher();
    hasher.write(share.as_bytes());
    hasher.write_u8(0);
    hasher.write(filter.as_bytes());
    hasher.finish()
}

/// A group a message matched, as far as picking a member needs it.
struct Candidate {
    id: GroupId,
    tag: ShareTag,
}

impl Shard {
    /// Adds a member to a group, or changes its options.
    pub(super) fn enter_group(&mut self, share: &str, filter: &str, member: Subscriber, new: bool) {
        let group = self.shared.local.entry(tag_of(share, filter)).or_default();
        if !new {
            if let Some(known) = group.members.iter_mut().find(|known| known.session == member.session) {
                *known = member;
            }
            return;
        }
        group.members.push(member);
        self.subscriptions_shared += 1;
        if let Some(slot) = self.sessions.get_mut(member.session) {
            slot.shares += 1;
        }
        self.count_members(share, filter);
    }

    /// Removes a member from a group.
    pub(super) fn leave_group(&mut self, share: &str, filter: &str, key: SessionKey) {
        let Some(group) = self.shared.local.get_mut(&tag_of(share, filter)) else { return };
        group.members.retain(|member| member.session != key);
        group.sticky.retain(|_, member| *member != key);
        self.subscriptions_shared -= 1;
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.shares -= 1;
        }
        self.count_members(share, filter);
    }

    /// Counts a group's members on this shard and tells all shards.
    fn count_members(&mut self, share: &str, filter: &str) {
        let tag = tag_of(share, filter);
        let Some(group) = self.shared.local.get_mut(&tag) else { return };
        let sessions = &self.sessions;
        let is_online = |key| sessions.get(key).is_some_and(|slot| slot.connection.is_some());
        let members = group.members.len() as u32;
        let online = group.members.iter().filter(|member| is_online(member.session)).count() as u32;
        group.online = online;
        if members == 0 {
            self.shared.local.remove(&tag);
        }
        self.groups.set_members(share, filter, self.id, members, online);
        self.tell(InterestChange::Members { share: share.into(), filter: filter.into(), members, online });
    }

    /// A session came or went: the groups it belongs to have one more or one less member online.
    pub(super) fn refresh_shares(&mut self, key: SessionKey) {
        for text in self.shares_of(key) {
            if let Ok(TopicFilter { share: Some(share), filter }) = TopicFilter::parse(&text) {
                self.count_members(share, filter);
            }
        }
    }

    /// The shared subscriptions of a session, as its client wrote them.
    pub(super) fn shares_of(&self, key: SessionKey) -> Vec<Box<str>> {
        let Some(slot) = self.sessions.get(key).filter(|slot| slot.shares > 0) else { return Vec::new() };
        let texts = slot.session.subscriptions().map(|(text, _)| text);
        texts
            .filter(|text| text.starts_with("$share/") || text.starts_with("$queue/"))
            .map(Into::into)
            .collect()
    }

    /// Picks a member, or at least its shard, for every group that matches a topic.
    pub(super) fn pick_members(
        &mut self,
        topic: &str,
        publisher: Option<SessionKey>,
    ) -> SmallVec<[(ShardId, GroupPick); 2]> {
        let mut candidates: SmallVec<[Candidate; 2]> = SmallVec::new();
        self.groups.for_each_match(topic, |id, group| {
            candidates.push(Candidate { id, tag: tag_of(group.share(), group.filter()) });
        });
        candidates
            .into_iter()
            .filter_map(|candidate| self.pick_member(topic, publisher, &candidate))
            .collect()
    }

    fn pick_member(
        &mut self,
        topic: &str,
        publisher: Option<SessionKey>,
        candidate: &Candidate,
    ) -> Option<(ShardId, GroupPick)> {
        let group = self.groups.get(candidate.id)?;
        let mut pick = GroupPick { tag: candidate.tag, nth: 0, sticky: None, take_turn: false, hops: 0 };
        let count = group.online_total();
        let nth = match self.publisher_settings(publisher).shared_subscription_strategy {
            SharedStrategy::Random => self.random.u32(..),
            SharedStrategy::RoundRobin => self.next_turn(candidate.tag, publisher),
            SharedStrategy::RoundRobinPerGroup => {
                let owner = ShardId((candidate.tag % self.shards as u64) as u8);
                if owner != self.id {
                    return Some((owner, GroupPick { take_turn: true, ..pick }));
                }
                self.shared.next_turn(candidate.tag)
            }
            SharedStrategy::Local => return Some(self.pick_local(candidate, pick)),
            SharedStrategy::Sticky => return self.pick_sticky(topic, candidate, publisher),
            SharedStrategy::HashClientid => self.client_hash(publisher) as u32,
            SharedStrategy::HashTopic => hash_str(topic) as u32,
        };
        let group = self.groups.get(candidate.id)?;
        let (shard, index) = nth_of(group, nth, count)?;
        pick.nth = index;
        Some((shard, pick))
    }

    /// What holds for a publisher; for the broker itself, what holds in no particular zone.
    fn publisher_settings(&self, publisher: Option<SessionKey>) -> &MqttConfig {
        let zone = publisher.and_then(|key| self.sessions.get(key)).map(|slot| slot.session.zone());
        self.config.zones.of(zone.unwrap_or(ZoneId::DEFAULT))
    }

    /// The publisher's own place in a group's rota, which then moves on by one.
    fn next_turn(&mut self, tag: ShareTag, publisher: Option<SessionKey>) -> u32 {
        let start = self.random.u32(..u32::MAX / 2);
        let Some(slot) = publisher.and_then(|key| self.sessions.get_mut(key)) else { return start };
        let turns = slot.turns.get_or_insert_default();
        if turns.len() >= TURNS_MAX {
            turns.clear();
        }
        let turn = turns.entry(tag).or_insert(Turn::Next(start));
        let next = if let Turn::Next(next) = *turn { next } else { start };
        *turn = Turn::Next(next.wrapping_add(1));
        next
    }

    fn client_hash(&self, publisher: Option<SessionKey>) -> u64 {
        publisher.and_then(|key| self.sessions.get(key)).map_or(0, |slot| hash_str(slot.session.client_id()))
    }

    fn pick_local(&mut self, candidate: &Candidate, pick: GroupPick) -> (ShardId, GroupPick) {
        let random = self.random.u32(..);
        let group = self.groups.get(candidate.id);
        let online_here = group.map_or(0, |group| group.online_on(self.id));
        let elsewhere = || group.and_then(|group| nth_of(group, random, group.online_total()));
        let (shard, nth) = if online_here > 0 {
            (self.id, random % online_here)
        } else {
            elsewhere().unwrap_or((self.id, 0))
        };
        (shard, GroupPick { nth, ..pick })
    }

    /// The shard this publisher sticks to, as long as that shard has a member online; the shard itself remembers which.
    fn pick_sticky(
        &mut self,
        topic: &str,
        candidate: &Candidate,
        publisher: Option<SessionKey>,
    ) -> Option<(ShardId, GroupPick)> {
        let client_hash = self.client_hash(publisher);
        let stuck = publisher
            .and_then(|key| self.sessions.get(key))
            .and_then(|slot| slot.turns.as_ref()?.get(&candidate.tag).copied());
        let group = self.groups.get(candidate.id)?;
        let initial_pick = self.publisher_settings(publisher).shared_subscription_initial_sticky_pick;
        let first = match initial_pick {
            StickyPick::HashClientid => client_hash as u32,
            StickyPick::HashTopic => hash_str(topic) as u32,
            StickyPick::Local | StickyPick::Random => self.random.u32(..),
        };
        let prefers_local = initial_pick == StickyPick::Local;
        let (shard, nth) = match stuck {
            Some(Turn::Stuck(shard)) if group.online_on(shard) > 0 => (shard, first % group.online_on(shard)),
            _ if prefers_local && group.online_on(self.id) > 0 => (self.id, first % group.online_on(self.id)),
            _ => nth_of(group, first, group.online_total())?,
        };
        if let Some(slot) = publisher.and_then(|key| self.sessions.get_mut(key)) {
            let turns = slot.turns.get_or_insert_default();
            if turns.len() >= TURNS_MAX {
                turns.clear();
            }
            turns.insert(candidate.tag, Turn::Stuck(shard));
        }
        let sticky = Some(client_hash);
        Some((shard, GroupPick { tag: candidate.tag, nth, sticky, take_turn: false, hops: 0 }))
    }

    /// Gives a message to a member on this shard: one that can take it now if there is one, else one that is connected
    /// and has room to queue it, else one that is not connected. If that leaves nobody here while another shard has a
    /// member online, that shard gets the message.
    pub(super) fn deliver_shared(&mut self, message: &LazyPublication<'_>, pick: GroupPick) {
        if pick.take_turn {
            return self.take_turn(message, pick);
        }
        let Some(group) = self.shared.local.get(&pick.tag) else { return self.pass_on(message, pick) };
        let may_pass_on =
            |shard: &Shard| pick.hops < HOPS_MAX && shard.online_elsewhere(message, pick.tag) > 0;
        if group.online == 0 && may_pass_on(self) {
            return self.pass_on(message, pick);
        }
        let Some((member, has_room)) = self.choose_member(message, pick) else {
            return self.pass_on(message, pick);
        };
        if !has_room && may_pass_on(self) {
            return self.pass_on(message, pick);
        }
        if self.receipts.is_refusable() && self.has_no_room(&message.view(), &member) {
            return self.receipts.note_refused(Outcome::QueueFull);
        }
        if let Some(publisher) = pick.sticky {
            self.shared.stick(pick.tag, publisher, member.session);
        }
        self.deliver_to_member(message, member, pick.tag);
    }

    /// The member on this shard that gets a message, and whether it can take or queue it without losing another.
    /// One that may not receive the message is taken only where no other is left.
    fn choose_member(&self, message: &LazyPublication<'_>, pick: GroupPick) -> Option<(Subscriber, bool)> {
        let group = self.shared.local.get(&pick.tag)?;
        let view = message.view();
        let may_receive =
            |key: SessionKey| self.sessions.get(key).is_some_and(|slot| slot.may_receive(view.topic));
        let is_online =
            |key: SessionKey| self.sessions.get(key).is_some_and(|slot| slot.connection.is_some());
        if let Some(publisher) = pick.sticky
            && let Some(key) = group.sticky.get(&publisher)
            && is_online(*key)
            && may_receive(*key)
        {
            return group.members.iter().find(|member| member.session == *key).map(|member| (*member, true));
        }
        let mut online: SmallVec<[Subscriber; 16]> = SmallVec::new();
        // Mostly all are, and then nothing need be looked up.
        if (group.online as usize) < group.members.len() {
            online.extend(group.members.iter().filter(|member| is_online(member.session)).copied());
        }
        let pool: &[Subscriber] = if online.is_empty() { &group.members } else { &online };
        if pool.is_empty() {
            return None;
        }
        let start = pick.nth as usize % pool.len();
        let in_turn = (0..pool.len()).map(|step| pool[(start + step) % pool.len()]);
        let weight_bytes = view.weight_bytes();
        let is_ready = |member: &Subscriber| {
            may_receive(member.session)
                && self.can_send_now(
                    member.session,
                    self.delivery_qos(view.qos, member.options.qos, member.session),
                )
        };
        let has_room = |member: &Subscriber| {
            let slot = self.sessions.get(member.session);
            may_receive(member.session)
                && slot.is_some_and(|slot| {
                    slot.session.has_room(view.topic, weight_bytes, self.settings_of(slot))
                })
        };
        let member = in_turn.clone().find(is_ready).or_else(|| in_turn.clone().find(has_room));
        let other = || in_turn.clone().find(|member| may_receive(member.session)).unwrap_or(pool[start]);
        Some(member.map_or_else(|| (other(), false), |member| (member, true)))
    }

    /// The group's turn is kept on this shard.
    fn take_turn(&mut self, message: &LazyPublication<'_>, pick: GroupPick) {
        let nth = self.shared.next_turn(pick.tag);
        self.send_to_nth(message, GroupPick { nth, take_turn: false, ..pick });
    }

    /// No member here will do: picks again among the members online on other shards.
    fn pass_on(&mut self, message: &LazyPublication<'_>, pick: GroupPick) {
        if pick.hops >= HOPS_MAX {
            self.tally.bump(Metric::DeliveryDropped);
            self.tally.bump(Metric::DeliveryDroppedSessionEnded);
            return;
        }
        let elsewhere = self.online_elsewhere(message, pick.tag);
        let pick = GroupPick { nth: self.random.u32(..), hops: pick.hops + 1, ..pick };
        if elsewhere == 0 {
            return self.send_to_nth(message, pick);
        }
        let group = self.group_matching(message.view().topic, pick.tag).and_then(|id| self.groups.get(id));
        let Some(group) = group else { return };
        let mut nth = pick.nth % elsewhere;
        let target = group.shards().filter(|(shard, ..)| *shard != self.id).find(|(_, _, online)| {
            let here = nth < *online;
            if !here {
                nth -= online;
            }
            here
        });
        if let Some((shard, ..)) = target {
            self.send_to(shard, message, GroupPick { nth, ..pick });
        }
    }

    fn send_to_nth(&mut self, message: &LazyPublication<'_>, pick: GroupPick) {
        let target = self.group_matching(message.view().topic, pick.tag).and_then(|id| {
            let group = self.groups.get(id)?;
            nth_of(group, pick.nth, group.online_total())
        });
        let Some((shard, nth)) = target else {
            self.tally.bump(Metric::DeliveryDropped);
            self.tally.bump(Metric::DeliveryDroppedSessionEnded);
            return;
        };
        let pick = GroupPick { nth, ..pick };
        if shard == self.id {
            return self.deliver_shared(message, pick);
        }
        self.send_to(shard, message, pick);
    }

    fn send_to(&mut self, shard: ShardId, message: &LazyPublication<'_>, pick: GroupPick) {
        let publication = message.shared();
        let receipt = self.ask_receipt(shard, false);
        self.mesh.stage(shard, LaneMessage::Share { publication, pick, receipt });
    }

    /// Members online on other shards.
    fn online_elsewhere(&self, message: &LazyPublication<'_>, tag: ShareTag) -> u32 {
        self.group_matching(message.view().topic, tag)
            .and_then(|id| self.groups.get(id))
            .map_or(0, |group| group.online_total() - group.online_on(self.id))
    }

    fn group_matching(&self, topic: &str, tag: ShareTag) -> Option<GroupId> {
        let mut found = None;
        self.groups.for_each_match(topic, |id, group| {
            if tag_of(group.share(), group.filter()) == tag {
                found = Some(id);
            }
        });
        found
    }

    /// A member went away: what it had not acknowledged goes to other members, connected ones if there are any. A
    /// session that is kept (`ends` false) keeps its messages unless another member is connected.
    pub(super) fn redispatch_shared(&mut self, key: SessionKey, shares: &[Box<str>], ends: bool) {
        let mut open: SmallVec<[ShareTag; 4]> = SmallVec::new();
        for text in shares {
            let Ok(TopicFilter { share: Some(share), filter }) = TopicFilter::parse(text) else { continue };
            let group = self.groups.find(share, filter).and_then(|id| self.groups.get(id));
            if group.is_some_and(|group| group.online_total() > 0 || ends) {
                open.push(tag_of(share, filter));
            }
        }
        if open.is_empty() {
            return;
        }
        let Some(slot) = self.sessions.get_mut(key) else { return };
        self.shared.unplaced.extend(slot.session.take_shared(|tag| open.contains(&tag)));
        self.place_shared();
    }

    /// Gives messages to other members of their groups, in their order: one whose body must be read first holds back those
    /// behind it.
    pub(super) fn place_shared(&mut self) {
        while let Some(message) = self.shared.unplaced.front() {
            let body = message.body(&self.journal);
            if body == Body::Away {
                return await_first(self.shared.unplaced.iter(), None, &mut self.journal);
            }
            let Some(message) = self.shared.unplaced.pop_front() else { return };
            let (Some(tag), stored) = (message.share(), message.stored()) else { continue };
            let Body::Here(publication) = body else {
                self.tally.bump(Metric::DeliveryDropped);
                self.tally.bump(Metric::DeliveryDroppedStoreLost);
                if let Some(stored) = stored {
                    self.journal.forget(stored);
                }
                continue;
            };
            self.tally.bump(Metric::MessagesRedispatched);
            let nth = self.random.u32(..);
            let pick = GroupPick { tag, nth, sticky: None, take_turn: false, hops: 0 };
            let Some(stored) = stored else {
                self.send_to_nth(&LazyPublication::of(&publication), pick);
                continue;
            };
            // It is forgotten here when another member's shard has it as safe as its topic's level says.
            let before = self.before_routing();
            self.receipts.begin(self.config.durability.level_of(publication.topic(), None));
            self.send_to_nth(&LazyPublication::of(&publication), pick);
            self.note_recorded(before);
            if self.receipts.end(|_| Goal::Forget(stored)) == Some(Outcome::Stored) {
                self.journal.forget(stored);
            }
        }
    }
}

impl SharedGroups {
    /// Remembers which member a publisher sticks to.
    fn stick(&mut self, tag: ShareTag, publisher: u64, member: SessionKey) {
        let Some(group) = self.local.get_mut(&tag) else { return };
        if group.sticky.len() >= STICKY_PUBLISHERS_MAX {
            group.sticky.clear();
        }
        group.sticky.insert(publisher, member);
    }

    fn next_turn(&mut self, tag: ShareTag) -> u32 {
        if self.turns.len() >= STICKY_PUBLISHERS_MAX {
            self.turns.clear();
        }
        let turn = self.turns.entry(tag).or_insert(0);
        let next = *turn;
        *turn = turn.wrapping_add(1);
        next
    }
}

/// The `n`-th member, counted round and round: among those online, or among all if none is.
fn nth_of(group: &Group, n: u32, online: u32) -> Option<(ShardId, u32)> {
    match (online, group.members_total()) {
        (0, 0) => None,
        (0, members) => group.nth_member(n % members),
        (online, _) => group.nth_online(n % online),
    }
}
