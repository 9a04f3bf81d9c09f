//! Who waits for what to be stored: here, and on other shards.
//!
//! While a message is routed a *scope* is open. Each shard that must remember it, this one included, is asked for a
//! *receipt*; when all have come the scope's [`Goal`] is reached. A shard that passes a message on answers when those it
//! passed it on to have answered.

use crate::durability::DurabilityLevel;
use crate::shard::sessions::SessionKey;
use ringmq_core::codec::{AckKind, PacketId};
use ringmq_core::hash::SeededMap;
use ringmq_core::routing::ShardId;
use ringmq_core::session::{Routed, Stored};
use slab::Slab;
use std::collections::VecDeque;

/// A request to be told when a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Who asks.
    pub shard: ShardId,
    /// What counts as stored.
    pub level: DurabilityLevel,
    /// What the asker knows the request by.
    pub token: u32,
    /// The publisher waits to be told if a queue has no room.
    pub is_refusable: bool,
}

/// What happens when everything that was asked for is stored.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The publisher's acknowledgement is ready.
    Acknowledge(AckTurn),
    /// The shard that asked is answered.
    Answer(Receipt),
    /// It is stored here: other shards are sent it, and the acknowledgement is ready.
    Forward(AckTurn, u32),
    /// Other shards have what they were sent, which takes so many bytes of memory: it is forgotten here.
    Answered(Stored, u32),
    /// What another member of a shared subscription has now is forgotten here.
    Forget(Stored),
    /// Nothing.
    None,
}

/// What became of a message, as far as remembering it goes. Of several the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everybody who must remember it does.
    Stored,
    /// A session that rather has messages refused than lose one has no room.
    QueueFull,
    /// Somebody who must remember it cannot.
    Refused,
}

/// A message on its way.
#[derive(Debug)]
struct Open {
    /// Answers that are still to come.
    awaited: u32,
    outcome: Outcome,
    goal: Goal,
}

/// The message that is being routed.
#[derive(Debug, Clone, Copy)]
struct Scope {
    level: DurabilityLevel,
    /// Set when the first receipt was asked for.
    token: Option<u32>,
    outcome: Outcome,
    /// Other shards are sent the message when it is stored here.
    is_deferred: bool,
    /// The publisher waits to be told if a queue has no room.
    is_refusable: bool,
}

/// All receipts of a shard: those it waits for, and those others wait for.
#[derive(Debug, Default)]
pub struct Receipts {
    open: Slab<Open>,
    scope: Option<Scope>,
    /// Messages that were recorded here since the last seal, which their tokens wait for.
    fresh: Vec<(DurabilityLevel, u32)>,
    /// Those that were sealed, by the position they wait for: `Wal` and `Fsync`.
    waiting: [VecDeque<(u64, u32)>; 2],
    /// Answers that leave with the next flush of the lanes.
    answers: Vec<(ShardId, u32, Outcome)>,
    /// Acknowledgements that wait for their turn, by session.
    acks: SeededMap<SessionKey, AckQueue>,
    generations: u32,
}

/// The place of an acknowledgement in its publisher's queue.
#[derive(Debug, Clone, Copy)]
pub struct AckTurn {
    session: SessionKey,
    generation: u32,
    number: u32,
}

/// Acknowledgements of one publisher, in the order of its messages. [MQTT-4.6.0-2, MQTT-4.6.0-3]
#[derive(Debug)]
struct AckQueue {
    generation: u32,
    /// The number of the next.
    next: u32,
    list: VecDeque<PendingAck>,
}

/// An acknowledgement that is not sent yet.
#[derive(Debug, Clone, Copy)]
pub struct PendingAck {
    /// Of which packet.
    pub packet_id: PacketId,
    /// PUBACK or PUBREC.
    pub kind: AckKind,
    /// What routing came to.
    pub routed: Routed,
    /// The connection that the packet came by, or that repeated it.
    pub attachment: u32,
    outcome: Option<Outcome>,
    /// What its [`AckTurn`] knows it by.
    number: u32,
}

impl Receipts {
    /// A message is routed from here on; every shard that must remember it is asked for a receipt.
    pub fn begin(&mut self, level: DurabilityLevel) {
        debug_assert!(self.scope.is_none(), "one message at a time");
        let (is_deferred, is_refusable) = (false, false);
        self.scope = Some(Scope { level, token: None, outcome: Outcome::Stored, is_deferred, is_refusable });
    }

    /// As [`Receipts::begin`]; other shards are sent the message when it is stored here.
    pub fn begin_deferred(&mut self, level: DurabilityLevel) {
        self.begin(level);
        if let Some(scope) = &mut self.scope {
            scope.is_deferred = true;
        }
    }

    /// The publisher of the message at hand waits to be told if a queue has no room for it.
    pub fn allow_refusal(&mut self) {
        if let Some(scope) = &mut self.scope {
            scope.is_refusable = true;
        }
    }

    /// Whether the message at hand may be refused because a queue has no room for it.
    pub fn is_refusable(&self) -> bool {
        self.scope.is_some_and(|scope| scope.is_refusable)
    }

    /// Whether other shards are sent the message at hand only when it is stored here.
    pub fn is_deferred(&self) -> bool {
        self.scope.is_some_and(|scope| scope.is_deferred)
    }

    /// The message was routed. `None`: the goal waits for receipts. Otherwise nothing is to be waited for, and the goal is
    /// the caller's to reach.
    pub fn end(&mut self, goal: impl FnOnce(&mut Receipts) -> Goal) -> Option<Outcome> {
        let Some(scope) = self.scope.take() else { return Some(Outcome::Stored) };
        let Some(token) = scope.token else { return Some(scope.outcome) };
        let goal = goal(self);
        if let Some(open) = self.open.get_mut(token as usize) {
            open.goal = goal;
            open.outcome = open.outcome.max(scope.outcome);
        }
        None
    }

    fn expect_one_more(&mut self) -> Option<(DurabilityLevel, u32)> {
        let scope = self.scope.as_mut()?;
        let level = scope.level;
        if let Some(token) = scope.token {
            self.open[token as usize].awaited += 1;
            return Some((level, token));
        }
        let open = Open { awaited: 1, outcome: Outcome::Stored, goal: Goal::None };
        let token = self.open.insert(open) as u32;
        scope.token = Some(token);
        Some((level, token))
    }

    /// A receipt to send along to another shard; `None` if nobody waits for this message.
    pub fn ask(&mut self, asker: ShardId) -> Option<Receipt> {
        let is_refusable = self.is_refusable();
        let (level, token) = self.expect_one_more()?;
        Some(Receipt { shard: asker, level, token, is_refusable })
    }

    /// The message was recorded here.
    pub fn note_recorded(&mut self) {
        if self.awaits_storage()
            && let Some((level, token)) = self.expect_one_more()
        {
            self.fresh.push((level, token));
        }
    }

    /// The message should have been recorded here, and could not be (`Refused`), or a queue had no room (`QueueFull`).
    pub fn note_refused(&mut self, outcome: Outcome) {
        if let Some(scope) = &mut self.scope {
            scope.outcome = scope.outcome.max(outcome);
        }
    }

    /// Whether somebody waits for the message at hand to be stored.
    pub fn awaits_storage(&self) -> bool {
        self.scope.is_some_and(|scope| scope.level > DurabilityLevel::Memory)
    }

    /// Whether the message at hand is refused already.
    pub fn is_refused(&self) -> bool {
        self.scope.is_some_and(|scope| scope.outcome > Outcome::Stored)
    }

    /// Whether a sync is awaited by messages recorded since the last seal; `None`: nobody awaits anything.
    pub fn awaits_sync(&self) -> Option<bool> {
        (!self.fresh.is_empty()).then(|| self.fresh.iter().any(|(level, _)| *level == DurabilityLevel::Fsync))
    }

    /// How many were recorded since the last seal, by what they wait for: `Wal` and `Fsync`.
    pub fn fresh_counts(&self) -> [usize; 2] {
        let synced = self.fresh.iter().filter(|(level, _)| *level == DurabilityLevel::Fsync).count();
        [self.fresh.len() - synced, synced]
    }

    /// What was recorded since the last seal lies before this position.
    pub fn seal(&mut self, position: u64) {
        for (level, token) in self.fresh.drain(..) {
            self.waiting[usize::from(level == DurabilityLevel::Fsync)].push_back((position, token));
        }
    }

    /// A goal that is reached because everything before these positions is written or synced.
    pub fn poll_reached(&mut self, written: u64, synced: u64) -> Option<(Goal, Outcome)> {
        for (waiting, reached) in self.waiting.iter_mut().zip([written, synced]) {
            while waiting.front().is_some_and(|(position, _)| *position <= reached)
                && let Some((_, token)) = waiting.pop_front()
            {
                if let Some(goal) = settle(&mut self.open, token, Outcome::Stored) {
                    return Some(goal);
                }
            }
        }
        None
    }

    /// A goal that is missed because the log has failed.
    pub fn poll_missed(&mut self) -> Option<(Goal, Outcome)> {
        self.seal(0);
        for waiting in &mut self.waiting {
            while let Some((_, token)) = waiting.pop_front() {
                if let Some(goal) = settle(&mut self.open, token, Outcome::Refused) {
                    return Some(goal);
                }
            }
        }
        None
    }

    /// Another shard has answered.
    pub fn settle(&mut self, token: u32, outcome: Outcome) -> Option<(Goal, Outcome)> {
        settle(&mut self.open, token, outcome)
    }

    /// Has a shard told at the end of the pass.
    pub fn answer(&mut self, receipt: Receipt, outcome: Outcome) {
        self.answers.push((receipt.shard, receipt.token, outcome));
    }

    /// Whether shards are to be told.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// What is to be told to whom, sorted by whom and what.
    pub fn take_answers(&mut self) -> Vec<(ShardId, u32, Outcome)> {
        self.answers.sort_by_key(|(shard, _, outcome)| (shard.0, *outcome));
        std::mem::take(&mut self.answers)
    }

    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.answers.is_empty()
    }

    /// Whether earlier acknowledgements of a session wait.
    pub fn has_acks(&self, session: SessionKey) -> bool {
        self.acks.get(&session).is_some_and(|queue| !queue.list.is_empty())
    }

    /// Puts an acknowledgement behind the session's others.
    pub fn push_ack(&mut self, session: SessionKey, ack: PendingAck) -> AckTurn {
        let generations = &mut self.generations;
        let queue = self.acks.entry(session).or_insert_with(|| {
            *generations = generations.wrapping_add(1);
            AckQueue { generation: *generations, next: 0, list: VecDeque::new() }
        });
        let number = queue.next;
        queue.next = number.wrapping_add(1);
        queue.list.push_back(PendingAck { number, ..ack });
        AckTurn { session, generation: queue.generation, number }
    }

    /// An acknowledgement is ready, though others may have to go first. The session it belongs to.
    pub fn ready(&mut self, turn: AckTurn, outcome: Outcome) -> Option<SessionKey> {
        let queue = self.acks.get_mut(&turn.session).filter(|queue| queue.generation == turn.generation)?;
        queue.find(turn.number)?.outcome = Some(outcome);
        Some(turn.session)
    }

    /// The next acknowledgement of a session whose turn has come.
    pub fn poll_ack(&mut self, session: SessionKey) -> Option<(PendingAck, Outcome)> {
        let queue = self.acks.get_mut(&session)?;
        let outcome = queue.list.front()?.outcome?;
        Some((queue.list.pop_front()?, outcome))
    }

    /// Whether the PUBREC of this packet waits. If another connection has repeated the packet it goes there, behind the
    /// answers to what came by that connection before; those behind its old place may have become ready by that.
    pub fn repeat(&mut self, session: SessionKey, packet_id: PacketId, attachment: u32) -> bool {
        let Some(queue) = self.acks.get_mut(&session) else { return false };
        let is_it = |ack: &PendingAck| ack.kind == AckKind::Pubrec && ack.packet_id == packet_id;
        let Some(place) = queue.list.iter().position(is_it) else { return false };
        if queue.list[place].attachment != attachment
            && let Some(ack) = queue.list.remove(place)
        {
            queue.list.push_back(PendingAck { attachment, ..ack });
        }
        true
    }

    /// A session's connection has ended: an empty queue is given back.
    pub fn rest_acks(&mut self, session: SessionKey) {
        if self.acks.get(&session).is_some_and(|queue| queue.list.is_empty()) {
            self.acks.remove(&session);
        }
    }

    /// The session has ended: nobody is to be acknowledged any more.
    pub fn forget_acks(&mut self, session: SessionKey) {
        if !self.acks.is_empty() {
            self.acks.remove(&session);
        }
    }
}

impl AckQueue {
    /// An acknowledgement by its number: as far behind the first as the numbers say, unless some have changed their places.
    fn find(&mut self, number: u32) -> Option<&mut PendingAck> {
        let has_number = |ack: &PendingAck| ack.number == number;
        let guess = number.wrapping_sub(self.list.front()?.number) as usize;
        let place = match self.list.get(guess).is_some_and(has_number) {
            true => guess,
            false => self.list.iter().position(has_number)?,
        };
        self.list.get_mut(place)
    }
}

impl PendingAck {
    /// An acknowledgement.
    pub fn new(packet_id: PacketId, kind: AckKind, routed: Routed, attachment: u32) -> PendingAck {
        PendingAck { packet_id, kind, routed, attachment, outcome: None, number: 0 }
    }
}

/// One answer has come; the goal if it was the last.
fn settle(open: &mut Slab<Open>, token: u32, outcome: Outcome) -> Option<(Goal, Outcome)> {
    let waiting = open.get_mut(token as usize)?;
    waiting.awaited -= 1;
    waiting.outcome = waiting.outcome.max(outcome);
    if waiting.awaited > 0 {
        return None;
    }
    let Open { goal, outcome, .. } = open.remove(token as usize);
    Some((goal, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionKey = SessionKey(7);

    fn push(receipts: &mut Receipts, packet_id: u16, attachment: u32) -> AckTurn {
        let packet_id = PacketId::new(packet_id).expect("not 0");
        receipts.push_ack(SESSION, PendingAck::new(packet_id, AckKind::Pubrec, Routed::Matched, attachment))
    }

    fn repeat(receipts: &mut Receipts, packet_id: u16, attachment: u32) -> bool {
        receipts.repeat(SESSION, PacketId::new(packet_id).expect("not 0"), attachment)
    }

    /// What leaves now: packet identifiers and connections.
    fn leaving(receipts: &mut Receipts) -> Vec<(u16, u32)> {
        let next = || receipts.poll_ack(SESSION).map(|(ack, _)| (ack.packet_id.as_u16(), ack.attachment));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_in_which_the_last_connection_asked() {
        let mut receipts = Receipts::default();
        let [one, two, three] = [1, 2, 3].map(|packet_id| push(&mut receipts, packet_id, 0));
        assert!(repeat(&mut receipts, 2, 0), "the same connection has its answer where it asked first");
        let four = push(&mut receipts, 4, 1);
        assert!(repeat(&mut receipts, 1, 1) && repeat(&mut receipts, 3, 1) && !repeat(&mut receipts, 5, 1));
        let five = push(&mut receipts, 5, 1);
        for ready in [five, three, one, four] {
            assert_eq!(receipts.ready(ready, Outcome::Stored), Some(SESSION));
            assert_eq!(leaving(&mut receipts), [], "the second is still awaited");
        }
        receipts.ready(two, Outcome::Stored);
        assert_eq!(leaving(&mut receipts), [(2, 0), (4, 1), (1, 1), (3, 1), (5, 1)]);
        assert_eq!(receipts.ready(one, Outcome::Stored), None, "it has left");
    }

    #[test]
    fn who_gives_up_a_place_holds_back_nobody_there() {
        let mut receipts = Receipts::default();
        let [one, two] = [1, 2].map(|packet_id| push(&mut receipts, packet_id, packet_id.into()));
        receipts.ready(two, Outcome::Stored);
        assert_eq!(leaving(&mut receipts), []);
        assert!(repeat(&mut receipts, 1, 2));
        assert_eq!(leaving(&mut receipts), [(2, 2)]);
        receipts.ready(one, Outcome::Refused);
        assert_eq!(leaving(&mut receipts), [(1, 2)]);
    }
}
