//! The logs of all shards on disk: who may use them, how they are laid out, and what they hold at the start.
//!
//! `DIR/lock` is locked for the life of the process; `DIR/shards/layout` says for how many shards the logs were written and
//! with which seed clients were spread over them; `DIR/shards/NN/` is the log of shard NN. With another number of shards everything
//! in them is given its new home first (`rehome`). Blocking calls throughout: this is the start.

mod kept;
mod layout;
mod rehome;
mod settle;

pub use kept::{Kept, Logs};

use crate::config::DataPlaneConfig;
use crate::shard::{READ_BACKS_MAX, Remembered, WallClock};
use layout::Layout;
use rehome::{Place, Rehoming};
use ringmq_persistence::record::RecordError;
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::{Machine, OpenError, Options, Report, open_machine};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why the store cannot be used. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("node.data_dir = \"{}\" is in use by another broker; stop it or choose another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory cannot be used.
    #[error("{}: {source}; see that the broker may write below node.data_dir", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The layout cannot be read.
    #[error("{}: {reason}; restore it from a backup, or move the directory away to start without what it holds", path.display())]
    Layout {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A log cannot be opened.
    #[error("{}: {}{hint}", path.display(), chain(source))]
    Log {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
        /// What to do.
        hint: &'static str,
    },
    /// node.shards has changed, and there is a record that cannot be given a new home.
    #[error(
        "{}: record {record}: {}; node.shards can change only if every record is known: set it to {shards} as before, or start the \
         newer ringmq that wrote it",
        path.display(), chain(source)
    )]
    Unmovable {
        /// The directory of its log.
        path: PathBuf,
        /// Its id.
        record: u64,
        /// Why.
        #[source]
        source: RecordError,
        /// How many shards the logs were written for.
        shards: usize,
    },
    /// node.shards has changed, and messages are on their way between the shards that there were.
    #[error(
        "messages between shards could not be passed on, which must come before node.shards changes: set it to {shards} as before, and \
         see what the log says of node.data_dir or persistence.max_bytes"
    )]
    Unsettled {
        /// How many shards the logs were written for.
        shards: usize,
    },
    /// node.shards has changed, and the directory of the logs cannot be renamed.
    #[error(
        "{} is a mount point: node.shards can change only if the directory can be renamed; set it to {shards} as before, or mount the \
         directory above",
        path.display()
    )]
    Mounted {
        /// The directory.
        path: PathBuf,
        /// How many shards the logs were written for.
        shards: usize,
    },
    /// Something lies where the logs of another number of shards are to be written.
    #[error("{} is in the way and is not a log of RingMQ; move it away", path.display())]
    Foreign {
        /// What.
        path: PathBuf,
    },
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The store of this process.
#[derive(Debug)]
pub struct Store {
    /// Locked until the process ends.
    _lock: File,
    place: Place,
    layout: Layout,
}

/// A shard's log.
#[derive(Debug)]
pub struct ShardLog {
    /// Where its segments lie.
    pub directory: PathBuf,
    /// The log.
    pub log: Machine,
    /// What it holds.
    pub remembered: Remembered,
    /// A checkpoint has saved reading all of it.
    pub has_checkpoint: bool,
}

impl Store {
    /// Takes the store of `node.data_dir`, which is made if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn claim(data_dir: &Path, shards: usize) -> Result<Store, StoreError> {
        // glommio opens directories by absolute paths only.
        let data_dir = std::path::absolute(data_dir)
            .map_err(|source| StoreError::File { path: data_dir.to_owned(), source })?;
        let lock = take_lock(&data_dir)?;
        let place = Place::of(&data_dir);
        let layout = match place.resume()? {
            Some(layout) => layout,
            None => Layout::create(place.shards(), shards)?,
        };
        Ok(Store { _lock: lock, place, layout })
    }

    /// The seed by which clients and topics were spread over shards.
    pub fn seed(&self) -> [u64; 4] {
        self.layout.seed
    }

    /// Gives everything a new home if the logs were written for another number of shards. The process's hash has the seed.
    ///
    /// # Errors
    /// [`StoreError`]; the logs are as they were then, or the next start goes on.
    pub fn rehome(&mut self, config: &DataPlaneConfig, shards: usize) -> Result<(), StoreError> {
        if self.layout.shards != shards {
            self.layout = Rehoming::new(&self.place, self.layout, shards, config).run()?;
        }
        Ok(())
    }

    /// Reads all logs. Clients are hashed from here on.
    ///
    /// # Errors
    /// [`StoreError::Log`].
    pub fn open(&self, config: &DataPlaneConfig, clock: WallClock) -> Result<Vec<ShardLog>, StoreError> {
        let shards = self.layout.shards;
        let options = options(config, shards);
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(shards);
        let next = std::sync::atomic::AtomicUsize::new(0);
        let began = Instant::now();
        let read = || -> Result<Vec<(usize, ShardLog)>, StoreError> {
            let mut logs = Vec::new();
            loop {
                let shard = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if shard >= shards {
                    return Ok(logs);
                }
                logs.push((
                    shard,
                    open_log(log_directory(self.place.shards(), shard), options.clone(), clock, config)?,
                ));
            }
        };
        let mut logs = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..workers).map(|_| scope.spawn(read)).collect();
            let mut logs = Vec::with_capacity(shards);
            for reader in readers {
                logs.extend(reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(logs)
        })?;
        logs.sort_unstable_by_key(|(shard, _)| *shard);
        let logs: Vec<ShardLog> = logs.into_iter().map(|(_, log)| log).collect();
        announce(&logs, began.elapsed());
        Ok(logs)
    }
}

/// The directory of a shard's log.
fn log_directory(shards: &Path, shard: usize) -> PathBuf {
    shards.join(format!("{shard:02}"))
}

fn take_lock(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join("lock");
    let fail = |source| StoreError::File { path: path.clone(), source };
    std::fs::create_dir_all(data_dir).map_err(fail)?;
    let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: data_dir.to_owned() }),
        Err(error) => Err(fail(error.into())),
    }
}

/// The bounds of one of so many logs.
fn options(config: &DataPlaneConfig, shards: usize) -> Options {
    const BLOCK: u64 = ringmq_persistence::format::BLOCK_BYTES as u64;
    let persistence = &config.persistence;
    let max_bytes = match persistence.max_bytes.0 {
        0 => u64::MAX,
        all => all / shards as u64,
    };
    let segment_bytes = persistence.segment_bytes.0.min(max_bytes / 16).max(16 << 10) / BLOCK * BLOCK;
    let rate = persistence.compaction_rate.0;
    Options {
        segment_bytes,
        max_bytes: max_bytes.max(16 * segment_bytes),
        commit_delay: Duration::from_millis(config.durability.commit_delay.as_ms()),
        compaction_bytes_per_s: if rate == 0 { 0 } else { (rate / shards as u64).max(1) },
        checkpoint_bytes: persistence.checkpoint_bytes.0,
        reads_max: READ_BACKS_MAX,
        strict: persistence.strict,
        ..Options::default()
    }
}

fn open_log(
    directory: PathBuf,
    options: Options,
    clock: WallClock,
    config: &DataPlaneConfig,
) -> Result<ShardLog, StoreError> {
    let fail = |source| log_error(&directory, source);
    let files = Files::open(&directory).map_err(|error| fail(error.into()))?;
    let mut remembered = Remembered::new(clock, config);
    let opened = open_machine(&files, options, |id, kind, payload| remembered.take(id, kind, payload));
    let (log, report) = block_on(opened).map_err(fail)?;
    tell_losses(&directory, &report, &remembered);
    Ok(ShardLog { directory, log, remembered, has_checkpoint: report.from_checkpoint.is_some() })
}

/// A log cannot be opened, or written when it is not at work yet.
fn log_error(directory: &Path, source: OpenError) -> StoreError {
    let hint = match &source {
        OpenError::Damaged { .. } => ", see `ringmq log verify`",
        OpenError::Version { .. } => "; start the newer ringmq that wrote it",
        _ => "",
    };
    StoreError::Log { path: directory.to_owned(), source, hint }
}

/// Says precisely what a crash or a bad disk has cost.
fn tell_losses(directory: &Path, report: &Report, remembered: &Remembered) {
    let log = directory.display();
    for torn in &report.torn {
        tracing::info!(%log, segment = %torn.segment, at = torn.at, "the last write was not finished; nobody was told that it was");
    }
    for damage in &report.damages {
        tracing::error!(
            %log, segment = %damage.segment, from = damage.bytes.start, to = damage.bytes.end, record = damage.id,
            "damaged: what these bytes held is lost; the file is kept as *.damaged"
        );
    }
    if report.misfits > 0 {
        tracing::warn!(%log, "a checkpoint does not fit the files beside it, which were read whole: was another log put here?");
    }
    if remembered.unreadable() > 0 {
        tracing::warn!(%log, records = remembered.unreadable(), "records of an unknown kind are kept and not used");
    }
}

fn announce(logs: &[ShardLog], took: Duration) {
    let sum =
        |count: fn(&Remembered) -> usize| -> usize { logs.iter().map(|log| count(&log.remembered)).sum() };
    let (sessions, messages, retained) =
        (sum(Remembered::sessions), sum(Remembered::messages), sum(Remembered::retained));
    if sessions + messages + retained > 0 {
        let checkpoints = logs.iter().filter(|log| log.has_checkpoint).count();
        tracing::info!(
            sessions,
            messages,
            retained,
            checkpoints,
            took_ms = took.as_millis() as u64,
            "read the logs"
        );
    }
}
