//! The thread on which elements wait for other hosts: one tokio runtime of one thread, whatever the number of clients.

use super::run::Run;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;

/// Clients for which another host may be asked at a time; further ones are told that the server is busy.
pub const REMOTE_RUNS_MAX: usize = 4096;

/// The thread, and how many runs it has.
pub struct RemoteThread {
    arrivals: UnboundedSender<Box<Run>>,
    runs: Arc<AtomicUsize>,
    runtime: Handle,
}

impl RemoteThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread, or no descriptors for a runtime, to give.
    pub fn start() -> io::Result<RemoteThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        // Bounded by the count of runs, not by the channel.
        let (arrivals, arriving) = unbounded_channel();
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        thread::Builder::new()
            .name("ringmq-remote".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(arriving, count)))?;
        Ok(RemoteThread { arrivals, runs, runtime: handle })
    }

    /// The runtime, for elements that keep connections or refresh what they know.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Takes a run; gives it back where too many are under way.
    pub(super) fn submit(&self, run: Box<Run>) -> Result<(), Box<Run>> {
        if self.runs.fetch_add(1, Ordering::Relaxed) >= REMOTE_RUNS_MAX {
            self.runs.fetch_sub(1, Ordering::Relaxed);
            return Err(run);
        }
        self.arrivals.send(run).map_err(|refused| refused.0)
    }
}

async fn serve(mut arriving: UnboundedReceiver<Box<Run>>, runs: Arc<AtomicUsize>) {
    while let Some(run) = arriving.recv().await {
        let runs = Arc::clone(&runs);
        tokio::task::spawn_local(async move {
            run.ask().await;
            runs.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl fmt::Debug for RemoteThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteThread")
            .field("runs", &self.runs.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
