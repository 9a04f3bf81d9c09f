//! Topic filters mapped to values, matched by topic.
//!
//! Exact filters lie in a hash table, wildcard filters in a trie; a match costs one look-up plus the trie nodes on the
//! topic's way, whatever else is stored. Filters come without share prefix. It never validates: a wildcard character in
//! the wrong place stands for itself, as in [`crate::topic::filter_matches`].

use super::wildcard_trie::{WildcardTrie, heap_bytes_of};
use crate::hash::hash_str;
use crate::topic::has_wildcard;
use compact_str::CompactString;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

#[derive(Debug)]
struct ExactFilter<V> {
    filter: CompactString,
    value: V,
}

/// A map from topic filters to values of type `V`, which it can enumerate by topic.
#[derive(Debug)]
pub struct FilterIndex<V> {
    exact: HashTable<ExactFilter<V>>,
    exact_text_bytes: usize,
    wildcards: WildcardTrie<V>,
}

impl<V> Default for FilterIndex<V> {
    fn default() -> FilterIndex<V> {
        FilterIndex::new()
    }
}

impl<V> FilterIndex<V> {
    /// An empty index; it owns no memory.
    pub fn new() -> FilterIndex<V> {
        FilterIndex { exact: HashTable::new(), exact_text_bytes: 0, wildcards: WildcardTrie::new() }
    }

    /// Number of filters.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wildcards.len()
    }

    /// Whether no filter is stored.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty()
    }

    /// The value of `filter`, created as the default if the filter is new.
    pub fn entry(&mut self, filter: &str) -> &mut V
    where
        V: Default,
    {
        if has_wildcard(filter) {
            return self.wildcards.entry(filter);
        }
        let entry = self.exact.entry(
            hash_str(filter),
            |stored| &*stored.filter == filter,
            |stored| hash_str(&stored.filter),
        );
        match entry {
            Entry::Occupied(found) => &mut found.into_mut().value,
            Entry::Vacant(vacant) => {
                self.exact_text_bytes += heap_bytes_of(filter);
                let created = ExactFilter { filter: filter.into(), value: V::default() };
                &mut vacant.insert(created).into_mut().value
            }
        }
    }

    /// The value of `filter`.
    pub fn get(&self, filter: &str) -> Option<&V> {
        if has_wildcard(filter) {
            return self.wildcards.get(filter);
        }
        self.exact.find(hash_str(filter), |stored| &*stored.filter == filter).map(|stored| &stored.value)
    }

    /// The value of `filter`, to be changed.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut V> {
        if has_wildcard(filter) {
            return self.wildcards.get_mut(filter);
        }
        let found = self.exact.find_mut(hash_str(filter), |stored| &*stored.filter == filter);
        found.map(|stored| &mut stored.value)
    }

    /// Removes `filter` and returns its value.
    pub fn remove(&mut self, filter: &str) -> Option<V> {
        if has_wildcard(filter) {
            return self.wildcards.remove(filter);
        }
        let found = self.exact.find_entry(hash_str(filter), |stored| &*stored.filter == filter).ok()?;
        let (removed, _) = found.remove();
        self.exact_text_bytes -= heap_bytes_of(&removed.filter);
        if self.exact.len() < self.exact.capacity() / 8 {
            // Shrinking to a quarter keeps room to grow again, so neither direction pays twice in a row.
            self.exact.shrink_to(self.exact.len() * 2, |stored| hash_str(&stored.filter));
        }
        Some(removed.value)
    }

    /// Calls `found` once with the value of every filter that matches `topic`, in no particular order.
    pub fn for_each_match(&self, topic: &str, mut found: impl FnMut(&V)) {
        if !self.exact.is_empty()
            && let Some(stored) = self.exact.find(hash_str(topic), |stored| &*stored.filter == topic)
        {
            found(&stored.value);
        }
        self.wildcards.for_each_match(topic, found);
    }

    /// Whether an exact filter other than `filter` is stored that has the same process hash. Whoever announces filters
    /// as hashes must not withdraw the hash while that is so.
    pub fn exact_hash_is_shared(&self, filter: &str) -> bool {
        let hash = hash_str(filter);
        self.exact.iter_hash(hash).any(|stored| &*stored.filter != filter && hash_str(&stored.filter) == hash)
    }

    /// Bytes asked of the allocator for everything stored, apart from what the values own.
    pub fn heap_bytes(&self) -> usize {
        self.exact.allocation_size() + self.exact_text_bytes + self.wildcards.heap_bytes()
    }

    /// Trie nodes looked at by all matches so far.
    #[cfg(test)]
    pub(super) fn visits(&self) -> usize {
        self.wildcards.visits()
    }
}

#[cfg(test)]
pub(super) mod tests;
