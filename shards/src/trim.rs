//! Giving memory back to the kernel when the broker has become idle.

use crate::metrics::MetricsReader;
use ringmq_core::metrics::Metric;

/// Decides when the allocator is asked to return what it holds free: once after each burst of traffic, in the first
/// interval without any. Call it at intervals of a second or so, from a thread that is not a shard's.
#[derive(Debug, Default)]
pub struct IdleTrim {
    seen: u64,
    trimmed: u64,
}

impl IdleTrim {
    /// Looks at the traffic since the last call; true if memory was given back.
    pub fn look(&mut self, metrics: &MetricsReader) -> bool {
        let traffic =
            metrics.counter(Metric::BytesReceived).wrapping_add(metrics.counter(Metric::ClientDisconnected));
        let idle = traffic == std::mem::replace(&mut self.seen, traffic);
        if !idle || traffic == self.trimmed {
            return false;
        }
        self.trimmed = traffic;
        give_back();
        true
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: malloc_trim takes no pointer and may be called from any thread at any time; it locks each arena while it
    // returns the arena's free pages.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ShardCells;
    use ringmq_core::metrics::Tally;
    use std::sync::Arc;

    #[test]
    fn memory_is_given_back_once_after_each_burst() {
        let cells = Arc::new(ShardCells::default());
        let metrics = MetricsReader::new(Arc::from([Arc::clone(&cells)]));
        let receive = || {
            let mut tally = Tally::default();
            tally.add(Metric::BytesReceived, 10);
            cells.publish(&mut tally);
        };
        let mut trim = IdleTrim::default();
        assert!(!trim.look(&metrics), "nothing happened yet");
        receive();
        assert!(!trim.look(&metrics), "still busy");
        assert!(trim.look(&metrics), "idle for the first time");
        assert!(!trim.look(&metrics), "idle still");
        receive();
        assert!(!trim.look(&metrics));
        assert!(trim.look(&metrics));
    }
}
