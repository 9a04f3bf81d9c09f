use super::*;
use crate::codec::QoS;
use crate::publication::{Origin, PublicationRef};
use crate::topic::filter_matches;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn message(topic: &str, payload: u32, expires_at: Timestamp) -> Publication {
    let view = PublicationRef {
        topic,
        properties: b"",
        payload: &payload.to_be_bytes(),
        qos: QoS::AtMostOnce,
        retain: true,
        expires_at,
        origin: Origin::BROKER,
    };
    view.to_shared()
}

fn payload(message: &Publication) -> u32 {
    u32::from_be_bytes(message.view().payload.try_into().unwrap())
}

/// Levels that sort before and after the slash, extend one another, are empty, or begin with `$`.
fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "a-", "a0", "ab", "$s", "ä", "\u{1}"])
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |t| !t.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (prop::collection::vec(level, 1..5), any::<bool>())
        .prop_map(|(mut levels, ends_with_all)| {
            if ends_with_all {
                levels.pop();
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("not empty", |filter| !filter.is_empty())
}

#[derive(Debug, Clone)]
enum Operation {
    /// Sets a message that expires at that moment, if any.
    Set(String, Option<u64>),
    Clear(String),
    RemoveExpired(u64, usize),
}

fn operations(count_max: usize) -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        8 => (topic(), prop::option::weighted(0.3, 1..40u64)).prop_map(|(topic, at)| Operation::Set(topic, at)),
        3 => topic().prop_map(Operation::Clear),
        1 => (0..20u64, 1..4usize).prop_map(|(now, visits)| Operation::RemoveExpired(now, visits)),
    ];
    prop::collection::vec(operation, 0..count_max)
}

#[derive(Debug, Default)]
struct Both {
    store: RetainedStore,
    /// Topic to payload and expiry.
    model: BTreeMap<String, (u32, Timestamp)>,
    payloads: u32,
}

/// Each message is remembered under the number in its payload.
fn record(payload: u32) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::from(payload))
}

fn removed((payload, _): (u32, Timestamp)) -> Removed {
    Removed { record: record(payload) }
}

impl Both {
    fn apply(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Set(topic, at) => {
                let at = at.map_or(Timestamp::NEVER, Timestamp::from_ms);
                self.payloads += 1;
                let replaced = self.store.set(message(topic, self.payloads, at), record(self.payloads));
                let expected = self.model.insert(topic.clone(), (self.payloads, at));
                prop_assert_eq!(replaced, expected.map(removed));
            }
            Operation::Clear(topic) => {
                prop_assert_eq!(self.store.clear(topic), self.model.remove(topic).map(removed));
            }
            Operation::RemoveExpired(now, visits_max) => {
                let now = Timestamp::from_ms(*now);
                let due = self.model.values().filter(|(_, at)| *at <= now).count();
                for _ in 0..due.min(*visits_max) {
                    // Which of the messages of one moment go first is not promised: follow the store.
                    let gone = self.store.remove_expired(now);
                    let is_it = |(payload, at): &(u32, Timestamp)| {
                        *at <= now && gone == Some(removed((*payload, *at)))
                    };
                    let topic =
                        self.model.iter().find(|(_, value)| is_it(value)).map(|(topic, _)| topic.clone());
                    prop_assert!(topic.and_then(|topic| self.model.remove(&topic)).is_some());
                }
                prop_assert!(due > *visits_max || self.store.remove_expired(now).is_none());
            }
        }
        prop_assert_eq!(self.store.len(), self.model.len());
        let next = self.model.values().map(|(_, at)| *at).filter(|at| !at.is_never()).min();
        prop_assert_eq!(self.store.next_expiry(), next);
        let bytes: usize = self.model.keys().map(|topic| topic.len() + 4 + ENTRY_BYTES).sum();
        prop_assert_eq!(self.store.bytes(), bytes);
        Ok(())
    }

    fn matches(&self, filter: &str, now: Timestamp) -> Vec<(String, u32)> {
        self.model
            .iter()
            .filter(|(topic, (_, at))| *at > now && filter_matches(filter, topic))
            .map(|(topic, (payload, _))| (topic.clone(), *payload))
            .collect()
    }
}

fn described(messages: &[Publication]) -> Vec<(String, u32)> {
    messages.iter().map(|message| (message.topic().to_string(), payload(message))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pages_together_are_the_naive_answer(
        operations in operations(60),
        filters in prop::collection::vec(prop_oneof![filter(), topic()], 1..8),
        items_max in 1..5usize,
        visits_max in 1..6usize,
        now in 0..40u64,
    ) {
        let mut both = Both::default();
        for operation in &operations {
            both.apply(operation)?;
        }
        let now = Timestamp::from_ms(now);
        for filter in filters {
            let mut all = Vec::new();
            let mut after: Option<Box<str>> = None;
            loop {
                let before = all.len();
                let end = both.store.page(&filter, after.as_deref(), items_max, visits_max, now, &mut all);
                prop_assert!(all.len() - before <= items_max.min(visits_max));
                match end {
                    PageEnd::Complete => break,
                    PageEnd::More { after: next } => {
                        prop_assert!(after.as_deref() < Some(&*next), "the cursor moves on");
                        after = Some(next);
                    }
                }
            }
            prop_assert_eq!(described(&all), both.matches(&filter, now), "{}", filter);
        }
        for (topic, (_, at)) in &both.model {
            prop_assert_eq!(both.store.get(topic, now).is_some(), *at > now);
        }
    }

    #[test]
    fn what_stays_throughout_is_delivered_once_whatever_changes_between_pages(
        operations in operations(40),
        between in prop::collection::vec(operations(4), 1..12),
        filter in filter(),
        items_max in 1..3usize,
        visits_max in 1..4usize,
    ) {
        let mut both = Both::default();
        for operation in &operations {
            both.apply(operation)?;
        }
        let now = Timestamp::ZERO;
        let mut lasting = both.matches(&filter, now);
        let mut all = Vec::new();
        let mut after: Option<Box<str>> = None;
        let mut between = between.iter();
        loop {
            let first_new = all.len();
            let end = both.store.page(&filter, after.as_deref(), items_max, visits_max, now, &mut all);
            let present = both.matches(&filter, now);
            for new in described(&all[first_new..]) {
                prop_assert!(present.contains(&new));
            }
            let PageEnd::More { after: next } = end else { break };
            after = Some(next);
            for operation in between.next().into_iter().flatten() {
                both.apply(operation)?;
            }
            let present = both.matches(&filter, now);
            lasting.retain(|message| present.contains(message));
        }
        prop_assert!(all.is_sorted_by(|left, right| left.topic() < right.topic()), "in order, none twice");
        let delivered = described(&all);
        for message in lasting {
            prop_assert!(delivered.contains(&message), "{:?} is missing", message);
        }
    }
}

/// Whether one page of at most `visits_max` visits answers `filter` completely, with so many matches.
fn is_answered_within(store: &RetainedStore, filter: &str, matches: usize, visits_max: usize) -> bool {
    let mut out = Vec::new();
    let end = store.page(filter, None, usize::MAX, visits_max, Timestamp::ZERO, &mut out);
    end == PageEnd::Complete && out.len() == matches
}

#[test]
fn topics_that_cannot_match_are_skipped() {
    let mut store = RetainedStore::new();
    for site in 0..100 {
        for sensor in 0..100 {
            store.set(message(&format!("s/{site:02}/{sensor:02}"), 0, Timestamp::NEVER), None);
        }
        store.set(message(&format!("$SYS/{site}"), 0, Timestamp::NEVER), None);
    }
    let cases = [
        ("s/42/17", 1, 2),
        ("s/42/+", 100, 102),
        ("s/42/#", 100, 102),
        // Each site costs the topic that is found, the match, and the topic after it.
        ("s/+/50", 100, 303),
        ("+/42/17", 1, 8),
        ("s/+", 0, 102),
        ("+", 0, 4),
        ("x/#", 0, 1),
        ("+/+/99", 100, 303),
        ("#", 10_000, 10_002),
    ];
    for (filter, matches, visits_max) in cases {
        assert!(is_answered_within(&store, filter, matches, visits_max), "{filter}");
    }
    assert!(!is_answered_within(&store, "#", 10_000, 9_999), "the bound on visits holds");
}

#[test]
fn a_replaced_message_expires_with_its_successor() {
    let at = Timestamp::from_ms;
    let mut store = RetainedStore::new();
    assert!(store.set(message("a", 1, at(10)), record(1)).is_none());
    assert_eq!(store.set(message("a", 2, at(10)), record(2)), Some(Removed { record: record(1) }));
    assert_eq!(store.next_expiry(), Some(at(10)));
    assert_eq!(payload(&store.by_expiry.first().unwrap().1.0), 2, "the first message is not kept alive");
    assert_eq!(store.set(message("a", 3, Timestamp::NEVER), record(3)), Some(Removed { record: record(2) }));
    assert_eq!(store.next_expiry(), None);
    assert_eq!(store.remove_expired(at(100)), None);
    assert_eq!(store.get("a", at(100)).map(payload), Some(3));
    assert_eq!(store.clear("a"), Some(Removed { record: record(3) }));
    assert_eq!(store.bytes(), 0);
}
