//! The replica of shared subscription groups: how many members each group has on each shard, kept on every shard.
//!
//! It counts members; which member receives a message is decided by the strategy of the publisher's shard and, within a
//! shard, by that shard's own list of members.

use super::{FilterIndex, ShardId};
use crate::hash::ProcessHasher;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hasher};

/// Slot of a group in its [`GroupTable`]: stable while the group has members, used again afterwards. Every shard numbers
/// its replica by itself, so an id must not travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

#[derive(Debug, Clone, Copy)]
struct ShardMembers {
    shard: ShardId,
    members: u32,
    online: u32,
}

/// One shared subscription group: the sessions that share `filter` under the name `share`.
#[derive(Debug)]
pub struct Group {
    share: Box<str>,
    filter: Box<str>,
    members_total: u32,
    online_total: u32,
    /// Ascending by shard; every entry has members.
    shards: SmallVec<[ShardMembers; 2]>,
}

impl Group {
    /// The group name, `$queue` for queue subscriptions.
    pub fn share(&self) -> &str {
        &self.share
    }

    /// The filter without share prefix.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Members with a live connection, over all shards.
    pub fn online_total(&self) -> u32 {
        self.online_total
    }

    /// Members over all shards, connected or not.
    pub fn members_total(&self) -> u32 {
        self.members_total
    }

    /// Members with a live connection on `shard`.
    pub fn online_on(&self, shard: ShardId) -> u32 {
        self.on(shard).map_or(0, |counts| counts.online)
    }

    /// Members on `shard`, connected or not.
    pub fn members_on(&self, shard: ShardId) -> u32 {
        self.on(shard).map_or(0, |counts| counts.members)
    }

    /// The shard of the `n`-th online member, counted from 0 over the shards in ascending order, and the member's number
    /// among the online members there. None if `n` is not below [`Group::online_total`].
    pub fn nth_online(&self, n: u32) -> Option<(ShardId, u32)> {
        nth(n, self.shards.iter().map(|counts| (counts.shard, counts.online)))
    }

    /// As [`Group::nth_online`], over all members.
    pub fn nth_member(&self, n: u32) -> Option<(ShardId, u32)> {
        nth(n, self.shards.iter().map(|counts| (counts.shard, counts.members)))
    }

    /// The shards with members, ascending, with the number of members and of online members there.
    pub fn shards(&self) -> impl Iterator<Item = (ShardId, u32, u32)> {
        self.shards.iter().map(|counts| (counts.shard, counts.members, counts.online))
    }

    fn on(&self, shard: ShardId) -> Option<&ShardMembers> {
        self.shards.iter().find(|counts| counts.shard == shard)
    }

    fn set(&mut self, new: ShardMembers) {
        match self.shards.binary_search_by_key(&new.shard, |counts| counts.shard) {
            Ok(at) if new.members == 0 => {
                self.shards.remove(at);
            }
            Ok(at) => self.shards[at] = new,
            Err(_) if new.members == 0 => {}
            Err(at) => self.shards.insert(at, new),
        }
        self.members_total = self.shards.iter().map(|counts| counts.members).sum();
        self.online_total = self.shards.iter().map(|counts| counts.online).sum();
    }
}

fn nth(mut n: u32, counts: impl Iterator<Item = (ShardId, u32)>) -> Option<(ShardId, u32)> {
    for (shard, count) in counts {
        if n < count {
            return Some((shard, n));
        }
        n -= count;
    }
    None
}

/// All shared subscription groups of the process.
#[derive(Debug, Default)]
pub struct GroupTable {
    groups: Slab<Group>,
    by_name: HashTable<u32>,
    by_filter: FilterIndex<SmallVec<[GroupId; 2]>>,
}

impl GroupTable {
    /// A table without groups.
    pub fn new() -> GroupTable {
        GroupTable::default()
    }

    /// Says how many members of the group (`share`, `filter`) live on `shard`, and how many of them are `online`. The
    /// numbers are absolute; without members the shard leaves the group, and the last shard takes the group with it.
    pub fn set_members(&mut self, share: &str, filter: &str, shard: ShardId, members: u32, online: u32) {
        let id = match self.find(share, filter) {
            Some(id) => id,
            None if members == 0 => return,
            None => self.create(share, filter),
        };
        let Some(group) = self.groups.get_mut(id.0 as usize) else { return };
        group.set(ShardMembers { shard, members, online: online.min(members) });
        if group.shards.is_empty() {
            self.remove(id);
        }
    }

    /// Calls `found` once with every group whose filter matches `topic`.
    pub fn for_each_match(&self, topic: &str, mut found: impl FnMut(GroupId, &Group)) {
        self.by_filter.for_each_match(topic, |ids| {
            for id in ids {
                found(*id, &self.groups[id.0 as usize]);
            }
        });
    }

    /// The group with this id.
    pub fn get(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)
    }

    /// The id of the group (`share`, `filter`).
    pub fn find(&self, share: &str, filter: &str) -> Option<GroupId> {
        let is_it = |id: &u32| {
            let group = &self.groups[*id as usize];
            &*group.share == share && &*group.filter == filter
        };
        self.by_name.find(name_hash(share, filter), is_it).map(|id| GroupId(*id))
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn create(&mut self, share: &str, filter: &str) -> GroupId {
        let id = self.groups.insert(Group {
            share: share.into(),
            filter: filter.into(),
            members_total: 0,
            online_total: 0,
            shards: SmallVec::new(),
        }) as u32;
        let groups = &self.groups;
        self.by_name.insert_unique(name_hash(share, filter), id, |other| {
            let group = &groups[*other as usize];
            name_hash(&group.share, &group.filter)
        });
        self.by_filter.entry(filter).push(GroupId(id));
        GroupId(id)
    }

    fn remove(&mut self, id: GroupId) {
        let Some(group) = self.groups.try_remove(id.0 as usize) else { return };
        let hash = name_hash(&group.share, &group.filter);
        if let Ok(found) = self.by_name.find_entry(hash, |other| *other == id.0) {
            found.remove();
        }
        let Some(ids) = self.by_filter.get_mut(&group.filter) else { return };
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            self.by_filter.remove(&group.filter);
        }
    }
}

fn name_hash(share: &str, filter: &str) -> u64 {
    let mut hasher = ProcessHasher.build_hasher();
    hasher.write(share.as_bytes());
    // No share name contains a slash, so the two parts cannot be mistaken for another pair.
    hasher.write_u8(b'/');
    hasher.write(filter.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests;
