//! What the scenarios that are about connections, not messages, are told on the command line.

use super::TargetArguments;
use clap::{ArgAction, Args};

/// `ringmq-bench conn`.
#[derive(Debug, Clone, Args)]
pub struct ConnArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Connections to open.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Seconds to hold them once all are open, quiet but for pings.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub hold: u64,
    /// Connections opened per second; 0 for as many as the broker accepts.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Subscribe each client to a topic of its own; it counts as connected after SUBACK.
    #[arg(long)]
    pub subscribe: bool,
    /// After the quiet hold, this part of the clients receives a message each second on the topic of its
    /// own, published by connections besides those counted; every message is verified.
    #[arg(long, default_value_t = 0, requires = "subscribe",
        value_parser = clap::value_parser!(u32).range(0..=100))]
    pub active_percent: u32,
    /// Seconds during which they do.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub active_seconds: u64,
    /// Quality of service of these messages and of the broadcast.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub qos: u8,
    /// Then subscribe every client to one common topic, publish one message to it, and verify that it
    /// arrives at each once.
    #[arg(long)]
    pub broadcast: bool,
    /// Seconds to wait for the broker to give back its memory after all have left; needs `--pid`.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub settle: u64,
    /// Clean Session (3.x) or Clean Start (5.0); with `false` and 5.0 the session expires after an hour.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub clean_session: bool,
    /// Say on standard error every ten seconds how far it is.
    #[arg(long)]
    pub progress: bool,
}

/// `ringmq-bench storm`.
#[derive(Debug, Clone, Args)]
pub struct StormArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Clients that lose their connection at once.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Spread the reconnects evenly over this many seconds; 0 for as fast as the broker accepts.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub within: u32,
    /// Give up this many seconds after the loss, or after the end of `--within`.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub give_up: u64,
    /// Subscribe each client to a topic of its own when it connects first.
    #[arg(long)]
    pub subscribe: bool,
    /// Keep the session (clean session 0) and verify that the broker still has it.
    #[arg(long)]
    pub persistent: bool,
}
