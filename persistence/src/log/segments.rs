//! What the log knows of each segment: how much of it is live, which removals in it still matter, what becomes of it.
//! It never touches a file.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::SegmentNumber;

/// What becomes of a segment's file when nothing in it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// It is deleted.
    #[default]
    Delete,
    /// It is damaged: it is renamed.
    Quarantine,
}

/// One segment.
#[derive(Debug, Default)]
pub struct Segment {
    /// Bytes of its file. Of a segment among others, [`Segments::allocate`] says how many they are.
    pub allocated: u64,
    /// Where its last record ends, as far as it was written.
    pub end: u64,
    /// Live records.
    pub live: u64,
    /// Their bytes on disk.
    pub live_bytes: u64,
    /// Bytes of records that were put into it, and not copied by compaction.
    pub put_bytes: u64,
    /// Bytes in it that were needed and are not any more.
    pub gone_bytes: u64,
    /// Ids removed by records in this segment, counted by the segment that holds what they remove. An entry goes when
    /// that segment is gone.
    pub needs: BTreeMap<SegmentNumber, u64>,
    /// It may hold records that were copied elsewhere, so that their removal must outlive it.
    pub is_stale: bool,
    /// It must be emptied whatever it holds.
    pub is_forced: bool,
    /// Compaction could not read all of it: it stays as long as it holds anything.
    pub is_spoiled: bool,
    /// What becomes of it.
    pub fate: Fate,
    /// The batch that must be on disk before its file may go.
    pub empty_since: u64,
    /// Its file is being deleted or renamed.
    pub is_leaving: bool,
    /// Creations of its file that are not permanent yet.
    pub creating: u32,
}

impl Segment {
    /// Bytes that would have to be copied if it were compacted.
    pub fn needed_bytes(&self) -> u64 {
        self.live_bytes + 8 * self.needs.values().sum::<u64>()
    }

    /// Whether nothing in it is needed.
    pub fn is_empty(&self) -> bool {
        self.live == 0 && self.needs.is_empty()
    }
}

/// All segments.
#[derive(Debug, Default)]
pub struct Segments {
    all: BTreeMap<SegmentNumber, Segment>,
    /// Bytes of all files.
    allocated: u64,
    /// Bytes of all live records.
    live_bytes: u64,
    /// The number of the first that can still be written to.
    pub first_open: u32,
    /// Segments that may be empty.
    pub(super) empties: BTreeSet<SegmentNumber>,
    /// Segments that may be worth compacting.
    pub(super) sparse: BTreeSet<SegmentNumber>,
}

impl Segments {
    /// The segment, if it exists.
    pub fn find(&self, number: SegmentNumber) -> Option<&Segment> {
        self.all.get(&number)
    }

    /// The segment, to change it.
    pub fn find_mut(&mut self, number: SegmentNumber) -> Option<&mut Segment> {
        self.all.get_mut(&number)
    }

    /// Adds a segment.
    pub fn insert(&mut self, number: SegmentNumber, segment: Segment) {
        self.allocated += segment.allocated;
        self.live_bytes += segment.live_bytes;
        let old = self.all.insert(number, segment);
        debug_assert!(old.is_none(), "a number is given out once");
    }

    /// The segment's file has so many bytes now.
    pub fn allocate(&mut self, number: SegmentNumber, bytes: u64) {
        if let Some(segment) = self.all.get_mut(&number) {
            self.allocated = self.allocated - segment.allocated + bytes;
            segment.allocated = bytes;
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, in the order they were written.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (SegmentNumber, &Segment)> {
        self.all.iter().map(|(number, segment)| (*number, segment))
    }

    /// All of them, to change them.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (SegmentNumber, &mut Segment)> {
        self.all.iter_mut().map(|(number, segment)| (*number, segment))
    }

    /// Bytes of all files.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated
    }

    /// Bytes of all live records.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Whether nothing will be written to it any more.
    pub fn is_closed(&self, number: SegmentNumber) -> bool {
        number.0 < self.first_open
    }

    /// Counts a live record of `bytes` bytes.
    pub fn add_live(&mut self, number: SegmentNumber, bytes: u64) {
        if let Some(segment) = self.all.get_mut(&number) {
            segment.live += 1;
            segment.live_bytes += bytes;
            self.live_bytes += bytes;
        }
    }

    /// Takes a live record of `bytes` bytes away; returns whether it was the last.
    pub fn remove_live(&mut self, number: SegmentNumber, bytes: u64, threshold: u64) -> bool {
        let is_closed = self.is_closed(number);
        let Some(segment) = self.all.get_mut(&number) else {
            return false;
        };
        debug_assert!(segment.live > 0 && segment.live_bytes >= bytes, "only what was counted goes");
        segment.live = segment.live.saturating_sub(1);
        let gone = segment.live_bytes.min(bytes);
        segment.live_bytes -= gone;
        segment.gone_bytes += gone;
        self.live_bytes -= gone;
        let is_last = segment.live == 0;
        if is_closed && segment.live_bytes < threshold {
            self.sparse.insert(number);
        }
        is_last
    }

    /// Forgets a segment whose file is gone for good, and with it what others kept for its sake.
    pub fn remove(&mut self, number: SegmentNumber) {
        if let Some(segment) = self.all.remove(&number) {
            self.allocated -= segment.allocated;
            self.live_bytes -= segment.live_bytes;
        }
        self.empties.remove(&number);
        self.sparse.remove(&number);
        for (other, segment) in &mut self.all {
            if let Some(count) = segment.needs.remove(&number) {
                segment.gone_bytes += 8 * count;
                self.empties.insert(*other);
                self.sparse.insert(*other);
            }
        }
    }

    /// Segments whose records may lie elsewhere too.
    pub fn stale(&self) -> impl Iterator<Item = SegmentNumber> + '_ {
        self.all.iter().filter(|(_, segment)| segment.is_stale).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn totals_are_the_sums_of_the_segments(steps in proptest::collection::vec((0_u8..6, 1_u32..6, 1_u64..100), 1..400)) {
            let mut segments = Segments::default();
            let mut live: BTreeMap<SegmentNumber, Vec<u64>> = BTreeMap::new();
            for (what, number, bytes) in steps {
                let number = SegmentNumber(number);
                match what {
                    0 if segments.find(number).is_none() => {
                        segments.insert(number, Segment { allocated: 100 * bytes, ..Segment::default() });
                    }
                    1 => segments.allocate(number, 7 * bytes),
                    2 => {
                        segments.remove(number);
                        live.remove(&number);
                    }
                    3 => {
                        if let Some(last) = live.get_mut(&number).and_then(Vec::pop) {
                            segments.remove_live(number, last, 0);
                        }
                    }
                    _ => {
                        segments.add_live(number, bytes);
                        if segments.find(number).is_some() {
                            live.entry(number).or_default().push(bytes);
                        }
                    }
                }
                let allocated: u64 = segments.iter().map(|(_, segment)| segment.allocated).sum();
                assert_eq!(segments.allocated_bytes(), allocated);
                assert_eq!(segments.live_bytes(), live.values().flatten().sum::<u64>());
                assert_eq!(segments.len(), segments.iter().count());
            }
        }
    }
}
