//! The sessions of a shard, by slot and by client id.

use super::admission::Rights;
use super::retained::Streams;
use crate::reactor::Token;
use hashbrown::HashTable;
use ringmq_core::hash::{SeededMap, hash_str};
use ringmq_core::routing::ShardId;
use ringmq_core::session::{Session, ShareTag};
use ringmq_core::shelf::Shelf;
use ringmq_core::wheel::TimerId;

/// Names a session of this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u32);

/// Where a publisher stands in a shared subscription.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// The number of the next member.
    Next(u32),
    /// The shard of the member it sticks to.
    Stuck(ShardId),
}

/// A session and what its shard keeps beside it.
#[derive(Debug)]
pub struct Slot {
    pub session: Session,
    pub connection: Option<Token>,
    /// Session expiry.
    pub expiry_timer: Option<TimerId>,
    /// Will delay.
    pub will_timer: Option<TimerId>,
    /// How many of the subscriptions are shared.
    pub shares: u32,
    /// Counts the connections this session has had, so that a late answer to an earlier one is recognised.
    pub attachment: u32,
    /// Retained messages still to be delivered.
    pub streams: Option<Box<Streams>>,
    /// What its client may do.
    pub rights: Rights,
    /// Places in shared subscriptions as a publisher.
    pub turns: Option<Box<SeededMap<ShareTag, Turn>>>,
}

/// All sessions whose home is this shard.
#[derive(Debug, Default)]
pub struct Sessions {
    slots: Shelf<Slot>,
    /// By the hash of the client id, which the slot has.
    by_client: HashTable<SessionKey>,
    subscribers: usize,
}

impl Sessions {
    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sessions with at least one subscription.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Notes that a session's number of subscriptions changed.
    pub fn count_subscriber(&mut self, before: usize, after: usize) {
        self.subscribers = self.subscribers + usize::from(after > 0) - usize::from(before > 0);
    }

    /// The session of a client.
    pub fn find(&self, client_id: &str) -> Option<SessionKey> {
        let is_it = |key: &SessionKey| self.slots[key.0 as usize].session.client_id() == client_id;
        self.by_client.find(hash_str(client_id), is_it).copied()
    }

    /// Adds a session.
    pub fn insert(&mut self, session: Session) -> SessionKey {
        let hash = hash_str(session.client_id());
        let slot = Slot {
            session,
            connection: None,
            rights: Rights::default(),
            expiry_timer: None,
            will_timer: None,
            shares: 0,
            attachment: 0,
            streams: None,
            turns: None,
        };
        let key = SessionKey(self.slots.insert(slot) as u32);
        let slots = &self.slots;
        self.by_client.insert_unique(hash, key, |key| hash_str(slots[key.0 as usize].session.client_id()));
        key
    }

    /// Removes a session.
    pub fn remove(&mut self, key: SessionKey) -> Option<Slot> {
        let slot = self.slots.try_remove(key.0 as usize)?;
        let hash = hash_str(slot.session.client_id());
        if let Ok(entry) = self.by_client.find_entry(hash, |found| *found == key) {
            entry.remove();
        }
        if self.by_client.len() < self.by_client.capacity() / 8 {
            let slots = &self.slots;
            let hash_of = |key: &SessionKey| hash_str(slots[key.0 as usize].session.client_id());
            self.by_client.shrink_to(self.by_client.len() * 2, hash_of);
        }
        Some(slot)
    }

    /// A session.
    pub fn get(&self, key: SessionKey) -> Option<&Slot> {
        self.slots.get(key.0 as usize)
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = (SessionKey, &Slot)> {
        self.slots.iter().map(|(key, slot)| (SessionKey(key as u32), slot))
    }

    /// A session, to change it.
    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_by_client_until_they_are_removed() {
        let mut sessions = Sessions::default();
        let name = |n: u32| format!("client-{n}");
        let keys: Vec<SessionKey> =
            (0..1000).map(|n| sessions.insert(Session::new(name(n).as_str().into()))).collect();
        for (n, &key) in (0..).zip(&keys) {
            assert_eq!(sessions.find(&name(n)), Some(key));
            if n % 3 == 0 {
                assert!(sessions.remove(key).is_some_and(|slot| slot.session.client_id() == name(n)));
                assert!(sessions.remove(key).is_none() && sessions.find(&name(n)).is_none());
            }
        }
        assert_eq!(sessions.len(), keys.len() - keys.len().div_ceil(3));
        assert_eq!(sessions.find(&name(1)), Some(keys[1]));
        assert_eq!(sessions.find("nobody"), None);
    }

    /// An idle session costs this in every shard; `docs/performance.md` adds it up.
    #[test]
    fn a_session_is_small() {
        assert!(size_of::<Slot>() <= 184, "{}", size_of::<Slot>());
    }
}
