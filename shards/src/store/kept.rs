//! What outlives the process, between its files and the shards: opened before the shards are built, handed to them before they
//! start, written by one thread while they run.

use super::settle::settle;
use super::{ShardLog, Store, StoreError, layout};
use crate::clock::Clock;
use crate::config::DataPlaneConfig;
use crate::durability::{DurabilityLevel, PersistenceConfig};
use crate::log_port::{self, Connection};
use crate::plane::StartError;
use crate::reactor::{LogThread, Way, spawn_log_thread};
use crate::shard::{Journal, Remembered, Shard, WallClock};
use ringmq_core::config::ByteSize;
use ringmq_core::time::Timestamp;
use ringmq_persistence::Machine;
use ringmq_persistence::storage::cached::Cached;
use std::path::PathBuf;

/// The journals of all shards, and what they hold.
#[derive(Debug)]
pub struct Kept {
    journals: Vec<Journal>,
    rest: Rest,
}

/// What is left when the shards have their journals.
#[derive(Debug)]
pub struct Rest {
    store: Option<Store>,
    directories: Vec<PathBuf>,
    remembered: Vec<Remembered>,
    way: Way,
}

/// The logs at work.
#[derive(Debug)]
pub struct Logs {
    thread: LogThread,
    /// Unlocked when everything is written.
    store: Store,
}

impl Kept {
    /// Opens the store if sessions are to outlive the process, and seeds the process's hash.
    ///
    /// # Errors
    /// [`StartError::Store`], [`StartError::Random`].
    pub fn open(config: &DataPlaneConfig, shards: usize, clock: WallClock) -> Result<Kept, StartError> {
        let level = config.durability.level;
        if !config.sessions.durable {
            let seed = layout::random_seed().map_err(|source| StartError::Random { source })?;
            seed_hash(seed);
            let journals = (0..shards).map(|_| Journal::new(None, level, clock)).collect();
            let rest =
                Rest { store: None, directories: Vec::new(), remembered: Vec::new(), way: way_of(config) };
            return Ok(Kept { journals, rest });
        }
        let mut store = Store::claim(&config.node.data_dir, shards)?;
        seed_hash(store.seed());
        match store.rehome(config, shards) {
            Err(StoreError::Unsettled { .. }) => {
                let clock = Clock::start();
                // Nobody takes anything from the queues meanwhile: a bound would never be kept.
                let persistence = PersistenceConfig { max_bytes: ByteSize(0), ..config.persistence.clone() };
                let config = &DataPlaneConfig { persistence, ..config.clone() };
                settle(Kept::of(store, config, WallClock::at(clock.now()))?, config, clock)?;
                store = Store::claim(&config.node.data_dir, shards)?;
                store.rehome(config, shards)?;
            }
            rehomed => rehomed?,
        }
        Kept::of(store, config, clock)
    }

    /// What the store's logs hold.
    fn of(store: Store, config: &DataPlaneConfig, clock: WallClock) -> Result<Kept, StartError> {
        let level = config.durability.level;
        let logs = store.open(config, clock)?;
        let directories = logs.iter().map(|log| log.directory.clone()).collect();
        let mut kept = Kept::over(
            logs.into_iter().map(|ShardLog { log, remembered, .. }| (log, remembered)),
            level,
            clock,
        );
        kept.rest.store = Some(store);
        kept.rest.directories = directories;
        kept.rest.way = way_of(config);
        Ok(kept)
    }

    /// Journals over logs that were read, one for each shard, and what they hold.
    pub fn over(
        logs: impl IntoIterator<Item = (Machine, Remembered)>,
        level: DurabilityLevel,
        clock: WallClock,
    ) -> Kept {
        let mut kept = Kept {
            journals: Vec::new(),
            rest: Rest {
                store: None,
                directories: Vec::new(),
                remembered: Vec::new(),
                way: Way::PastTheCache,
            },
        };
        for (log, remembered) in logs {
            kept.journals.push(Journal::new(Some(log), level, clock));
            kept.rest.remembered.push(remembered);
        }
        kept
    }

    /// The journals, for the shards to be built with, and the rest.
    pub fn split(self) -> (Vec<Journal>, Rest) {
        (self.journals, self.rest)
    }
}

/// Where nobody waits for the disk, a write that goes past the page cache waits for it all the same.
fn way_of(config: &DataPlaneConfig) -> Way {
    let waits_for_disk = config.durability.highest() == DurabilityLevel::Fsync;
    if waits_for_disk { Way::PastTheCache } else { Way::ThroughTheCache }
}

/// Seeds the process's hash. Tests share one process and keep the seed it begins with, so that a seeded run of them can be
/// repeated.
fn seed_hash(seed: [u64; 4]) {
    if !cfg!(test) {
        ringmq_core::hash::seed_process(seed);
    }
}

impl Rest {
    /// Gives each shard what it held, and has them know of each other's subscriptions: whoever publishes to any of them
    /// reaches all that were there before.
    pub fn restore(&mut self, shards: &mut [Shard], now: Timestamp) {
        for (shard, remembered) in shards.iter_mut().zip(self.remembered.drain(..)) {
            shard.restore(remembered, now);
        }
        for teller in 0..shards.len() {
            let (from, news) = shards[teller].introduce();
            for (hearer, shard) in shards.iter_mut().enumerate() {
                if hearer != teller {
                    shard.meet(from, &news);
                }
            }
        }
        for home in 0..shards.len() {
            let from = shards[home].id();
            let known = shards.iter().map(|shard| shard.applied(from)).max().unwrap_or(0);
            shards[home].resume_forwardings(known);
        }
    }

    /// Starts the thread of the logs and connects the shards to it. `None` without a store.
    ///
    /// # Errors
    /// [`StartError::Logs`].
    pub fn start(self, shards: &mut [Shard]) -> Result<Option<Logs>, StartError> {
        let Some(store) = self.store else { return Ok(None) };
        let bells = shards.iter().map(Shard::bell).collect();
        let connected = log_port::connect(bells);
        let Connection { mut ports, desk, hearing, closer } =
            connected.map_err(|error| StartError::Logs { reason: error.to_string() })?;
        if self.way == Way::ThroughTheCache {
            for (port, directory) in ports.iter_mut().zip(&self.directories) {
                port.equip(Box::new(Cached::new(directory)));
            }
        }
        let thread = spawn_log_thread(self.directories, desk, hearing, closer, self.way)?;
        for (shard, port) in shards.iter_mut().zip(ports) {
            shard.connect_log(port);
        }
        Ok(Some(Logs { thread, store }))
    }
}

impl Logs {
    /// The shards are gone: ends the thread and lets others use the store.
    pub fn close(self) {
        self.thread.join();
        drop(self.store);
    }
}
