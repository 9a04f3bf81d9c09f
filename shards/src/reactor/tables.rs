//! Private descriptor tables: each shard's thread leaves the process's table, so that RLIMIT_NOFILE bounds the connections
//! of one shard instead of all.
//!
//! A descriptor number means nothing in another table. What is made before a table becomes private is copied into it;
//! what comes later crosses as a message of a unix socket (SCM_RIGHTS, unix(7)), see [`passage`](super::passage).

use std::io;
use std::os::fd::RawFd;

/// Gives the calling thread a descriptor table of its own, a copy of the one it shared, without the `foreign` ones.
///
/// # Errors
/// What unshare(2) answers: ENOMEM, or EMFILE where the limit is below what is open.
pub fn separate(foreign: &[RawFd]) -> io::Result<()> {
    // SAFETY: the call has no memory. Descriptors keep their numbers, so everything this thread owns stays valid; what
    // is handed over between threads later is not a number, see the module's text.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    close_copies(foreign);
    Ok(())
}

/// Closes this table's copies of descriptors that belong to threads with tables of their own.
pub fn close_copies(foreign: &[RawFd]) {
    for &descriptor in foreign {
        // SAFETY: the caller names descriptors whose owner is a thread with another table; nobody uses them in this one.
        // A failure means that there is no copy here.
        unsafe { libc::close(descriptor) };
    }
}
