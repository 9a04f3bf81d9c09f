//! The logs that a directory holds: those of a whole broker, or of one shard. It reads names only.

use super::error::LogError;
use ringmq_persistence::format::SegmentNumber;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of a data directory that has a log for each shard.
const SHARDS: &str = "shards";
/// The file beside it that a running broker has locked.
const LOCK: &str = "lock";
/// What the name of a segment that was set aside ends with.
const SET_ASIDE: &str = ".damaged";

/// Logs.
#[derive(Debug)]
pub struct Store {
    /// One a shard, in order.
    pub shards: Vec<Shard>,
    /// What a broker that uses them has locked: its lock file, which may not exist yet. For the log of one shard that
    /// lies alone it is its directory, which keeps two of these commands apart.
    pub lock: PathBuf,
}

/// The log of one shard.
#[derive(Debug)]
pub struct Shard {
    /// Its number, or what its directory is called.
    pub name: String,
    /// Where it is.
    pub directory: PathBuf,
}

impl Store {
    /// The logs in a data directory, its `shards`, or the directory of one shard.
    ///
    /// # Errors
    /// [`LogError::NoLog`], [`LogError::Directory`].
    pub fn find(directory: &Path) -> Result<Store, LogError> {
        // As it was named first: `shards` may be a link to another disk. Who stands in it says `.`.
        let absolute = fs::canonicalize(directory).map_err(|source| unreadable(directory, source))?;
        let inner = directory.join(SHARDS);
        if inner.is_dir() {
            let shards = numbered(&inner)?;
            if !shards.is_empty() {
                return Ok(Store { shards, lock: directory.join(LOCK) });
            }
        }
        let shards = numbered(directory)?;
        if !shards.is_empty() {
            let lock =
                beside(directory).or_else(|| beside(&absolute)).unwrap_or_else(|| directory.to_owned());
            return Ok(Store { shards, lock });
        }
        if names(directory)?.iter().any(|name| is_segment(name)) {
            let parents = [directory.parent(), absolute.parent()].into_iter().flatten();
            let lock = parents.filter_map(beside).next().unwrap_or_else(|| directory.to_owned());
            let name =
                absolute.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            return Ok(Store { shards: vec![Shard { name, directory: directory.to_owned() }], lock });
        }
        Err(LogError::NoLog { directory: directory.to_owned() })
    }
}

impl Shard {
    /// The files of segments that were set aside as damaged, by name.
    ///
    /// # Errors
    /// [`LogError::Directory`].
    pub fn set_aside(&self) -> Result<Vec<String>, LogError> {
        let mut names = names(&self.directory)?;
        names.retain(|name| name.ends_with(SET_ASIDE) && is_segment(name));
        names.sort_unstable();
        Ok(names)
    }
}

/// The lock file of the data directory whose `shards` this is.
fn beside(shards: &Path) -> Option<PathBuf> {
    shards.ends_with(SHARDS).then(|| shards.with_file_name(LOCK))
}

/// The directories that are called by a shard's number.
fn numbered(directory: &Path) -> Result<Vec<Shard>, LogError> {
    let mut shards: Vec<(u32, Shard)> = names(directory)?
        .into_iter()
        .filter(|name| name.len() >= 2 && name.bytes().all(|digit| digit.is_ascii_digit()))
        .filter_map(|name| Some((name.parse().ok()?, Shard { directory: directory.join(&name), name })))
        .filter(|(_, shard)| shard.directory.is_dir())
        .collect();
    shards.sort_unstable_by_key(|(number, _)| *number);
    Ok(shards.into_iter().map(|(_, shard)| shard).collect())
}

fn is_segment(name: &str) -> bool {
    let stem = name.split_once(".seg").map_or(name, |(stem, _)| stem);
    let is_in_use = SegmentNumber::of_file_name(name).is_some();
    is_in_use || (name.ends_with(SET_ASIDE) && SegmentNumber::of_file_name(&format!("{stem}.seg")).is_some())
}

fn names(directory: &Path) -> Result<Vec<String>, LogError> {
    let read = || -> io::Result<Vec<String>> {
        let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    };
    read().map_err(|source| unreadable(directory, source))
}

fn unreadable(directory: &Path, source: io::Error) -> LogError {
    LogError::Directory { directory: directory.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn found(directory: &Path) -> (Vec<String>, PathBuf) {
        let store = Store::find(directory).unwrap();
        (store.shards.into_iter().map(|shard| shard.name).collect(), store.lock)
    }

    #[test]
    fn data_directory_shards_and_one_log_are_told_apart() {
        let root = made(&["shards/00/00000001.seg", "shards/100/x", "shards/07/x", "shards/note"]);
        let all = ["00", "07", "100"].map(str::to_owned).to_vec();
        let lock = root.path().join("lock");
        assert_eq!(found(root.path()), (all.clone(), root.path().join("lock")));
        assert_eq!(found(&root.path().join("shards")), (all, lock.clone()));
        assert_eq!(found(&root.path().join("shards/00")), (vec!["00".to_owned()], lock));
        for other in ["shards/07", "shards/note", "nowhere"] {
            assert!(Store::find(&root.path().join(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn shards_on_another_disk_are_locked_where_the_broker_locks_them() {
        let root = made(&["disk/store/00/00000001.seg", "data/x"]);
        let shards = root.path().join("data/shards");
        std::os::unix::fs::symlink(root.path().join("disk/store"), &shards).unwrap();
        let lock = root.path().join("data/lock");
        for named in [root.path().join("data"), shards.clone(), shards.join("00")] {
            assert_eq!(found(&named), (vec!["00".to_owned()], lock.clone()), "{}", named.display());
        }
    }

    #[test]
    fn a_log_that_lies_alone_is_locked_by_its_directory() {
        let root = made(&["copy/00000001.seg.damaged", "copy/00000002.seg.1.damaged", "copy/b.seg.damaged"]);
        let copy = root.path().join("copy");
        assert_eq!(found(&copy), (vec!["copy".to_owned()], copy.clone()));
        let set_aside = Store::find(&copy).unwrap().shards[0].set_aside().unwrap();
        assert_eq!(set_aside, ["00000001.seg.damaged", "00000002.seg.1.damaged"]);
    }
}
