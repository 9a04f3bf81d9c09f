//! QoS 2 across shards, exactly once even when the broker is killed in between.
//!
//! The publisher's shard stores the message and what other shards are to do with it, together with the packet identifier.
//! Only then the publisher is acknowledged and the other shards are sent the message, each with a sequence number. They record
//! up to which number they have stored everything, together with what they have stored, and answer; then it is forgotten.
//! After a crash what was not answered is sent again, and what a shard has already is not taken twice.
//!
//! A shard takes a message whole or not at all: where its log has no room the message waits, and those behind it with it, so that
//! numbers are taken in their order. What a log that has failed must store is left with the shard that sends it, until a restart.

use super::commit::needed_bytes;
use super::receipts::{Goal, Outcome};
use super::{Journal, nonzero};
use crate::shard::Shard;
use crate::shard::lanes::{Forward, GroupPick, LaneMessage};
use crate::shard::publish::Errand;
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::publication::{LazyPublication, Publication};
use ringmq_core::routing::ShardId;
use ringmq_core::session::{Memory, Stored};
use ringmq_persistence::Id;
use ringmq_persistence::record::{Applied, ForwardTarget, Forwarding, encode};
use slab::Slab;
use std::collections::VecDeque;

/// Messages, and bytes of them, that a shard has other shards store without an answer yet. While there are as many, clients
/// whose QoS 2 publications would be remembered here are held back, until half of them are answered.
const UNANSWERED_MAX: usize = 65_536;
const UNANSWERED_BYTES_MAX: u64 = 64 << 20;
/// Waiting messages taken in one pass before other work gets its turn.
const TAKEN_PER_PASS: usize = 1_024;

/// A message that other shards are sent when it is stored here.
#[derive(Debug)]
pub struct PendingForwarding {
    /// Its place.
    pub sequence: u64,
    /// The message.
    pub publication: Publication,
    /// Who is to do what with it.
    pub errands: Vec<Errand>,
    /// Where it is remembered.
    pub stored: Stored,
}

/// What this shard has others store.
#[derive(Debug, Default)]
pub struct Forwardings {
    /// Not stored here yet.
    pending: Slab<PendingForwarding>,
    unanswered: usize,
    unanswered_bytes: u64,
    /// Publishers are held back.
    is_full: bool,
}

impl Forwardings {
    /// Keeps a message until it is stored here.
    pub fn insert(&mut self, pending: PendingForwarding) -> u32 {
        self.pending.insert(pending) as u32
    }

    /// Whether publishers are to wait until others have answered more.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Looks at the bounds again; whether publishers may go on that could not before.
    pub fn settle(&mut self) -> bool {
        let parts = if self.is_full { 2 } else { 1 };
        let is_below = |part: u64| {
            self.unanswered as u64 <= UNANSWERED_MAX as u64 / part
                && self.unanswered_bytes <= UNANSWERED_BYTES_MAX / part
        };
        let was_full = std::mem::replace(&mut self.is_full, !is_below(parts));
        was_full && !self.is_full
    }

    fn begin(&mut self, bytes: u32) {
        self.unanswered += 1;
        self.unanswered_bytes += u64::from(bytes);
    }

    fn end(&mut self, bytes: u32) {
        self.unanswered -= 1;
        self.unanswered_bytes -= u64::from(bytes);
    }
}

/// What others have this shard store and for which there is no room, in the order in which it came. Their bounds on what is
/// unanswered are its bound.
#[derive(Debug, Default)]
pub struct Arrivals {
    waiting: VecDeque<Forward>,
    /// There may be room for the first.
    is_ready: bool,
}

impl Arrivals {
    /// Whether the next pass has work without any event.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether anything waits.
    #[cfg(test)]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// What becomes of a message that another shard forwards.
enum Fate {
    Taken,
    /// It waits for room.
    Waits,
    /// It must be stored, and never can be.
    Left,
}

/// Up to which number this shard has stored what others forward.
#[derive(Debug, Default)]
pub struct Applications {
    by_shard: SeededMap<u8, Application>,
    /// Shards of which more was stored since the last seal.
    unrecorded: Vec<u8>,
}

#[derive(Debug, Default)]
struct Application {
    sequence: u64,
    record: Option<Id>,
}

impl Journal {
    /// Takes over how far another shard's messages are stored here. Of several records the highest counts.
    pub fn adopt_applied(&mut self, from: u8, sequence: u64, record: Id) {
        let known = self.applied.by_shard.entry(from).or_default();
        known.sequence = known.sequence.max(sequence);
        let replaced = known.record.replace(record);
        if let Some(replaced) = replaced {
            self.remove(replaced);
        }
    }

    /// Up to which number another shard's messages are stored here.
    pub fn applied(&self, from: u8) -> u64 {
        self.applied.by_shard.get(&from).map_or(0, |known| known.sequence)
    }

    /// Numbers up to this one are taken.
    pub fn skip_sequences(&mut self, last: u64) {
        self.next_sequence = self.next_sequence.max(last + 1);
    }

    /// A message of another shard is being stored; whether it is new.
    fn apply(&mut self, from: u8, sequence: u64) -> bool {
        let known = self.applied.by_shard.entry(from).or_default();
        if sequence <= known.sequence {
            return false;
        }
        known.sequence = sequence;
        if !self.applied.unrecorded.contains(&from) {
            self.applied.unrecorded.push(from);
        }
        true
    }

    /// Records how far other shards' messages are stored, behind the messages themselves.
    pub(super) fn record_applied(&mut self) {
        while let Some(from) = self.applied.unrecorded.pop() {
            let sequence = self.applied(from);
            let Some(id) = self.put_in_place(encode(&Applied { from: u16::from(from), sequence })) else {
                self.applied.unrecorded.push(from);
                return;
            };
            let known = self.applied.by_shard.entry(from).or_default();
            if let Some(replaced) = known.record.replace(id) {
                self.remove(replaced);
            }
        }
    }
}

impl Shard {
    /// Has what other shards are to do with the message at hand remembered; `None` if there is nothing of that kind.
    pub fn keep_forwarding(&mut self, message: &LazyPublication<'_>) -> Option<u32> {
        if self.deferred.is_empty() {
            return None;
        }
        let errands = std::mem::take(&mut self.deferred);
        let publication = message.shared();
        let sequence = self.journal.next_sequence;
        let targets = errands.iter().map(target_of).collect();
        let body = self.journal.keep_body(&publication)?;
        let forwarding = Forwarding { sequence, body: self.journal.body_record(body), targets };
        let record = self.journal.put(encode(&forwarding)).and_then(nonzero);
        let Some(record) = record else {
            self.journal.release_body(body);
            return None;
        };
        self.journal.next_sequence += 1;
        let stored = Stored { record, body };
        Some(self.forwardings.insert(PendingForwarding { sequence, publication, errands, stored }))
    }

    /// A message is stored here, or cannot be: other shards are sent it, or nobody is.
    pub fn send_forwarding(&mut self, forwarding: u32, outcome: Outcome) {
        let Some(pending) = self.forwardings.pending.try_remove(forwarding as usize) else { return };
        if outcome == Outcome::Stored {
            self.forward_again(pending);
        }
    }

    /// Sends what is stored here to the other shards.
    pub fn forward_again(&mut self, pending: PendingForwarding) {
        let PendingForwarding { sequence, publication, errands, stored } = pending;
        let bytes = u32::try_from(publication.weight_bytes()).unwrap_or(u32::MAX);
        self.forwardings.begin(bytes);
        self.receipts.begin(self.forwarding_level);
        for errand in errands {
            let publication = publication.clone();
            let Some(receipt) = self.ask_receipt(errand.shard, errand.retain) else {
                self.send_errand(publication, errand, None);
                continue;
            };
            self.tally.bump(Metric::LaneMessages);
            let shard = errand.shard;
            let forward = Forward { publication, errand, sequence, receipt };
            self.mesh.stage(shard, LaneMessage::Forward(Box::new(forward)));
        }
        if let Some(outcome) = self.receipts.end(|_| Goal::Answered(stored, bytes)) {
            self.end_forwarding(stored, bytes, outcome);
        }
    }

    /// All other shards have answered. What one of them could not store is sent again after a restart.
    pub fn end_forwarding(&mut self, stored: Stored, bytes: u32, outcome: Outcome) {
        self.forwardings.end(bytes);
        if outcome == Outcome::Stored {
            self.journal.forget(stored);
        }
    }

    /// Another shard forwards a message.
    pub fn handle_forward(&mut self, forward: Forward) {
        if self.arrivals.waiting.is_empty() {
            self.settle_forward(forward);
        } else {
            self.arrivals.waiting.push_back(forward);
        }
    }

    /// Takes what waited for room, as far as there is some.
    pub fn take_arrivals(&mut self) {
        self.arrivals.is_ready = false;
        for _ in 0..TAKEN_PER_PASS {
            let Some(forward) = self.arrivals.waiting.pop_front() else { break };
            if !self.settle_forward(forward) {
                return;
            }
        }
        self.arrivals.is_ready = !self.arrivals.waiting.is_empty();
    }

    /// Whether the message is dealt with; otherwise it is the first of those that wait.
    fn settle_forward(&mut self, forward: Forward) -> bool {
        match self.fate_of(&forward) {
            Fate::Taken => self.take_forward(forward),
            Fate::Left => self.receipts.answer(forward.receipt, Outcome::Refused),
            Fate::Waits => {
                self.arrivals.waiting.push_front(forward);
                return false;
            }
        }
        true
    }

    fn fate_of(&mut self, forward: &Forward) -> Fate {
        let Forward { publication, errand, sequence, receipt } = forward;
        if !self.journal.may_lack_room() || *sequence <= self.journal.applied(receipt.shard.0) {
            return Fate::Taken;
        }
        let mut records = errand.groups.len();
        if errand.deliver {
            self.index.for_each_match(publication.topic(), |subscribers| {
                let keys = subscribers.members().iter().map(|subscriber| subscriber.session);
                records += keys.filter(|key| self.is_remembered(*key)).count();
            });
        }
        if records == 0 && !errand.retain {
            return Fate::Taken;
        }
        if self.journal.has_failed() {
            return Fate::Left;
        }
        let bytes = needed_bytes(&publication.view(), records);
        if self.journal.lacks_owed_room(bytes) { Fate::Waits } else { Fate::Taken }
    }

    /// What came in an earlier life is only answered.
    fn take_forward(&mut self, forward: Forward) {
        let Forward { publication, errand, sequence, receipt } = forward;
        if self.journal.apply(receipt.shard.0, sequence) {
            let Errand { deliver, retain, groups, .. } = errand;
            // Its publisher was told that it is safe.
            self.journal.is_owed = true;
            self.handle_forwarded(&publication, deliver, retain, &groups, Some(receipt));
            self.journal.is_owed = false;
        } else {
            self.receipts.answer(receipt, Outcome::Stored);
        }
    }

    /// Up to which number another shard's messages are stored here.
    pub fn applied(&self, from: ShardId) -> u64 {
        self.journal.applied(from.0)
    }

    /// Whether nothing is on its way to other shards, or waited for.
    pub fn awaits_nothing(&self) -> bool {
        self.forwardings.pending.is_empty() && self.receipts.is_empty()
    }

    /// Before the shards start: numbers up to this one are known to others. What was not answered in an earlier life is
    /// sent again.
    pub fn resume_forwardings(&mut self, known: u64) {
        self.journal.skip_sequences(known);
        let mut pending: Vec<PendingForwarding> = self.forwardings.pending.drain().collect();
        pending.sort_unstable_by_key(|pending| pending.sequence);
        for pending in pending {
            self.forward_again(pending);
        }
    }
}

fn target_of(errand: &Errand) -> ForwardTarget {
    ForwardTarget {
        shard: u16::from(errand.shard.0),
        deliver: errand.deliver,
        retain: errand.retain,
        shares: errand.groups.iter().map(|pick| pick.tag).collect(),
    }
}

/// What another shard was to do with a message.
pub fn errand_of(
    shard: u16,
    deliver: bool,
    retain: bool,
    shares: impl Iterator<Item = u64>,
) -> Option<Errand> {
    let pick = |tag| GroupPick { tag, nth: 0, sticky: None, take_turn: false, hops: 0 };
    let shard = ShardId(u8::try_from(shard).ok()?);
    Some(Errand { shard, deliver, retain, groups: shares.map(pick).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins so many, each of so many bytes, and answers them one by one; at how many unanswered publishers were held back and went on.
    fn turns(count: usize, bytes: u32) -> (Option<usize>, Option<usize>) {
        let mut forwardings = Forwardings::default();
        let mut full_at = None;
        for _ in 0..count {
            forwardings.begin(bytes);
            assert!(!forwardings.settle(), "nobody goes on while there come to be more");
            full_at = full_at.or(forwardings.is_full().then_some(forwardings.unanswered));
        }
        let mut free_at = None;
        for _ in 0..count {
            forwardings.end(bytes);
            if forwardings.settle() {
                assert_eq!(free_at.replace(forwardings.unanswered), None, "they go on once");
            }
        }
        assert!(!forwardings.is_full());
        (full_at, free_at)
    }

    #[test]
    fn publishers_wait_above_each_bound_until_half_of_it_is_answered() {
        assert_eq!(turns(65_536, 1), (None, None));
        assert_eq!(turns(70_000, 1), (Some(65_537), Some(32_768)));
        assert_eq!(turns(64, 1 << 20), (None, None));
        assert_eq!(turns(70, 1 << 20), (Some(65), Some(32)));
    }
}
