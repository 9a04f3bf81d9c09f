//! Messages that wait for a connection, a place in the send window, or room in the outbox.

use super::Cx;
use super::delivery::{DropReason, Outgoing, ShareTag};
use super::durable::Memory;
use crate::codec::QoS;
use crate::config::QueueFullPolicy;
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Places an empty queue keeps.
const KEPT_LEN: usize = 8;

/// A session's queue, bounded by `max_mqueue_len` messages and `max_mqueue_bytes` bytes.
#[derive(Debug, Default)]
pub struct Queue {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    qos0: usize,
}

/// What became of a message, and of others that made room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The message is in the queue.
    pub is_queued: bool,
    /// Messages lost, itself or the oldest ones, and why.
    pub lost: Option<(DropReason, u64)>,
}

impl Queue {
    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether QoS 0 messages wait, so that a new one must wait behind them to keep its order. [MQTT-4.6.0-5]
    pub fn holds_qos0(&self) -> bool {
        self.qos0 > 0
    }

    /// Adds a message at the end, if the bounds and the policy allow.
    pub fn push(&mut self, message: Outgoing, cx: &mut Cx<'_>) -> Pushed {
        let config = cx.config;
        if message.qos == QoS::AtMostOnce && !config.mqueue_store_qos0 {
            return Pushed { is_queued: false, lost: Some((DropReason::Qos0, 1)) };
        }
        let weight = message.weight_bytes();
        let bytes_max = usize::try_from(config.max_mqueue_bytes.0).unwrap_or(usize::MAX);
        let len_max = config.max_mqueue_len.0;
        // A message that never fits is no reason to drop others.
        if weight > bytes_max || len_max == 0 {
            return Pushed { is_queued: false, lost: Some((DropReason::QueueFull, 1)) };
        }
        let mut dropped = 0;
        while self.messages.len() >= len_max || self.bytes.saturating_add(weight) > bytes_max {
            let is_newest_dropped = config.mqueue_full_policy == QueueFullPolicy::DropNewest;
            let Some(oldest) = (!is_newest_dropped).then(|| self.pop()).flatten() else {
                return Pushed { is_queued: false, lost: Some((DropReason::QueueFull, dropped + 1)) };
            };
            if let Some(stored) = oldest.stored {
                cx.memory.forget(stored);
            }
            dropped += 1;
        }
        self.bytes += weight;
        self.qos0 += usize::from(message.qos == QoS::AtMostOnce);
        self.messages.push_back(message);
        Pushed { is_queued: true, lost: (dropped > 0).then_some((DropReason::QueueFull, dropped)) }
    }

    /// Adds a message of an earlier life, whatever the bounds.
    pub fn push_restored(&mut self, message: Outgoing) {
        self.bytes += message.weight_bytes();
        self.qos0 += usize::from(message.qos == QoS::AtMostOnce);
        self.messages.push_back(message);
    }

    /// The newest message.
    pub fn newest_mut(&mut self) -> Option<&mut Outgoing> {
        self.messages.back_mut()
    }

    /// All messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.messages.iter()
    }

    /// The QoS of the oldest message.
    pub fn front_qos(&self) -> Option<QoS> {
        self.messages.front().map(|message| message.qos)
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<Outgoing> {
        let message = self.messages.pop_front()?;
        self.forget(&message);
        // A burst's memory is given back; a few places stay, so that a queue that holds one message now and then does
        // not allocate each time.
        if self.messages.is_empty() && self.messages.capacity() > KEPT_LEN {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    /// Takes the messages that came through the shared subscriptions `wanted` names, oldest first.
    pub fn take_shared(&mut self, wanted: &impl Fn(ShareTag) -> bool) -> Vec<Outgoing> {
        let mut shared = Vec::new();
        for message in std::mem::take(&mut self.messages) {
            if message.share.is_some_and(wanted) {
                self.forget(&message);
                shared.push(message);
            } else {
                self.messages.push_back(message);
            }
        }
        shared
    }

    /// Removes messages that expired; returns how many.
    pub fn remove_expired(&mut self, now: Timestamp, memory: &mut dyn Memory) -> u64 {
        let before = self.messages.len();
        let (mut bytes, mut qos0) = (0, 0);
        self.messages.retain(|message| {
            let live = message.publication.expires_at() > now;
            if live {
                bytes += message.weight_bytes();
                qos0 += usize::from(message.qos == QoS::AtMostOnce);
            } else if let Some(stored) = message.stored {
                memory.forget(stored);
            }
            live
        });
        (self.bytes, self.qos0) = (bytes, qos0);
        (before - self.messages.len()) as u64
    }

    fn forget(&mut self, message: &Outgoing) {
        self.bytes -= message.weight_bytes();
        self.qos0 -= usize::from(message.qos == QoS::AtMostOnce);
    }
}
