//! Files of rules: what is read, how it is understood, and what is said about one that is wrong.

mod acl_conf;
mod error;
mod mosquitto;
mod terms;
#[cfg(test)]
mod tests;

pub use error::{FILE_BYTES_MAX, Fault, FileError};
pub use terms::Place;

use super::rule::Rule;
use super::wording::Wordings;
use std::io::Read;
use std::path::Path;

/// The rules that hold where no file is named.
pub const DEFAULT_RULES: &str = include_str!("acl.conf");

/// How a file of rules is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Erlang terms, as in EMQX's `acl.conf`.
    AclConf,
    /// Mosquitto's `acl_file`.
    Mosquitto,
}

/// Reads a file of rules.
///
/// # Errors
/// It cannot be read, or the first thing in it that is wrong.
pub fn read(path: &Path, format: Format, wordings: &mut Wordings) -> Result<Vec<Rule>, FileError> {
    let text = read_text(path)?;
    parse(&text, format, wordings).map_err(|fault| FileError::Fault { path: path.to_owned(), fault })
}

/// Reads the rules in a text.
///
/// # Errors
/// The first thing in it that is wrong.
pub fn parse(text: &str, format: Format, wordings: &mut Wordings) -> Result<Vec<Rule>, Fault> {
    match format {
        Format::AclConf => acl_conf::parse(text, wordings),
        Format::Mosquitto => mosquitto::parse(text),
    }
}

/// Reads a text of bounded size.
pub(super) fn read_text(path: &Path) -> Result<String, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // A file that grows, or a device that never ends, is cut off just behind the bound.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64 });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        FileError::NotText { path: path.to_owned(), line }
    })
}
