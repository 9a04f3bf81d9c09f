//! The threads on which passwords are compared. They run at a lower priority than the shards, so that a storm of wrong
//! passwords takes only time that nobody else wants.

use super::run::Run;
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::fmt;
use std::io;
use std::thread;

/// Clients that may wait for their password to be compared; further ones are told that the server is busy.
pub const HASH_QUEUE_MAX: usize = 4096;
/// The most threads the pool has.
pub const THREADS_MAX: usize = 8;
/// How far the threads stand back behind the shards, in steps of nice(2).
const NICENESS: i32 = 5;

/// A pool of threads and the queue before it.
pub struct HashingPool {
    queue: Sender<Box<Run>>,
}

impl HashingPool {
    /// One thread for every two cores, at least one.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<HashingPool> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (queue, work) = bounded::<Box<Run>>(HASH_QUEUE_MAX);
        for number in 0..(cores / 2).clamp(1, THREADS_MAX) {
            let work = work.clone();
            let serve = move || {
                // Where the system refuses, the threads compete as equals.
                let _ = rustix::process::nice(NICENESS);
                work.iter().for_each(Run::work);
            };
            thread::Builder::new().name(format!("ringmq-hash-{number}")).spawn(serve)?;
        }
        Ok(HashingPool { queue })
    }

    /// Queues a run; gives it back where the queue is full.
    pub(super) fn submit(&self, run: Box<Run>) -> Result<(), Box<Run>> {
        self.queue.try_send(run).map_err(|(TrySendError::Full(run) | TrySendError::Disconnected(run))| run)
    }
}

impl fmt::Debug for HashingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashingPool").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}
