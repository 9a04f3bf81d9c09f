use super::super::filter_index::tests::{filter, topic};
use super::*;
use crate::topic::filter_matches;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
struct Change {
    filter: String,
    shard: u8,
    adds: bool,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(prop_oneof![filter(), topic()], 1..8).prop_flat_map(|filters| {
        let change = (
            prop::sample::select(filters),
            prop::sample::select(vec![0, 1, 2, 63, 64, 255]),
            prop::bool::weighted(0.6),
        );
        prop::collection::vec(change.prop_map(|(filter, shard, adds)| Change { filter, shard, adds }), 1..80)
    })
}

proptest! {
    #[test]
    fn interest_agrees_with_a_map_of_sets(
        changes in changes(),
        topics in prop::collection::vec(topic(), 1..10),
    ) {
        let mut interest = Interest::new();
        let mut model = BTreeMap::<String, BTreeSet<u8>>::new();
        for Change { filter, shard, adds } in changes {
            let key = InterestKey::of(&filter);
            if adds {
                interest.add(&key, ShardId(shard));
                model.entry(filter).or_default().insert(shard);
            } else {
                interest.remove(&key, ShardId(shard));
                if let Some(shards) = model.get_mut(&filter) {
                    shards.remove(&shard);
                    if shards.is_empty() {
                        model.remove(&filter);
                    }
                }
            }
            prop_assert_eq!(interest.len(), model.len());
            for topic in &topics {
                let wanted: BTreeSet<u8> = model
                    .iter()
                    .filter(|(filter, _)| filter_matches(filter, topic))
                    .flat_map(|(_, shards)| shards.iter().copied())
                    .collect();
                let mut found = ShardSet::new();
                interest.shards_for(topic, &mut found);
                prop_assert_eq!(found.iter().map(|shard| shard.0).collect::<BTreeSet<_>>(), wanted);
            }
        }
        let distinct: BTreeSet<_> = model.values().filter(|shards| shards.len() > 1).collect();
        prop_assert_eq!(interest.sets.len(), distinct.len(), "sets are shared and forgotten");
    }
}

#[test]
fn shards_found_before_stay_in_the_set() {
    let mut interest = Interest::new();
    interest.add(&InterestKey::of("a"), ShardId(1));
    let mut found: ShardSet = [ShardId(7)].into_iter().collect();
    interest.shards_for("a", &mut found);
    assert_eq!(found.iter().map(|shard| shard.0).collect::<Vec<_>>(), [1, 7]);
}

#[test]
fn keys_tell_wildcards_from_exact_filters() {
    assert_eq!(InterestKey::of("a/b"), InterestKey::Exact(hash_str("a/b")));
    assert_eq!(InterestKey::of("a/+"), InterestKey::Wildcard("a/+".into()));
    assert_eq!(InterestKey::of("#"), InterestKey::Wildcard("#".into()));
}

#[test]
fn an_exact_filter_costs_at_most_32_bytes_and_goes_without_trace() {
    const FILTERS: usize = 120_000;
    let keys =
        || (0..FILTERS).map(|number| (InterestKey::of(&format!("device/{number}")), ShardId(number as u8)));
    let mut interest = Interest::new();
    for (key, shard) in keys() {
        interest.add(&key, shard);
    }
    assert_eq!(interest.len(), FILTERS);
    let bytes_per_filter = interest.heap_bytes() / FILTERS;
    assert!(bytes_per_filter <= 32, "{bytes_per_filter}");
    for (key, shard) in keys() {
        interest.remove(&key, shard);
    }
    assert!(interest.is_empty());
    assert!(interest.heap_bytes() < 4096, "{} bytes stay", interest.heap_bytes());
}
