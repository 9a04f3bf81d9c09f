//! How fast a listener takes connections, over all shards. Those that come faster wait for their turn.

use ringmq_core::config::Rate;
use ringmq_core::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The rate of a listener (a virtual schedule, as in ITU-T I.371). Touched once per connection.
#[derive(Debug)]
pub struct Pace {
    /// Microseconds between two connections; 0 for no bound.
    interval_us: u64,
    /// How far ahead of the schedule connections may come.
    tolerance_us: u64,
    /// When the next connection would be on schedule, in microseconds of the broker's clock.
    next_us: AtomicU64,
}

impl Pace {
    /// This rate, and `burst` more at once.
    pub fn new(rate: Rate, burst: u64) -> Pace {
        let interval_us =
            if rate.is_infinite() { 0 } else { (rate.period_ms.saturating_mul(1000) / rate.amount).max(1) };
        let at_once = rate.amount.saturating_add(burst).saturating_sub(1);
        let tolerance_us = interval_us.saturating_mul(at_once);
        Pace { interval_us, tolerance_us, next_us: AtomicU64::new(0) }
    }

    /// A connection has come. How many milliseconds it must wait.
    pub fn wait_ms(&self, now: Timestamp) -> u64 {
        if self.interval_us == 0 {
            return 0;
        }
        let now_us = now.as_ms().saturating_mul(1000);
        let advance = |next: u64| Some(next.max(now_us).saturating_add(self.interval_us));
        let before = self.next_us.fetch_update(Relaxed, Relaxed, advance).unwrap_or(0);
        let due_us = before.max(now_us).saturating_sub(self.tolerance_us);
        due_us.saturating_sub(now_us).div_ceil(1000)
    }

    /// A connection that was to wait is gone: its turn is somebody else's.
    pub fn give_back(&self) {
        let _ =
            self.next_us.fetch_update(Relaxed, Relaxed, |next| Some(next.saturating_sub(self.interval_us)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rush_is_spread_over_time() {
        let pace = Pace::new("100/s".parse().unwrap(), 0);
        let now = Timestamp::from_ms(50_000);
        let waits: Vec<u64> = (0..400).map(|_| pace.wait_ms(now)).collect();
        assert_eq!(waits.iter().filter(|wait| **wait == 0).count(), 100, "what a second allows");
        assert_eq!((waits[100], waits[200], waits[399]), (10, 1010, 3000));
        assert!(pace.wait_ms(now.after_ms(10_000)) == 0, "the rush is over");
        let pace = Pace::new(Rate::INFINITY, 0);
        assert!((0..1000).all(|_| pace.wait_ms(now) == 0));
    }
}
