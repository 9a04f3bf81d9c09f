//! What can be wrong with a file of rules. Every text says where, what was expected, and what to do about it.

use super::super::template::TemplateError;
use super::super::wording::RegexError;
use super::terms::{Place, Shortened};
use std::io;
use std::path::PathBuf;

/// Bytes of one file of rules.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Why a file of rules does not load. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the rules in {path}: {source}; name a readable file, or disable the source")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not text.
    #[error("{path}:{line}: the rules are not UTF-8; save the file as UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line of the first byte that is wrong.
        line: usize,
    },
    /// It is too large.
    #[error("{path} has {bytes} bytes; rules may have {FILE_BYTES_MAX}, use placeholders or a database")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Something in it is wrong.
    #[error("{path}:{}:{}: {fault}", fault.place().line, fault.place().column)]
    Fault {
        /// The file.
        path: PathBuf,
        /// What, and where.
        #[source]
        fault: Fault,
    },
}

/// What is wrong inside a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else should stand there.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// Where.
        place: Place,
        /// What would be right.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A regular expression is refused.
    #[error("{source}")]
    Regex {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: RegexError,
    },
    /// A topic is wrong.
    #[error("topic \"{}\": {source}", Shortened(topic))]
    Topic {
        /// Where.
        place: Place,
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// There are too many rules.
    #[error("more than {rules_max} rules; use placeholders or a database")]
    TooManyRules {
        /// The first one too many.
        place: Place,
        /// The bound.
        rules_max: usize,
    },
}

impl Fault {
    /// Where.
    pub fn place(&self) -> Place {
        match self {
            Fault::Unexpected { place, .. }
            | Fault::Regex { place, .. }
            | Fault::Topic { place, .. }
            | Fault::TooManyRules { place, .. } => *place,
        }
    }
}
