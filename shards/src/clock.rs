//! The process's clock, read by reactors only.

use ringmq_core::time::Timestamp;
use std::time::Instant;

/// A monotonic clock that all shards share.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now. It begins at one second, so that a deadline in the past is never confused with zero.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(1000 + self.start.elapsed().as_millis() as u64)
    }
}
