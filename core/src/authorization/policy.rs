//! The rules that are left for one client, in order; the first that matches decides.
//!
//! A policy knows neither who asks nor the time, allocates nothing when asked, and does not change: when rules change,
//! a client gets another one. Clients for whom the same rules are left share one.

use super::action::{PUBLISH_BITS, RECEIVE_BIT, SUBSCRIBE_BITS};
use super::index::Index;
use super::{Action, Actions, Decision, DenyAction, Permission, SourceIndex, covers, intersects};
use crate::topic::has_wildcard;
use std::sync::Arc;

/// Policies up to this many entries are searched one after another; larger ones have an index.
const UNINDEXED_MAX: usize = 8;

/// What one client may do.
#[derive(Debug)]
pub struct Policy {
    entries: Box<[Entry]>,
    /// The texts of all entries, one after another.
    texts: Box<str>,
    index: Option<Box<Indexed>>,
    no_match: Permission,
    deny_action: DenyAction,
    publishes_freely: bool,
    subscribes_freely: bool,
    delivers_freely: bool,
    asks_sources: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    effect: Effect,
    kind: Kind,
    /// Bits of the actions it speaks about.
    mask: u16,
    start: u32,
    len: u32,
}

/// What a large policy has besides its entries.
#[derive(Debug)]
struct Indexed {
    index: Index,
    /// Entries that match everything, in order.
    any: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
    Ask(SourceIndex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everything matches.
    Any,
    /// Only the same text.
    Exact,
    /// What the filter covers.
    Filter,
}

impl Policy {
    /// A policy that begins empty; `no_match` is what holds where no rule matches.
    pub fn builder(no_match: Permission, deny_action: DenyAction) -> PolicyBuilder {
        PolicyBuilder { entries: Vec::new(), texts: String::new(), no_match, deny_action }
    }

    /// Everything is allowed: superusers, and brokers without rules.
    pub fn unrestricted() -> Arc<Policy> {
        Arc::new(Policy::builder(Permission::Allow, DenyAction::Ignore).build())
    }

    /// Whether the client may do this. `topic` is the topic of a message, or the filter of a subscription without the
    /// prefix of its share group.
    pub fn verdict(&self, action: Action, topic: &str) -> Decision {
        self.verdict_from(0, action, topic)
    }

    /// The same by the rules behind an external source, once that source has said that it does not know.
    pub fn verdict_after(&self, source: SourceIndex, action: Action, topic: &str) -> Decision {
        let at = self.entries.iter().position(|entry| entry.effect == Effect::Ask(source));
        let behind = at.map_or(0, |at| at + 1);
        self.verdict_from(behind, action, topic)
    }

    /// Whether a message on this topic may reach the client through a subscription that it has.
    ///
    /// A rule about subscribe that denies the topic also denies messages on it that would come through a broader filter.
    /// Rules with a condition on QoS that deny, and external sources, are asked about subscriptions only.
    pub fn may_receive(&self, topic: &str) -> bool {
        match self.first(0, RECEIVE_BIT, topic) {
            Some(effect) => effect != Effect::Deny,
            None => self.no_match == Permission::Allow,
        }
    }

    /// Whether [`Policy::may_receive`] is true of every topic that this filter, without share prefix, matches. Worth asking
    /// when a client subscribes, so that deliveries need not ask. Its time grows with the number of rules.
    pub fn filter_is_safe(&self, filter: &str) -> bool {
        if self.delivers_freely && self.subscribes_freely {
            return true;
        }
        for entry in self.entries.iter().filter(|entry| entry.mask & RECEIVE_BIT != 0) {
            match (entry.effect, entry.kind) {
                (Effect::Deny, Kind::Any) => return false,
                (Effect::Deny, _) if intersects(self.text(entry), filter) => return false,
                (Effect::Allow | Effect::Ask(_), Kind::Any) => return true,
                (Effect::Allow | Effect::Ask(_), _) if covers(self.text(entry), filter) => return true,
                _ => {}
            }
        }
        self.no_match == Permission::Allow
    }

    /// Whether every PUBLISH is allowed.
    pub fn publishes_freely(&self) -> bool {
        self.publishes_freely
    }

    /// Whether every SUBSCRIBE is allowed.
    pub fn subscribes_freely(&self) -> bool {
        self.subscribes_freely
    }

    /// Whether no message that comes through a subscription allowed by this policy can be denied: deliveries need not be
    /// checked. A subscription older than this policy is judged by [`Policy::filter_is_safe`].
    pub fn delivers_freely(&self) -> bool {
        self.delivers_freely
    }

    /// Whether it leaves anything to external sources.
    pub fn asks_sources(&self) -> bool {
        self.asks_sources
    }

    /// What follows when it denies.
    pub fn deny_action(&self) -> DenyAction {
        self.deny_action
    }

    /// Number of rules that are left, one for each of their topics.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no rule is left.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn verdict_from(&self, from: usize, action: Action, topic: &str) -> Decision {
        match self.first(from, action.bit(), topic) {
            Some(Effect::Allow) => Decision::Allow,
            Some(Effect::Deny) => Decision::Deny,
            Some(Effect::Ask(source)) => Decision::Ask(source),
            None => self.no_match.into(),
        }
    }

    /// The effect of the first entry from `from` on that has the bit and matches.
    fn first(&self, from: usize, bit: u16, topic: &str) -> Option<Effect> {
        if let Some(indexed) = &self.index {
            return indexed.first(self, from as u32, bit, topic).map(|entry| entry.effect);
        }
        let mut entries = self.entries[from..].iter();
        entries.find(|entry| entry.mask & bit != 0 && self.is_match(entry, topic)).map(|entry| entry.effect)
    }

    #[inline]
    fn is_match(&self, entry: &Entry, topic: &str) -> bool {
        match entry.kind {
            Kind::Any => true,
            Kind::Exact => self.text(entry) == topic,
            Kind::Filter => covers(self.text(entry), topic),
        }
    }

    #[inline]
    fn text(&self, entry: &Entry) -> &str {
        let start = entry.start as usize;
        &self.texts[start..start + entry.len as usize]
    }

    /// Whether the first entry that matches is an allowing one, for every topic and each of these actions.
    fn allows_all(&self, bits: u16) -> bool {
        let mut open = bits;
        for entry in self.entries.iter().filter(|entry| entry.mask & bits != 0) {
            if entry.mask & open == 0 {
                continue;
            }
            if entry.effect != Effect::Allow {
                return false;
            }
            if entry.kind == Kind::Any {
                open &= !entry.mask;
            }
        }
        open == 0 || self.no_match == Permission::Allow
    }

    /// Whether each topic that is denied is out of reach of every subscription that is allowed.
    fn denies_nothing_reachable(&self) -> bool {
        for entry in self.entries.iter().filter(|entry| entry.mask & RECEIVE_BIT != 0) {
            // A rule that sifts messages without denying subscriptions leaves them all within reach.
            let denies_subscriptions = entry.mask & SUBSCRIBE_BITS == SUBSCRIBE_BITS;
            match (entry.effect, entry.kind) {
                (Effect::Deny, Kind::Any) => return denies_subscriptions,
                // What reaches the client from here on is allowed.
                (_, Kind::Any) => return true,
                (Effect::Deny, _) if !denies_subscriptions || !is_closed(self.text(entry)) => return false,
                _ => {}
            }
        }
        true
    }
}

impl Indexed {
    /// The index of a policy that is worth one.
    fn of(policy: &Policy) -> Option<Box<Indexed>> {
        if policy.entries.len() <= UNINDEXED_MAX {
            return None;
        }
        let is_any = |entry: &Entry| entry.kind == Kind::Any;
        let index =
            Index::of(policy.entries.iter().map(|entry| (!is_any(entry)).then(|| policy.text(entry))));
        let any = (0..).zip(&policy.entries).filter(|(_, entry)| is_any(entry)).map(|(at, _)| at);
        Some(Box::new(Indexed { index, any: any.collect() }))
    }

    fn first<'a>(&self, policy: &'a Policy, from: u32, bit: u16, topic: &str) -> Option<&'a Entry> {
        let entries = &policy.entries;
        let has_bit = |at: u32| entries[at as usize].mask & bit != 0;
        let any = self.any.iter().copied().find(|at| *at >= from && has_bit(*at));
        let end = any.unwrap_or(entries.len() as u32);
        let is_match = |at: u32| has_bit(at) && policy.is_match(&entries[at as usize], topic);
        entries.get(self.index.find(topic, from, end, is_match) as usize)
    }
}

/// Whether every filter that matches one of its topics begins with the same level, and so is denied itself: `$SYS/#`, which no
/// filter that begins with a wildcard reaches.
fn is_closed(filter: &str) -> bool {
    filter.starts_with('$') && filter.strip_suffix("/#").is_some_and(|first| !first.contains('/'))
}

/// Takes the rules of a policy in their order.
#[derive(Debug)]
pub struct PolicyBuilder {
    entries: Vec<Entry>,
    texts: String,
    no_match: Permission,
    deny_action: DenyAction,
}

impl PolicyBuilder {
    /// A rule for all topics.
    pub fn any(&mut self, permission: Permission, actions: Actions) -> &mut PolicyBuilder {
        let mask = actions.0 | receive_bit(permission, actions);
        self.push(permission.into(), Kind::Any, mask, "")
    }

    /// A rule for topics that this filter matches, and for filters whose topics it all matches.
    pub fn filter(&mut self, permission: Permission, actions: Actions, filter: &str) -> &mut PolicyBuilder {
        let kind = if has_wildcard(filter) { Kind::Filter } else { Kind::Exact };
        self.push(permission.into(), kind, actions.0 | receive_bit(permission, actions), filter)
    }

    /// A rule for this text and no other.
    pub fn exact(&mut self, permission: Permission, actions: Actions, text: &str) -> &mut PolicyBuilder {
        let mask = actions.0 | receive_bit(permission, actions);
        if !has_wildcard(text) {
            return self.push(permission.into(), Kind::Exact, mask, text);
        }
        self.push(permission.into(), Kind::Exact, mask & !RECEIVE_BIT, text);
        // A filter that may be subscribed to lets its messages in; one that may not be says nothing about them, because
        // no topic has its text.
        if permission == Permission::Allow && mask & RECEIVE_BIT != 0 {
            self.push(Effect::Allow, Kind::Filter, RECEIVE_BIT, text);
        }
        self
    }

    /// From here on, an external source decides if it can.
    pub fn ask(&mut self, source: SourceIndex) -> &mut PolicyBuilder {
        self.push(Effect::Ask(source), Kind::Any, PUBLISH_BITS | SUBSCRIBE_BITS | RECEIVE_BIT, "")
    }

    /// The policy. Rules that can never decide are left out.
    pub fn build(mut self) -> Policy {
        self.leave_out_unreachable();
        let mut policy = Policy {
            entries: self.entries.into_boxed_slice(),
            texts: self.texts.into_boxed_str(),
            index: None,
            no_match: self.no_match,
            deny_action: self.deny_action,
            publishes_freely: false,
            subscribes_freely: false,
            delivers_freely: false,
            asks_sources: false,
        };
        policy.publishes_freely = policy.allows_all(PUBLISH_BITS);
        policy.subscribes_freely = policy.allows_all(SUBSCRIBE_BITS);
        policy.delivers_freely = policy.denies_nothing_reachable();
        policy.asks_sources = policy.entries.iter().any(|entry| matches!(entry.effect, Effect::Ask(_)));
        policy.index = Indexed::of(&policy);
        policy
    }

    fn push(&mut self, effect: Effect, kind: Kind, mask: u16, text: &str) -> &mut PolicyBuilder {
        let start = u32::try_from(self.texts.len())
            .expect("the texts of rules are bounded by the size of their files");
        self.texts.push_str(text);
        let len = u32::try_from(text.len()).expect("a topic is shorter than 64 KiB");
        self.entries.push(Entry { effect, kind, mask, start, len });
        self
    }

    /// Cuts behind a rule that decides everything, and where the rest only says what holds anyway.
    fn leave_out_unreachable(&mut self) {
        let mut open = PUBLISH_BITS | SUBSCRIBE_BITS | RECEIVE_BIT;
        let mut end = self.entries.len();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            entry.mask &= open;
            // Behind an external source rules count again if it does not know.
            if entry.kind == Kind::Any && !matches!(entry.effect, Effect::Ask(_)) {
                open &= !entry.mask;
            }
            if open == 0 {
                end = at + 1;
                break;
            }
        }
        self.entries.truncate(end);
        self.entries.retain(|entry| entry.mask != 0);
        let default = Effect::from(self.no_match);
        while self.entries.last().is_some_and(|entry| entry.effect == default && entry.kind == Kind::Any) {
            self.entries.pop();
        }
        self.entries.shrink_to_fit();
    }
}

impl From<Permission> for Effect {
    fn from(permission: Permission) -> Effect {
        match permission {
            Permission::Allow => Effect::Allow,
            Permission::Deny => Effect::Deny,
        }
    }
}

/// Whether a rule about subscribe decides about messages too: one that allows does, since through some subscription it lets
/// them in; one that denies does only where it denies every subscription.
fn receive_bit(permission: Permission, actions: Actions) -> u16 {
    let subscribes = actions.0 & SUBSCRIBE_BITS;
    let decides = match permission {
        Permission::Allow => subscribes != 0,
        Permission::Deny => subscribes == SUBSCRIBE_BITS,
    };
    if decides { RECEIVE_BIT } else { 0 }
}
