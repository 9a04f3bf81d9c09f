//! A token bucket: how much may still come, and how long to wait where nothing may.

use super::Timestamp;
use crate::config::Rate;

/// What has come, measured against a rate. It may go into debt: what came is never taken back, but nothing more may come
/// until the debt is paid.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    amount: i64,
    period_ms: i64,
    /// What may have come at once, times `period_ms`.
    full: i64,
    /// What may come now, times `period_ms`; less than 0 is debt.
    level: i64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket: what the rate allows in one period, and `burst` more. None where the rate has no bound.
    pub fn new(rate: Rate, burst: u64, now: Timestamp) -> Option<Bucket> {
        if rate.is_infinite() {
            return None;
        }
        let amount = i64::try_from(rate.amount).unwrap_or(i64::MAX);
        let period_ms = i64::try_from(rate.period_ms).unwrap_or(i64::MAX);
        let burst = i64::try_from(burst).unwrap_or(i64::MAX);
        let full = amount.saturating_add(burst).saturating_mul(period_ms);
        Some(Bucket { amount, period_ms, full, level: full, at: now })
    }

    /// This much has come.
    pub fn take(&mut self, n: u64, now: Timestamp) {
        self.refill(now);
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(n.saturating_mul(self.period_ms));
    }

    /// How long nothing more may come, in milliseconds; 0 if something may.
    pub fn wait_ms(&mut self, now: Timestamp) -> u64 {
        self.refill(now);
        if self.level >= 0 { 0 } else { self.level.unsigned_abs().div_ceil(self.amount.unsigned_abs()) }
    }

    fn refill(&mut self, now: Timestamp) {
        let elapsed_ms = i64::try_from(now.since_ms(self.at)).unwrap_or(i64::MAX);
        self.at = now;
        self.level = self.level.saturating_add(elapsed_ms.saturating_mul(self.amount)).min(self.full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_bounded_in_the_long_run_and_bursts_at_once() {
        let start = Timestamp::from_ms(5);
        let mut bucket = Bucket::new("100/s".parse().unwrap(), 50, start).unwrap();
        bucket.take(150, start);
        assert_eq!(bucket.wait_ms(start), 0, "the burst");
        bucket.take(1, start);
        assert_eq!(bucket.wait_ms(start), 10);
        assert_eq!(bucket.wait_ms(start.after_ms(10)), 0);
        bucket.take(200, start.after_ms(10));
        assert_eq!(bucket.wait_ms(start.after_ms(10)), 2000, "debt");
        // An hour later it is full and no fuller.
        let later = start.after_ms(3_600_000);
        bucket.take(150, later);
        assert_eq!(bucket.wait_ms(later), 0);
        bucket.take(1, later);
        assert!(bucket.wait_ms(later) > 0);
        assert!(Bucket::new(Rate::INFINITY, 5, start).is_none());
    }

    #[test]
    fn extremes_do_not_overflow() {
        let rate = "16GB/24h".parse().unwrap();
        let mut bucket = Bucket::new(rate, u64::MAX, Timestamp::ZERO).unwrap();
        for ms in [0, 1, u64::MAX / 4, u64::MAX / 2] {
            bucket.take(u64::MAX, Timestamp::from_ms(ms));
            let _ = bucket.wait_ms(Timestamp::from_ms(ms));
        }
    }
}
