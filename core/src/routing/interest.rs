//! The replica of interest: which shards want which filters, kept on every shard for all shards.
//!
//! Exact filters travel and are stored as their 64-bit process hash; should two filters share a hash, a shard receives a
//! publication it looks up in vain, no more. It says which shards to tell, never which subscribers.

use super::interned_sets::{InternedSets, SetId};
use super::{FilterIndex, ShardId, ShardSet};
use crate::hash::hash_str;
use crate::topic::has_wildcard;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// A filter as it is announced to other shards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InterestKey {
    /// Process hash of a filter without wildcard.
    Exact(u64),
    /// A filter with a wildcard, without share prefix.
    Wildcard(Box<str>),
}

impl InterestKey {
    /// The key of `filter` (without share prefix).
    pub fn of(filter: &str) -> InterestKey {
        if has_wildcard(filter) {
            InterestKey::Wildcard(filter.into())
        } else {
            InterestKey::Exact(hash_str(filter))
        }
    }
}

/// Twelve bytes, not the sixteen of `(u64, u32)`: every shard holds one per exact filter of the whole process.
#[derive(Debug, Clone, Copy)]
struct ExactInterest {
    hash_low: u32,
    hash_high: u32,
    shards: SetId,
}

impl ExactInterest {
    fn hash(&self) -> u64 {
        u64::from(self.hash_high) << 32 | u64::from(self.hash_low)
    }
}

/// Which shards want which filters.
#[derive(Debug, Default)]
pub struct Interest {
    exact: HashTable<ExactInterest>,
    wildcards: FilterIndex<SetId>,
    sets: InternedSets,
}

impl Interest {
    /// A replica in which nobody wants anything.
    pub fn new() -> Interest {
        Interest::default()
    }

    /// Notes that `shard` wants `key`. Saying it twice changes nothing.
    pub fn add(&mut self, key: &InterestKey, shard: ShardId) {
        match key {
            InterestKey::Exact(hash) => {
                let is_it = |stored: &ExactInterest| stored.hash() == *hash;
                match self.exact.entry(*hash, is_it, ExactInterest::hash) {
                    Entry::Occupied(mut found) => {
                        found.get_mut().shards = self.sets.with(found.get().shards, shard);
                    }
                    Entry::Vacant(vacant) => {
                        let shards = self.sets.with(SetId::EMPTY, shard);
                        vacant.insert(ExactInterest {
                            hash_low: *hash as u32,
                            hash_high: (*hash >> 32) as u32,
                            shards,
                        });
                    }
                }
            }
            InterestKey::Wildcard(filter) => {
                let shards = self.wildcards.entry(filter);
                *shards = self.sets.with(*shards, shard);
            }
        }
    }

    /// Notes that `shard` no longer wants `key`. Nothing happens if it did not.
    pub fn remove(&mut self, key: &InterestKey, shard: ShardId) {
        match key {
            InterestKey::Exact(hash) => {
                let Ok(mut found) = self.exact.find_entry(*hash, |stored| stored.hash() == *hash) else {
                    return;
                };
                let shards = self.sets.without(found.get().shards, shard);
                found.get_mut().shards = shards;
                if shards == SetId::EMPTY {
                    found.remove();
                    self.shrink_exact();
                }
            }
            InterestKey::Wildcard(filter) => {
                let Some(shards) = self.wildcards.get_mut(filter) else { return };
                *shards = self.sets.without(*shards, shard);
                if *shards == SetId::EMPTY {
                    self.wildcards.remove(filter);
                }
            }
        }
    }

    /// Adds to `into` every shard that wants `topic`; what is in it already stays.
    pub fn shards_for(&self, topic: &str, into: &mut ShardSet) {
        if !self.exact.is_empty() {
            let hash = hash_str(topic);
            if let Some(found) = self.exact.find(hash, |stored| stored.hash() == hash) {
                self.sets.union_into(found.shards, into);
            }
        }
        self.wildcards.for_each_match(topic, |shards| self.sets.union_into(*shards, into));
    }

    /// Number of keys wanted by at least one shard.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcards.len()
    }

    /// Whether nobody wants anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes asked of the allocator.
    pub fn heap_bytes(&self) -> usize {
        self.exact.allocation_size() + self.wildcards.heap_bytes() + self.sets.heap_bytes()
    }

    fn shrink_exact(&mut self) {
        if self.exact.len() < self.exact.capacity() / 8 {
            self.exact.shrink_to(self.exact.len() * 2, ExactInterest::hash);
        }
    }
}

#[cfg(test)]
mod tests;
