//! `ringmq log`: an operator's view of what the broker has stored. `docs/log-tools.md` explains it. It speaks to no broker;
//! only `compact` changes files.

mod compact;
mod dump;
mod error;
mod fields;
mod line;
mod lock;
mod moment;
mod store;
mod verify;

pub use error::LogError;

use crate::host;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  ringmq log verify /var/lib/ringmq                   reads everything, changes nothing
  ringmq log dump /var/lib/ringmq | grep ^subscription
  ringmq log dump --client sensor-7 --json /var/lib/ringmq | jq 'select(.kind == \"queued\")'
  systemctl stop ringmq && ringmq log compact /var/lib/ringmq

DIR is a broker's data directory (with shards/00), its directory shards, or the log of one shard (with *.seg).
verify and dump serve for a stopped broker, a copy, and a running broker.

Exit codes: 0 done; 1 damaged (verify, compact), or no such session (dump --client); 2 wrong command line;
66 no log there, or it cannot be used; 75 a broker has it open (compact).";

/// What to do with a log.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum LogCommand {
    /// Read everything and say what is there, torn, or damaged; changes nothing.
    #[command(after_help = EXAMPLES)]
    Verify {
        /// Data directory, its shards, or the log of one shard.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print one line per live record; changes nothing.
    #[command(after_help = EXAMPLES)]
    Dump {
        /// Data directory, its shards, or the log of one shard.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Only the session of this client, and what belongs to it.
        #[arg(long, value_name = "ID", allow_hyphen_values = true)]
        client: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Rewrite the logs of a stopped broker so that they hold live records only.
    #[command(after_help = EXAMPLES)]
    Compact {
        /// Data directory, its shards, or the log of one shard.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// [`LogError`].
pub fn run(command: &LogCommand) -> Result<ExitCode, LogError> {
    // Every segment of a log is open at a time, so that a broker which deletes one does not take it away.
    host::raise_soft_limits();
    match command {
        LogCommand::Verify { directory } => verify::verify(directory),
        LogCommand::Dump { directory, client, json } => {
            dump::dump(directory, dump::Selection { client: client.as_deref(), is_json: *json })
        }
        LogCommand::Compact { directory } => compact::compact(directory),
    }
}
