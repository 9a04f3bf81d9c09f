//! A user file on disk: read as a whole, changed by one process at a time, and replaced as a whole.

use super::row::Row;
use super::table::{TableError, UserTable};
use crate::atomic_file;
use crate::authentication::password::HashError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why a user file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}; run this as the user the broker runs as, or name another file", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be replaced. The old one is still there.
    #[error("{} cannot be written: {source}; nothing was changed: make room and see that its directory may be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process changes it.
    #[error("{} is being changed by another ringmq; wait until it is done and run this again", path.display())]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// It is not what RingMQ writes.
    #[error("{}:{source}; correct the line, or remove it", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: TableError,
    },
    /// No random numbers.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// Reads a file; an absent one is a table without users.
///
/// # Errors
/// [`UserFileError`].
pub fn load(path: &Path) -> Result<UserTable, UserFileError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(UserTable::empty()?),
        Err(source) => return Err(UserFileError::Read { path: path.to_owned(), source }),
    };
    UserTable::parse(bytes).map_err(|source| UserFileError::Damaged { path: path.to_owned(), source })
}

/// A user file that this process alone may change, until it is dropped.
#[derive(Debug)]
pub struct UserFile {
    path: PathBuf,
    /// The users.
    pub table: UserTable,
    _lock: File,
}

impl UserFile {
    /// Opens a file to change it; one that does not exist is made by [`UserFile::save`].
    ///
    /// # Errors
    /// [`UserFileError`].
    pub fn open(path: &Path) -> Result<UserFile, UserFileError> {
        let lock = lock(path)?;
        Ok(UserFile { path: path.to_owned(), table: load(path)?, _lock: lock })
    }

    /// Replaces the file by what is in `table`. It is on the disk when this returns.
    ///
    /// # Errors
    /// [`UserFileError::Write`]; the old file is still there then.
    pub fn save(&self) -> Result<(), UserFileError> {
        let written = atomic_file::write(&self.path, |out| self.table.write(out));
        written.map_err(|source| UserFileError::Write { path: self.path.clone(), source })
    }

    /// Stores a user, in place of one with the same id. Returns whether there was one.
    ///
    /// # Errors
    /// [`UserFileError::Damaged`] where the file would become too long.
    pub fn put(&mut self, row: &Row) -> Result<bool, UserFileError> {
        let damaged = |source| UserFileError::Damaged { path: self.path.clone(), source };
        self.table.put(row).map_err(damaged)
    }
}

/// Takes the lock beside the file. The file itself cannot carry it, because it is replaced.
fn lock(path: &Path) -> Result<File, UserFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let failed = |source| UserFileError::Write { path: path.to_owned(), source };
    let place = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place);
    let file = file.map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(UserFileError::Busy { path: path.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}
