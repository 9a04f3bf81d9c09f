//! The list of bans while the broker runs: clients that come and go too often get on it, and the file follows it.

use super::flapping::{Flapping, FlappingConfig};
use super::list::{BanError, Bans};
use super::record::{Ban, Banned, BannedKind};
use crate::clock::since_1970;
use ringmq_core::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a change of the list may be newer than the file.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Intervals between two looks for bans that have ended.
const INTERVALS_PER_SWEEP: u32 = 60;

/// The list, its file, and the thread that writes it. The last changes are written when this is dropped.
#[derive(Debug)]
pub struct BanKeeper {
    shared: Arc<Shared>,
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    bans: Arc<RwLock<Bans>>,
    data_dir: PathBuf,
    /// [`Bans::changes`] of what the file has.
    saved: AtomicU64,
}

impl BanKeeper {
    /// An empty list whose file is in this directory.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(data_dir: &Path) -> io::Result<BanKeeper> {
        let bans = Arc::default();
        let shared = Arc::new(Shared { bans, data_dir: data_dir.to_owned(), saved: AtomicU64::new(0) });
        let (stop, stopped) = channel();
        let kept = Arc::clone(&shared);
        let keep = move || {
            let mut intervals = 0;
            while stopped.recv_timeout(SAVE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                intervals += 1;
                if intervals % INTERVALS_PER_SWEEP == 0 {
                    kept.write().remove_expired(since_1970().as_secs());
                }
                kept.save();
            }
            kept.save();
        };
        let thread = std::thread::Builder::new().name("ringmq-bans".to_owned()).spawn(keep)?;
        Ok(BanKeeper { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The list.
    pub fn bans(&self) -> &Arc<RwLock<Bans>> {
        &self.shared.bans
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// [`BanError`]; then the list stays as it is.
    pub fn load(&self) -> Result<(), BanError> {
        let loaded = Bans::load(&self.shared.data_dir, since_1970().as_secs())?;
        let mut bans = self.shared.write();
        self.shared.saved.store(loaded.changes(), Ordering::Relaxed);
        *bans = loaded;
        Ok(())
    }
}

impl Drop for BanKeeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic on.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Bans> {
        // Every change leaves the list whole, whatever became of who made it.
        self.bans.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) {
        let bans = self.bans.read().unwrap_or_else(PoisonError::into_inner);
        let changes = bans.changes();
        if changes == self.saved.load(Ordering::Relaxed) {
            return;
        }
        match bans.save(&self.data_dir) {
            Ok(()) => self.saved.store(changes, Ordering::Relaxed),
            Err(error) => tracing::error!("bans are in force, and not in their file: {error}"),
        }
    }
}

/// Bans clients that come and go too often.
#[derive(Debug)]
pub struct FlappingGuard {
    flapping: Mutex<Flapping>,
    ban_s: u64,
    bans: Arc<RwLock<Bans>>,
}

impl FlappingGuard {
    /// A guard that puts clients on this list; none where nothing is to be detected.
    pub fn new(config: &FlappingConfig, bans: &Arc<RwLock<Bans>>) -> Option<FlappingGuard> {
        let flapping = Mutex::new(Flapping::new(config)?);
        Some(FlappingGuard { flapping, ban_s: config.ban_time.as_s(), bans: Arc::clone(bans) })
    }

    /// A client has parted.
    pub fn note_parting(&self, client_id: &str, now: Timestamp) {
        let mut flapping = self.flapping.lock().unwrap_or_else(PoisonError::into_inner);
        if !flapping.handle_parting(client_id, now) {
            return;
        }
        drop(flapping);
        let Ok(who) = Banned::parse(BannedKind::Client, client_id) else { return };
        let at_s = since_1970().as_secs();
        let ban = Ban {
            who,
            by: "flapping detector".into(),
            reason: "it came and went too often".into(),
            at_s,
            until_s: Some(at_s.saturating_add(self.ban_s)),
        };
        match self.bans.write().unwrap_or_else(PoisonError::into_inner).add(ban) {
            Ok(()) => {
                tracing::warn!(client_id, ban_s = self.ban_s, "client banned: it comes and goes too often")
            }
            Err(error) => {
                tracing::error!(client_id, "client comes and goes too often, and is not banned: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_too_often_is_on_the_list_and_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = BanKeeper::start(directory.path()).unwrap();
        keeper.load().unwrap();
        let config = FlappingConfig { enable: true, max_count: 3, ..FlappingConfig::default() };
        let guard = FlappingGuard::new(&config, keeper.bans()).unwrap();
        for _ in 0..3 {
            guard.note_parting("flapper", Timestamp::from_ms(1000));
        }
        guard.note_parting("other", Timestamp::from_ms(1000));
        assert_eq!(keeper.bans().read().unwrap().len(), 1);
        drop(keeper);
        let again = BanKeeper::start(directory.path()).unwrap();
        again.load().unwrap();
        assert_eq!(again.bans().read().unwrap().len(), 1);
        let disabled = FlappingConfig { enable: false, ..config };
        assert!(FlappingGuard::new(&disabled, again.bans()).is_none());
    }
}
