//! Standing back from a server that cannot be reached, for a growing while. Never asks a server itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long to stand back after the first failed attempt.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// And at most, however many failed.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// When the next attempt is due.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    not_before: Option<Instant>,
}

impl Patience {
    /// Whether an attempt may be made now.
    pub fn is_due(&self) -> bool {
        self.lock().not_before.is_none_or(|at| at <= Instant::now())
    }

    /// An attempt succeeded.
    pub fn record_success(&self) {
        *self.lock() = Failures::default();
    }

    /// An attempt failed. Those that were under way together count once.
    pub fn record_failure(&self) {
        let mut failures = self.lock();
        let now = Instant::now();
        if failures.not_before.is_some_and(|at| at > now) {
            return;
        }
        let delay = BACK_OFF_MIN.saturating_mul(1 << failures.count.min(16)).min(BACK_OFF_MAX);
        failures.count = failures.count.saturating_add(1);
        failures.not_before = Some(now + delay);
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
