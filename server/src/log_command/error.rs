//! Why a log cannot be worked on. Damage is not among it: it is what was asked for.

use super::lock::Holder;
use ringmq_persistence::OpenError;
use std::error::Error;
use std::fmt::{self, Formatter};
use std::io;
use std::path::{Path, PathBuf};

/// There is no log, or it cannot be read or written.
const EXIT_UNUSABLE: u8 = 66;
/// A broker has it open; later it may not.
const EXIT_IN_USE: u8 = 75;

/// The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A directory, but none of ours.
    #[error(
        "{} holds no log: expected a data directory (with shards/00), its directory shards (with 00), or the log of one \
         shard (with *.seg); the broker's is node.data_dir, ./data unless configured",
        directory.display()
    )]
    NoLog {
        /// What was named.
        directory: PathBuf,
    },
    /// A directory that cannot be listed.
    #[error(
        "{} cannot be read: {source}; name an existing directory that this user may read",
        directory.display()
    )]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files of a log that cannot be used.
    #[error("{}: {}; {}", directory.display(), Chain(source), remedy(source, directory))]
    Log {
        /// Of which log.
        directory: PathBuf,
        /// What went wrong.
        #[source]
        source: OpenError,
    },
    /// A broker works on what was to be changed.
    #[error(
        "{} is locked{}: stop the broker that has it open, or work on a copy of its data directory",
        lock.display(),
        holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
    )]
    InUse {
        /// What is locked.
        lock: PathBuf,
        /// By whom.
        holder: Option<Holder>,
    },
    /// The lock cannot be tried.
    #[error("{} cannot be locked: {source}; run this as a user that may write there", lock.display())]
    Lock {
        /// What was to be locked.
        lock: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files made now would not be the broker's.
    #[error(
        "{} belongs to user {owner}, and files that user {user} makes there could not be written by the broker; run this \
         as user {owner}, such as with sudo -u '#{owner}'",
        directory.display()
    )]
    Owner {
        /// Of which directory.
        directory: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who runs this.
        user: u32,
    },
    /// Standard output cannot be written.
    #[error("standard output cannot be written: {source}; what was printed is not complete")]
    Output {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl LogError {
    /// Says which log `source` is about.
    pub fn of(directory: &Path) -> impl FnOnce(OpenError) -> LogError + '_ {
        move |source| LogError::Log { directory: directory.to_owned(), source }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            LogError::InUse { .. } => EXIT_IN_USE,
            _ => EXIT_UNUSABLE,
        }
    }
}

fn remedy(error: &OpenError, directory: &Path) -> String {
    let directory = directory.display();
    match error {
        OpenError::Version { .. } => {
            "nothing was changed; use the release of RingMQ that wrote it, or a later one".to_owned()
        }
        OpenError::Storage(error) if error.is_full() => {
            format!("nothing is lost: make room on the file system of {directory} and run this again")
        }
        OpenError::Storage(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
            "run this as the user the broker runs as".to_owned()
        }
        OpenError::Storage(_) => format!(
            "run this again; if it stays, look for faults of the disk (dmesg) and restore {directory} from a backup"
        ),
        OpenError::Damaged { .. } | OpenError::Options { .. } => {
            "this is a defect of RingMQ: please report it".to_owned()
        }
    }
}

/// An error and what caused it, in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
