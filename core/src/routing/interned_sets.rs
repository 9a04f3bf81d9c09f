//! Shard sets shared by many keys, each named by four bytes.
//!
//! A set of one shard is its shard id; only sets of several shards are stored, once each, with a reference count. Most
//! filters are wanted by one shard, and the sets of the others repeat.

use super::{ShardId, ShardSet};
use crate::hash::ProcessHasher;
use crate::limits::SHARDS_MAX;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Name of a set in an [`InternedSets`]; the default names the empty set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SetId(pub(super) u32);

impl SetId {
    pub(super) const EMPTY: SetId = SetId(u32::MAX);
}

impl Default for SetId {
    fn default() -> SetId {
        SetId::EMPTY
    }
}

#[derive(Debug)]
struct Interned {
    set: ShardSet,
    references: u32,
}

/// The sets of more than one shard.
#[derive(Debug, Default)]
pub(super) struct InternedSets {
    ids: HashTable<u32>,
    sets: Vec<Interned>,
    free: Vec<u32>,
}

impl InternedSets {
    /// The set that `id` names.
    pub(super) fn get(&self, id: SetId) -> ShardSet {
        let mut set = ShardSet::EMPTY;
        self.union_into(id, &mut set);
        set
    }

    /// Adds the shards of the set `id` to `into`.
    pub(super) fn union_into(&self, id: SetId, into: &mut ShardSet) {
        match id {
            SetId::EMPTY => {}
            SetId(shard) if (shard as usize) < SHARDS_MAX => {
                into.insert(ShardId(shard as u8));
            }
            SetId(shifted) => into.union_with(&self.sets[shifted as usize - SHARDS_MAX].set),
        }
    }

    /// Gives up the reference `id` for one to the same set with `shard`.
    pub(super) fn with(&mut self, id: SetId, shard: ShardId) -> SetId {
        let mut set = self.get(id);
        if !set.insert(shard) {
            return id;
        }
        self.exchange(id, set)
    }

    /// Gives up the reference `id` for one to the same set without `shard`.
    pub(super) fn without(&mut self, id: SetId, shard: ShardId) -> SetId {
        let mut set = self.get(id);
        if !set.remove(shard) {
            return id;
        }
        self.exchange(id, set)
    }

    /// Number of sets stored.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.ids.allocation_size()
            + self.sets.capacity() * size_of::<Interned>()
            + self.free.capacity() * size_of::<u32>()
    }

    fn exchange(&mut self, id: SetId, set: ShardSet) -> SetId {
        let new = self.acquire(set);
        self.release(id);
        new
    }

    fn acquire(&mut self, set: ShardSet) -> SetId {
        let mut shards = set.iter();
        let Some(first) = shards.next() else { return SetId::EMPTY };
        if shards.next().is_none() {
            return SetId(u32::from(first.0));
        }
        let hash = ProcessHasher.hash_one(set);
        if let Some(index) = self.ids.find(hash, |index| self.sets[*index as usize].set == set).copied() {
            self.sets[index as usize].references += 1;
            return SetId(index + SHARDS_MAX as u32);
        }
        let interned = Interned { set, references: 1 };
        let index = match self.free.pop() {
            Some(index) => {
                self.sets[index as usize] = interned;
                index
            }
            None => {
                self.sets.push(interned);
                (self.sets.len() - 1) as u32
            }
        };
        let sets = &self.sets;
        self.ids.insert_unique(hash, index, |other| ProcessHasher.hash_one(sets[*other as usize].set));
        SetId(index + SHARDS_MAX as u32)
    }

    fn release(&mut self, id: SetId) {
        if id == SetId::EMPTY || (id.0 as usize) < SHARDS_MAX {
            return;
        }
        let index = id.0 - SHARDS_MAX as u32;
        let interned = &mut self.sets[index as usize];
        interned.references -= 1;
        if interned.references > 0 {
            return;
        }
        if let Ok(found) = self.ids.find_entry(ProcessHasher.hash_one(interned.set), |other| *other == index)
        {
            found.remove();
        }
        self.free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_share_one_entry_and_single_shards_need_none() {
        let mut sets = InternedSets::default();
        let single = sets.with(SetId::EMPTY, ShardId(9));
        assert_eq!(single, SetId(9));
        assert_eq!(sets.len(), 0);
        let first = sets.with(single, ShardId(255));
        let nine_last = sets.with(SetId::EMPTY, ShardId(255));
        let second = sets.with(nine_last, ShardId(9));
        assert_eq!(first, second);
        assert_eq!(sets.len(), 1);
        assert_eq!(sets.get(first).iter().map(|shard| shard.0).collect::<Vec<_>>(), [9, 255]);
        assert_eq!(sets.without(first, ShardId(9)), SetId(255));
        assert_eq!(sets.len(), 1, "the second reference keeps the set");
        assert_eq!(sets.without(second, ShardId(255)), SetId(9));
        assert_eq!(sets.len(), 0);
        assert_eq!(sets.without(SetId(9), ShardId(9)), SetId::EMPTY);
    }
}
