//! Messages that wait for a connection, a place in the send window, or room in the outbox.

mod ahead;
mod ranks;
mod terms;

#[cfg(test)]
mod tests;

pub use ahead::await_first;
pub use terms::{QueueTerms, QueueTermsError};

use super::Cx;
use super::delivery::{DropReason, Outgoing, ShareTag};
use super::durable::{Body, Memory};
use crate::codec::QoS;
use crate::config::{MqttConfig, Priority, QueueFullPolicy};
use crate::publication::Publication;
use crate::time::Timestamp;
use ranks::Ranks;
use std::collections::VecDeque;
use std::num::NonZeroU64;

/// Places an empty queue keeps.
const KEPT_LEN: usize = 8;
/// Messages beyond the bound that a queue which holds back its publishers takes: those on their way when it got full.
pub const BLOCK_SLACK_LEN: usize = 1024;
/// Bytes beyond the bound, for the same.
const BLOCK_SLACK_BYTES: usize = 4 << 20;

/// A session's queue. Its messages leave by priority, and those of a priority in the order they came.
#[derive(Debug, Default)]
pub struct Queue {
    messages: Messages,
    bytes: usize,
    qos0: u32,
    terms: QueueTerms,
}

/// Without configured priorities all messages are alike and need one list.
#[derive(Debug)]
enum Messages {
    Plain(VecDeque<Outgoing>),
    Ranked(Box<Ranks>),
}

/// How much a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most messages of each priority.
    pub len_max: usize,
    /// The most bytes of all together.
    pub bytes_max: usize,
    /// What happens at the bound.
    pub policy: QueueFullPolicy,
}

/// What became of a message, and of others that made room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The message is in the queue.
    pub is_queued: bool,
    /// Messages lost, itself or the oldest ones, and why.
    pub lost: Option<(DropReason, u64)>,
}

impl Bounds {
    /// Those of the configuration.
    pub fn of(config: &MqttConfig) -> Bounds {
        Bounds {
            len_max: config.max_mqueue_len.0,
            bytes_max: usize::try_from(config.max_mqueue_bytes.0).unwrap_or(usize::MAX),
            policy: config.mqueue_full_policy,
        }
    }

    /// The bounds that nothing exceeds: for a queue that holds back its publishers, with room for what is on its way.
    pub fn hard(self) -> Bounds {
        if self.policy != QueueFullPolicy::Block {
            return self;
        }
        let len_max = self.len_max.saturating_add(BLOCK_SLACK_LEN);
        Bounds { len_max, bytes_max: self.bytes_max.saturating_add(BLOCK_SLACK_BYTES), ..self }
    }

    /// Whether an empty queue takes a message of this weight.
    pub fn admit(&self, weight: usize) -> bool {
        self.len_max > 0 && weight <= self.bytes_max
    }
}

impl Queue {
    /// Messages in the queue.
    pub fn len(&self) -> usize {
        match &self.messages {
            Messages::Plain(list) => list.len(),
            Messages::Ranked(ranks) => ranks.len(),
        }
    }

    /// Whether QoS 0 messages wait, so that a new one must wait behind them to keep its order. [MQTT-4.6.0-5]
    pub fn holds_qos0(&self) -> bool {
        self.qos0 > 0
    }

    /// What the client asks of it.
    pub fn terms(&self) -> QueueTerms {
        self.terms
    }

    /// Sets what the client asks of it. What is too much already stays until a message comes.
    pub fn ask(&mut self, terms: QueueTerms) {
        self.terms = terms;
    }

    /// Gives every message the priority it has now. If the body of one is away, and its topic with it, all keep the order that
    /// they have, ahead of what comes: messages of one topic must not overtake each other.
    pub fn arrange(&mut self, config: &MqttConfig, memory: &dyn Memory) {
        let messages: Vec<Outgoing> = match std::mem::take(&mut self.messages) {
            Messages::Plain(list) => list.into(),
            Messages::Ranked(mut ranks) => ranks.extract(&|_| true),
        };
        (self.bytes, self.qos0) = (0, 0);
        let is_ranked = !config.mqueue_priorities.is_empty();
        let known = |message: &Outgoing| match message.body(memory) {
            Body::Here(publication) => Some(config.priority_of(publication.topic())),
            Body::Away | Body::Lost => None,
        };
        let priorities: Option<Vec<Priority>> =
            if is_ranked { messages.iter().map(known).collect() } else { None };
        let mut priorities = priorities.map(Vec::into_iter);
        for message in messages {
            let priority = priorities.as_mut().and_then(Iterator::next).unwrap_or(Priority::HIGHEST);
            self.append(message, is_ranked.then_some(priority));
        }
    }

    /// Whether its publishers are to be held back: it asks for that, and is full.
    pub fn blocks(&self, config: &MqttConfig) -> bool {
        let bounds = self.terms.bounds(config);
        bounds.policy == QueueFullPolicy::Block
            && self.len() > 0
            && (self.longest() >= bounds.len_max || self.bytes >= bounds.bytes_max)
    }

    /// Whether publishers that it held back may go on: half of it is free, or it holds back nobody any more.
    pub fn has_drained(&self, config: &MqttConfig) -> bool {
        let bounds = self.terms.bounds(config);
        bounds.policy != QueueFullPolicy::Block
            || (self.longest() <= bounds.len_max / 2 && self.bytes <= bounds.bytes_max / 2)
    }

    /// Messages of the priority that has most of them.
    fn longest(&self) -> usize {
        self.lists().iter().map(VecDeque::len).max().unwrap_or(0)
    }

    /// Whether a message of this topic and weight would cost no other.
    pub fn has_room(&self, topic: &str, weight: usize, config: &MqttConfig) -> bool {
        self.has_room_within(self.terms.bounds(config), topic, weight, config)
    }

    /// As [`Queue::has_room`], counting the room for what is on its way.
    pub fn has_any_room(&self, topic: &str, weight: usize, config: &MqttConfig) -> bool {
        self.has_room_within(self.terms.bounds(config).hard(), topic, weight, config)
    }

    fn has_room_within(&self, bounds: Bounds, topic: &str, weight: usize, config: &MqttConfig) -> bool {
        let len = match &self.messages {
            Messages::Plain(list) => list.len(),
            Messages::Ranked(ranks) => ranks.len_of(config.priority_of(topic)),
        };
        len < bounds.len_max && self.bytes.saturating_add(weight) <= bounds.bytes_max
    }

    /// Adds a message behind the others of its priority, if the bounds and the policy allow. Others are dropped for it when
    /// there are too many of its priority, the oldest of them first, or too many bytes: then those of the least urgent.
    pub fn push(&mut self, message: Outgoing, cx: &mut Cx<'_>) -> Pushed {
        if message.qos == QoS::AtMostOnce && !cx.config.mqueue_store_qos0 {
            return Pushed { is_queued: false, lost: Some((DropReason::Qos0, 1)) };
        }
        let bounds = self.terms.bounds(cx.config).hard();
        let weight = message.weight_bytes();
        let priority = priority_of(&message, cx.config);
        // A message that never fits is no reason to drop others.
        if !bounds.admit(weight.saturating_add(self.bytes_above(priority))) {
            return Pushed { is_queued: false, lost: Some((DropReason::QueueFull, 1)) };
        }
        let mut dropped = 0;
        loop {
            let is_crowded = self.len_of(priority) >= bounds.len_max;
            if !is_crowded && self.bytes.saturating_add(weight) <= bounds.bytes_max {
                break;
            }
            let gives_way = bounds.policy == QueueFullPolicy::DropOldest;
            let Some(oldest) = gives_way.then(|| self.pop_for(priority, is_crowded)).flatten() else {
                return Pushed { is_queued: false, lost: Some((DropReason::QueueFull, dropped + 1)) };
            };
            if let Some(stored) = oldest.stored() {
                cx.memory.forget(stored);
            }
            dropped += 1;
        }
        self.append(message, priority);
        Pushed { is_queued: true, lost: (dropped > 0).then_some((DropReason::QueueFull, dropped)) }
    }

    /// Adds a message of an earlier life, whatever the bounds.
    pub fn push_restored(&mut self, message: Outgoing, priority: Option<Priority>) {
        self.append(message, priority);
    }

    /// The message pushed last.
    pub fn newest_mut(&mut self) -> Option<&mut Outgoing> {
        match &mut self.messages {
            Messages::Plain(list) => list.back_mut(),
            Messages::Ranked(ranks) => ranks.newest_mut(),
        }
    }

    /// All messages, in the order of their turns.
    pub fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.lists().iter().flatten()
    }

    /// Whether the oldest message of a priority has expired.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        let mut oldest = self.lists().iter().filter_map(VecDeque::front);
        oldest.any(|message| message.expires_at() <= now)
    }

    /// The record of the message that was remembered first, of those that are.
    pub fn oldest_stored(&self) -> Option<NonZeroU64> {
        self.lists().iter().filter_map(first_stored).min()
    }

    /// Takes the oldest message of the priority that [`Queue::oldest_stored`] is of.
    pub fn pop_towards_oldest_stored(&mut self) -> Option<Outgoing> {
        let record = self.oldest_stored()?;
        let message = match &mut self.messages {
            Messages::Plain(list) => pop_oldest(list),
            Messages::Ranked(ranks) => ranks.pop_where(|list| first_stored(list) == Some(record)),
        }?;
        self.forget(&message);
        Some(message)
    }

    /// Drops what is beyond the bounds, where the oldest give way; returns how many. What a crash kept of a pass can hold a
    /// message without the removal of those it took the place of.
    pub fn trim(&mut self, config: &MqttConfig, memory: &mut dyn Memory) -> u64 {
        let bounds = self.terms.bounds(config);
        if bounds.policy != QueueFullPolicy::DropOldest {
            return 0;
        }
        let before = self.len();
        loop {
            let excess = match &mut self.messages {
                Messages::Plain(list) if list.len() > bounds.len_max => pop_oldest(list),
                Messages::Ranked(ranks) => ranks.pop_beyond(bounds.len_max),
                Messages::Plain(_) => None,
            };
            let Some(message) = excess else { break };
            self.forget(&message);
            if let Some(stored) = message.stored() {
                memory.forget(stored);
            }
        }
        (before - self.len()) as u64
    }

    /// The message whose turn it is.
    pub fn front(&self) -> Option<&Outgoing> {
        match &self.messages {
            Messages::Plain(list) => list.front(),
            Messages::Ranked(ranks) => ranks.front(),
        }
    }

    /// Takes the message whose turn it is.
    pub fn pop(&mut self) -> Option<Outgoing> {
        let message = match &mut self.messages {
            Messages::Plain(list) => pop_oldest(list),
            Messages::Ranked(ranks) => ranks.pop(),
        }?;
        self.forget(&message);
        Some(message)
    }

    /// Takes the messages that came through the shared subscriptions `wanted` names, in the order of their turns.
    pub fn take_shared(&mut self, wanted: &impl Fn(ShareTag) -> bool) -> Vec<Outgoing> {
        let is_wanted = |message: &Outgoing| message.share().is_some_and(wanted);
        let shared = match &mut self.messages {
            Messages::Plain(list) => extract(list, &is_wanted),
            Messages::Ranked(ranks) => ranks.extract(&is_wanted),
        };
        for message in &shared {
            self.forget(message);
        }
        shared
    }

    /// Removes messages that expired; returns how many.
    pub fn remove_expired(&mut self, now: Timestamp, memory: &mut dyn Memory) -> u64 {
        let before = self.len();
        let (mut bytes, mut qos0) = (0, 0);
        let is_live = |message: &Outgoing| {
            let live = message.expires_at() > now;
            if live {
                bytes += message.weight_bytes();
                qos0 += u32::from(message.qos == QoS::AtMostOnce);
            } else if let Some(stored) = message.stored() {
                memory.forget(stored);
            }
            live
        };
        match &mut self.messages {
            Messages::Plain(list) => list.retain(is_live),
            Messages::Ranked(ranks) => ranks.retain(is_live),
        }
        (self.bytes, self.qos0) = (bytes, qos0);
        (before - self.len()) as u64
    }

    /// By priority, the most urgent first.
    fn lists(&self) -> &[VecDeque<Outgoing>] {
        match &self.messages {
            Messages::Plain(list) => std::slice::from_ref(list),
            Messages::Ranked(ranks) => ranks.lists(),
        }
    }

    fn append(&mut self, message: Outgoing, priority: Option<Priority>) {
        self.bytes += message.weight_bytes();
        self.qos0 += u32::from(message.qos == QoS::AtMostOnce);
        if let (Messages::Plain(list), Some(_)) = (&self.messages, priority) {
            debug_assert!(list.is_empty(), "who changes priorities has messages arranged by them");
            self.messages = Messages::Ranked(Box::default());
        }
        match &mut self.messages {
            Messages::Plain(list) => list.push_back(message),
            Messages::Ranked(ranks) => ranks.push(priority.unwrap_or(Priority::LOWEST), message),
        }
    }

    fn len_of(&self, priority: Option<Priority>) -> usize {
        match (&self.messages, priority) {
            (Messages::Ranked(ranks), Some(priority)) => ranks.len_of(priority),
            _ => self.len(),
        }
    }

    fn bytes_above(&self, priority: Option<Priority>) -> usize {
        match (&self.messages, priority) {
            (Messages::Ranked(ranks), Some(priority)) => ranks.bytes_above(priority),
            _ => 0,
        }
    }

    /// Takes a message that gives way to one of this priority, in whose list there are too many (`is_crowded`), or which
    /// has too many bytes.
    fn pop_for(&mut self, priority: Option<Priority>, is_crowded: bool) -> Option<Outgoing> {
        let message = match (&mut self.messages, priority) {
            (Messages::Ranked(ranks), Some(priority)) if is_crowded => ranks.pop_of(priority),
            (Messages::Ranked(ranks), Some(priority)) => ranks.pop_least(priority),
            (Messages::Ranked(ranks), None) => ranks.pop(),
            (Messages::Plain(list), _) => pop_oldest(list),
        }?;
        self.forget(&message);
        Some(message)
    }

    fn forget(&mut self, message: &Outgoing) {
        self.bytes -= message.weight_bytes();
        self.qos0 -= u32::from(message.qos == QoS::AtMostOnce);
    }
}

impl Default for Messages {
    fn default() -> Messages {
        Messages::Plain(VecDeque::new())
    }
}

/// That of a message which has its body still; `None` when no priorities are configured.
fn priority_of(message: &Outgoing, config: &MqttConfig) -> Option<Priority> {
    let topic = message.publication().map_or("", Publication::topic);
    (!config.mqueue_priorities.is_empty()).then(|| config.priority_of(topic))
}

fn first_stored(list: &VecDeque<Outgoing>) -> Option<NonZeroU64> {
    list.iter().find_map(Outgoing::stored).map(|stored| stored.record)
}

fn pop_oldest(list: &mut VecDeque<Outgoing>) -> Option<Outgoing> {
    let message = list.pop_front()?;
    give_back(list);
    Some(message)
}

/// A burst's memory is given back; a few places stay, so that a queue that holds one message now and then does not
/// allocate each time.
fn give_back(list: &mut VecDeque<Outgoing>) {
    if list.is_empty() && list.capacity() > KEPT_LEN {
        *list = VecDeque::new();
    }
}

/// Takes what `wanted` names, oldest first.
fn extract(list: &mut VecDeque<Outgoing>, wanted: &impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
    let mut taken = Vec::new();
    for message in std::mem::take(list) {
        if wanted(&message) {
            taken.push(message);
        } else {
            list.push_back(message);
        }
    }
    taken
}
