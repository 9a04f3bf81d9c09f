//! What can go wrong with a source: while it is asked, and while it is set up. Neither ever shows a password, a hash, a
//! token or a key.

use crate::authentication::template::TemplateError;
use std::io;
use std::path::PathBuf;

/// Why a source gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No connection.
    #[error("{address} cannot be reached: {source}")]
    Connect {
        /// Host and port.
        address: Box<str>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The last attempts failed, and the next one is not due yet.
    #[error("the server was not reached and is tried again later")]
    Waiting,
    /// The connection was lost while it was used.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server speaks otherwise than agreed.
    #[error("the server's answer is not understood: {0}")]
    Answer(&'static str),
    /// The server says no, in words that hold no value of a client.
    #[error("the server refuses: {0}")]
    Refused(Box<str>),
    /// More questions are open than are allowed.
    #[error("too many questions are open")]
    Busy,
}

impl SourceError {
    /// Whether the connection it came from can be used no more.
    pub fn is_link_lost(&self) -> bool {
        !matches!(self, SourceError::Refused(_))
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> SourceError {
        SourceError::Lost(error)
    }
}

/// Why a source cannot be set up. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A key has a value that cannot be.
    #[error("{key}: {fault}")]
    Key {
        /// Which.
        key: &'static str,
        /// What was found and what is expected.
        fault: String,
    },
    /// A text with placeholders is none.
    #[error("{key}: {source}")]
    Template {
        /// Where it stands.
        key: &'static str,
        /// What is wrong.
        #[source]
        source: TemplateError,
    },
    /// A file cannot be used.
    #[error("{key}: {} {fault}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The program was built without it.
    #[error("this ringmq was built without {0}; build it with `--features ringmq-access/{0}`, or remove it")]
    Missing(&'static str),
}

impl SetupError {
    /// A key with a wrong value.
    pub fn key(key: &'static str, fault: impl Into<String>) -> SetupError {
        SetupError::Key { key, fault: fault.into() }
    }

    /// A wrong template.
    pub fn template(key: &'static str) -> impl Fn(TemplateError) -> SetupError {
        move |source| SetupError::Template { key, source }
    }
}
