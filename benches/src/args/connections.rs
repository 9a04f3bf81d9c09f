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
