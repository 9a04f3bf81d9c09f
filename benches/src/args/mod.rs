//! The command line. What was typed, with its defaults and bounds; what it means is decided by the scenarios.

mod calibrate;
mod compare;
mod connections;
mod durable;
mod named;
mod report;
mod stored;
mod target;
mod traffic;

pub use calibrate::CalibrateArguments;
use clap::{Parser, Subcommand};
pub use compare::CompareArguments;
pub use connections::{ConnArguments, StormArguments};
pub use durable::DurableArguments;
pub use named::NamedArguments;
pub use report::ReportArguments;
pub use stored::{OfflineArguments, RetainArguments, StoredArguments};
pub use target::TargetArguments;
pub use traffic::{FaninArguments, FanoutArguments, PairsArguments, WildArguments};

/// A load generator for any MQTT broker that verifies what it measures.
///
/// Exit code 0: measured and verified; 1: a message was lost, duplicated or out of order, or a connection failed;
/// 2: the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "ringmq-bench", version, args_override_self = true)]
pub struct Arguments {
    /// Show no progress on the terminal.
    #[arg(long, global = true)]
    pub quiet: bool,
    /// The scenario.
    #[command(subcommand)]
    pub command: Command,
}

/// A scenario.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start several brokers in turn, run the same scenarios against each, print medians and ratios.
    Compare(CompareArguments),
    /// Turn results written with `--json` into one page with plots.
    Report(ReportArguments),
    /// Open many connections, hold them, close them.
    Conn(ConnArguments),
    /// Many clients lose their connection at once and all come back.
    Storm(StormArguments),
    /// Publisher i to subscriber i.
    Pairs(PairsArguments),
    /// Few publishers to many subscribers.
    Fanout(FanoutArguments),
    /// Many publishers to few subscribers, plain or as one shared subscription.
    Fanin(FaninArguments),
    /// Many filters, exact, with + and with #, of which few match.
    Wild(WildArguments),
    /// Store retained messages, receive them all, clear them.
    Retain(RetainArguments),
    /// Queue messages for persistent sessions that are away, then let all come back.
    Offline(OfflineArguments),
    /// Start RingMQ at each level of durability and compare what it costs to queue messages for sessions that are away.
    Durable(DurableArguments),
    /// Run a scenario of the Open MQTT Benchmark Suite, or a scenario file.
    Run(NamedArguments),
    /// Measure what things cost a RingMQ on this host, for `ringmq capacity`.
    Calibrate(CalibrateArguments),
}
