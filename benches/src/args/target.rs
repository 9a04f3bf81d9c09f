//! Which broker a scenario talks to, and how.

use crate::net::endpoint::Endpoint;
use crate::net::syscalls;
use crate::net::transport::{TlsTerms, Transport, WebSocketTerms};
use anyhow::{Context, Result, ensure};
use clap::Args;
use ringmq_core::codec::ProtocolVersion;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

/// Descriptors of a table that are not connections: standard streams, epoll, files that are looked at.
const DESCRIPTORS_RESERVED: u64 = 32;
/// A client identifier with a number behind it stays far below what MQTT allows.
const PREFIX_BYTES_MAX: usize = 256;

/// Which broker, how to speak to it, and what to observe.
#[derive(Debug, Clone, Args)]
pub struct TargetArguments {
    /// Host name or address of the broker.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// TCP port of the broker.
    #[arg(long, default_value_t = 1883, value_parser = clap::value_parser!(u16).range(1..))]
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
    /// Beginning of every topic and client identifier.
    #[arg(long, default_value = "bench", value_parser = prefix)]
    pub prefix: String,
    /// TLS below MQTT, or below the WebSocket; needs `--ca` or `--insecure`.
    #[arg(long)]
    pub tls: bool,
    /// PEM file of the certificates that the broker's own must lead to.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub ca: Option<PathBuf>,
    /// Take any certificate of the broker.
    #[arg(long, requires = "tls", conflicts_with = "ca")]
    pub insecure: bool,
    /// PEM file of our certificate and its issuers, for brokers that ask for one.
    #[arg(long, value_name = "FILE", requires = "tls", requires = "key")]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of `--cert`.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// MQTT over WebSocket (subprotocol `mqtt`).
    #[arg(long)]
    pub ws: bool,
    /// Path of the WebSocket.
    #[arg(long, default_value = "/mqtt", value_name = "PATH")]
    pub ws_path: String,
    /// A descriptor table for each thread, so that RLIMIT_NOFILE bounds the connections of a thread
    /// instead of all.
    #[arg(long)]
    pub private_fd_tables: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl TargetArguments {
    /// The first address the host resolves to, and how it is spoken to.
    ///
    /// # Errors
    /// When the host does not resolve, or TLS or WebSocket cannot be what is asked for.
    pub fn address(&self) -> Result<Endpoint> {
        let address = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .with_context(|| format!("--host {}", self.host))?
            .next()
            .with_context(|| format!("--host {} has no address", self.host))?;
        let websocket = || WebSocketTerms::new(format!("{}:{}", self.host, self.port), self.ws_path.clone());
        let tls = self.tls.then(|| self.tls_terms()).transpose()?;
        let transport = Transport::new(tls, self.ws.then(websocket).transpose()?);
        Ok(Endpoint { address, transport, private_fd_tables: self.private_fd_tables })
    }

    /// Raises the soft limit of descriptors to the hard one and checks that `connections` fit into it: a limit of the process,
    /// or of each thread where each has a table of its own.
    ///
    /// # Errors
    /// When they do not fit; the message says what to do.
    pub fn check_descriptors(&self, connections: u64) -> Result<()> {
        let descriptors_max = syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
        let tables = if self.private_fd_tables { u64::from(self.threads) } else { 1 };
        let needed = connections.div_ceil(tables) + DESCRIPTORS_RESERVED;
        ensure!(
            needed <= descriptors_max,
            "{connections} connections need {needed} descriptors in each of {tables} tables, and RLIMIT_NOFILE allows \
             {descriptors_max}; raise it (ulimit -Hn), or use --private-fd-tables with more --threads"
        );
        Ok(())
    }

    fn tls_terms(&self) -> Result<TlsTerms> {
        ensure!(self.insecure || self.ca.is_some(), "--tls needs --ca FILE, or --insecure to trust anybody");
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        TlsTerms::new(&self.host, self.ca.as_deref(), identity)
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

/// Topics begin with it, so it has to be what a TopicName may be. [MQTT-4.7.1-1] [MQTT-4.7.2-1]
fn prefix(text: &str) -> Result<String> {
    ensure!(!text.is_empty() && text.len() <= PREFIX_BYTES_MAX, "from 1 to {PREFIX_BYTES_MAX} bytes");
    ensure!(!text.contains(['+', '#', '\0']) && !text.starts_with('$'), "no topic begins like this");
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_a_topic_may_begin_with() {
        for text in ["bench", "a/b", "Ünï"] {
            assert_eq!(prefix(text).unwrap(), text);
        }
        for text in ["", "a/+", "#", "$SYS", "a\0b", &"x".repeat(PREFIX_BYTES_MAX + 1)] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }
}
