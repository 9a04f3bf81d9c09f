//! A hierarchical timing wheel: many timers, each set, cancelled and fired in constant time.
//!
//! Time is counted in ticks of [`TICK_MS`]; a deadline is rounded up to its tick, so a timer fires up to one tick after
//! its deadline and never before it. Eleven levels of 64 slots span the whole clock, so there is no overflow to look
//! after. Empty slots are skipped by bitmap: neither an idle gap nor an idle wheel costs work. The wheel reads no clock
//! and calls nobody; it hands back the keys of due timers.

use crate::time::Timestamp;
use std::num::NonZeroU32;

/// Length of a tick: timers whose deadlines fall into the same tick fire together.
pub const TICK_MS: u64 = 8;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 61 bits of ticks in 64 bits of milliseconds, six bits a level.
const LEVELS: usize = 11;
const NONE: u32 = u32::MAX;

/// Names a scheduled timer. Once the timer has fired or was cancelled the id names nothing, also after its slot is used
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: NonZeroU32,
}

/// A timer, linked into the ring of its slot, or a free entry (without key), linked by `next` into the free list.
#[derive(Debug)]
struct Timer<K> {
    tick: u64,
    next: u32,
    previous: u32,
    generation: NonZeroU32,
    key: Option<K>,
}

/// Timers with a key of type `K` each.
#[derive(Debug)]
pub struct TimingWheel<K> {
    /// Every timer before this tick has fired.
    current: u64,
    timers: Vec<Timer<K>>,
    free: u32,
    len: usize,
    /// Stamp of the last timer; it makes ids of one entry differ from each other.
    generation: NonZeroU32,
    /// Bit n: level n has an occupied slot.
    occupied_levels: u16,
    /// Bit n of word l: slot n of level l is occupied.
    occupied_slots: [u64; LEVELS],
    /// First timer of each slot's ring.
    slots: [[u32; SLOTS]; LEVELS],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    level: usize,
    index: usize,
}

impl<K> TimingWheel<K> {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Timestamp) -> TimingWheel<K> {
        TimingWheel {
            current: now.as_ms() / TICK_MS,
            timers: Vec::new(),
            free: NONE,
            len: 0,
            generation: NonZeroU32::MIN,
            occupied_levels: 0,
            occupied_slots: [0; LEVELS],
            slots: [[NONE; SLOTS]; LEVELS],
        }
    }

    /// Number of timers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. A deadline in the past fires at the next [`TimingWheel::expire`]; [`Timestamp::NEVER`] never fires.
    ///
    /// # Panics
    /// With 2^32 - 1 timers set at once, which no memory holds.
    pub fn schedule(&mut self, at: Timestamp, key: K) -> TimerId {
        self.generation = self.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let timer = Timer {
            tick: at.as_ms().div_ceil(TICK_MS),
            next: NONE,
            previous: NONE,
            generation: self.generation,
            key: Some(key),
        };
        let index = if self.free == NONE {
            assert!(self.timers.len() < NONE as usize, "timer indexes are exhausted");
            self.timers.push(timer);
            (self.timers.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.timers[index as usize].next;
            self.timers[index as usize] = timer;
            index
        };
        self.len += 1;
        self.link(index);
        TimerId { index, generation: self.generation }
    }

    /// Takes a timer back and returns its key; None if it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let timer = self.timers.get(id.index as usize)?;
        if timer.generation != id.generation || timer.key.is_none() {
            return None;
        }
        self.unlink(id.index);
        let key = self.release(id.index);
        self.release_memory_if_empty();
        key
    }

    /// When [`TimingWheel::expire`] should be called next: never later than the tick at which the first timer fires,
    /// perhaps earlier, when far timers are due to be sorted anew. None if no timer is set.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let (_, tick) = self.first_occupied()?;
        Some(Timestamp::from_ms(tick.saturating_mul(TICK_MS)))
    }

    /// Appends the keys of all timers due at `now` to `out`, earlier ticks first and timers of one tick in no promised
    /// order. A `now` before that of an earlier call fires only what is overdue.
    pub fn expire(&mut self, now: Timestamp, out: &mut Vec<K>) {
        let target = now.as_ms() / TICK_MS;
        while let Some((slot, tick)) = self.first_occupied() {
            if tick > target.max(self.current) {
                break;
            }
            // Between the old and the new current tick every slot is empty, so no timer's slot changes by the jump.
            self.current = tick;
            if slot.level == 0 {
                self.fire(slot, out);
            } else {
                self.sort_anew(slot);
            }
        }
        self.current = self.current.max(target);
        self.release_memory_if_empty();
    }

    /// The first occupied slot and the tick it begins at. A lower level lies wholly before the next slot of a higher one.
    fn first_occupied(&self) -> Option<(Slot, u64)> {
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros();
        let index = self.occupied_slots[level as usize].trailing_zeros();
        let shift = SLOT_BITS * level;
        let above = u64::MAX.checked_shl(shift + SLOT_BITS).unwrap_or(0);
        let tick = (self.current & above) | u64::from(index) << shift;
        Some((Slot { level: level as usize, index: index as usize }, tick))
    }

    /// The slot of a timer: its level is that of the highest digit in which its tick differs from the current one.
    fn slot_of(&self, tick: u64) -> Slot {
        let tick = tick.max(self.current);
        let differing = (tick ^ self.current) | (SLOTS as u64 - 1);
        let level = (u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS;
        Slot { level: level as usize, index: (tick >> (SLOT_BITS * level)) as usize % SLOTS }
    }

    fn fire(&mut self, slot: Slot, out: &mut Vec<K>) {
        let first = self.take_ring(slot);
        let mut index = first;
        loop {
            let next = self.timers[index as usize].next;
            out.extend(self.release(index));
            if next == first {
                return;
            }
            index = next;
        }
    }

    /// Moves the timers of a slot that the current tick has reached to lower levels.
    fn sort_anew(&mut self, slot: Slot) {
        let first = self.take_ring(slot);
        let mut index = first;
        loop {
            let next = self.timers[index as usize].next;
            self.link(index);
            if next == first {
                return;
            }
            index = next;
        }
    }

    /// Empties an occupied slot and returns the first timer of its ring.
    fn take_ring(&mut self, slot: Slot) -> u32 {
        let first = std::mem::replace(&mut self.slots[slot.level][slot.index], NONE);
        self.mark_empty(slot);
        first
    }

    /// Appends a timer to the ring of its slot.
    fn link(&mut self, index: u32) {
        let slot = self.slot_of(self.timers[index as usize].tick);
        let first = self.slots[slot.level][slot.index];
        if first == NONE {
            self.slots[slot.level][slot.index] = index;
            self.occupied_slots[slot.level] |= 1 << slot.index;
            self.occupied_levels |= 1 << slot.level;
            let timer = &mut self.timers[index as usize];
            timer.next = index;
            timer.previous = index;
            return;
        }
        let last = self.timers[first as usize].previous;
        self.timers[last as usize].next = index;
        self.timers[first as usize].previous = index;
        let timer = &mut self.timers[index as usize];
        timer.next = first;
        timer.previous = last;
    }

    fn unlink(&mut self, index: u32) {
        let Timer { tick, next, previous, .. } = self.timers[index as usize];
        let slot = self.slot_of(tick);
        if next == index {
            self.slots[slot.level][slot.index] = NONE;
            self.mark_empty(slot);
            return;
        }
        self.timers[previous as usize].next = next;
        self.timers[next as usize].previous = previous;
        let first = &mut self.slots[slot.level][slot.index];
        if *first == index {
            *first = next;
        }
    }

    fn mark_empty(&mut self, slot: Slot) {
        self.occupied_slots[slot.level] &= !(1 << slot.index);
        if self.occupied_slots[slot.level] == 0 {
            self.occupied_levels &= !(1 << slot.level);
        }
    }

    fn release(&mut self, index: u32) -> Option<K> {
        let timer = &mut self.timers[index as usize];
        timer.next = self.free;
        self.free = index;
        self.len -= 1;
        timer.key.take()
    }

    /// An empty wheel that was large once keeps nothing. Ids stay unique, as stamps are counted by the wheel.
    fn release_memory_if_empty(&mut self) {
        const KEPT: usize = 1024;
        if self.len == 0 && self.timers.capacity() > KEPT {
            self.timers = Vec::new();
            self.free = NONE;
        }
    }
}

#[cfg(test)]
mod tests;
