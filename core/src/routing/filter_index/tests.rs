use super::*;
use crate::topic::filter_matches;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Few distinct levels, so that filters share prefixes and topics hit them; the empty level and `$` among them.
fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "ab", "$s", "$"])
}

pub(crate) fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/"))
}

pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (prop::collection::vec(level, 0..5), any::<bool>()).prop_map(|(mut levels, ends_with_all)| {
        if ends_with_all || levels.is_empty() {
            levels.push("#");
        }
        levels.join("/")
    })
}

/// A few filters with a wildcard and a few without, chosen again and again so that removals find something.
fn operations() -> impl Strategy<Value = Vec<(String, bool)>> {
    prop::collection::vec(prop_oneof![filter(), topic()], 1..16).prop_flat_map(|filters| {
        prop::collection::vec((prop::sample::select(filters), prop::bool::weighted(0.6)), 1..60)
    })
}

fn matches(index: &FilterIndex<u32>, topic: &str) -> Vec<u32> {
    let mut values = Vec::new();
    index.for_each_match(topic, |value| values.push(*value));
    values.sort_unstable();
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn index_agrees_with_a_map_and_filter_matches(
        operations in operations(),
        topics in prop::collection::vec(topic(), 1..12),
    ) {
        let mut index = FilterIndex::<u32>::new();
        let mut model = BTreeMap::<String, u32>::new();
        for (number, (filter, adds)) in operations.iter().enumerate() {
            if *adds {
                *index.entry(filter) = number as u32;
                model.insert(filter.clone(), number as u32);
            } else {
                prop_assert_eq!(index.remove(filter), model.remove(filter));
            }
            prop_assert_eq!(index.get(filter), model.get(filter));
            prop_assert_eq!(index.get_mut(filter).copied(), model.get(filter).copied());
            prop_assert_eq!(index.len(), model.len());
            for topic in &topics {
                let mut expected: Vec<u32> = model
                    .iter()
                    .filter(|(filter, _)| filter_matches(filter, topic))
                    .map(|(_, value)| *value)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(matches(&index, topic), expected, "{}", topic);
            }
        }
        for filter in model.keys() {
            index.remove(filter);
        }
        prop_assert!(index.is_empty());
        prop_assert_eq!(index.wildcards.live_nodes(), 0);
    }

    #[test]
    fn removed_filters_leave_no_nodes(
        kept in prop::collection::btree_set(filter(), 1..8),
        passing in prop::collection::btree_set(filter(), 1..8),
    ) {
        let mut index = FilterIndex::<u32>::new();
        for filter in &kept {
            index.entry(filter);
        }
        let nodes = index.wildcards.live_nodes();
        let shape = index.wildcards.shape();
        let text_bytes = index.wildcards.text_bytes();
        for filter in passing.difference(&kept) {
            index.entry(filter);
        }
        for filter in passing.difference(&kept) {
            index.remove(filter);
        }
        prop_assert_eq!(index.wildcards.live_nodes(), nodes);
        prop_assert_eq!(index.wildcards.shape(), shape);
        prop_assert_eq!(index.wildcards.text_bytes(), text_bytes);
    }
}

proptest! {
    #[test]
    fn the_shape_depends_on_the_filters_alone(
        filters in prop::collection::btree_set(filter(), 1..12).prop_flat_map(|filters| {
            let filters: Vec<String> = filters.into_iter().collect();
            (Just(filters.clone()), Just(filters).prop_shuffle())
        }),
    ) {
        let shape = |filters: &[String]| {
            let mut index = FilterIndex::<u32>::new();
            for filter in filters {
                index.entry(filter);
            }
            (index.wildcards.shape(), index.wildcards.text_bytes())
        };
        prop_assert_eq!(shape(&filters.0), shape(&filters.1));
    }
}

#[test]
fn there_are_nodes_only_where_filters_part() {
    let shape = |filters: &[&str]| {
        let mut index = FilterIndex::<u32>::new();
        for filter in filters {
            index.entry(filter);
        }
        index.wildcards.live_nodes()
    };
    assert_eq!(shape(&["a/b/c/d/+"]), 0);
    assert_eq!(shape(&["a/b/c/d/+", "x/b/c/d/+", "+/b/c/d", "#"]), 0);
    assert_eq!(shape(&["a/b/c/d/+", "a/b/c/e/+"]), 3);
    assert_eq!(shape(&["a/+", "a/+/#"]), 2);
    assert_eq!(shape(&["a/#", "a/+"]), 1);
    // An empty level is a level, and `#` before the last one stands for itself.
    assert_eq!(shape(&["+/", "+"]), 1);
    assert_eq!(shape(&["+//a", "+/"]), 2);
    assert_eq!(shape(&["#/a", "#", "#/b"]), 1);
}

#[test]
fn filters_that_part_meet_again_under_their_own_values() {
    // Texts of every length around what is stored in place, at every depth.
    let texts =
        ["", "a", "ab", "level-of-twenty-four-byte", "a-level-that-is-longer-than-what-lies-in-place"];
    let mut filters = Vec::new();
    for first in texts {
        for second in texts {
            for end in ["+", "#", "+/", "+/#", first] {
                filters.push(format!("{first}/+/{second}/{end}"));
                filters.push(format!("{first}/{second}/+/{end}"));
            }
        }
    }
    filters.sort_unstable();
    filters.dedup();
    let mut index = FilterIndex::<u32>::new();
    for (value, filter) in filters.iter().enumerate() {
        *index.entry(filter) = value as u32;
    }
    // Every third goes and comes back; the shape is what it was.
    let shape = index.wildcards.shape();
    for step in 0..3 {
        for (value, filter) in filters.iter().enumerate().skip(step).step_by(3) {
            assert_eq!(index.remove(filter), Some(value as u32), "{filter}");
            assert_eq!(index.get(filter), None, "{filter}");
        }
        for (value, filter) in filters.iter().enumerate() {
            let expected = (value % 3 != step).then_some(value as u32);
            assert_eq!(index.get(filter).copied(), expected, "{filter}");
        }
        for (value, filter) in filters.iter().enumerate().skip(step).step_by(3) {
            *index.entry(filter) = value as u32;
        }
        assert_eq!(index.wildcards.shape(), shape);
    }
    for (value, filter) in filters.iter().enumerate() {
        let topic = filter.replace('+', "x").replace('#', "y/z");
        let expected: Vec<u32> = (0_u32..)
            .zip(&filters)
            .filter(|(_, filter)| filter_matches(filter, &topic))
            .map(|(value, _)| value)
            .collect();
        assert!(expected.contains(&(value as u32)));
        assert_eq!(matches(&index, &topic), expected, "{topic}");
    }
}

#[test]
fn entry_of_a_known_filter_is_its_value() {
    let mut index = FilterIndex::<Vec<u8>>::new();
    for filter in ["a/b", "a/+", "a/#"] {
        index.entry(filter).push(1);
        index.entry(filter).push(2);
        assert_eq!(index.get(filter), Some(&vec![1, 2]));
    }
    assert_eq!(index.len(), 3);
    assert_eq!(index.get("a"), None);
    assert_eq!(index.remove("a/c"), None);
    assert_eq!(index.remove("+"), None);
}

#[test]
fn a_filter_does_not_share_its_hash_with_itself() {
    let mut index = FilterIndex::<u32>::new();
    assert!(!index.exact_hash_is_shared("a"));
    for number in 0..1000 {
        index.entry(&format!("a/{number}"));
    }
    // A thousand filters fill every tag of the table, so equal tags alone would be mistaken for equal hashes.
    for number in 0..1000 {
        assert!(!index.exact_hash_is_shared(&format!("a/{number}")));
    }
}

/// Shapes as a fleet of devices makes them: own topics, per-device `+` and `#`.
fn mixed_filters(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| match number % 4 {
        0 => format!("fleet/region{}/device{number}/command", number % 50),
        1 => format!("fleet/region{}/device{number}/+/state", number % 50),
        2 => format!("fleet/region{}/device{number}/#", number % 50),
        _ => format!("+/region{}/device{number}/status", number % 50),
    })
}

/// Devices with three filters each, which part twice.
fn filters_that_part(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| {
        let device = number / 3;
        let end = ["+/state", "+/mode", "command/#"][number % 3];
        format!("fleet/region{}/device{device}/{end}", device % 50)
    })
}

#[track_caller]
fn check_bytes_per_filter<I: Iterator<Item = String>>(filters: impl Fn(usize) -> I, bytes_max: usize) {
    const FILTERS: usize = 100_000;
    let mut index = FilterIndex::<[u32; 3]>::new();
    for filter in filters(FILTERS) {
        index.entry(&filter);
    }
    assert_eq!(index.len(), FILTERS);
    let bytes_per_filter = index.heap_bytes() / FILTERS;
    println!("{bytes_per_filter} bytes per filter");
    assert!(bytes_per_filter <= bytes_max, "{bytes_per_filter}");
    for filter in filters(FILTERS) {
        index.remove(&filter);
    }
    assert!(index.is_empty());
    assert!(index.heap_bytes() < 4096, "{} bytes stay", index.heap_bytes());
}

#[test]
fn a_filter_costs_at_most_a_hundred_bytes_of_which_some_are_for_where_it_parts() {
    check_bytes_per_filter(mixed_filters, 100);
    check_bytes_per_filter(filters_that_part, 100);
}

#[test]
fn the_few_filters_left_of_many_keep_matching_and_cost_little() {
    let mut index = FilterIndex::<u32>::new();
    let filters: Vec<String> = mixed_filters(40_000).collect();
    for (value, filter) in filters.iter().enumerate() {
        *index.entry(filter) = value as u32;
    }
    let (gone, left): (Vec<_>, Vec<_>) = filters.iter().enumerate().partition(|(value, _)| value % 100 > 3);
    for (value, filter) in gone {
        assert_eq!(index.remove(filter), Some(value as u32));
    }
    assert_eq!(index.len(), left.len());
    let bytes_per_filter = index.heap_bytes() / left.len();
    // A table shrinks when it is at most an eighth full; sixteen times the cost is far below the hundredfold it held.
    assert!(bytes_per_filter < 16 * 200, "{bytes_per_filter}");
    for (value, filter) in &left {
        assert_eq!(index.get(filter).copied(), Some(*value as u32));
        let topic = filter.replace('+', "x").replace('#', "y/z");
        assert!(matches(&index, &topic).contains(&(*value as u32)), "{filter}");
    }
    for (value, filter) in left {
        assert_eq!(index.remove(filter), Some(value as u32));
    }
    assert!(index.is_empty());
}

#[test]
fn filters_that_do_not_match_cost_no_visits() {
    let mut index = FilterIndex::<u32>::new();
    for filter in ["fleet/+/device1/state", "fleet/region1/#", "+/+/+/state", "fleet/region1/device1/state"] {
        index.entry(filter);
    }
    let visits_for_one_match = |index: &FilterIndex<u32>| {
        let before = index.visits();
        assert_eq!(matches(index, "fleet/region1/device1/state").len(), 4);
        index.visits() - before
    };
    let add_others = |index: &mut FilterIndex<u32>, count: u32| {
        for number in 2..count {
            index.entry(&format!("fleet/+/device{number}/state"));
            index.entry(&format!("fleet/region{number}/#"));
            index.entry(&format!("other{number}/+/+/state"));
            index.entry(&format!("fleet/region1/device{number}/+"));
            index.entry(&format!("fleet/region1/device1/state/+/{number}"));
        }
    };
    // The first of the others lengthen the topic's own way through the trie; the next 100,000 do not.
    add_others(&mut index, 4);
    let visits = visits_for_one_match(&index);
    assert!(visits <= 12, "{visits}");
    add_others(&mut index, 20_000);
    assert_eq!(visits_for_one_match(&index), visits);
}

#[test]
fn the_deepest_filter_needs_no_deep_stack() {
    let exact_levels = "/".repeat(65_534);
    let all_levels = format!("{}#", "+/".repeat(32_767));
    let literal_levels = format!("{}+", "/".repeat(65_534));
    let worker = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
        let mut index = FilterIndex::<u32>::new();
        for (value, filter) in [&exact_levels, &all_levels, &literal_levels].into_iter().enumerate() {
            *index.entry(filter) = value as u32;
        }
        assert_eq!(matches(&index, &exact_levels), [0, 1, 2]);
        assert_eq!(matches(&index, &format!("{exact_levels}a")), [1, 2]);
        for filter in [&exact_levels, &all_levels, &literal_levels] {
            assert!(index.remove(filter).is_some());
        }
        assert!(index.is_empty());
    });
    worker.unwrap().join().unwrap();
}

#[test]
fn work_is_bounded_by_the_stored_nodes() {
    // Every mix of `a` and `+` over twelve levels: the most paths one topic can take through a trie.
    let mut index = FilterIndex::<u32>::new();
    for bits in 0..1 << 12 {
        let levels: Vec<&str> = (0..12).map(|level| if bits >> level & 1 == 0 { "a" } else { "+" }).collect();
        index.entry(&levels.join("/"));
    }
    let before = index.visits();
    assert_eq!(matches(&index, &["a"; 12].join("/")).len(), 1 << 12);
    let visits = index.visits() - before;
    assert!(visits <= 2 << 12, "each node is visited once, not {visits} in all");
    let before = index.visits();
    for depth in 1..10_000 {
        index.entry(&format!("a{}", "/+".repeat(depth % 100)));
    }
    assert_eq!(matches(&index, &format!("a{}", "/x".repeat(50))), [0]);
    assert!(index.visits() - before < 300);
}
