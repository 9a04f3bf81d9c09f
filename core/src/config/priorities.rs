//! `mqtt.mqueue_priorities`: how urgent the messages of a topic are. Knows nothing of queues.

use crate::topic::{filter_matches, has_wildcard};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How urgent a queued message is; a higher one leaves the queue first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u16);

impl Priority {
    /// Below everything that is configured.
    pub const LOWEST: Priority = Priority(0);
    /// Above everything that is configured.
    pub const HIGHEST: Priority = Priority(u8::MAX as u16 + 1);
}

/// The priority of topics that [`QueuePriorities`] does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultPriority {
    /// Behind all that it names.
    Lowest,
    /// Before all that it names.
    Highest,
}

impl From<DefaultPriority> for Priority {
    fn from(priority: DefaultPriority) -> Priority {
        match priority {
            DefaultPriority::Lowest => Priority::LOWEST,
            DefaultPriority::Highest => Priority::HIGHEST,
        }
    }
}

/// Priorities by topic, or by topic filter. A topic that is named as it is has that priority; else the highest of the
/// filters that match it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u8>", into = "BTreeMap<String, u8>")]
pub struct QueuePriorities {
    topics: BTreeMap<String, u8>,
    /// Filters with wildcards, the most urgent first.
    filters: Vec<(String, u8)>,
}

impl QueuePriorities {
    /// Whether all messages are alike.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.filters.is_empty()
    }

    /// Topics and filters that are named.
    pub fn len(&self) -> usize {
        self.topics.len() + self.filters.len()
    }

    /// The priority of a topic; `None` if nothing names it.
    pub fn of(&self, topic: &str) -> Option<Priority> {
        let named = self.topics.get(topic).copied();
        let matching = || self.filters.iter().find(|(filter, _)| filter_matches(filter, topic));
        named.or_else(|| matching().map(|(_, priority)| *priority)).map(|priority| Priority(priority.into()))
    }
}

impl From<BTreeMap<String, u8>> for QueuePriorities {
    fn from(named: BTreeMap<String, u8>) -> QueuePriorities {
        let (filters, topics): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(filter, _)| has_wildcard(filter));
        let mut filters = filters;
        filters.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
        QueuePriorities { topics: topics.into_iter().collect(), filters }
    }
}

impl From<QueuePriorities> for BTreeMap<String, u8> {
    fn from(priorities: QueuePriorities) -> BTreeMap<String, u8> {
        priorities.topics.into_iter().chain(priorities.filters).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_counts_before_filters_and_the_highest_of_these() {
        let named = [("a/b", 1), ("a/+", 7), ("a/#", 9), ("x", 255), ("#", 2)];
        let named: BTreeMap<String, u8> =
            named.map(|(filter, priority)| (filter.to_owned(), priority)).into();
        let priorities = QueuePriorities::from(named.clone());
        for (topic, priority) in
            [("a/b", Some(1)), ("a/c", Some(9)), ("x", Some(255)), ("y", Some(2)), ("$SYS/y", None)]
        {
            assert_eq!(priorities.of(topic), priority.map(Priority), "{topic}");
        }
        assert!(Priority::LOWEST < Priority(1) && Priority(255) < Priority::HIGHEST);
        assert_eq!((priorities.len(), priorities.is_empty()), (5, false));
        assert_eq!(BTreeMap::from(priorities), named);
    }
}
