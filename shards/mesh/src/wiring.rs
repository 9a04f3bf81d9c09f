//! Building the lanes between all shards, once at the start; it never runs afterwards.

use super::arrivals::{Arrivals, LaneSet};
use super::doorbell::{Doorbell, Signal};
use super::lane::{Doorstep, Incoming, Outgoing, lane};
use super::mesh::{Mesh, lane_of};
use ringmq_core::limits::SHARDS_MAX;
use ringmq_core::routing::ShardId;
use std::io;

/// Builds the lanes between `shards` shards and returns one end of the mesh for each, in the order of their ids.
///
/// Doorbells ring with `signal`.
///
/// A lane holds `lane_capacity` messages, at least one, rounded up to a power of two. Its slots are reserved here, but
/// take up memory only as far as they have been used once.
///
/// # Errors
/// There are no shards or more than 256 ([`io::ErrorKind::InvalidInput`]), or descriptors ran out: a shard takes two, and
/// one more for each [`Mesh::doorbell`].
pub fn build_mesh<T: Send>(shards: usize, lane_capacity: usize, signal: Signal) -> io::Result<Vec<Mesh<T>>> {
    if shards == 0 || shards > SHARDS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a mesh has 1 to 256 shards"));
    }
    let mut doorbells = Vec::with_capacity(shards);
    let mut doorsteps = Vec::with_capacity(shards);
    for shard in (0..=u8::MAX).map(ShardId).take(shards) {
        let doorbell = Doorbell::new(signal)?;
        doorsteps.push(Doorstep { shard, arrivals: Arrivals::new(), bell: doorbell.bell() });
        doorbells.push(doorbell);
    }

    let mut outgoing: Vec<Vec<Outgoing<T>>> = (0..shards).map(|_| Vec::with_capacity(shards - 1)).collect();
    let mut incoming: Vec<Vec<Incoming<T>>> = (0..shards).map(|_| Vec::with_capacity(shards - 1)).collect();
    for (from, sender) in doorsteps.iter().enumerate() {
        for (to, receiver) in doorsteps.iter().enumerate().filter(|(to, _)| *to != from) {
            // Peers come by in ascending order on both sides, so that each end is pushed to the place `lane_of` gives it.
            let number = lane_of(receiver.shard, sender.shard);
            let (out_end, in_end) = lane(sender, receiver, number, lane_capacity);
            outgoing[from].push(out_end);
            incoming[to].push(in_end);
        }
    }

    let ends = outgoing.into_iter().zip(incoming);
    let meshes =
        doorsteps.into_iter().zip(doorbells).zip(ends).map(|((doorstep, doorbell), (outgoing, incoming))| {
            Mesh {
                shard: doorstep.shard,
                outgoing: outgoing.into_boxed_slice(),
                incoming: incoming.into_boxed_slice(),
                staged: LaneSet::default(),
                backlog_longest: 0,
                arrivals: doorstep.arrivals,
                pending: LaneSet::default(),
                first: 0,
                doorbell,
            }
        });
    Ok(meshes.collect())
}
