//! Answers of one element, remembered for a while. Bounded: when it is full, the answers that came first are forgotten.

use super::question::{KeyMaker, QuestionKey};
use crate::sources::config::AnswerCacheConfig;
use crate::sources::error::SetupError;
use ringmq_core::hash::SeededMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Answers by question.
pub struct AnswerCache<A> {
    terms: AnswerCacheConfig,
    ttl: Duration,
    keys: KeyMaker,
    held: Mutex<Held<A>>,
}

struct Held<A> {
    answers: SeededMap<QuestionKey, (A, Instant)>,
    /// In the order they came, with the time they came.
    order: VecDeque<(QuestionKey, Instant)>,
}

impl<A: Clone> AnswerCache<A> {
    /// An empty cache.
    ///
    /// # Errors
    /// The configuration is beyond its bounds, or the system has no random numbers to give.
    pub fn new(terms: AnswerCacheConfig) -> Result<AnswerCache<A>, SetupError> {
        terms.check()?;
        let keys = KeyMaker::new().map_err(|error| SetupError::key("cache", error.to_string()))?;
        Ok(AnswerCache {
            terms,
            ttl: Duration::from_millis(terms.ttl.as_ms()),
            keys,
            held: Mutex::new(Held { answers: SeededMap::default(), order: VecDeque::new() }),
        })
    }

    /// The key of a question; none where nothing is remembered.
    pub fn key<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Option<QuestionKey> {
        self.terms.enable.then(|| self.keys.key(values))
    }

    /// The answer, if it is remembered.
    pub fn find(&self, key: Option<&QuestionKey>, now: Instant) -> Option<A> {
        let held = self.lock();
        let (answer, until) = held.answers.get(key?)?;
        (*until > now).then(|| answer.clone())
    }

    /// Remembers an answer.
    pub fn keep(&self, key: Option<QuestionKey>, answer: A, now: Instant) {
        let Some(key) = key else { return };
        let Some(until) = now.checked_add(self.ttl) else { return };
        let mut held = self.lock();
        while let Some((oldest, since)) = held.order.front().copied() {
            let is_old = now.saturating_duration_since(since) >= self.ttl;
            if !is_old && held.order.len() < self.terms.max_size {
                break;
            }
            held.order.pop_front();
            // The same question may have been answered again since.
            if held.answers.get(&oldest).is_some_and(|(_, until)| since.checked_add(self.ttl) == Some(*until))
            {
                held.answers.remove(&oldest);
            }
        }
        held.answers.insert(key, (answer, until));
        held.order.push_back((key, now));
    }

    /// How many are remembered.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().answers.len()
    }

    fn lock(&self) -> MutexGuard<'_, Held<A>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> fmt::Debug for AnswerCache<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerCache").field("terms", &self.terms).finish_non_exhaustive()
    }
}
