//! What external sources answered about one client, so that they are not asked again for every message. It is for
//! [`super::Decision::Ask`] alone: rules that are known are asked faster than any cache.

use super::{Action, Permission};
use crate::config::Duration;
use crate::time::Timestamp;

/// Longer topics are not remembered, so that a cache has a bound in bytes.
pub const CACHED_TOPIC_BYTES_MAX: usize = 1024;

/// How much is remembered, and for how long. The same for all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTerms {
    /// Answers a client's cache holds; the oldest gives way. Zero for no cache.
    pub answers_max: usize,
    /// How long an answer holds.
    pub ttl: Duration,
}

/// The answers about one client. Empty, it takes no memory of its own; it is dropped, or cleared, when rules change.
#[derive(Debug, Default)]
pub struct DecisionCache {
    answers: Vec<Answer>,
    /// The oldest answer, once there are as many as there may be.
    oldest: usize,
}

#[derive(Debug)]
struct Answer {
    topic: Box<str>,
    action: Action,
    permission: Permission,
    until: Timestamp,
}

impl DecisionCache {
    /// What was answered, if that still holds.
    pub fn find(&self, action: Action, topic: &str, now: Timestamp) -> Option<Permission> {
        let found = self.answers.iter().find(|answer| answer.action == action && *answer.topic == *topic)?;
        (now < found.until).then_some(found.permission)
    }

    /// Remembers an answer.
    pub fn keep(
        &mut self,
        action: Action,
        topic: &str,
        permission: Permission,
        now: Timestamp,
        terms: CacheTerms,
    ) {
        if topic.len() > CACHED_TOPIC_BYTES_MAX || terms.answers_max == 0 {
            return;
        }
        let until = now.after_ms(terms.ttl.as_ms());
        let known = self.answers.iter_mut().find(|answer| answer.action == action && *answer.topic == *topic);
        if let Some(answer) = known {
            (answer.permission, answer.until) = (permission, until);
            return;
        }
        let answer = Answer { topic: topic.into(), action, permission, until };
        if self.answers.len() < terms.answers_max {
            self.answers.push(answer);
            return;
        }
        // Where terms have become smaller, the cache keeps its size until it is cleared.
        self.oldest %= self.answers.len();
        self.answers[self.oldest] = answer;
        self.oldest += 1;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = DecisionCache::default();
    }
}
