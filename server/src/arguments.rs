//! The command line: what can be typed. What it means is decided in `config/`.

use crate::capacity::CapacityArguments;
use crate::config::Sources;
use crate::log_command::LogCommand;
use crate::users_command::UsersCommand;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  ringmq                                              MQTT on 127.0.0.1:1883, data in ./data
  ringmq --config /etc/ringmq.toml                    with a configuration file
  ringmq --set listeners.tcp.default.bind=1883        MQTT on every interface
  ringmq --set node.shards=4 --set node.data_dir=/tmp/data
  RINGMQ_MQTT__MAX_INFLIGHT=64 ringmq                 a key from the environment
  ringmq check --config /etc/ringmq.toml              validates the file and this host, starts nothing
  ringmq capacity --connections 1M --rate 50k/s       what such a load needs, and whether this host can
  ringmq log verify /var/lib/ringmq                   whether what is stored can be read; also dump, compact
  ringmq users add alice                              a user of the built-in database; also del, list, import
  ringmq config > ringmq.toml                         every key with its meaning, default and bounds

A key is taken from --set, else from the environment, else from the file, else its default.
kill -HUP reads what can change while it runs again (log, access, certificates); SIGTERM and SIGINT stop the broker, a second one at once.

Exit codes: 0 stopped or nothing wrong, 1 wrong configuration or host (capacity: this host cannot), 2 wrong command line,
66 and 75 see ringmq log --help and ringmq users --help, 69 io_uring cannot be used, 70 defect of RingMQ.";

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "ringmq", version, about = "An MQTT 3.1, 3.1.1 and 5.0 broker on io_uring", after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MQTT (the default).
    #[command(after_help = EXAMPLES)]
    Serve(ConfigArguments),
    /// Validate the configuration and the host; one line per finding, with its remedy.
    Check(ConfigArguments),
    /// Say what a load needs, what breaks first as it grows, and whether this host can.
    Capacity {
        /// The broker it is planned for.
        #[command(flatten)]
        config: ConfigArguments,
        /// The load.
        #[command(flatten)]
        capacity: Box<CapacityArguments>,
    },
    /// Check, show or shrink what the broker has stored.
    #[command(subcommand)]
    Log(LogCommand),
    /// Add, remove, list or import the users of the built-in database.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Print the configuration file with every key at its default.
    Config,
}

/// Where the configuration comes from. May stand before and after the subcommand.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArguments {
    /// Configuration file (TOML); else RINGMQ_CONFIG; else none.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key; wins over the environment and the file.
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

impl Arguments {
    /// The command, and the sources of its configuration together with the environment of the process.
    pub fn into_parts(self) -> (Command, Sources) {
        let command = self.command.unwrap_or(Command::Serve(ConfigArguments::default()));
        let after = match &command {
            Command::Serve(after) | Command::Check(after) | Command::Capacity { config: after, .. } => {
                after.clone()
            }
            Command::Users(command) => command.config().clone(),
            Command::Log(_) | Command::Config => ConfigArguments::default(),
        };
        let sources = Sources {
            file: after.config.or(self.config.config),
            environment: std::env::vars_os().collect(),
            set: self.config.set.into_iter().chain(after.set).collect(),
        };
        (command, sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (Command, Sources) {
        Arguments::try_parse_from(line.split(' ')).unwrap().into_parts()
    }

    #[test]
    fn command_line_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_and_options_stand_on_both_sides() {
        let (command, sources) = parts("ringmq --set a=1 --config f");
        assert!(matches!(command, Command::Serve(_)));
        assert_eq!((sources.file(), sources.set), (Some("f".into()), vec!["a=1".to_owned()]));
        let (command, sources) = parts("ringmq --set a=1 check --set b=2 --config g");
        assert!(matches!(command, Command::Check(_)));
        assert_eq!(
            (sources.file(), sources.set),
            (Some("g".into()), vec!["a=1".to_owned(), "b=2".to_owned()])
        );
    }
}
