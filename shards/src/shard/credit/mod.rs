//! Who is not read from, because what it would publish finds no room: in the queue of a session that is to lose nothing, or
//! in a store that is nearly full. It says which topics lack room and whose packets wait; it never drops or refuses a packet.
//!
//! A shard that lacks room for a filter tells all others; each compares what its clients publish with what lacks room anywhere.
//! What was on its way by then finds room beyond the bound. A client whose own queue holds back others is never held back
//! itself, and one that is held back is still listened to for acknowledgements: whoever makes room is always heard.

mod blocking;
mod holding;
mod shortages;
mod store;

use super::Shard;
use super::lanes::LaneMessage;
use super::sessions::SessionKey;
use crate::metrics::Gauge;
use crate::reactor::Token;
use ringmq_core::hash::{SeededMap, SeededSet};
use ringmq_core::routing::{ShardId, ShardSet};
use ringmq_core::time::Timestamp;
use shortages::{Shortage, Shortages};
use std::sync::Arc;

/// Changes that travel in one message.
const CHANGES_PER_MESSAGE: usize = 64;

/// A change of what a shard lacks room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreditChange {
    /// Publishers of these messages are to wait.
    Withhold(Shortage),
    /// They may go on.
    Grant(Shortage),
    /// Whether the sending shard's store lacks room: publishers of retained messages that it owns are to wait.
    Store(bool),
}

/// Whether a client's packets are handled as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    /// They are.
    #[default]
    Free,
    /// Its next PUBLISH waits for room, and with it all that follows but acknowledgements.
    Held,
    /// Its packets are handled though there is no room: acknowledgements may be among them.
    Excused,
}

/// What lacks room, here and on other shards, and who waits for it.
#[derive(Debug, Default)]
pub struct Credit {
    /// The topics that lack room, by the shards on which they do.
    shortages: Shortages,
    /// Shards whose stores lack room.
    stores: ShardSet,
    /// How many sessions of this shard are short in this way. Its store counts as one for each of those it remembers.
    lacking: SeededMap<Shortage, u32>,
    /// Sessions of this shard whose full queues hold back publishers, and of what.
    blocking: SeededMap<SessionKey, SeededSet<Shortage>>,
    /// Those of them that are connected.
    watched: Vec<SessionKey>,
    /// When expired messages of blocking sessions are looked for.
    next_sweep: Option<Timestamp>,
    /// What publishers wait for with this shard's store.
    store: Option<Vec<Shortage>>,
    /// Other shards are behind with what they are to store of this one's QoS 2 publications.
    is_ahead: bool,
    /// More is to be dropped from the store.
    is_dropping: bool,
    /// What other shards are not told yet.
    news: Vec<CreditChange>,
    /// Connections that wait. Some may be gone.
    held: Vec<Token>,
    /// Some of them may go on.
    is_granted: bool,
    /// Sessions of an earlier life were looked at.
    has_begun: bool,
}

impl Credit {
    /// Whether the next pass has work without any event.
    pub fn is_busy(&self) -> bool {
        self.is_dropping || (self.is_granted && !self.held.is_empty())
    }

    /// When the shard must look at it without being woken.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_sweep
    }

    /// Connections that wait for room.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether there is room for everything everywhere.
    pub fn is_ample(&self) -> bool {
        self.shortages.is_empty() && self.stores.is_empty() && !self.is_ahead
    }

    fn withhold(&mut self, shortage: &Shortage, shard: ShardId) {
        let count = self.lacking.entry(shortage.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.shortages.add(shortage, shard);
            self.news.push(CreditChange::Withhold(shortage.clone()));
        }
    }

    fn grant(&mut self, shortage: &Shortage, shard: ShardId) {
        let Some(count) = self.lacking.get_mut(shortage) else { return };
        *count -= 1;
        if *count == 0 {
            self.lacking.remove(shortage);
            self.shortages.remove(shortage, shard);
            self.news.push(CreditChange::Grant(shortage.clone()));
            self.is_granted = true;
        }
    }
}

impl Shard {
    /// At the end of a pass: what lacks room now, and who may go on.
    pub(super) fn settle_credit(&mut self) {
        if !std::mem::replace(&mut self.credit.has_begun, true) {
            let sessions: Vec<SessionKey> = self.sessions.iter().map(|(key, _)| key).collect();
            sessions.into_iter().for_each(|key| self.note_queued(key));
        }
        self.settle_store();
        self.settle_blocking();
        self.credit.is_granted |= self.forwardings.settle();
        self.credit.is_ahead = self.forwardings.is_full();
        self.post_credit();
        self.resume_granted();
        self.cells.set(Gauge::PublishersHeld, self.credit.held());
        self.cells.set(Gauge::SessionsBlocking, self.credit.blocking.len());
    }

    /// Tells all other shards what lacks room here, and what does not any more.
    pub(super) fn post_credit(&mut self) {
        if self.credit.news.is_empty() {
            return;
        }
        let mut news = std::mem::take(&mut self.credit.news);
        let mut rest = news.drain(..);
        while self.shards > 1 && rest.len() > 0 {
            let changes: Arc<[CreditChange]> = rest.by_ref().take(CHANGES_PER_MESSAGE).collect();
            for shard in (0..self.shards).map(|shard| ShardId(shard as u8)) {
                if shard != self.id {
                    self.mesh.stage(shard, LaneMessage::Credit { changes: Arc::clone(&changes) });
                }
            }
        }
        drop(rest);
        if news.capacity() <= CHANGES_PER_MESSAGE {
            self.credit.news = news;
        }
    }

    /// Another shard lacks room, or does not any more.
    pub(super) fn handle_credit(&mut self, from: ShardId, changes: &[CreditChange]) {
        for change in changes {
            match change {
                CreditChange::Withhold(shortage) => self.credit.shortages.add(shortage, from),
                CreditChange::Grant(shortage) => self.credit.shortages.remove(shortage, from),
                CreditChange::Store(true) => drop(self.credit.stores.insert(from)),
                CreditChange::Store(false) => drop(self.credit.stores.remove(from)),
            }
            self.credit.is_granted |=
                !matches!(change, CreditChange::Withhold(_) | CreditChange::Store(true));
        }
    }
}
