//! Where each live record lies: ids in ascending order in chunks, sixteen bytes a record. It never holds a payload.
//!
//! Ids are given out in ascending order, so inserting appends to the last chunk. Neighbours that fit into one chunk are
//! merged when records go, so that chunks are more than half full on average: at most 32 bytes a record, and a directory
//! of 32 bytes for each 64 records or more.

use std::collections::VecDeque;

use crate::format::SegmentNumber;

const CHUNK_ENTRIES: usize = 128;
const COPY_BIT: u32 = 1 << 31;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// In which segment.
    pub segment: SegmentNumber,
    /// Where its header begins; a multiple of eight.
    pub offset: u64,
    /// Bytes of its payload, below 2³¹.
    pub length: u32,
    /// Compaction put it there, so that older copies of it may still exist.
    pub is_copy: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    delta: u32,
    segment: u32,
    eighths: u32,
    length_and_copy: u32,
}

impl Entry {
    fn new(delta: u32, location: Location) -> Self {
        Self {
            delta,
            segment: location.segment.0,
            eighths: (location.offset / 8) as u32,
            length_and_copy: location.length | if location.is_copy { COPY_BIT } else { 0 },
        }
    }

    fn location(&self) -> Location {
        Location {
            segment: SegmentNumber(self.segment),
            offset: u64::from(self.eighths) * 8,
            length: self.length_and_copy & !COPY_BIT,
            is_copy: self.length_and_copy & COPY_BIT != 0,
        }
    }
}

#[derive(Debug)]
struct Chunk {
    first: u64,
    entries: Vec<Entry>,
}

impl Chunk {
    fn new(first: u64) -> Self {
        Self { first, entries: Vec::with_capacity(CHUNK_ENTRIES) }
    }

    /// The difference to the chunk's first id, if a chunk can express it.
    fn delta(&self, id: u64) -> Option<u32> {
        u32::try_from(id.checked_sub(self.first)?).ok()
    }

    fn search(&self, delta: u32) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&delta, |entry| entry.delta)
    }

    fn last_delta(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.delta)
    }
}

/// All live records.
#[derive(Debug, Default)]
pub struct Index {
    chunks: VecDeque<Chunk>,
    records: usize,
}

impl Index {
    /// How many records are live.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of memory taken.
    pub fn memory_bytes(&self) -> usize {
        // A chunk has room for all its entries from the first on, and never grows.
        self.chunks.len() * CHUNK_ENTRIES * size_of::<Entry>() + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Where the record lies.
    pub fn location(&self, id: u64) -> Option<Location> {
        let chunk = &self.chunks[self.chunk_of(id)?];
        let at = chunk.search(chunk.delta(id)?).ok()?;
        Some(chunk.entries[at].location())
    }

    /// All records in ascending order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Location)> + '_ {
        self.chunks.iter().flat_map(|chunk| {
            chunk.entries.iter().map(|entry| (chunk.first + u64::from(entry.delta), entry.location()))
        })
    }

    /// The records with this id and higher ones, in ascending order.
    pub fn from(&self, id: u64) -> impl Iterator<Item = (u64, Location)> + '_ {
        let first = self.chunk_of(id).unwrap_or(0);
        let entries = self.chunks.range(first..).flat_map(|chunk| {
            chunk.entries.iter().map(|entry| (chunk.first + u64::from(entry.delta), entry.location()))
        });
        entries.skip_while(move |(other, _)| *other < id)
    }

    /// Says where the record lies; returns where it lay before.
    pub fn insert(&mut self, id: u64, location: Location) -> Option<Location> {
        let Some(at) = self.chunk_of(id) else {
            return self.insert_first(id, location);
        };
        let is_last = at + 1 == self.chunks.len();
        let chunk = &mut self.chunks[at];
        let Some(delta) = chunk.delta(id) else {
            self.insert_chunk(at + 1, id, location);
            return None;
        };
        let place = if delta > chunk.last_delta() { Err(chunk.entries.len()) } else { chunk.search(delta) };
        match place {
            Ok(place) => {
                let old = chunk.entries[place].location();
                chunk.entries[place] = Entry::new(delta, location);
                return Some(old);
            }
            Err(place) if chunk.entries.len() < CHUNK_ENTRIES => {
                chunk.entries.insert(place, Entry::new(delta, location));
                self.records += 1;
            }
            // Full chunks stay full where ids ascend.
            Err(place) if is_last && place == CHUNK_ENTRIES => self.insert_chunk(at + 1, id, location),
            Err(_) => {
                self.split(at);
                return self.insert(id, location);
            }
        }
        None
    }

    /// Forgets the record; returns where it lay.
    pub fn remove(&mut self, id: u64) -> Option<Location> {
        let at = self.chunk_of(id)?;
        let chunk = &mut self.chunks[at];
        let place = chunk.search(chunk.delta(id)?).ok()?;
        let old = chunk.entries.remove(place).location();
        let is_empty = chunk.entries.is_empty();
        self.records -= 1;
        if is_empty {
            self.chunks.remove(at);
        } else if !self.try_merge(at) && at > 0 {
            self.try_merge(at - 1);
        }
        Some(old)
    }

    fn chunk_of(&self, id: u64) -> Option<usize> {
        // Most inserts are behind everything else.
        if let Some(last) = self.chunks.back()
            && last.first <= id
        {
            return Some(self.chunks.len() - 1);
        }
        self.chunks.partition_point(|chunk| chunk.first <= id).checked_sub(1)
    }

    fn insert_chunk(&mut self, at: usize, id: u64, location: Location) {
        let mut chunk = Chunk::new(id);
        chunk.entries.push(Entry::new(0, location));
        self.chunks.insert(at, chunk);
        self.records += 1;
    }

    /// Inserts an id below all others.
    fn insert_first(&mut self, id: u64, location: Location) -> Option<Location> {
        if let Some(chunk) = self.chunks.front_mut()
            && chunk.entries.len() < CHUNK_ENTRIES
            && let Ok(shift) = u32::try_from(chunk.first - id)
            && chunk.last_delta().checked_add(shift).is_some()
        {
            chunk.first = id;
            for entry in &mut chunk.entries {
                entry.delta += shift;
            }
            chunk.entries.insert(0, Entry::new(0, location));
            self.records += 1;
        } else {
            self.insert_chunk(0, id, location);
        }
        None
    }

    fn split(&mut self, at: usize) {
        let chunk = &mut self.chunks[at];
        let shift = chunk.entries[CHUNK_ENTRIES / 2].delta;
        let mut upper = Chunk::new(chunk.first + u64::from(shift));
        upper.entries.extend(
            chunk
                .entries
                .drain(CHUNK_ENTRIES / 2..)
                .map(|entry| Entry { delta: entry.delta - shift, ..entry }),
        );
        self.chunks.insert(at + 1, upper);
    }

    /// Merges a chunk with the one after it if both fit into one.
    fn try_merge(&mut self, at: usize) -> bool {
        let (Some(lower), Some(upper)) = (self.chunks.get(at), self.chunks.get(at + 1)) else {
            return false;
        };
        let Ok(shift) = u32::try_from(upper.first - lower.first) else {
            return false;
        };
        let fits = lower.entries.len() + upper.entries.len() <= CHUNK_ENTRIES
            && upper.last_delta().checked_add(shift).is_some();
        if !fits {
            return false;
        }
        if let Some(upper) = self.chunks.remove(at + 1) {
            let moved = upper.entries.into_iter().map(|entry| Entry { delta: entry.delta + shift, ..entry });
            self.chunks[at].entries.extend(moved);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn location(seed: u64) -> Location {
        Location {
            segment: SegmentNumber(seed as u32 % 7 + 1),
            offset: seed % 1_000 * 8,
            length: seed as u32 % 500,
            is_copy: seed.is_multiple_of(3),
        }
    }

    proptest::proptest! {
        #[test]
        fn an_index_is_an_ordered_map(steps in proptest::collection::vec((0_u8..4, 0_u64..2_000), 1..3_000)) {
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            let mut next = 1_000_u64;
            for (step, (what, seed)) in steps.into_iter().enumerate() {
                let place = location(step as u64);
                match what {
                    0 | 1 => {
                        // Now and then ids jump farther than a chunk can express.
                        next += if seed == 0 { 1 << 33 } else { 1 };
                        assert_eq!(index.insert(next, place), model.insert(next, place));
                    }
                    2 => assert_eq!(index.remove(seed), model.remove(&seed)),
                    _ => assert_eq!(index.insert(seed, place), model.insert(seed, place)),
                }
                assert_eq!(index.location(seed), model.get(&seed).copied());
            }
            assert_eq!(index.len(), model.len());
            assert!(index.chunks.iter().all(|chunk| chunk.entries.capacity() == CHUNK_ENTRIES));
            let middle = next / 2 + 500;
            assert!(index.from(middle).eq(model.range(middle..).map(|(id, location)| (*id, *location))));
            assert!(index.iter().eq(model.into_iter()));
        }
    }

    #[test]
    fn a_record_costs_at_most_32_bytes_however_they_go() {
        let mut index = Index::default();
        for id in 1..=100_000 {
            index.insert(id, location(id));
        }
        assert!(index.memory_bytes() <= 20 * index.len(), "{} bytes", index.memory_bytes());
        for id in (1..=100_000).filter(|id| id % 5 != 0) {
            index.remove(id);
        }
        let per_record = index.chunks.iter().map(|_| CHUNK_ENTRIES * 16 + 32).sum::<usize>() / index.len();
        assert!(per_record <= 32 + 1, "{per_record} bytes");
    }
}
