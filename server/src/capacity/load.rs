//! The load that is planned for: what was typed, and the rates that follow from it. It knows no coefficient and no host.

use super::number::{count, rate};
use clap::{Args, ValueEnum};
use ringmq_core::config::Zones;
use serde::Serialize;
use std::path::PathBuf;

/// `ringmq capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityArguments {
    /// The load.
    #[command(flatten)]
    pub load: Load,
    /// The zone of the listeners that the clients come through: its bounds of queues and windows hold.
    #[arg(long, value_name = "NAME", default_value = Zones::DEFAULT_NAME)]
    pub zone: String,
    /// Coefficients that `ringmq-bench calibrate` wrote on this host; else those in the binary, measured elsewhere.
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// What clients will do. Counts and rates may be written 256, 50k, 1.5M or 2G.
#[derive(Debug, Clone, PartialEq, Args, Serialize)]
pub struct Load {
    /// Clients connected at once.
    #[arg(long, value_name = "N", value_parser = count)]
    pub connections: u64,
    /// Messages published per second, by all clients together.
    #[arg(long = "rate", value_name = "N/s", default_value = "0", value_parser = rate)]
    pub rate_per_s: f64,
    /// Payload of a message in bytes.
    #[arg(long = "payload", value_name = "BYTES", default_value = "256", value_parser = count)]
    pub payload_bytes: u64,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Clients each message is delivered to, on average.
    #[arg(long, value_name = "N", default_value = "1", value_parser = rate)]
    pub fanout: f64,
    /// Messages that one client sends or is sent together: a device that reports now and then sends 1, a bridge that
    /// always has more waiting sends 32.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub burst: u32,
    /// Clients speak TLS.
    #[arg(long)]
    pub tls: bool,
    /// Clients speak MQTT over WebSocket.
    #[arg(long)]
    pub ws: bool,
    /// Bytes of a topic name.
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = count)]
    pub topic_bytes: u64,
    /// Subscriptions of all connected clients together; one for each client if it is not said.
    #[arg(long, value_name = "N", value_parser = count)]
    pub filters: Option<u64>,
    /// Retained messages stored.
    #[arg(long, value_name = "N", default_value = "0", value_parser = count)]
    pub retained: u64,
    /// Messages queued for clients that are away.
    #[arg(long, value_name = "N", default_value = "0", value_parser = count)]
    pub offline: u64,
    /// Sessions of clients that are away, one subscription each; one for every 20 messages queued if it is not said.
    #[arg(long, value_name = "N", value_parser = count)]
    pub offline_sessions: Option<u64>,
    /// Where acknowledged messages are: in memory, in a log that is synced now and then, or synced before PUBACK.
    #[arg(long, value_enum, default_value_t = Durability::Memory)]
    pub durability: Durability,
    /// Keep alive of the clients in seconds; 0 for none.
    #[arg(long = "keep-alive", value_name = "SECONDS", default_value = "600", value_parser = count)]
    pub keep_alive_s: u64,
    /// Clients that connect per second, day in, day out.
    #[arg(long = "connect-rate", value_name = "N/s", default_value = "0", value_parser = rate)]
    pub connects_per_s: f64,
    /// Round trip between broker and clients in milliseconds: data stays in buffers that long.
    #[arg(long, value_name = "MS", default_value = "50", value_parser = rate)]
    pub rtt_ms: f64,
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The message is in memory.
    Memory,
    /// The message is written to a log that is synced now and then.
    Wal,
    /// The message is written to a log and synced.
    Fsync,
}

impl Load {
    /// Messages delivered per second.
    pub fn deliveries_per_s(&self) -> f64 {
        self.rate_per_s * self.fanout
    }

    /// PINGREQs per second. A client that sends nothing else pings once in its keep alive.
    pub fn pings_per_s(&self) -> f64 {
        if self.keep_alive_s == 0 { 0.0 } else { self.connections as f64 / self.keep_alive_s as f64 }
    }

    /// Sessions of clients that are away.
    pub fn sessions_away(&self) -> u64 {
        self.offline_sessions.unwrap_or(self.offline.div_ceil(20))
    }

    /// Subscriptions of all sessions.
    pub fn subscriptions(&self) -> u64 {
        self.filters.unwrap_or(self.connections) + self.sessions_away()
    }

    /// Clients that messages come from or go to within a second, as far as the rates tell.
    pub fn active_connections(&self) -> f64 {
        let moved = (self.rate_per_s + self.deliveries_per_s()) / f64::from(self.burst);
        moved.min(self.connections as f64)
    }

    /// Messages on their way to clients at one moment.
    pub fn in_flight(&self) -> f64 {
        self.deliveries_per_s() * self.rtt_ms / 1000.0
    }
}

/// The load of a plain command line, for the tests of other files.
#[cfg(test)]
pub fn load(line: &str) -> Load {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }
    Line::try_parse_from(std::iter::once("capacity").chain(line.split_whitespace())).unwrap().load
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_what_was_typed() {
        let load =
            load("--connections 1M --rate 50k/s --fanout 2.5 --offline 10M --keep-alive 500 --rtt-ms 40");
        assert_eq!(load.deliveries_per_s(), 125_000.0);
        assert_eq!(load.pings_per_s(), 2_000.0);
        assert_eq!((load.sessions_away(), load.subscriptions()), (500_000, 1_500_000));
        assert_eq!(load.active_connections(), 175_000.0);
        assert_eq!(load.in_flight(), 5_000.0);
    }

    #[test]
    fn what_was_said_is_not_guessed() {
        let load =
            load("--connections 10 --rate 1k --offline 100 --offline-sessions 7 --filters 3 --keep-alive 0");
        assert_eq!((load.sessions_away(), load.subscriptions()), (7, 10));
        assert_eq!((load.pings_per_s(), load.active_connections()), (0.0, 10.0));
    }
}
