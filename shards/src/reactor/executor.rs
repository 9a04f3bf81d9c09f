//! A shard's thread: a glommio executor, pinned when there is a core for it.

use super::drive::drive;
use super::glommio_net::GlommioNet;
use super::uring::UringNet;
use crate::clock::Clock;
use crate::config::NetBackend;
use crate::plane::StartError;
use crate::shard::Shard;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use std::os::fd::OwnedFd;

/// Registered memory of an executor. Nothing of the network uses it; the default of 10 MiB would exceed a usual
/// RLIMIT_MEMLOCK.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// Entries of each ring of an executor.
const RING_ENTRIES: usize = 128;

/// The running thread of a shard.
#[derive(Debug)]
pub struct ShardThread {
    handle: ExecutorJoinHandle<()>,
}

impl ShardThread {
    /// Waits until the shard ended.
    pub fn join(self) {
        if let Err(error) = self.handle.join() {
            tracing::error!(%error, "a shard ended with an error");
        }
    }
}

/// Starts the thread of a shard. `core` pins it.
///
/// # Errors
/// When the thread or its rings cannot be made.
pub fn spawn(
    mut shard: Shard,
    listeners: Vec<OwnedFd>,
    core: Option<usize>,
    backend: NetBackend,
    clock: Clock,
) -> Result<ShardThread, StartError> {
    let index = usize::from(shard.id().0);
    let fail = |reason: String| StartError::Shard { shard: index, reason };
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let doorbell = shard.doorbell().map_err(|error| fail(error.to_string()))?;
    let handle = LocalExecutorBuilder::new(placement)
        .name(&format!("shard-{index}"))
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_ENTRIES)
        .spawn(move || async move {
            let ended = if backend == NetBackend::Glommio {
                match GlommioNet::new(listeners, doorbell) {
                    Ok(net) => Ok(drive(shard, net, clock).await),
                    Err(error) => Err(error),
                }
            } else {
                match UringNet::new(listeners, doorbell, clock) {
                    Ok(net) => Ok(drive(shard, net, clock).await),
                    Err(error) => Err(error),
                }
            };
            if let Err(error) = ended {
                tracing::error!(shard = index, %error, "a shard cannot wait on its listeners");
            }
        })
        .map_err(|error| fail(error.to_string()))?;
    Ok(ShardThread { handle })
}
