//! The data plane: one pinned reactor per core, its connections and sessions, and the lanes between them.
//!
//! [`start`] opens the listeners, starts the shards and returns a [`DataPlane`], the only handle other rooms hold.

pub mod access;
mod affinity;
pub mod allowance;
mod clock;
pub mod config;
pub mod durability;
mod log_port;
pub mod metrics;
mod pace;
mod plane;
mod probe;
mod quota;
mod reactor;
mod shard;
#[cfg(test)]
mod simulation;
mod store;
mod transport;
mod trim;

pub use ringmq_mesh as mesh;

pub use plane::{DataPlane, ListenerAddress, StartError, start};
pub use probe::probe_io_uring;
pub use store::StoreError;
pub use transport::tls::TlsError;
pub use trim::IdleTrim;
