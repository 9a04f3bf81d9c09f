//! Users from a file of another system: CSV or JSON with passwords or their hashes, or Mosquitto's `password_file`. A file
//! is taken in whole or not at all: the first thing that is wrong ends it, with its line.

use super::row::{Row, USER_ID_BYTES_MAX};
use super::table::{TableError, UserTable};
use crate::authentication::password::{HashAlgorithm, HashError, PasswordHash, from_columns, from_mosquitto};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// Comma-separated values under a line of names.
    Csv,
    /// An array of objects.
    Json,
    /// `user:hash` lines.
    Mosquitto,
}

/// What stands in the file for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportKind {
    /// The password.
    #[default]
    Plain,
    /// A hash and its salt.
    Hash,
}

impl ImportFormat {
    /// The format of a file with this name: `.csv` and `.json` say it, any other is Mosquitto's.
    pub fn of(path: &Path) -> ImportFormat {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => ImportFormat::Csv,
            Some(extension) if extension.eq_ignore_ascii_case("json") => ImportFormat::Json,
            _ => ImportFormat::Mosquitto,
        }
    }
}

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line, from 1.
    Line(u64),
    /// An entry of an array, from 1.
    Entry(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "{line}"),
            Place::Entry(entry) => write!(f, "entry {entry}"),
        }
    }
}

/// Why nothing was imported. It never shows a password or hash.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}; name a readable file", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{place}: {fault}; nothing was imported", path.display())]
    Fault {
        /// Which file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// What.
        fault: Fault,
    },
    /// The table has no room, or the system no random numbers.
    #[error("{}: {source}; nothing was imported", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TableError,
    },
}

/// What is wrong with a place of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The names of the columns.
    #[error("expected the header {0}")]
    Header(&'static str),
    /// Not of the format.
    #[error("not well-formed: {0}")]
    Form(Box<str>),
    /// No user id, or one too long.
    #[error("the user id must be 1 to {USER_ID_BYTES_MAX} bytes without a NUL character")]
    UserId,
    /// A column that is missing.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// The superuser column.
    #[error("is_superuser must be true or false")]
    Superuser,
    /// The hash.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Users that were not there before.
    pub added: usize,
    /// Users whose password was replaced.
    pub replaced: usize,
    /// Users that were there and stayed as they were.
    pub kept: usize,
}

/// One user of a file.
#[derive(Debug, Deserialize)]
struct Line {
    user_id: Box<str>,
    #[serde(default)]
    password: Option<Box<str>>,
    #[serde(default)]
    password_hash: Option<Box<str>>,
    #[serde(default)]
    salt: Option<Box<str>>,
    #[serde(default)]
    is_superuser: Flag,
}

/// A flag as files write it.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    #[default]
    Absent,
    Bool(bool),
    Number(u8),
    Text(Box<str>),
}

impl Flag {
    fn value(&self) -> Result<bool, Fault> {
        match self {
            Flag::Absent => Ok(false),
            Flag::Bool(flag) => Ok(*flag),
            Flag::Number(0) => Ok(false),
            Flag::Number(1) => Ok(true),
            Flag::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "" | "false" | "0" => Ok(false),
                "true" | "1" => Ok(true),
                _ => Err(Fault::Superuser),
            },
            Flag::Number(_) => Err(Fault::Superuser),
        }
    }
}

/// What is done with what a file holds.
#[derive(Debug, Clone, Copy)]
pub struct ImportRules<'a> {
    /// How new passwords are hashed, and how hashes were made that do not say it.
    pub algorithm: &'a HashAlgorithm,
    /// Whether users that are there already stay as they are.
    pub keeps_existing: bool,
}

/// Takes the users of a file into a table. Users that are there already get the password of the file, unless `rules` keep
/// them; one that stands in the file twice gets the later one.
///
/// # Errors
/// [`ImportError`]; the table is of no use then, and must not be saved.
pub fn import(
    table: &mut UserTable,
    path: &Path,
    format: ImportFormat,
    kind: ImportKind,
    rules: ImportRules<'_>,
) -> Result<Imported, ImportError> {
    let bytes = std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let mut taking = Taking { table, path, kind, rules, plain: Vec::new(), imported: Imported::default() };
    match format {
        ImportFormat::Csv => taking.take_csv(&bytes)?,
        ImportFormat::Json => taking.take_json(&bytes)?,
        ImportFormat::Mosquitto => taking.take_mosquitto(&bytes)?,
    }
    taking.hash_plain()?;
    Ok(taking.imported)
}

/// A password that is still to be hashed.
struct Plain {
    row: Row,
    password: Box<[u8]>,
}

struct Taking<'a> {
    table: &'a mut UserTable,
    path: &'a Path,
    kind: ImportKind,
    rules: ImportRules<'a>,
    plain: Vec<Plain>,
    imported: Imported,
}

impl Taking<'_> {
    fn fault(&self, place: Place) -> impl FnOnce(Fault) -> ImportError + '_ {
        move |fault| ImportError::Fault { path: self.path.to_owned(), place, fault }
    }

    fn take_csv(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let header = match self.kind {
            ImportKind::Plain => "user_id,password,is_superuser",
            ImportKind::Hash => "user_id,password_hash,salt,is_superuser",
        };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let wrong_header = |taking: &Taking<'_>| taking.fault(Place::Line(1))(Fault::Header(header));
        let names = reader.headers().map_err(|_| wrong_header(self))?.clone();
        let column = |name: &str| names.iter().position(|found| found.trim() == name);
        let columns = ["user_id", "password", "password_hash", "salt", "is_superuser"].map(column);
        let secret = if self.kind == ImportKind::Plain { columns[1] } else { columns[2] };
        if columns[0].is_none() || secret.is_none() {
            return Err(wrong_header(self));
        }
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    let line = error.position().map_or(line, csv::Position::line);
                    let fault = Fault::Form("expected UTF-8 text with balanced quotes".into());
                    return Err(self.fault(Place::Line(line))(fault));
                }
            }
            let place = Place::Line(record.position().map_or(line, |start| line_of(start, bytes)));
            let [user_id, password, password_hash, salt, is_superuser] =
                columns.map(|column| column.and_then(|column| record.get(column)).map(Box::<str>::from));
            let user_id = user_id.unwrap_or_default();
            let is_superuser = is_superuser.map_or(Flag::Absent, Flag::Text);
            self.take(Line { user_id, password, password_hash, salt, is_superuser }, place)?;
        }
    }

    fn take_json(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        let lines: Vec<Line> = serde_json::from_slice(bytes).map_err(|error| {
            // Its text would show a value.
            let fault =
                Fault::Form("expected an array of objects with user_id and password or password_hash".into());
            self.fault(Place::Line(error.line() as u64))(fault)
        })?;
        for (number, line) in lines.into_iter().enumerate() {
            self.take(line, Place::Entry(number as u64 + 1))?;
        }
        Ok(())
    }

    fn take_mosquitto(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::Line(number as u64 + 1);
            let form = |form: &str| Fault::Form(form.into());
            let text = std::str::from_utf8(line).map_err(|_| self.fault(place)(form("not UTF-8")))?;
            let text = text.trim_end_matches('\r');
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (user_id, hash) =
                text.split_once(':').ok_or_else(|| self.fault(place)(form("expected user:hash")))?;
            let row = row(user_id, false).map_err(self.fault(place))?;
            let hash = from_mosquitto(hash).map_err(|error| self.fault(place)(error.into()))?;
            self.put(row, hash)?;
        }
        Ok(())
    }

    fn take(&mut self, line: Line, place: Place) -> Result<(), ImportError> {
        let is_superuser = line.is_superuser.value().map_err(self.fault(place))?;
        let row = row(&line.user_id, is_superuser).map_err(self.fault(place))?;
        match self.kind {
            ImportKind::Plain => {
                let password = line.password.ok_or_else(|| self.fault(place)(Fault::Missing("password")))?;
                if !self.keeps(&row) {
                    self.plain.push(Plain { row, password: password.into_boxed_bytes() });
                }
                Ok(())
            }
            ImportKind::Hash => {
                let missing = || self.fault(place)(Fault::Missing("password_hash"));
                let hash = line.password_hash.as_deref().ok_or_else(missing)?;
                let salt = line.salt.as_deref().unwrap_or_default();
                let hash = from_columns(self.rules.algorithm, hash, salt);
                let hash = hash.map_err(|error| self.fault(place)(error.into()))?;
                self.put(row, hash)
            }
        }
    }

    /// Whether the user stays as it is.
    fn keeps(&mut self, row: &Row) -> bool {
        let keeps = self.rules.keeps_existing && self.table.has(&row.user_id);
        self.imported.kept += usize::from(keeps);
        keeps
    }

    fn put(&mut self, mut row: Row, password: PasswordHash) -> Result<(), ImportError> {
        if self.keeps(&row) {
            return Ok(());
        }
        row.password = Some(password);
        let table = |source| ImportError::Table { path: self.path.to_owned(), source };
        match self.table.put(&row).map_err(table)? {
            true => self.imported.replaced += 1,
            false => self.imported.added += 1,
        }
        Ok(())
    }

    /// Hashes the passwords that stood plain, on every core.
    fn hash_plain(&mut self) -> Result<(), ImportError> {
        let plain = std::mem::take(&mut self.plain);
        if plain.is_empty() {
            return Ok(());
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let share = plain.len().div_ceil(cores);
        let algorithm = self.rules.algorithm;
        let hashed: Result<Vec<PasswordHash>, HashError> = thread::scope(|scope| {
            let hash = |share: &'_ [Plain]| share.iter().map(|one| algorithm.hash(&one.password)).collect();
            let threads: Vec<_> = plain
                .chunks(share)
                .map(|share| scope.spawn(move || -> Result<Vec<PasswordHash>, HashError> { hash(share) }))
                .collect();
            let shares = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(HashError::System)));
            shares.collect::<Result<Vec<_>, _>>().map(|shares| shares.into_iter().flatten().collect())
        });
        let fault = |error: HashError| self.fault(Place::Line(1))(error.into());
        for (one, hash) in plain.into_iter().zip(hashed.map_err(fault)?) {
            self.put(one.row, hash)?;
        }
        Ok(())
    }
}

/// The line of a record. The reader counts empty lines before it to the record.
fn line_of(start: &csv::Position, bytes: &[u8]) -> u64 {
    let from = usize::try_from(start.byte()).unwrap_or(usize::MAX).min(bytes.len());
    let empty = bytes[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    start.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

/// A row without password.
fn row(user_id: &str, is_superuser: bool) -> Result<Row, Fault> {
    if !(1..=USER_ID_BYTES_MAX).contains(&user_id.len()) || user_id.contains('\0') {
        return Err(Fault::UserId);
    }
    Ok(Row { user_id: user_id.into(), is_superuser, password: None, scram: Vec::new() })
}
