//! Which broker a scenario talks to, and how.

use anyhow::{Context, Result};
use clap::Args;
use ringmq_core::codec::ProtocolVersion;
use std::net::{SocketAddr, ToSocketAddrs};

/// Which broker, how to speak to it, and what to observe.
#[derive(Debug, Clone, Args)]
pub struct TargetArguments {
    /// Host name or address of the broker.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// TCP port of the broker.
    #[arg(long, default_value_t = 1883)]
    pub port: u16,
    /// MQTT version: 3 for 3.1, 4 for 3.1.1, 5 for 5.0.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub mqtt: u8,
    /// Process id of the broker on this machine, to report its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Keep alive announced in CONNECT, in seconds; 0 for none.
    #[arg(long, default_value_t = 600)]
    pub keep_alive: u16,
    /// Threads that generate load, each with its own epoll loop.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Give up on a connection after this many seconds between connect() and readiness.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub connect_timeout: u64,
    /// The most handshakes in progress at once, over all threads.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connecting_max: u32,
    /// Beginning of every client identifier.
    #[arg(long, default_value = "bench")]
    pub prefix: String,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl TargetArguments {
    /// The first address the host resolves to.
    ///
    /// # Errors
    /// When the host does not resolve.
    pub fn address(&self) -> Result<SocketAddr> {
        (self.host.as_str(), self.port)
            .to_socket_addrs()
            .with_context(|| format!("--host {}", self.host))?
            .next()
            .with_context(|| format!("--host {} has no address", self.host))
    }

    /// The protocol version of `--mqtt`.
    pub fn version(&self) -> ProtocolVersion {
        match self.mqtt {
            3 => ProtocolVersion::V31,
            4 => ProtocolVersion::V311,
            _ => ProtocolVersion::V5,
        }
    }
}
