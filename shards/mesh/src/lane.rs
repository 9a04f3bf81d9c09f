//! The two ends of a lane: one ring, one way, with what its ends need to find and wake each other.
//!
//! It never fences and never decides when to ring; the mesh does both once for many lanes.

use super::arrivals::Arrivals;
use super::doorbell::Bell;
use super::ring::{Consumer, Producer, ring};
use ringmq_core::routing::ShardId;
use std::collections::VecDeque;

/// What a shard lends to others so that they can reach it.
pub(super) struct Doorstep {
    pub(super) shard: ShardId,
    pub(super) arrivals: Arrivals,
    pub(super) bell: Bell,
}

/// Makes the lane between two shards. `number` is the lane's place among those that come in to `receiver`.
pub(super) fn lane<T: Send>(
    sender: &Doorstep,
    receiver: &Doorstep,
    number: usize,
    capacity: usize,
) -> (Outgoing<T>, Incoming<T>) {
    let (producer, consumer) = ring(capacity);
    let outgoing = Outgoing {
        staged: VecDeque::new(),
        producer,
        number,
        arrivals: receiver.arrivals.clone(),
        receiver: receiver.bell.clone(),
    };
    (outgoing, Incoming { sender: sender.shard, consumer, sender_bell: sender.bell.clone() })
}

/// The sending end.
pub(super) struct Outgoing<T> {
    /// Messages that are not yet in the ring. Bounded by the owner's patience, not here: see `Mesh::is_congested`.
    staged: VecDeque<T>,
    producer: Producer<T>,
    number: usize,
    arrivals: Arrivals,
    receiver: Bell,
}

impl<T> Outgoing<T> {
    /// Appends to the staging queue and returns its length.
    #[inline]
    pub(super) fn stage(&mut self, message: T) -> usize {
        self.staged.push_back(message);
        self.staged.len()
    }

    pub(super) fn backlog(&self) -> usize {
        self.staged.len()
    }

    /// Moves what fits from the staging queue to the ring and notes it with the receiver; says that the lane is
    /// starved if something is left. Returns whether anything was published.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let published = self.producer.push_batch(&mut self.staged) > 0;
        if published {
            self.arrivals.insert(self.number);
        }
        self.producer.set_starved(!self.staged.is_empty());
        if self.staged.is_empty() && self.staged.capacity() > 2 * self.producer.capacity() {
            // A burst is over: its memory goes back.
            self.staged.shrink_to(self.producer.capacity());
        }
        published
    }

    /// Whether the ring can take a message now.
    pub(super) fn has_room(&mut self) -> bool {
        self.producer.has_room()
    }

    #[inline]
    pub(super) fn ring_receiver_after_fence(&self) {
        self.receiver.ring_after_fence();
    }
}

/// The receiving end.
pub(super) struct Incoming<T> {
    sender: ShardId,
    consumer: Consumer<T>,
    sender_bell: Bell,
}

impl<T> Incoming<T> {
    /// [`Consumer::drain`], naming the sender.
    #[inline]
    pub(super) fn drain(&mut self, budget: usize, handle: &mut impl FnMut(ShardId, T)) -> (usize, bool) {
        let sender = self.sender;
        self.consumer.drain(budget, |message| handle(sender, message))
    }

    /// Wakes the sender if it said that the lane is full.
    #[inline]
    pub(super) fn ring_starved_sender_after_fence(&self) {
        if self.consumer.is_starved() {
            self.sender_bell.ring_after_fence();
        }
    }
}
