use super::super::filter_index::tests::{filter, topic};
use super::*;
use crate::topic::filter_matches;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct Change {
    share: &'static str,
    filter: String,
    shard: u8,
    members: u32,
    online: u32,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(prop_oneof![filter(), topic()], 1..5).prop_flat_map(|filters| {
        let change = (
            prop::sample::select(vec!["g", "h", "$queue"]),
            prop::sample::select(filters),
            prop::sample::select(vec![0, 3, 255]),
            0..4u32,
            0..4u32,
        );
        let change = change.prop_map(|(share, filter, shard, members, online)| Change {
            share,
            filter,
            shard,
            members,
            online: online.min(members),
        });
        prop::collection::vec(change, 1..60)
    })
}

type Model = BTreeMap<(String, String), BTreeMap<u8, (u32, u32)>>;

fn check_group(group: &Group, shards: &BTreeMap<u8, (u32, u32)>) -> Result<(), TestCaseError> {
    prop_assert_eq!(group.members_total(), shards.values().map(|counts| counts.0).sum::<u32>());
    prop_assert_eq!(group.online_total(), shards.values().map(|counts| counts.1).sum::<u32>());
    let mut members = Vec::new();
    let mut online = Vec::new();
    for (shard, counts) in shards {
        prop_assert_eq!(group.members_on(ShardId(*shard)), counts.0);
        prop_assert_eq!(group.online_on(ShardId(*shard)), counts.1);
        members.extend((0..counts.0).map(|n| (ShardId(*shard), n)));
        online.extend((0..counts.1).map(|n| (ShardId(*shard), n)));
    }
    prop_assert_eq!(group.members_on(ShardId(100)), 0);
    prop_assert_eq!((0..).map_while(|n| group.nth_member(n)).collect::<Vec<_>>(), members);
    prop_assert_eq!((0..).map_while(|n| group.nth_online(n)).collect::<Vec<_>>(), online);
    let listed: Vec<_> =
        group.shards().map(|(shard, members, online)| (shard.0, (members, online))).collect();
    prop_assert_eq!(listed, shards.iter().map(|(shard, counts)| (*shard, *counts)).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #[test]
    fn groups_agree_with_a_map_of_counts(
        changes in changes(),
        topics in prop::collection::vec(topic(), 1..8),
    ) {
        let mut table = GroupTable::new();
        let mut model = Model::new();
        let mut ids = BTreeMap::new();
        for Change { share, filter, shard, members, online } in changes {
            table.set_members(share, &filter, ShardId(shard), members, online);
            let name = (share.to_string(), filter);
            let shards = model.entry(name.clone()).or_default();
            shards.insert(shard, (members, online));
            shards.retain(|_, counts| counts.0 > 0);
            if shards.is_empty() {
                model.remove(&name);
                ids.remove(&name);
            } else {
                let id = table.find(&name.0, &name.1);
                prop_assert!(id.is_some());
                prop_assert_eq!(*ids.entry(name.clone()).or_insert(id), id, "ids are stable");
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.find(&name.0, &name.1).is_some(), model.contains_key(&name));
            for topic in &topics {
                let mut found = Vec::new();
                table.for_each_match(topic, |id, group| {
                    assert_eq!(table.find(group.share(), group.filter()), Some(id));
                    found.push((group.share().to_string(), group.filter().to_string()));
                });
                found.sort();
                let expected: Vec<_> =
                    model.keys().filter(|(_, filter)| filter_matches(filter, topic)).cloned().collect();
                prop_assert_eq!(found, expected);
            }
        }
        for ((share, filter), shards) in &model {
            let group = table.find(share, filter).and_then(|id| table.get(id));
            prop_assert!(group.is_some());
            check_group(group.unwrap(), shards)?;
        }
    }
}

#[test]
fn the_last_shard_takes_the_group_with_it() {
    let mut table = GroupTable::new();
    table.set_members("g", "a/+", ShardId(0), 2, 1);
    table.set_members("g", "a/+", ShardId(1), 1, 0);
    let id = table.find("g", "a/+").unwrap();
    table.set_members("g", "a/+", ShardId(0), 0, 0);
    assert_eq!(table.get(id).unwrap().members_total(), 1);
    table.set_members("g", "a/+", ShardId(1), 0, 0);
    assert!(table.get(id).is_none());
    assert!(table.is_empty());
    assert!(table.by_filter.is_empty());
    table.set_members("h", "b", ShardId(0), 1, 1);
    assert_eq!(table.find("h", "b"), Some(id), "the id is used again");
}

#[test]
fn more_online_than_members_counts_as_all_online() {
    let mut table = GroupTable::new();
    table.set_members("g", "a", ShardId(0), 2, 9);
    let group = table.get(table.find("g", "a").unwrap()).unwrap();
    assert_eq!(group.online_total(), 2);
}
