//! QoS 2 across shards, exactly once even when the broker is killed in between.
//!
//! The publisher's shard stores the message and what other shards are to do with it, together with the packet identifier.
//! Only then the publisher is acknowledged and the other shards are sent the message, each with a sequence number. They record
//! up to which number they have stored everything, together with what they have stored, and answer; then it is forgotten.
//! After a crash what was not answered is sent again, and what a shard has already is not taken twice.

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
                continue;
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
        Some(self.forwardings.insert(PendingForwarding { sequence, publication, errands, stored }) as u32)
    }

    /// A message is stored here, or cannot be: other shards are sent it, or nobody is.
    pub fn send_forwarding(&mut self, forwarding: u32, outcome: Outcome) {
        let Some(pending) = self.forwardings.try_remove(forwarding as usize) else { return };
        if outcome == Outcome::Stored {
            self.forward_again(pending);
        }
    }

    /// Sends what is stored here to the other shards.
    pub fn forward_again(&mut self, pending: PendingForwarding) {
        let PendingForwarding { sequence, publication, errands, stored } = pending;
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
        if self.receipts.end(|_| Goal::Forget(stored)) == Some(Outcome::Stored) {
            self.journal.forget(stored);
        }
    }

    /// Another shard forwards a message. What came in an earlier life is only answered.
    pub fn handle_forward(&mut self, forward: Forward) {
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
        self.forwardings.is_empty() && self.receipts.is_empty()
    }

    /// Before the shards start: numbers up to this one are known to others. What was not answered in an earlier life is
    /// sent again.
    pub fn resume_forwardings(&mut self, known: u64) {
        self.journal.skip_sequences(known);
        let mut pending: Vec<PendingForwarding> = self.forwardings.drain().collect();
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
