//! The sessions of a shard, by slot and by client id.

use super::retained::Streams;
use crate::reactor::Token;
use ringmq_core::hash::SeededMap;
use ringmq_core::routing::ShardId;
use ringmq_core::session::{Session, ShareTag};
use ringmq_core::wheel::TimerId;
use slab::Slab;
use std::sync::Arc;

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
    /// Places in shared subscriptions as a publisher.
    pub turns: Option<Box<SeededMap<ShareTag, Turn>>>,
}

/// All sessions whose home is this shard.
#[derive(Debug, Default)]
pub struct Sessions {
    /// Boxed, so that a growing table moves pointers only.
    slots: Slab<Box<Slot>>,
    by_client: SeededMap<Arc<str>, SessionKey>,
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
        self.by_client.get(client_id).copied()
    }

    /// Adds a session.
    pub fn insert(&mut self, session: Session) -> SessionKey {
        let client_id = Arc::clone(session.client_id());
        let slot = Slot {
            session,
            connection: None,
            expiry_timer: None,
            will_timer: None,
            shares: 0,
            attachment: 0,
            streams: None,
            turns: None,
        };
        let key = SessionKey(self.slots.insert(Box::new(slot)) as u32);
        self.by_client.insert(client_id, key);
        key
    }

    /// Removes a session.
    pub fn remove(&mut self, key: SessionKey) -> Option<Box<Slot>> {
        let slot = self.slots.try_remove(key.0 as usize)?;
        self.by_client.remove(&**slot.session.client_id());
        Some(slot)
    }

    /// A session.
    pub fn get(&self, key: SessionKey) -> Option<&Slot> {
        self.slots.get(key.0 as usize).map(|slot| &**slot)
    }

    /// A session, to change it.
    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.0 as usize).map(|slot| &mut **slot)
    }
}
