//! Log lines about a source that does not answer: one when it begins, then at most one in a while, with how often it
//! happened, and one when it answers again.

use crate::sources::error::SourceError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing more is said.
const SILENCE: Duration = Duration::from_secs(10);

/// What has been said about one source.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    is_failing: bool,
    at: Option<Instant>,
    since_then: u64,
}

impl LogThrottle {
    /// The source did not answer.
    pub fn failed(&self, source: &str, error: &SourceError) {
        if let Some(unsaid) = self.count(Instant::now(), true) {
            tracing::warn!(source, %error, more = unsaid, "no answer from a source of access control; it is passed over");
        }
    }

    /// The source answered something that cannot be used.
    pub fn unusable(&self, source: &str, fault: &dyn std::fmt::Display) {
        if let Some(unsaid) = self.count(Instant::now(), false) {
            tracing::warn!(source, %fault, more = unsaid, "a source of access control holds what cannot be used");
        }
    }

    /// The source answered.
    pub fn answered(&self, source: &str) {
        if self.recovers(Instant::now()) {
            tracing::info!(source, "a source of access control answers again");
        }
    }

    /// Whether it is time to say that the source answers again. One that comes and goes is not worth more lines than one that
    /// is gone.
    fn recovers(&self, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = said.at.is_some_and(|at| now.saturating_duration_since(at) < SILENCE);
        if !said.is_failing || is_silent {
            return false;
        }
        *said = Said { at: Some(now), ..Said::default() };
        true
    }

    /// How often it happened without a line, if it is time for one.
    fn count(&self, now: Instant, is_failure: bool) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_failing |= is_failure;
        if said.at.is_some_and(|at| now.saturating_duration_since(at) < SILENCE) {
            said.since_then += 1;
            return None;
        }
        said.at = Some(now);
        Some(std::mem::take(&mut said.since_then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_says_how_many_there_would_have_been() {
        let throttle = LogThrottle::default();
        let begin = Instant::now();
        assert_eq!(throttle.count(begin, true), Some(0));
        for _ in 0..5 {
            assert_eq!(throttle.count(begin, true), None);
        }
        assert_eq!(throttle.count(begin + SILENCE, true), Some(5));
        assert!(!throttle.recovers(begin + SILENCE), "a line has just been written");
        assert_eq!(throttle.count(begin + SILENCE, true), None);
        assert!(throttle.recovers(begin + SILENCE * 2));
        assert!(!throttle.recovers(begin + SILENCE * 9));
        assert_eq!(throttle.count(begin + SILENCE * 9, true), Some(0));
    }
}
