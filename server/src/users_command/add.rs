//! `ringmq users add`.

use super::error::UsersError;
use super::target::{AlgorithmArguments, Target};
use super::{Place, password, say, say_when};
use crate::config::Config;
use clap::{Args, ValueEnum};
use ringmq_access::authentication::scram::{ScramKeys, ScramMechanism};
use ringmq_access::authentication::users::{Row, USER_ID_BYTES_MAX};
use std::path::PathBuf;
use std::process::ExitCode;

/// Whom to add.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// User name, or client id where the configuration goes by it.
    #[arg(value_name = "NAME")]
    name: String,
    /// No access rule applies to the user.
    #[arg(long)]
    superuser: bool,
    /// A file with the password; else it is read from standard input, or asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Make keys for SCRAM too; may be given twice.
    #[arg(long, value_enum, value_name = "MECHANISM")]
    scram: Vec<ScramWord>,
    /// Store no password hash: the user enters by SCRAM alone.
    #[arg(long, requires = "scram")]
    scram_only: bool,
    #[command(flatten)]
    algorithm: AlgorithmArguments,
    #[command(flatten)]
    pub(super) place: Place,
}

/// A mechanism of SCRAM, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScramWord {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// Adds a user, or gives one another password.
pub fn add(arguments: &AddArguments, config: &Config) -> Result<ExitCode, UsersError> {
    let target = Target::find(config, &arguments.place);
    let algorithm = arguments.algorithm.apply(&target.algorithm)?;
    let name = &arguments.name;
    if !(1..=USER_ID_BYTES_MAX).contains(&name.len()) || name.contains('\0') {
        return Err(UsersError::Name);
    }
    // The file is locked only once the password is there, however long somebody types.
    let password = password::read(arguments.password_file.as_deref())?;
    let mut scram = Vec::new();
    for mechanism in ScramMechanism::ALL {
        let word = match mechanism {
            ScramMechanism::Sha256 => ScramWord::Sha256,
            ScramMechanism::Sha512 => ScramWord::Sha512,
        };
        if arguments.scram.contains(&word) {
            let text = std::str::from_utf8(&password).unwrap_or("\0");
            scram.push(ScramKeys::derive(mechanism, target.iterations(mechanism), text)?);
        }
    }
    let hash = if arguments.scram_only { None } else { Some(algorithm.hash(&password)?) };
    let row = Row { user_id: name.as_str().into(), is_superuser: arguments.superuser, password: hash, scram };
    let mut file = target.open()?;
    let was_there = file.put(&row)?;
    file.save()?;
    let done = if was_there { "replaced in" } else { "added to" };
    say(&format!("{name} {done} {}", target.path.display()));
    say_when();
    Ok(ExitCode::SUCCESS)
}
