//! One shard's ends of all lanes.

use super::arrivals::{Arrivals, LaneSet};
use super::doorbell::{Bell, Doorbell};
use super::lane::{Incoming, Outgoing};
use super::primitives::{Ordering, fence};
use ringmq_core::routing::ShardId;
use std::io;
use std::os::fd::OwnedFd;

/// One shard's ends of all its lanes, and its doorbell.
///
/// Made by [`build_mesh`] and moved to the shard's thread. All meshes of a process end together: messages staged for a
/// shard whose mesh was dropped are kept until this one is dropped too.
pub struct Mesh<T> {
    pub(super) shard: ShardId,
    /// One lane to each other shard, by [`lane_of`].
    pub(super) outgoing: Box<[Outgoing<T>]>,
    /// One lane from each other shard, by [`lane_of`].
    pub(super) incoming: Box<[Incoming<T>]>,
    /// The outgoing lanes with staged messages.
    pub(super) staged: LaneSet,
    /// The longest staging queue, exact after every call.
    pub(super) backlog_longest: usize,
    /// Which incoming lanes senders have published to since the last look.
    pub(super) arrivals: Arrivals,
    /// The incoming lanes that may have messages which the last look did not fetch for want of budget.
    pub(super) pending: LaneSet,
    /// The incoming lane to start with next.
    pub(super) first: usize,
    pub(super) doorbell: Doorbell,
}

impl<T> Mesh<T> {
    /// Whose mesh this is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Queues `message` for shard `to`; the next [`Mesh::flush`] sends it.
    ///
    /// The queue is not bounded here, because a message that is on its way must not be lost: the caller stops taking in
    /// work while [`Mesh::is_congested`].
    ///
    /// # Panics
    /// If `to` is this shard itself, or no shard of this mesh.
    #[inline]
    pub fn stage(&mut self, to: ShardId, message: T) {
        assert!(to != self.shard, "a shard has no lane to itself");
        let lane = lane_of(self.shard, to);
        let backlog = self.outgoing[lane].stage(message);
        self.staged.insert(lane);
        self.backlog_longest = self.backlog_longest.max(backlog);
    }

    /// Sends as much of what is staged as the lanes take, wakes the receivers that sleep, and returns whether something
    /// is still staged because its lane is full.
    ///
    /// In that case the shard's own doorbell is rung once there is room; flush again then.
    pub fn flush(&mut self) -> bool {
        if self.staged.is_empty() {
            return false;
        }
        let mut published = LaneSet::default();
        self.backlog_longest = 0;
        for lane in self.staged.iter() {
            let outgoing = &mut self.outgoing[lane];
            if outgoing.publish() {
                published.insert(lane);
            }
            let backlog = outgoing.backlog();
            self.backlog_longest = self.backlog_longest.max(backlog);
            if backlog == 0 {
                self.staged.remove(lane);
            }
        }
        if !published.is_empty() {
            // Step 2 of the wake protocol, once for all receivers.
            fence(Ordering::SeqCst);
            for lane in published.iter() {
                self.outgoing[lane].ring_receiver_after_fence();
            }
        }
        !self.staged.is_empty()
    }

    /// Whether some lane has `backlog_max` or more messages staged: then the shard should not read more publications.
    #[inline]
    pub fn is_congested(&self, backlog_max: usize) -> bool {
        self.backlog_longest >= backlog_max
    }

    /// How many messages are staged for shard `to`.
    ///
    /// # Panics
    /// If `to` is no shard of this mesh.
    pub fn backlog(&self, to: ShardId) -> usize {
        if to == self.shard { 0 } else { self.outgoing[lane_of(self.shard, to)].backlog() }
    }

    /// Hands at most `budget` messages of other shards to `handle` and returns how many there were; wakes senders that
    /// waited for room.
    ///
    /// A lane is emptied of what it held when its turn came, then the next one has its turn; the next call goes on where
    /// this one stopped, so no lane waits for more than one turn of each other.
    pub fn receive(&mut self, budget: usize, mut handle: impl FnMut(ShardId, T)) -> usize {
        self.arrivals.take_into(&mut self.pending);
        let mut served = LaneSet::default();
        let mut received = 0;
        while received < budget
            && let Some(lane) = self.pending.first_from(self.first)
        {
            let (count, emptied) = self.incoming[lane].drain(budget - received, &mut handle);
            if emptied {
                // Whatever is published from now on sets the shared bit again.
                self.pending.remove(lane);
            }
            served.insert(lane);
            received += count;
            self.first = lane + 1;
        }
        if !served.is_empty() {
            // Step 2 of the wake protocol, once for all senders whose rings have room now.
            fence(Ordering::SeqCst);
            for lane in served.iter() {
                self.incoming[lane].ring_starved_sender_after_fence();
            }
        }
        received
    }

    /// Announces that the shard is going to sleep; false, and nothing announced, if the mesh has work for it.
    ///
    /// Work is a message to receive, or a staged message whose lane has room. After true the shard must still look at
    /// every other source whose givers ring its [`Bell`], and then sleep on its doorbell or [`Mesh::unpark`].
    pub fn park(&mut self) -> bool {
        self.doorbell.announce_parked();
        let has_work = !self.pending.is_empty()
            || !self.arrivals.is_empty()
            || self.staged.iter().any(|lane| self.outgoing[lane].has_room());
        if has_work {
            self.doorbell.withdraw_parked();
        }
        !has_work
    }

    /// Says that the shard is awake, so that nobody spends a system call on ringing it. Needed after every `park` that
    /// returned true, whatever ended the sleep.
    pub fn unpark(&mut self) {
        self.doorbell.withdraw_parked();
    }

    /// The receiving end of the doorbell: a non-blocking unix stream socket that becomes readable when rung.
    ///
    /// Each ring sends one byte; the owner reads them away before it sleeps again. Every call makes another descriptor of
    /// the same socket, so one per shard is enough.
    ///
    /// # Errors
    /// The process or the machine is out of descriptors.
    pub fn doorbell(&mut self) -> io::Result<OwnedFd> {
        self.doorbell.descriptor()
    }

    /// A handle to wake this shard with, for threads that give it work outside the mesh.
    pub fn bell(&self) -> Bell {
        self.doorbell.bell()
    }
}

/// The place of the lane between `owner` and `peer` among the owner's lanes: the peers in order, without the owner.
#[inline]
pub fn lane_of(owner: ShardId, peer: ShardId) -> usize {
    usize::from(peer.0) - usize::from(peer.0 > owner.0)
}
