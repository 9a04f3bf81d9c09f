//! Bytes as operations on a [`FilterIndex`], compared with a map and [`filter_matches`] after each.

use crate::routing::FilterIndex;
use crate::topic::filter_matches;
use std::collections::BTreeMap;

/// Levels of topics, empty, extending one another and with `$`; the last four are for filters only, two of them
/// misplaced wildcards, which stand for themselves.
const LEVELS: [&str; 12] = ["", "a", "b", "ab", "$", "$s", "c", "d", "+", "#", "a+", "#b"];
const TOPIC_LEVELS: usize = 8;
/// Deep enough for the frontier of a match to leave its inline room.
const LEVELS_MAX: u8 = 24;

/// Reads `data` as operations on an index of filters: add, remove, match.
///
/// # Panics
/// If the index disagrees with the naive model.
pub fn trie(data: &[u8]) {
    let mut index = FilterIndex::<u32>::new();
    let mut model = BTreeMap::<String, u32>::new();
    let mut bytes = data.iter().copied();
    let mut number = 0;
    while let Some(operation) = bytes.next() {
        number += 1;
        match operation % 4 {
            0 | 1 => {
                let filter = text(&mut bytes, LEVELS.len());
                *index.entry(&filter) = number;
                model.insert(filter, number);
            }
            2 => {
                let filter = text(&mut bytes, LEVELS.len());
                assert_eq!(index.get(&filter), model.get(&filter), "{filter:?}");
                assert_eq!(index.remove(&filter), model.remove(&filter), "{filter:?}");
            }
            _ => compare_matches(&index, &model, &text(&mut bytes, TOPIC_LEVELS)),
        }
        assert_eq!(index.len(), model.len());
    }
    for (filter, value) in &model {
        assert_eq!(index.get(filter), Some(value), "{filter:?}");
    }
    for (filter, value) in &model {
        assert_eq!(index.remove(filter), Some(*value), "{filter:?}");
    }
    assert!(index.is_empty());
}

fn compare_matches(index: &FilterIndex<u32>, model: &BTreeMap<String, u32>, topic: &str) {
    let mut found = Vec::new();
    index.for_each_match(topic, |value| found.push(*value));
    found.sort_unstable();
    let matching = model.iter().filter(|(filter, _)| filter_matches(filter, topic));
    let mut expected: Vec<u32> = matching.map(|(_, value)| *value).collect();
    expected.sort_unstable();
    assert_eq!(found, expected, "{topic:?}");
}

/// A topic or filter: a byte for the number of levels and one for each of them.
fn text(bytes: &mut impl Iterator<Item = u8>, alphabet: usize) -> String {
    let count = usize::from(bytes.next().unwrap_or(0) % LEVELS_MAX) + 1;
    let levels: Vec<&str> = bytes.take(count).map(|byte| LEVELS[usize::from(byte) % alphabet]).collect();
    levels.join("/")
}
