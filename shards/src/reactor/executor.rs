//! A shard's thread: a glommio executor, pinned where it has a core for itself.

use super::drive::drive;
use super::glommio_net::GlommioNet;
use super::passage::Passage;
use super::tables;
use super::uring::UringNet;
use crate::affinity::{Place, give_way};
use crate::clock::Clock;
use crate::config::NetBackend;
use crate::plane::StartError;
use crate::shard::Shard;
use crossbeam_channel::{Sender, bounded};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::thread::JoinHandle;

/// Registered memory of an executor. Nothing of the network uses it; the default of 10 MiB would exceed a usual
/// RLIMIT_MEMLOCK.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Entries of each ring of an executor.
const RING_ENTRIES: usize = 128;

/// What a shard's thread is made of.
pub struct ShardSeed {
    pub shard: Shard,
    /// Its listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// Where it runs.
    pub place: Place,
    pub backend: NetBackend,
    pub clock: Clock,
    /// With `node.private_fd_tables`.
    pub table: Option<PrivateTable>,
}

/// A descriptor table of its own.
pub struct PrivateTable {
    /// How sockets cross.
    pub passage: Passage,
    /// Descriptors of other shards that this table shall not hold.
    pub foreign: Vec<RawFd>,
}

/// The running thread of a shard.
#[derive(Debug)]
pub struct ShardThread {
    handle: JoinHandle<()>,
}

impl ShardThread {
    /// Waits until the shard ended.
    pub fn join(self) {
        if self.handle.join().is_err() {
            tracing::error!("a shard ended with a panic");
        }
    }
}

/// Starts the thread of a shard; returns when its rings are made.
///
/// # Errors
/// When the thread, its descriptor table or its rings cannot be made.
pub fn spawn(mut seed: ShardSeed) -> Result<ShardThread, StartError> {
    let index = usize::from(seed.shard.id().0);
    let fail = |reason: String| StartError::Shard { shard: index, reason };
    let doorbell = seed.shard.doorbell().map_err(|error| fail(error.to_string()))?;
    let (report, started) = bounded(1);
    let handle = std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || run(seed, doorbell, &report))
        .map_err(|error| fail(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => Ok(ShardThread { handle }),
        Ok(Err(error)) => Err(fail(error.to_string())),
        Err(_) => Err(fail("its thread ended".to_owned())),
    }
}

/// The life of a shard's thread. Everything it opens belongs to its own table, if it has one.
fn run(seed: ShardSeed, doorbell: OwnedFd, report: &Sender<io::Result<()>>) {
    let ShardSeed { shard, listeners, place, backend, clock, table } = seed;
    if place == Place::Crowded {
        give_way();
    }
    let separated = table.as_ref().map_or(Ok(()), |table| tables::separate(&table.foreign));
    let executor = separated.and_then(|()| executor(place));
    let passage = table.map(|table| table.passage);
    let tell = |made: io::Result<()>| {
        // The other end waits for exactly this.
        let _ = report.send(made);
    };
    match executor {
        Err(error) => tell(Err(error)),
        Ok(executor) => executor.run(async move {
            if backend == NetBackend::Glommio {
                match GlommioNet::new(listeners, doorbell) {
                    Ok(net) => {
                        tell(Ok(()));
                        Box::pin(drive(shard, net, clock, passage)).await;
                    }
                    Err(error) => tell(Err(error)),
                }
            } else {
                match UringNet::new(listeners, doorbell, clock) {
                    Ok(net) => {
                        tell(Ok(()));
                        Box::pin(drive(shard, net, clock, passage)).await;
                    }
                    Err(error) => tell(Err(error)),
                }
            }
        }),
    }
}

pub(super) fn executor(place: Place) -> io::Result<LocalExecutor> {
    let placement = match place {
        Place::Pinned(core) => Placement::Fixed(core),
        Place::Free | Place::Crowded => Placement::Unbound,
    };
    LocalExecutorBuilder::new(placement)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_ENTRIES)
        .make()
        .map_err(|error| io::Error::other(error.to_string()))
}
