//! What this host allows: kernel, io_uring, limits, directories, ports. Each file judges one of them; nothing is kept
//! open and nothing is changed, except that soft limits are raised to the hard ones.

mod data_dir;
mod descriptors;
mod finding;
mod io_uring;
mod kernel;
mod locked_memory;
mod ports;

pub use data_dir::{data_dir, make_data_dir};
pub use descriptors::{descriptors, require_descriptors, reserved_descriptors};
pub use finding::{Finding, Grade};
pub use io_uring::{explain_refusal, io_uring};
pub use kernel::kernel;
pub use locked_memory::{locked_memory, require_locked_memory};
pub use ports::{listener_ports, require_listener_ports};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The shards a configuration asks for: `node.shards`, or one per core of the affinity mask.
pub fn shard_count(configured: usize) -> usize {
    let cores = || rustix::thread::sched_getaffinity(None).map(|cores| cores.count() as usize).unwrap_or(1);
    if configured > 0 { configured } else { cores().max(1) }
}

/// Raises the soft limits on descriptors and locked memory to the hard ones; io_uring needs much of both, and the soft
/// ones are low for the sake of programs that use `select`.
pub fn raise_soft_limits() {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let Rlimit { maximum, .. } = getrlimit(resource);
        // A refusal shows where the limit is too low for what is configured.
        let _ = setrlimit(resource, Rlimit { current: maximum, maximum });
    }
}

/// A limit of this host that the configuration does not fit in. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Too few descriptors for the shards alone.
    #[error(
        "RLIMIT_NOFILE is {limit}, but {shards} shards need {needed} descriptors before the first client; {remedy}, or \
         lower node.shards"
    )]
    Descriptors {
        /// The hard limit.
        limit: u64,
        /// The shards asked for.
        shards: usize,
        /// What they need.
        needed: u64,
        /// How to raise it.
        remedy: &'static str,
    },
    /// Too little locked memory for one reactor.
    #[error("RLIMIT_MEMLOCK is {limit} bytes, but io_uring reactors need {needed}; {remedy}")]
    LockedMemory {
        /// The hard limit.
        limit: u64,
        /// What a reactor asks for.
        needed: u64,
        /// How to raise it.
        remedy: &'static str,
    },
    /// The data directory cannot be used.
    #[error("node.data_dir = {path:?}: {source}; choose a directory this user may write to")]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An address of a listener is taken.
    #[error("{key} = \"{address}\": {source}; choose another address or stop the program that uses it")]
    Port {
        /// The key of the listener's address.
        key: String,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
