//! Why users cannot be listed or changed. None of it shows a password or hash.

use ringmq_access::authentication::password::HashError;
use ringmq_access::authentication::scram::KeyError;
use ringmq_access::authentication::users::{ImportError, UserFileError};
use std::io;
use std::path::PathBuf;

/// What was asked for is not there, or not right.
const EXIT_WRONG: u8 = 1;
/// The file cannot be used.
const EXIT_UNUSABLE: u8 = 66;
/// Another process changes it; later it may not.
const EXIT_BUSY: u8 = 75;

/// The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file.
    #[error(transparent)]
    File(#[from] UserFileError),
    /// What was to be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A user that is not there.
    #[error("{} has no user {name:?}; nothing was changed, see `ringmq users list`", path.display())]
    NoUser {
        /// Who.
        name: String,
        /// In which file.
        path: PathBuf,
    },
    /// A name that none can be.
    #[error("a user name must be 1 to 65535 bytes without a NUL character")]
    Name,
    /// No password.
    #[error("the password is empty; type it, pipe it in, or name a file with --password-file")]
    NoPassword,
    /// Two that should be one.
    #[error("the two passwords differ; nothing was changed")]
    Differ,
    /// A password that cannot be read.
    #[error("the password cannot be read from {from}: {source}")]
    Password {
        /// Where from.
        from: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A password that cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A password that SCRAM cannot use.
    #[error(transparent)]
    Scram(#[from] KeyError),
    /// The directory.
    #[error("{} cannot be made or used: {source}; name another with --file or node.data_dir", directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files made now would not be the broker's.
    #[error(
        "{} belongs to user {owner}, and a file that user {user} makes there could not be read by the broker; run this as \
         user {owner}, such as with sudo -u '#{owner}'",
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
    /// An option without what it is for.
    #[error("--salt-position is for md5, sha, sha256 and sha512; name one of them with --algorithm")]
    SaltPosition,
}

impl UsersError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            UsersError::File(UserFileError::Busy { .. }) => EXIT_BUSY,
            UsersError::File(_) | UsersError::Directory { .. } | UsersError::Owner { .. } => EXIT_UNUSABLE,
            _ => EXIT_WRONG,
        }
    }
}
