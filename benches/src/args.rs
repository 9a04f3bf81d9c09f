//! The command line. What was typed, with its defaults and bounds; what it means is decided by the scenarios.

use crate::load::traffic::Plan;
use anyhow::{Context, Result};
use clap::{ArgAction, Args, Parser, Subcommand};
use ringmq_core::codec::{ProtocolVersion, QoS};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A load generator for any MQTT broker that verifies what it measures.
///
/// Exit code 0: measured and verified; 1: a message was lost, duplicated or out of order, or a connection failed;
/// 2: the run could not be made.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The scenario.
    #[command(subcommand)]
    pub command: Command,
}

/// A scenario.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open many connections, hold them, close them.
    Conn(ConnArguments),
    /// Publisher i to subscriber i, closed loop with a window.
    Pairs(PairsArguments),
    /// One publisher to many subscribers, closed loop with a window.
    Fanout(FanoutArguments),
}

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

/// `ringmq-bench conn`.
#[derive(Debug, Clone, Args)]
pub struct ConnArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Connections to open.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Seconds to hold them once all are open.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub hold: u64,
    /// Connections opened per second; 0 for as many as the broker accepts.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Subscribe each client to a topic of its own; it counts as connected after SUBACK.
    #[arg(long)]
    pub subscribe: bool,
    /// Clean Session (3.x) or Clean Start (5.0); with `false` and 5.0 the session expires after an hour.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub clean_session: bool,
}

/// What every scenario with messages has in common.
#[derive(Debug, Clone, Args)]
pub struct TrafficArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Subscribers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub subscribers: u32,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Seconds of traffic before the measurement starts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup: u64,
    /// Payload bytes; at least 16, which hold publisher, sequence number and send time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub payload: u32,
    /// The most messages of one publisher that are undelivered or, at QoS 1 and 2, unacknowledged.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub window: u16,
    /// Sleep this long after every turn of the event loop, so that the generator reads many at
    /// once and leaves its CPU time to the broker. For saturated runs only: it adds to every latency.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub pause_us: u64,
    /// Do not fail on messages lost at QoS 0.
    #[arg(long)]
    pub allow_loss: bool,
}

impl TrafficArguments {
    fn to_plan(&self, publishers: u32) -> Plan {
        Plan {
            target: self.target.clone(),
            publishers,
            subscribers: self.subscribers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            measured: Duration::from_secs(self.seconds),
            warmup: Duration::from_secs(self.warmup),
            payload_bytes: self.payload as usize,
            window_messages: u32::from(self.window),
            pause: Duration::from_micros(self.pause_us),
            allow_loss: self.allow_loss,
        }
    }
}

/// `ringmq-bench pairs`.
#[derive(Debug, Clone, Args)]
pub struct PairsArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Publishers. Where their number differs from that of the subscribers, the smaller side is shared round robin.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub publishers: u32,
}

impl PairsArguments {
    /// The traffic this command line asks for.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(self.publishers)
    }
}

/// `ringmq-bench fanout`.
#[derive(Debug, Clone, Args)]
pub struct FanoutArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
}

impl FanoutArguments {
    /// The traffic this command line asks for: one publisher, every subscriber on its topic.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(1)
    }
}
