//! A bound that all shards share. Counted with an atomic number, so it belongs on rare paths only: connections opened,
//! topics retained for the first time.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// At most `max` of something, over all shards.
#[derive(Debug)]
pub struct Quota {
    used: AtomicUsize,
    max: usize,
}

impl Quota {
    /// Nothing used of `max`; `usize::MAX` for no bound.
    pub const fn new(max: usize) -> Quota {
        Quota { used: AtomicUsize::new(0), max }
    }

    /// Whether there is a bound at all; without one nothing is counted.
    pub fn is_bounded(&self) -> bool {
        self.max < usize::MAX
    }

    /// Takes one; false if all are taken.
    pub fn try_enter(&self) -> bool {
        if !self.is_bounded() || self.used.fetch_add(1, Relaxed) < self.max {
            return true;
        }
        self.leave(1);
        false
    }

    /// Takes one, beyond the bound if need be.
    pub fn enter(&self) {
        if self.is_bounded() {
            self.used.fetch_add(1, Relaxed);
        }
    }

    /// Gives `n` back.
    pub fn leave(&self, n: usize) {
        if self.is_bounded() {
            self.used.fetch_sub(n, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_enter_as_allowed_and_again_after_leaving() {
        let quota = Quota::new(2);
        assert!(quota.try_enter() && quota.try_enter());
        assert!(!quota.try_enter() && !quota.try_enter());
        quota.leave(1);
        assert!(quota.try_enter() && !quota.try_enter());
    }
}
