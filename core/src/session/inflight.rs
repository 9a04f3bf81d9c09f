//! The send window: QoS 1 and 2 messages sent to the client and not yet acknowledged.

use super::delivery::{Outgoing, ShareTag};
use super::durable::Stored;
use crate::codec::{PacketId, QoS};
use std::collections::VecDeque;

/// What the client must send next.
#[derive(Debug)]
pub enum Phase {
    /// PUBACK for a QoS 1 message.
    Puback(Outgoing),
    /// PUBREC for a QoS 2 message.
    Pubrec(Outgoing),
    /// PUBCOMP; the message itself is the client's by now.
    Pubcomp(Option<Stored>),
}

impl Phase {
    /// The phase of a message that was just sent, at QoS 1 or 2.
    pub fn of(message: Outgoing) -> Phase {
        if message.qos == QoS::ExactlyOnce { Phase::Pubrec(message) } else { Phase::Puback(message) }
    }

    /// Where it is remembered beyond the process.
    pub fn stored(&self) -> Option<Stored> {
        match self {
            Phase::Puback(message) | Phase::Pubrec(message) => message.stored(),
            Phase::Pubcomp(stored) => *stored,
        }
    }
}

/// One packet identifier in use.
#[derive(Debug)]
pub struct Entry {
    /// The identifier.
    pub packet_id: PacketId,
    /// How far the exchange got.
    pub phase: Phase,
}

/// Entries in the order they were first sent, which is the order in which they are sent again. [MQTT-4.6.0-1]
///
/// The first `sent` entries went out on the current connection; the rest waits to be sent again after a reconnect.
#[derive(Debug, Default)]
pub struct Inflight {
    entries: VecDeque<Entry>,
    sent: usize,
    last_id: u16,
    /// Identifiers were skipped because they were still in use: entries no longer lie in cyclic order.
    overtaken: bool,
}

impl Inflight {
    /// Nothing in flight; identifiers go on after `last_id`.
    pub fn after(last_id: u16) -> Inflight {
        Inflight { last_id, ..Inflight::default() }
    }

    /// The identifier given out last.
    pub fn last_id(&self) -> u16 {
        self.last_id
    }

    /// Messages the client has not taken over.
    pub fn messages(&self) -> usize {
        self.entries.iter().filter(|entry| !matches!(entry.phase, Phase::Pubcomp(_))).count()
    }

    /// Packet identifiers in use.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The connection is gone: everything is to be sent again on the next one.
    pub fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Entries sent on the current connection, the ones that count against the client's Receive Maximum.
    pub fn window_used(&self) -> usize {
        self.sent
    }

    /// The next entry to send again; `None` when all are out.
    pub fn next_to_resend(&self) -> Option<&Entry> {
        self.entries.get(self.sent)
    }

    /// That entry was sent.
    pub fn note_resent(&mut self) {
        debug_assert!(self.awaits_resend(), "an entry was sent");
        self.sent += 1;
    }

    /// Removes that entry: it cannot be sent.
    pub fn give_up_next(&mut self) -> Option<Entry> {
        self.entries.remove(self.sent)
    }

    /// Messages that are to be sent again, in their order.
    pub fn messages_to_resend(&self) -> impl Iterator<Item = &Outgoing> {
        self.entries.range(self.sent..).filter_map(|entry| match &entry.phase {
            Phase::Puback(message) | Phase::Pubrec(message) => Some(message),
            Phase::Pubcomp(_) => None,
        })
    }

    /// Adds an entry of an earlier life behind the others; it is to be sent again.
    pub fn push_restored(&mut self, packet_id: PacketId, phase: Phase) {
        self.last_id = packet_id.as_u16();
        // They were sent in this order, whatever their numbers.
        self.overtaken = true;
        self.entries.push_back(Entry { packet_id, phase });
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether entries wait to be sent again.
    pub fn awaits_resend(&self) -> bool {
        self.sent < self.entries.len()
    }

    /// A packet identifier not in use. There is one: the send window has at most 65,535 places, and the caller has seen
    /// that one is free. [MQTT-2.2.1-3]
    pub fn free_id(&mut self) -> PacketId {
        assert!(self.entries.len() < usize::from(u16::MAX), "the send window is not full");
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let Some(id) = PacketId::new(self.last_id) else { continue };
            if !self.is_in_use(id) {
                return id;
            }
            self.overtaken = true;
        }
    }

    /// Adds an entry that was just sent.
    pub fn push_sent(&mut self, packet_id: PacketId, phase: Phase) {
        debug_assert!(!self.awaits_resend(), "new messages follow the ones sent again");
        self.entries.push_back(Entry { packet_id, phase });
        self.sent = self.entries.len();
    }

    /// The entry with this identifier.
    pub fn find(&mut self, packet_id: PacketId) -> Option<&mut Entry> {
        let position = self.position(packet_id)?;
        self.entries.get_mut(position)
    }

    /// Removes the entry with this identifier if it is in a phase that `is_over` accepts.
    pub fn remove_if(&mut self, packet_id: PacketId, is_over: impl FnOnce(&Phase) -> bool) -> Option<Entry> {
        let position = self.position(packet_id)?;
        if !is_over(&self.entries.get(position)?.phase) {
            return None;
        }
        if position < self.sent {
            self.sent -= 1;
        }
        let entry = self.entries.remove(position);
        if self.entries.is_empty() {
            self.overtaken = false;
        }
        entry
    }

    /// Takes the unacknowledged QoS 1 messages of the shared subscriptions `wanted` names. QoS 2 exchanges stay: the message
    /// may be the client's already. [MQTT-4.8.2-5]
    pub fn take_shared(&mut self, wanted: &impl Fn(ShareTag) -> bool) -> Vec<Outgoing> {
        let mut shared = Vec::new();
        let mut kept = VecDeque::with_capacity(self.entries.len());
        for entry in std::mem::take(&mut self.entries) {
            match entry.phase {
                Phase::Puback(message) if message.share().is_some_and(wanted) => shared.push(message),
                phase => kept.push_back(Entry { packet_id: entry.packet_id, phase }),
            }
        }
        self.entries = kept;
        // Nothing counts as sent without a connection.
        self.sent = 0;
        shared
    }

    /// Whether an entry has this identifier. A new one is mostly beyond all others, and that is seen without a search.
    fn is_in_use(&self, packet_id: PacketId) -> bool {
        let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) else { return false };
        let distance = |id: PacketId| id.as_u16().wrapping_sub(first.packet_id.as_u16());
        let is_beyond = !self.overtaken && distance(packet_id) > distance(last.packet_id);
        !is_beyond && self.position(packet_id).is_some()
    }

    /// Identifiers are handed out in ascending order and mostly acknowledged in order, so the one asked for is at or
    /// near the front.
    fn position(&self, packet_id: PacketId) -> Option<usize> {
        let first = self.entries.front()?;
        if first.packet_id == packet_id {
            return Some(0);
        }
        // Counted from the first one, identifiers ascend, unless a stuck one was overtaken by a whole cycle.
        let distance = |id: PacketId| id.as_u16().wrapping_sub(first.packet_id.as_u16());
        let guess = self.entries.partition_point(|entry| distance(entry.packet_id) < distance(packet_id));
        match self.entries.get(guess) {
            Some(entry) if entry.packet_id == packet_id => Some(guess),
            _ if !self.overtaken => None,
            _ => self.entries.iter().position(|entry| entry.packet_id == packet_id),
        }
    }
}
