//! Log lines about a source that does not answer: one when it begins, then one in a while with how often it happened, and
//! one when it answers again.

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
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_failing {
            *said = Said::default();
            drop(said);
            tracing::info!(source, "a source of access control answers again");
        }
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
        throttle.answered("x");
        assert_eq!(throttle.count(begin + SILENCE, true), Some(0));
    }
}
