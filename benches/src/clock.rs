//! One monotonic clock for all threads, as nanoseconds in a `u64`. It never tells the time of day.

use std::time::Instant;

/// A clock that began when the run began. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Nanoseconds since the clock began; enough for 584 years.
    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}
