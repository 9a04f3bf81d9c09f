//! The lock a broker holds on its data directory while it runs: a whole-file `flock(2)` on a file called `lock`, gone
//! with the process however it ends. It is tried here, never waited for.

use super::error::LogError;
use super::store::Store;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fmt::{self, Formatter};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The process that has the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    process: u32,
    name: Option<String>,
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Locked {
    _file: File,
}

/// Takes the lock on a store.
///
/// # Errors
/// [`LogError::InUse`] while a broker or another `ringmq log compact` has it; [`LogError::Lock`].
pub fn lock(store: &Store) -> Result<Locked, LogError> {
    let path = &store.lock;
    let failed = |source| LogError::Lock { lock: path.clone(), source };
    let file = if path.is_dir() {
        File::open(path)
    } else {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    };
    let file = file.map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Locked { _file: file }),
        Err(Errno::WOULDBLOCK) => Err(LogError::InUse { lock: path.clone(), holder: holder(path) }),
        Err(error) => Err(failed(io::Error::from(error))),
    }
}

/// Who has the lock, as far as this host tells. Nothing is locked to learn it, so that no broker's start is disturbed.
pub fn holder(path: &Path) -> Option<Holder> {
    let file = fs::metadata(path).ok()?;
    let device = file.dev();
    let place = format!("{:02x}:{:02x}:{}", rustix::fs::major(device), rustix::fs::minor(device), file.ino());
    let process = locking_process(&fs::read_to_string("/proc/locks").ok()?, &place)?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok();
    Some(Holder { process, name: name.map(|name| name.trim_end().to_owned()) })
}

/// The process with a `flock(2)` on a place, in the text of `/proc/locks`.
fn locking_process(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        // A process that waits for the lock stands there with an arrow before the kind, and is not meant.
        let is_flock = words.next() == Some("FLOCK");
        let mut words = words.skip(2);
        let process = words.next()?.parse().ok()?;
        (is_flock && words.next() == Some(place) && process > 0).then_some(process)
    })
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.process)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_with_the_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:01:7 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 fe:01:7 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 fe:01:8 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE -1 fe:01:9 0 EOF\n";
        assert_eq!(locking_process(locks, "fe:01:7"), Some(12));
        for place in ["fe:01:8", "fe:01:9", "fe:01:70"] {
            assert_eq!(locking_process(locks, place), None, "{place}");
        }
    }
}
