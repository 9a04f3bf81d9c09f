//! Many client connections, driven by a few threads: sockets, handshakes, packets.

pub mod client;
pub mod endpoint;
pub mod engine;
pub mod opener;
pub mod pinger;
pub mod sources;
pub mod syscalls;
pub mod transport;
pub mod wire;
