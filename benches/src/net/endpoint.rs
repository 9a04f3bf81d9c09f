//! Where clients connect to, and through what. It never opens a socket.

use crate::net::transport::Transport;
use std::fmt;
use std::net::SocketAddr;

/// A broker's address and how it is spoken to; the same for all clients of a run.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// What lies between TCP and MQTT.
    pub transport: Transport,
    /// Whether each thread has a descriptor table of its own, so that RLIMIT_NOFILE counts for each thread.
    pub private_fd_tables: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.transport.scheme(), self.address)
    }
}
