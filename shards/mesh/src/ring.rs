//! A bounded ring between one producer and one consumer, the storage of a lane.
//!
//! It never blocks, never allocates after [`ring`], and wakes nobody: telling the other side that something changed is
//! the business of the lane. This is the only file of the mesh that holds unsafe code.
//!
//! It is our own because loom can explore it together with the wake protocol, which it cannot do with rtrb or glommio's
//! queue; `cargo bench -p ringmq-benches --bench lanes` compares the three.
//!
//! Both indices only ever grow (wrapping at `usize`); a slot is `index & mask`. The slots from `head` to `tail` hold
//! messages and belong to the consumer, all others belong to the producer. An index is published with Release and read
//! by the other side with Acquire, which hands over the slots it passed. Each side keeps its own index in plain memory
//! and the producer a copy of the other's too, so that it touches the consumer's cache line only when the ring looks
//! full.

use super::primitives::{Arc, AtomicBool, AtomicUsize, CachePadded, Ordering, UnsafeCell};
use std::collections::VecDeque;
use std::mem::MaybeUninit;

/// Makes a ring of at least `capacity` slots, rounded up to a power of two, and returns its two ends.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let ring = Arc::new(Ring {
        written: CachePadded(Written { tail: AtomicUsize::new(0), starved: AtomicBool::new(false) }),
        head: CachePadded(AtomicUsize::new(0)),
        mask: capacity - 1,
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    (Producer { ring: ring.clone(), tail: 0, head_seen: 0, starved: false }, Consumer { ring, head: 0 })
}

/// The writing end; owned by one thread at a time.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    /// The index of the next slot to write, equal to the published one between calls.
    tail: usize,
    /// The consumer's index as last read; the true one is the same or further on.
    head_seen: usize,
    /// What the consumer was told last.
    starved: bool,
}

impl<T> Producer<T> {
    /// How many messages the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.ring.mask + 1
    }

    /// Whether at least one slot is free right now; looks at the consumer's true index if the known one says full.
    pub fn has_room(&mut self) -> bool {
        self.room_for(1) > 0
    }

    /// Moves as many messages as fit from the front of `staged` into the ring, publishes them all at once, and returns
    /// how many went.
    #[inline]
    pub fn push_batch(&mut self, staged: &mut VecDeque<T>) -> usize {
        let count = self.room_for(staged.len()).min(staged.len());
        if count == 0 {
            return 0;
        }
        let mut tail = self.tail;
        for message in staged.drain(..count) {
            self.ring.slot(tail).with_mut(|slot| {
                // SAFETY: `room_for` found `tail` less than a whole ring ahead of a `head` that the consumer published,
                // so the slot is free and, `self` being the only producer, nobody else touches it until `tail` is
                // published below. The Acquire read of `head` orders the consumer's last read of this slot before this
                // write.
                unsafe { (*slot).write(message) };
            });
            tail = tail.wrapping_add(1);
        }
        self.tail = tail;
        self.ring.written.0.tail.store(tail, Ordering::Release);
        count
    }

    /// Says whether messages are left over because the ring is full, for [`Consumer::is_starved`].
    ///
    /// Saying it wakes nobody and is ordered with nothing: see the wake protocol in the doorbell's file.
    #[inline]
    pub fn set_starved(&mut self, starved: bool) {
        if self.starved != starved {
            self.starved = starved;
            self.ring.written.0.starved.store(starved, Ordering::Relaxed);
        }
    }

    /// The free slots, exact if they are fewer than `wanted`.
    #[inline]
    fn room_for(&mut self, wanted: usize) -> usize {
        let room = self.capacity() - self.tail.wrapping_sub(self.head_seen);
        if room >= wanted {
            return room;
        }
        self.head_seen = self.ring.head.0.load(Ordering::Acquire);
        self.capacity() - self.tail.wrapping_sub(self.head_seen)
    }
}

/// The reading end; owned by one thread at a time.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// The index of the next slot to read; ahead of the published one while a batch is being drained.
    head: usize,
}

impl<T> Consumer<T> {
    /// Hands at most `budget` of the messages that are in the ring now to `handle`, in order, frees their slots all at
    /// once, and returns how many there were and whether the ring was emptied of what it held at the start.
    #[inline]
    pub fn drain(&mut self, budget: usize, mut handle: impl FnMut(T)) -> (usize, bool) {
        let tail = self.ring.written.0.tail.load(Ordering::Acquire);
        let held = tail.wrapping_sub(self.head);
        let count = held.min(budget);
        for _ in 0..count {
            // SAFETY: the slot lies between `head` and a published `tail`, so the producer has written it, the Acquire
            // read of `tail` makes that write visible, and the producer leaves it alone until `head` is published.
            // `head` moves on before the message is handed over, so it is read once even if `handle` panics.
            let message = self.ring.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() });
            self.head = self.head.wrapping_add(1);
            handle(message);
        }
        self.publish_head();
        (count, count == held)
    }

    /// Whether the producer has more than fits, as it said last.
    ///
    /// Only the producer ever takes it back. Were the consumer to clear it, it could clear one that was set anew after
    /// the producer filled the slots just freed, and leave the producer asleep.
    #[inline]
    pub fn is_starved(&self) -> bool {
        self.ring.written.0.starved.load(Ordering::Relaxed)
    }

    #[inline]
    fn publish_head(&self) {
        self.ring.head.0.store(self.head, Ordering::Release);
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // After a panic in `drain` the published index is behind; the ring must not drop what was handed over.
        self.publish_head();
    }
}

/// What both ends share.
struct Ring<T> {
    written: CachePadded<Written>,
    /// Up to where the consumer has read; written by the consumer alone.
    head: CachePadded<AtomicUsize>,
    mask: usize,
    /// `mask + 1` slots.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

/// The cache line that the producer writes; the word on starvation sits beside the index because the consumer
/// reads both in one go.
struct Written {
    /// Up to where the producer has written; written by the producer alone.
    tail: AtomicUsize,
    /// Whether the producer has more than fits; written by the producer alone.
    starved: AtomicBool,
}

// SAFETY: messages cross threads by value only (`T: Send`); a slot is touched by the side that owns it by the rule in the
// file's header, and the two ends cannot be cloned, so there is one thread a side.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: the last end to go drops the messages left over, which may be on another thread than made them: `T: Send`.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        // SAFETY: `slots` has `mask + 1` elements and is never replaced, so the masked index is in bounds.
        unsafe { self.slots.get_unchecked(index & self.mask) }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // Both ends are gone and `Arc` ordered their last writes before this.
        let tail = self.written.0.tail.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: the slots from `head` to `tail` hold messages that nobody read, and `&mut self` is exclusive.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}
