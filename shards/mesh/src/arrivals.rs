//! The set of incoming lanes that have something new: one bit a lane, set by senders, taken by the receiver.
//!
//! It lets a shard with 255 incoming lanes find the few that have messages by reading four words instead of 255 indices.
//! It never says how much there is, and a set bit may turn out to stand for nothing.

use super::primitives::{Arc, AtomicU64, CachePadded, Ordering};
use ringmq_core::limits::SHARDS_MAX;

/// One bit for every other shard, and one to spare.
const WORDS: usize = SHARDS_MAX / WORD_BITS;
const WORD_BITS: usize = u64::BITS as usize;

/// The shared set; each receiver has one.
#[derive(Clone)]
pub(super) struct Arrivals(Arc<CachePadded<[AtomicU64; WORDS]>>);

impl Arrivals {
    pub(super) fn new() -> Self {
        Self(Arc::new(CachePadded(std::array::from_fn(|_| AtomicU64::new(0)))))
    }

    /// Notes that `lane` has something new; the sender calls it after publishing.
    ///
    /// Release pairs with the Acquire of [`Arrivals::take_into`]: whoever takes this bit sees what was published. A bit
    /// set after the receiver took the word stays for its next look, so the sender's last word always counts, whether or
    /// not the receiver found the messages by an earlier bit.
    #[inline]
    pub(super) fn insert(&self, lane: usize) {
        self.0.0[lane / WORD_BITS].fetch_or(1 << (lane % WORD_BITS), Ordering::Release);
    }

    /// Moves all bits into `lanes`.
    #[inline]
    pub(super) fn take_into(&self, lanes: &mut LaneSet) {
        for (word, taken) in self.0.0.iter().zip(&mut lanes.0) {
            // The plain read keeps the line shared while nothing comes in, which is most of the time.
            if word.load(Ordering::Relaxed) != 0 {
                *taken |= word.swap(0, Ordering::Acquire);
            }
        }
    }

    /// Whether no bit is set; exact only after a fence, as in the wake protocol.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.0.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

/// A set of lanes that one shard keeps for itself.
#[derive(Clone, Copy, Default)]
pub(super) struct LaneSet([u64; WORDS]);

impl LaneSet {
    #[inline]
    pub(super) fn insert(&mut self, lane: usize) {
        self.0[lane / WORD_BITS] |= 1 << (lane % WORD_BITS);
    }

    #[inline]
    pub(super) fn remove(&mut self, lane: usize) {
        self.0[lane / WORD_BITS] &= !(1 << (lane % WORD_BITS));
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The first lane of the set at or after `start`, or else the first of all.
    #[inline]
    pub(super) fn first_from(&self, start: usize) -> Option<usize> {
        self.first_at_or_after(start).or_else(|| self.first_at_or_after(0))
    }

    /// The lanes in ascending order.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let lane = rest.first_at_or_after(0)?;
            rest.remove(lane);
            Some(lane)
        })
    }

    #[inline]
    fn first_at_or_after(&self, start: usize) -> Option<usize> {
        let first = start / WORD_BITS;
        let mut mask = u64::MAX << (start % WORD_BITS);
        for (index, word) in self.0.iter().enumerate().skip(first) {
            if word & mask != 0 {
                return Some(index * WORD_BITS + (word & mask).trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }
}
