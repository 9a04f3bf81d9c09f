//! What `durable` is told.

use clap::{ArgAction, Args};
use std::path::PathBuf;

/// `ringmq-bench durable`.
#[derive(Debug, Clone, Args)]
pub struct DurableArguments {
    /// The RingMQ binary to be measured; it is started once for each level, on free ports of 127.0.0.1.
    #[arg(long, value_name = "PATH")]
    pub broker: PathBuf,
    /// A folder on the disk to be measured: the brokers' data goes to temporary folders in it. The system's temporary folder
    /// if it is not said.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Shards of each broker.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub shards: u32,
    /// Rounds, in each of which every level queues and delivers all messages once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Persistent sessions that are away, each with a subscription to one topic.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// Sessions that share a topic: each message is queued for so many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fanout: u32,
    /// Messages queued for each session in a round.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub messages: u32,
    /// Publishers; the topics are dealt out among them.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub publishers: u32,
    /// The most unacknowledged messages of one publisher.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub window: u16,
    /// Payload bytes.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub payload: u32,
    /// In the last round, end the brokers of the levels `wal` and `fsync` with SIGKILL when all is acknowledged, and start them
    /// again before the messages are received.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub kill: bool,
    /// Measure a broker that stores nothing as well (`sessions.durable = false`).
    #[arg(long)]
    pub with_off: bool,
    /// Threads that generate load.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Give up on a stage (queueing, draining) after this many seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}
