//! The binary `ringmq`: reads what was typed, assembles the rooms, and turns their errors into one line each.

#![forbid(unsafe_code)]

mod access;
mod arguments;
mod capacity;
mod check;
mod config;
mod host;
mod log_command;
mod logging;
mod panics;
mod reload;
mod signals;
mod start;
mod users_command;

use arguments::{Arguments, Command};
use clap::Parser;
use config::{Config, ConfigError, Sources};
use start::StartError;
use std::io::Write;
use std::process::ExitCode;

/// Why the process ends with an error.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Capacity(#[from] capacity::CapacityError),
    #[error(transparent)]
    Log(#[from] log_command::LogError),
    #[error(transparent)]
    Users(#[from] users_command::UsersError),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Capacity(_) => 1,
            Failure::Log(error) => error.exit_code(),
            Failure::Users(error) => error.exit_code(),
            Failure::Start(error) => error.exit_code(),
        }
    }
}

fn main() -> ExitCode {
    panics::install();
    let (command, sources) = Arguments::parse().into_parts();
    run(command, sources).unwrap_or_else(|failure| {
        // A closed standard error is no reason to fail in another way.
        let _ = writeln!(std::io::stderr(), "ringmq: error: {failure}");
        ExitCode::from(failure.exit_code())
    })
}

fn run(command: Command, sources: Sources) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(_) => {
            let config = Config::load(&sources)?;
            start::serve(config, sources)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(_) => Ok(check::check(&Config::load(&sources)?)),
        Command::Capacity { capacity, .. } => Ok(capacity::run(*capacity, &Config::load(&sources)?)?),
        Command::Log(command) => Ok(log_command::run(&command)?),
        Command::Users(command) => Ok(users_command::run(&command, &Config::load(&sources)?)?),
        Command::Config => {
            let _ = std::io::stdout().write_all(config::DEFAULT_FILE.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
    }
}
