//! Another number of shards: every session, message and retained message goes to the log of the shard that it now belongs to.
//! Everything is copied to `shards.new`, which then takes the place of `shards`. An old log is never changed. What was on its way between
//! the shards that there were is passed on first (`settle`).
//!
//! A crash leaves one of these states, and the next start goes on from it, whatever `node.shards` is then:
//!
//! | `shards` | `shards.new` | `shards.old` | stopped | the next start |
//! | --- | --- | --- | --- | --- |
//! | whole | not whole | – | while copying | deletes `shards.new`, and begins anew if it must |
//! | whole | whole | – | before the swap | the same |
//! | – | whole | whole | amid the swap | renames `shards.new` to `shards`, and goes on as below |
//! | whole, with `replaces` | – | whole or in part | after the swap | deletes `shards.old`, then `replaces` |
//!
//! *Whole* is a directory with a layout: that file is written when everything else in the directory is synced. `replaces` names the
//! directory that the old logs got: `shards.old`, or another name if that was taken. Only what it names is deleted, so that copies a
//! person made are safe. Damaged logs are kept as `shards.damaged-N`, and there is no `replaces`. No step begins before the one ahead
//! of it is synced. Logs without a layout, which only a person can have left, are refused.

mod copy;

use super::layout::{self, LAYOUT, LAYOUT_NEW, Layout};
use super::{StoreError, log_directory, options};
use crate::config::DataPlaneConfig;
use copy::{Moved, NewLogs, OldLog};
use ringmq_persistence::Options;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Links that are followed from `shards` to where the logs lie.
const LINKS_MAX: usize = 16;
/// The file that names the logs whose place others have taken.
const REPLACES: &str = "replaces";
/// What is put behind the name of the logs for those that are to take their place.
const NEW: &str = ".new";
/// And for those that are to be deleted.
const OLD: &str = ".old";

/// Where the logs lie, and what a re-homing puts beside them.
#[derive(Debug, Clone)]
pub struct Place {
    shards: PathBuf,
}

impl Place {
    /// In this data directory, or where its `shards` is a link to: it stays one.
    pub fn of(data_dir: &Path) -> Place {
        let mut shards = data_dir.join("shards");
        for _ in 0..LINKS_MAX {
            let Ok(target) = fs::read_link(&shards) else { break };
            shards = shards.parent().unwrap_or(data_dir).join(target);
        }
        Place { shards }
    }

    /// The directory of the logs.
    pub fn shards(&self) -> &Path {
        &self.shards
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.shards.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// A name that is not taken, for logs that are set aside.
    fn free(&self, suffix: &str) -> PathBuf {
        let mut names = (1..u32::MAX).map(|number| self.beside(&format!("{suffix}-{number}")));
        names.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| self.beside(suffix))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        fs::rename(from, to).map_err(|source| failed(from, source))?;
        self.sync_parent()
    }

    fn sync_parent(&self) -> Result<(), StoreError> {
        let Some(parent) = self.shards.parent() else { return Ok(()) };
        sync_directory(parent)
    }

    /// Brings a re-homing to its end that a crash has stopped. The layout of the logs that count now; `None`: there are none.
    ///
    /// # Errors
    /// [`StoreError::Layout`], [`StoreError::Foreign`], [`StoreError::File`].
    pub fn resume(&self) -> Result<Option<Layout>, StoreError> {
        let mut found = Layout::read(&self.shards)?;
        if found.is_none() && names(&self.shards)?.iter().any(|name| is_log(name)) {
            let path = layout::file(&self.shards);
            return Err(StoreError::Layout { path, reason: "it is missing, and logs lie beside it" });
        }
        let new = self.beside(NEW);
        if found.is_none() && Layout::read(&new)?.is_some() {
            self.rename(&new, &self.shards)?;
            found = Layout::read(&self.shards)?;
        }
        if new.exists() {
            self.delete_new(&new)?;
        }
        self.delete_replaced();
        Ok(found)
    }

    fn delete_new(&self, new: &Path) -> Result<(), StoreError> {
        let is_ours = |name: &String| is_log(name) || [LAYOUT, LAYOUT_NEW, REPLACES].contains(&name.as_str());
        if !names(new)?.iter().all(is_ours) {
            return Err(StoreError::Foreign { path: new.to_owned() });
        }
        fs::remove_dir_all(new).map_err(|source| failed(new, source))?;
        self.sync_parent()
    }

    /// Deletes the logs whose place these have taken. Nothing depends on it: if it fails, the next start tries again.
    fn delete_replaced(&self) {
        let marker = self.shards.join(REPLACES);
        let Ok(name) = fs::read_to_string(&marker) else { return };
        let replaced = self.shards.with_file_name(&name);
        let is_ours = !name.contains('/')
            && replaced.to_string_lossy().starts_with(&*self.beside(OLD).to_string_lossy());
        let delete = || -> Result<(), StoreError> {
            if is_ours && replaced.exists() {
                fs::remove_dir_all(&replaced).map_err(|source| failed(&replaced, source))?;
                self.sync_parent()?;
            }
            fs::remove_file(&marker).map_err(|source| failed(&marker, source))?;
            sync_directory(&self.shards)
        };
        if let Err(error) = delete() {
            tracing::warn!(%error, "the logs of an earlier node.shards are not needed any more and cannot be deleted");
        }
    }
}

/// What is done, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The new logs are written.
    Copy,
    /// They are declared whole.
    Declare,
    /// The old logs get another name.
    SetAside,
    /// The new ones get theirs.
    PutInPlace,
    /// The old ones are deleted, unless they are kept.
    Delete,
}

const STEPS: [Step; 5] = [Step::Copy, Step::Declare, Step::SetAside, Step::PutInPlace, Step::Delete];

/// Logs on their way to another number of shards.
#[derive(Debug)]
pub struct Rehoming<'a> {
    place: &'a Place,
    from: Layout,
    to: Layout,
    options: Options,
    moved: Moved,
    /// Something of an old log cannot be read, or was set aside earlier: they are kept.
    is_damaged: bool,
    /// What the old logs are called afterwards.
    aside: PathBuf,
}

impl<'a> Rehoming<'a> {
    /// From one layout to as many shards as `shards`. The process's hash has the layout's seed.
    pub fn new(place: &'a Place, from: Layout, shards: usize, config: &DataPlaneConfig) -> Rehoming<'a> {
        // What was granted once is kept, whatever the limit is now.
        let options =
            Options { max_bytes: u64::MAX, commit_delay: Duration::ZERO, ..options(config, shards) };
        let to = Layout { shards, seed: from.seed };
        Rehoming {
            place,
            from,
            to,
            options,
            moved: Moved::default(),
            is_damaged: false,
            aside: PathBuf::new(),
        }
    }

    /// Does it; returns the new layout.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then, or the next start goes on.
    pub fn run(mut self) -> Result<Layout, StoreError> {
        let began = Instant::now();
        self.check_mount()?;
        for step in STEPS {
            self.take(step)?;
        }
        let Moved { sessions, subscriptions, messages, retained, lost } = self.moved;
        tracing::info!(
            from = self.from.shards,
            to = self.to.shards,
            sessions,
            subscriptions,
            messages,
            retained,
            took_ms = began.elapsed().as_millis() as u64,
            "node.shards has changed: the logs were re-homed"
        );
        if lost > 0 {
            tracing::error!(messages = lost, "messages are lost: what they said was damaged");
        }
        Ok(self.to)
    }

    /// A directory that something is mounted on cannot be renamed.
    fn check_mount(&self) -> Result<(), StoreError> {
        let shards = self.place.shards();
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
        let read = || Ok(device(shards)? != shards.parent().map_or(Ok(0), device)?);
        if read().map_err(|source| failed(shards, source))? {
            return Err(StoreError::Mounted { path: shards.to_owned(), shards: self.from.shards });
        }
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), StoreError> {
        let (shards, new) = (self.place.shards(), self.place.beside(NEW));
        match step {
            Step::Copy => self.copy(&new).inspect_err(|_| {
                // The next start would do it; a full disk should not wait for that.
                let _ = fs::remove_dir_all(&new);
            }),
            Step::Declare => {
                if !self.is_damaged {
                    write_marker(&new, &self.aside)?;
                }
                sync_directory(&new)?;
                self.to.write(&new).map_err(|source| failed(&layout::file(&new), source))
            }
            Step::SetAside => {
                if self.is_damaged {
                    let kept = self.aside.display();
                    tracing::warn!(%kept, "the old logs are kept, because some of them are damaged");
                }
                self.place.rename(shards, &self.aside)
            }
            Step::PutInPlace => self.place.rename(&new, shards),
            Step::Delete => {
                self.place.delete_replaced();
                Ok(())
            }
        }
    }

    fn copy(&mut self, directory: &Path) -> Result<(), StoreError> {
        let mut new = NewLogs::create(directory, self.to.shards, &self.options)?;
        for shard in 0..self.from.shards {
            let path = log_directory(self.place.shards(), shard);
            let old = OldLog::open(path.clone(), self.from.shards, self.options.strict)?;
            for damage in &old.report().damages {
                tracing::error!(
                    log = %path.display(), segment = %damage.segment, from = damage.bytes.start, to = damage.bytes.end,
                    record = damage.id, "damaged: what these bytes held is lost"
                );
            }
            // Segments that were set aside earlier are kept like those that would be now.
            let has_set_aside = names(&path)?.iter().any(|name| name.ends_with(".damaged"));
            self.is_damaged |= has_set_aside || !old.report().damages.is_empty();
            new.take(&old)?;
        }
        self.moved = new.finish()?;
        let old = self.place.beside(OLD);
        self.aside = match self.is_damaged {
            true => self.place.free(".damaged"),
            false if old.symlink_metadata().is_err() => old,
            false => self.place.free(OLD),
        };
        Ok(())
    }
}

/// Notes in new logs what is to be deleted when they are in place.
fn write_marker(new: &Path, aside: &Path) -> Result<(), StoreError> {
    let path = new.join(REPLACES);
    let write = || -> io::Result<()> {
        let mut marker = File::create(&path)?;
        marker.write_all(aside.file_name().unwrap_or_default().as_encoded_bytes())?;
        marker.sync_all()
    };
    write().map_err(|source| failed(&path, source))
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source }
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let sync = || File::open(directory)?.sync_all();
    sync().map_err(|source| failed(directory, source))
}

/// The names in a directory; none if it does not exist.
fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?.collect::<io::Result<Vec<_>>>()?,
        };
        Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    };
    read().map_err(|source| failed(directory, source))
}

/// Whether this is what the directory of a shard's log is called.
fn is_log(name: &str) -> bool {
    name.len() >= 2 && name.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests;
