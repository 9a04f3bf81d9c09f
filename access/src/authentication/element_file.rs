//! Text files that elements are made of, and what can be wrong with them.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file of an element cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ElementFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}; name a file that the broker's user may read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is expected.
        fault: Box<str>,
    },
}

impl ElementFileError {
    /// A wrong line.
    pub fn line(path: &Path, line: usize, fault: &str) -> ElementFileError {
        ElementFileError::Line { path: path.to_owned(), line, fault: fault.into() }
    }
}

/// The text of a file.
///
/// # Errors
/// [`ElementFileError::Read`].
pub fn read_text(path: &Path) -> Result<String, ElementFileError> {
    std::fs::read_to_string(path).map_err(|source| ElementFileError::Read { path: path.to_owned(), source })
}
