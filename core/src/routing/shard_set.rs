//! Shard ids and sets of them. A set is a value of 32 bytes; it never allocates.

use crate::hash::hash_str;
use crate::limits::SHARDS_MAX;

const WORDS: usize = SHARDS_MAX / 64;

/// Number of a shard, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u8);

impl ShardId {
    /// The id as an index into a table with an entry per shard.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Which of so many shards a client id or a retained topic belongs to. What is stored lies where this says: another rule
    /// needs another layout of the store.
    pub fn home_of(key: &str, shards: usize) -> ShardId {
        debug_assert!((1..=SHARDS_MAX).contains(&shards), "{shards} shards");
        ShardId((hash_str(key) % shards as u64) as u8)
    }
}

impl std::fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A set of up to 256 shards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShardSet {
    words: [u64; WORDS],
}

impl ShardSet {
    /// The empty set.
    pub const EMPTY: ShardSet = ShardSet { words: [0; WORDS] };

    /// The empty set.
    pub const fn new() -> ShardSet {
        ShardSet::EMPTY
    }

    /// Adds `shard`; returns whether it was absent.
    pub fn insert(&mut self, shard: ShardId) -> bool {
        let (word, bit) = position(shard);
        let was_absent = self.words[word] & bit == 0;
        self.words[word] |= bit;
        was_absent
    }

    /// Takes `shard` out; returns whether it was present.
    pub fn remove(&mut self, shard: ShardId) -> bool {
        let (word, bit) = position(shard);
        let was_present = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        was_present
    }

    /// Whether `shard` is in the set.
    pub fn contains(&self, shard: ShardId) -> bool {
        let (word, bit) = position(shard);
        self.words[word] & bit != 0
    }

    /// Whether no shard is in the set.
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    /// Number of shards in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds every shard of `other`.
    pub fn union_with(&mut self, other: &ShardSet) {
        for (word, theirs) in self.words.iter_mut().zip(other.words) {
            *word |= theirs;
        }
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.words = [0; WORDS];
    }

    /// The shards in ascending order.
    pub fn iter(&self) -> ShardSetIter {
        ShardSetIter { words: self.words, word: 0 }
    }
}

fn position(shard: ShardId) -> (usize, u64) {
    (shard.index() / 64, 1 << (shard.index() % 64))
}

impl std::fmt::Debug for ShardSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.iter().map(|shard| shard.0)).finish()
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> ShardSet {
        let mut set = ShardSet::EMPTY;
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

impl IntoIterator for &ShardSet {
    type Item = ShardId;
    type IntoIter = ShardSetIter;

    fn into_iter(self) -> ShardSetIter {
        self.iter()
    }
}

/// Iterator over the shards of a [`ShardSet`], ascending. It holds its own copy of the set.
#[derive(Debug, Clone)]
pub struct ShardSetIter {
    words: [u64; WORDS],
    word: usize,
}

impl Iterator for ShardSetIter {
    type Item = ShardId;

    fn next(&mut self) -> Option<ShardId> {
        while self.word < WORDS {
            let bits = self.words[self.word];
            if bits != 0 {
                self.words[self.word] = bits & (bits - 1);
                return Some(ShardId((self.word * 64 + bits.trailing_zeros() as usize) as u8));
            }
            self.word += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn set_agrees_with_a_btree_set() {
        let mut set = ShardSet::new();
        let mut model = BTreeSet::new();
        assert!(set.is_empty());
        for step in 0..2000u32 {
            let shard = (step.wrapping_mul(2_654_435_761) >> 13) as u8;
            if step % 3 == 0 {
                assert_eq!(set.remove(ShardId(shard)), model.remove(&shard));
            } else {
                assert_eq!(set.insert(ShardId(shard)), model.insert(shard));
            }
            assert_eq!(set.len(), model.len());
            assert_eq!(set.contains(ShardId(shard)), model.contains(&shard));
        }
        assert_eq!(
            set.iter().map(|shard| shard.0).collect::<Vec<_>>(),
            model.into_iter().collect::<Vec<_>>()
        );
        set.clear();
        assert!(set.is_empty());
    }

    #[test]
    fn union_holds_the_shards_of_both() {
        let mut left: ShardSet = [ShardId(0), ShardId(63), ShardId(255)].into_iter().collect();
        let right: ShardSet = [ShardId(64), ShardId(255)].into_iter().collect();
        left.union_with(&right);
        assert_eq!(left.iter().map(|shard| shard.0).collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(format!("{left:?}"), "{0, 63, 64, 255}");
    }
}
