//! `ringmq users`: the users that the element `password_based:built_in_database` knows. It changes a file and speaks to no
//! broker; a running one takes the change up on SIGHUP.

mod add;
mod error;
mod list;
mod password;
mod target;

pub use error::UsersError;

use crate::arguments::ConfigArguments;
use crate::config::Config;
use clap::{Args, Subcommand, ValueEnum};
use ringmq_access::authentication::users::{ImportFormat, ImportKind, ImportRules, import};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

const EXAMPLES: &str = "\
Examples:
  ringmq users add alice                              asks for the password
  printf %s \"$PASSWORD\" | ringmq users add alice --superuser
  ringmq users add sensor --scram sha256 --password-file /run/secrets/sensor
  ringmq users del alice
  ringmq users list --json | jq -r .user_id
  ringmq users import users.csv                       user_id,password,is_superuser
  ringmq users import hashes.csv --type hash --algorithm sha256 --salt-position suffix
  ringmq users import /etc/mosquitto/passwd           Mosquitto's password_file
  kill -HUP $(pidof ringmq)                           a running broker takes it up

The file is users.db in node.data_dir unless the configuration or --file names another.

Exit codes: 0 done; 1 no such user, or nothing was imported; 2 wrong command line; 66 the file cannot be used; 75 another
ringmq is changing it.";

/// What to do with users.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum UsersCommand {
    /// Add a user, or give one another password.
    #[command(after_help = EXAMPLES)]
    Add(add::AddArguments),
    /// Remove users.
    #[command(after_help = EXAMPLES)]
    Del {
        /// Their user names or client ids.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Print one line per user; never a password or hash.
    #[command(after_help = EXAMPLES)]
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Where.
        #[command(flatten)]
        place: Place,
    },
    /// Take in the users of a file, all or none.
    #[command(after_help = EXAMPLES)]
    Import(ImportArguments),
}

/// Which file of users.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    config: ConfigArguments,
    /// The file of users, in place of the one of the configuration.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// What to import.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// CSV, JSON, or a password_file of Mosquitto.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// How it is written; else its name says it: .csv, .json, any other is Mosquitto's.
    #[arg(long, value_enum)]
    format: Option<FormatWord>,
    /// Whether it has passwords or their hashes.
    #[arg(long = "type", value_enum, default_value = "plain")]
    kind: KindWord,
    /// Leave users as they are that are there already.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    algorithm: target::AlgorithmArguments,
    #[command(flatten)]
    place: Place,
}

/// A format, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatWord {
    /// Comma-separated values under a header.
    Csv,
    /// An array of objects.
    Json,
    /// `user:hash` lines.
    Mosquitto,
}

/// What stands in a file for passwords, as it is typed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KindWord {
    /// The passwords.
    Plain,
    /// Their hashes.
    Hash,
}

impl UsersCommand {
    /// Where the configuration comes from.
    pub fn config(&self) -> &ConfigArguments {
        let place = match self {
            UsersCommand::Add(arguments) => &arguments.place,
            UsersCommand::Del { place, .. } | UsersCommand::List { place, .. } => place,
            UsersCommand::Import(arguments) => &arguments.place,
        };
        &place.config
    }
}

/// Does it.
///
/// # Errors
/// [`UsersError`]; no file was changed then.
pub fn run(command: &UsersCommand, config: &Config) -> Result<ExitCode, UsersError> {
    match command {
        UsersCommand::Add(arguments) => add::add(arguments, config),
        UsersCommand::Del { names, place } => delete(names, &Target::find(config, place)),
        UsersCommand::List { json, place } => list::list(&Target::find(config, place), *json),
        UsersCommand::Import(arguments) => import_users(arguments, config),
    }
}

fn delete(names: &[String], target: &Target) -> Result<ExitCode, UsersError> {
    let mut file = target.open()?;
    for name in names {
        if !file.table.remove(name) {
            return Err(UsersError::NoUser { name: name.clone(), path: target.path.clone() });
        }
    }
    file.save()?;
    for name in names {
        say(&format!("{name} removed from {}", target.path.display()));
    }
    say_when();
    Ok(ExitCode::SUCCESS)
}

fn import_users(arguments: &ImportArguments, config: &Config) -> Result<ExitCode, UsersError> {
    let target = Target::find(config, &arguments.place);
    let algorithm = arguments.algorithm.apply(&target.algorithm)?;
    let format = match arguments.format {
        Some(FormatWord::Csv) => ImportFormat::Csv,
        Some(FormatWord::Json) => ImportFormat::Json,
        Some(FormatWord::Mosquitto) => ImportFormat::Mosquitto,
        None => ImportFormat::of(&arguments.source),
    };
    let kind = match arguments.kind {
        KindWord::Plain => ImportKind::Plain,
        KindWord::Hash => ImportKind::Hash,
    };
    let mut file = target.open()?;
    let rules = ImportRules { algorithm: &algorithm, keeps_existing: arguments.keep };
    let imported = import(&mut file.table, &arguments.source, format, kind, rules)?;
    file.save()?;
    say(&format!(
        "{}: {} users added, {} replaced, {} kept; {} has {}",
        arguments.source.display(),
        imported.added,
        imported.replaced,
        imported.kept,
        target.path.display(),
        file.table.len()
    ));
    say_when();
    Ok(ExitCode::SUCCESS)
}

/// Tells what was done; nobody listening does not undo it.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn say_when() {
    say("a running broker takes this up on SIGHUP: kill -HUP its process");
}
