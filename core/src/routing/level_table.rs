//! Interned topic levels: every distinct level text of the wildcard filters exists once and has a small id.
//!
//! It counts references and forgets a text when the last is released; it knows nothing of filters or nodes.

use crate::hash::hash_str;
use compact_str::CompactString;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Id of an interned level text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LevelId(pub(super) u32);

#[derive(Debug)]
struct Level {
    text: CompactString,
    references: u32,
}

/// Bytes a text takes from the allocator: short ones are stored in place.
pub(super) fn heap_bytes_of(text: &str) -> usize {
    if text.len() <= size_of::<CompactString>() { 0 } else { text.len() }
}

/// The table of level texts.
#[derive(Debug, Default)]
pub(super) struct LevelTable {
    ids: HashTable<u32>,
    levels: Vec<Level>,
    free: Vec<u32>,
    text_bytes: usize,
}

impl LevelTable {
    /// Id of `text`, if some filter has that level.
    pub(super) fn find(&self, text: &str) -> Option<LevelId> {
        self.ids.find(hash_str(text), |id| &*self.levels[*id as usize].text == text).map(|id| LevelId(*id))
    }

    /// The text that `id` names.
    pub(super) fn text(&self, id: LevelId) -> &str {
        &self.levels[id.0 as usize].text
    }

    /// Number of distinct texts.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Id of `text`, with one more reference to it.
    pub(super) fn acquire(&mut self, text: &str) -> LevelId {
        let levels = &mut self.levels;
        let entry = self.ids.entry(
            hash_str(text),
            |id| &*levels[*id as usize].text == text,
            |id| hash_str(&levels[*id as usize].text),
        );
        match entry {
            Entry::Occupied(found) => {
                let id = *found.get();
                levels[id as usize].references += 1;
                LevelId(id)
            }
            Entry::Vacant(vacant) => {
                let level = Level { text: text.into(), references: 1 };
                let id = match self.free.pop() {
                    Some(id) => {
                        levels[id as usize] = level;
                        id
                    }
                    None => {
                        levels.push(level);
                        (levels.len() - 1) as u32
                    }
                };
                vacant.insert(id);
                self.text_bytes += heap_bytes_of(text);
                LevelId(id)
            }
        }
    }

    /// Gives one reference back.
    pub(super) fn release(&mut self, id: LevelId) {
        let level = &mut self.levels[id.0 as usize];
        level.references -= 1;
        if level.references > 0 {
            return;
        }
        let text = std::mem::take(&mut level.text);
        self.text_bytes -= heap_bytes_of(&text);
        if let Ok(found) = self.ids.find_entry(hash_str(&text), |other| *other == id.0) {
            found.remove();
        }
        self.free.push(id.0);
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.ids.allocation_size()
            + self.levels.capacity() * size_of::<Level>()
            + self.free.capacity() * size_of::<u32>()
            + self.text_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_lives_as_long_as_its_references() {
        let mut table = LevelTable::default();
        let first = table.acquire("a");
        assert_eq!(table.acquire("a"), first);
        let other = table.acquire("");
        assert_ne!(other, first);
        table.release(first);
        assert_eq!(table.find("a"), Some(first));
        table.release(first);
        assert_eq!(table.find("a"), None);
        assert_eq!(table.find(""), Some(other));
        assert_eq!(table.acquire("b"), first, "the freed id is used again");
    }
}
