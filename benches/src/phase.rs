//! The threads of a run and the phase they are in: the main thread says which, the workers say how far they are.
//!
//! Only counters and the phase are shared; clients, windows and histograms belong to one worker each.

use crate::live;
use anyhow::{Context, Result, anyhow};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the main thread looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the workers shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Open the connections.
    Opening,
    /// Make traffic that does not count.
    Warming,
    /// Make traffic, or hold the connections, and measure.
    Measuring,
    /// Publish nothing more and wait for what is on its way.
    Draining,
    /// Close all and end.
    Stopping,
}

/// What all threads see.
#[derive(Debug)]
pub struct Shared {
    phase: AtomicU8,
    workers: Box<[Progress]>,
    first_failure: Mutex<Option<String>>,
}

/// How far one worker is. Written by it alone, once a turn; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Progress {
    /// Clients whose handshake is over.
    pub ready: AtomicU64,
    /// Clients that never became ready.
    pub failed: AtomicU64,
    /// Clients that were ready and lost their connection.
    pub disconnected: AtomicU64,
    /// Messages published.
    pub published: AtomicU64,
    /// Messages delivered.
    pub delivered: AtomicU64,
    /// Nothing is on its way any more.
    pub drained: AtomicBool,
}

/// The connections that fall to one worker: numbers `worker`, `worker + threads`, and so on.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Number of the worker.
    pub worker: u16,
    /// How many workers there are.
    pub threads: u16,
    /// Connections of all.
    pub connections: u32,
}

impl Share {
    /// How many connections these are.
    pub fn count(&self) -> u32 {
        self.count_of(u32::from(self.worker))
    }

    /// The number in the run of the connection with this index.
    pub fn connection(&self, index: u32) -> u32 {
        index * u32::from(self.threads) + u32::from(self.worker)
    }

    /// How many fall to the workers before this one.
    pub fn count_before(&self) -> u32 {
        (0..u32::from(self.worker)).map(|worker| self.count_of(worker)).sum()
    }

    fn count_of(&self, worker: u32) -> u32 {
        let threads = u32::from(self.threads);
        (self.connections + threads - 1 - worker) / threads
    }
}

/// The sum of all workers' counters, which are those of [`Progress`], at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    pub ready: u64,
    pub failed: u64,
    pub disconnected: u64,
    pub published: u64,
    pub delivered: u64,
    pub drained: bool,
}

impl Shared {
    /// The phase the main thread has declared.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Opening,
            1 => Phase::Warming,
            2 => Phase::Measuring,
            3 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    /// The counters of the worker with this number.
    pub fn progress(&self, worker: u16) -> &Progress {
        &self.workers[usize::from(worker)]
    }

    /// Counts a client of this worker that is gone, and why: it had been ready, or never became so.
    pub fn note_closed(&self, worker: u16, was_ready: bool, cause: &anyhow::Error) {
        let progress = self.progress(worker);
        let counter = if was_ready { &progress.disconnected } else { &progress.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.note_failure(cause);
    }

    /// Keeps the first cause of a failure for the report; one explains a thousand.
    pub fn note_failure(&self, cause: &anyhow::Error) {
        if let Ok(mut first) = self.first_failure.lock() {
            first.get_or_insert_with(|| format!("{cause:#}"));
        }
    }

    /// The first cause of a failure.
    pub fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().ok().and_then(|first| first.clone())
    }

    /// The counters of all workers together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { drained: true, ..Totals::default() };
        for progress in &self.workers {
            totals.ready += progress.ready.load(Ordering::Relaxed);
            totals.failed += progress.failed.load(Ordering::Relaxed);
            totals.disconnected += progress.disconnected.load(Ordering::Relaxed);
            totals.published += progress.published.load(Ordering::Relaxed);
            totals.delivered += progress.delivered.load(Ordering::Relaxed);
            totals.drained &= progress.drained.load(Ordering::Relaxed);
        }
        totals
    }
}

/// The worker threads of a run, seen from the main thread.
#[derive(Debug)]
pub struct Workers<R> {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<R>>>,
}

impl<R: Send + 'static> Workers<R> {
    /// Starts `count` threads, each with its number, in [`Phase::Opening`].
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        count: u16,
        work: impl Fn(u16, &Shared) -> Result<R> + Clone + Send + 'static,
    ) -> Result<Workers<R>> {
        let shared = Arc::new(Shared {
            phase: AtomicU8::new(Phase::Opening as u8),
            workers: (0..count).map(|_| Progress::default()).collect(),
            first_failure: Mutex::new(None),
        });
        let mut workers = Workers { shared, threads: Vec::new() };
        for number in 0..count {
            let (shared, work) = (Arc::clone(&workers.shared), work.clone());
            let thread = thread::Builder::new().name(format!("bench-{number}"));
            let thread = thread.spawn(move || work(number, &shared)).context("starting a thread")?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// What the workers share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Declares a phase.
    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Release);
    }

    /// Waits until `is_reached` says so, a worker ends early, or `wait_max` is over. Returns whether it was reached.
    pub fn wait_for(&self, wait_max: Duration, mut is_reached: impl FnMut(&Totals) -> bool) -> bool {
        let deadline = Instant::now() + wait_max;
        loop {
            let totals = self.shared.totals();
            if is_reached(&totals) {
                return true;
            }
            let now = Instant::now();
            live::look(self.shared.phase(), &totals, now, deadline);
            if now >= deadline || self.threads.iter().any(JoinHandle::is_finished) {
                return false;
            }
            thread::sleep(LOOK_EVERY.min(deadline - now));
        }
    }

    /// Stops the workers and returns what they have to say.
    ///
    /// # Errors
    /// When one of them failed.
    pub fn stop(self) -> Result<Vec<R>> {
        self.enter(Phase::Stopping);
        self.threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a worker thread panicked"))?)
            .collect()
    }
}
