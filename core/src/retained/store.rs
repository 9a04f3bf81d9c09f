//! The retained messages of one shard, ordered by topic.
//!
//! The topic is read from the message itself, never copied. Pages are bounded in messages and in topics looked at; a
//! filter's page costs about its matches, because topics that cannot match are skipped, not read.

use super::skip_scan::{Step, first_bound, step_from};
use crate::publication::Publication;
use crate::time::Timestamp;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::ops::Bound;

/// What a message costs beside its own bytes: the shared header and its place in the order.
const ENTRY_BYTES: usize = size_of::<Publication>() + 2 * size_of::<usize>() + 2 * size_of::<ByTopic>();

/// A message ordered by the bytes of its topic, which is also the order of topics as strings; and where it is remembered
/// beyond the process.
#[derive(Debug, Clone)]
struct ByTopic(Publication, Option<NonZeroU64>);

impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.0.raw_topic()
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &ByTopic) -> bool {
        self.0.raw_topic() == other.0.raw_topic()
    }
}

impl Eq for ByTopic {}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &ByTopic) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &ByTopic) -> Ordering {
        self.0.raw_topic().cmp(other.0.raw_topic())
    }
}

/// A message that is no longer stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Where it is remembered beyond the process.
    pub record: Option<NonZeroU64>,
}

/// How a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageEnd {
    /// No further topic matches.
    Complete,
    /// A bound was reached; the next page goes on after this topic, which need not match nor exist any longer.
    More {
        /// The cursor of the next page.
        after: Box<str>,
    },
}

/// The retained messages of the topics that one shard owns.
#[derive(Debug, Default)]
pub struct RetainedStore {
    by_topic: BTreeSet<ByTopic>,
    /// The messages that expire, by moment. Only these pay for the second order, and expiry reads no others.
    by_expiry: BTreeSet<(Timestamp, ByTopic)>,
    bytes: usize,
}

impl RetainedStore {
    /// A store without messages.
    pub fn new() -> RetainedStore {
        RetainedStore::default()
    }

    /// Stores `publication`, which is remembered in `record`, as the message of its topic; returns what it replaced.
    pub fn set(&mut self, publication: Publication, record: Option<NonZeroU64>) -> Option<Removed> {
        self.bytes += weight_bytes(&publication);
        if !publication.expires_at().is_never() {
            self.by_expiry.insert((publication.expires_at(), ByTopic(publication.clone(), record)));
        }
        let replaced = self.by_topic.replace(ByTopic(publication.clone(), record))?;
        let removed = Removed { record: replaced.1 };
        self.bytes -= weight_bytes(&replaced.0);
        // The same moment means the same key, which now stands for the new message.
        let expired_at = replaced.0.expires_at();
        if expired_at != publication.expires_at() {
            self.forget_expiry(replaced);
        } else if !expired_at.is_never() {
            self.by_expiry.replace((expired_at, ByTopic(publication, record)));
        }
        Some(removed)
    }

    /// Removes the message of `topic`, if there is one.
    pub fn clear(&mut self, topic: &str) -> Option<Removed> {
        let removed = self.by_topic.take(topic.as_bytes())?;
        self.bytes -= weight_bytes(&removed.0);
        let record = removed.1;
        self.forget_expiry(removed);
        Some(Removed { record })
    }

    /// Whether a message of `topic` is stored, expired or not.
    pub fn contains(&self, topic: &str) -> bool {
        self.by_topic.contains(topic.as_bytes())
    }

    /// The message of `topic`, unless it has expired.
    pub fn get(&self, topic: &str, now: Timestamp) -> Option<&Publication> {
        let found = &self.by_topic.get(topic.as_bytes())?.0;
        (found.expires_at() > now).then_some(found)
    }

    /// Number of messages, expired ones that were not yet removed included.
    pub fn len(&self) -> usize {
        self.by_topic.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Bytes held: topics, properties and payloads, and what each message costs beside them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends to `out` the messages whose topics match `filter`, in the order of topics, from the first topic after
    /// `after` on: at most `items_max` messages, having looked at no more than `visits_max` topics (both at least 1).
    /// Messages expired at `now` are left out. The set may change between pages; what was there throughout is
    /// delivered once.
    pub fn page(
        &self,
        filter: &str,
        after: Option<&str>,
        items_max: usize,
        visits_max: usize,
        now: Timestamp,
        out: &mut Vec<Publication>,
    ) -> PageEnd {
        let items_end = out.len().saturating_add(items_max.max(1));
        let mut visits_left = visits_max.max(1);
        let mut bound = Vec::new();
        first_bound(filter, &mut bound);
        let start = match after {
            Some(after) if after.as_bytes() >= bound.as_slice() => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(bound.as_slice()),
        };
        let mut entries = self.by_topic.range::<[u8], _>((start, Bound::Unbounded));
        let mut target = Vec::new();
        while let Some(ByTopic(found, _)) = entries.next() {
            visits_left -= 1;
            match step_from(filter, found.raw_topic(), &mut target) {
                Step::End => return PageEnd::Complete,
                Step::Match if found.expires_at() > now => out.push(found.clone()),
                Step::Match | Step::Next => {}
                Step::Seek => {
                    let from = Bound::Included(target.as_slice());
                    entries = self.by_topic.range::<[u8], _>((from, Bound::Unbounded));
                }
            }
            if visits_left == 0 || out.len() >= items_end {
                return PageEnd::More { after: found.topic().into() };
            }
        }
        PageEnd::Complete
    }

    /// When the first message expires, if any does.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// Removes the message that expired first, if one has expired at `now`.
    pub fn remove_expired(&mut self, now: Timestamp) -> Option<Removed> {
        self.next_expiry().filter(|at| *at <= now)?;
        let (_, expired) = self.by_expiry.pop_first()?;
        self.by_topic.remove(&expired);
        self.bytes -= weight_bytes(&expired.0);
        Some(Removed { record: expired.1 })
    }

    fn forget_expiry(&mut self, message: ByTopic) {
        if !message.0.expires_at().is_never() {
            self.by_expiry.remove(&(message.0.expires_at(), message));
        }
    }
}

fn weight_bytes(publication: &Publication) -> usize {
    publication.weight_bytes() + ENTRY_BYTES
}

#[cfg(test)]
mod tests;
