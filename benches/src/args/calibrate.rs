//! What `calibrate` is told.

use clap::Args;
use std::path::PathBuf;

/// `ringmq-bench calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArguments {
    /// The RingMQ binary to be measured; it is started several times, on free ports of 127.0.0.1, with its data in temporary
    /// folders.
    #[arg(long, value_name = "PATH")]
    pub broker: PathBuf,
    /// Where the coefficients go; standard output if it is not said.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Shards of the broker while its costs are measured.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub shards: u32,
    /// Shorter runs, fewer rounds, fewer clients: three minutes instead of six.
    #[arg(long)]
    pub quick: bool,
}
