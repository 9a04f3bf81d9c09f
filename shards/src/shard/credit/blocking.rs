//! Sessions whose full queues hold back the publishers of their topics (`mqueue_full_policy = "block"`). What comes through
//! shared subscriptions holds back nobody: another member may have room.

use super::super::sessions::SessionKey;
use super::super::{Shard, cx};
use super::shortages::Shortage;
use ringmq_core::hash::SeededSet;
use ringmq_core::topic::TopicFilter;

/// How often expired messages of blocking sessions are looked for.
const SWEEP_MS: u64 = 1_000;

impl Shard {
    /// A message was queued: its session may have no room for more.
    pub(in crate::shard) fn note_queued(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get(key) else { return };
        let settings = self.settings_of(slot);
        if !slot.session.blocks(settings) || self.credit.blocking.contains_key(&key) {
            return;
        }
        let filters = slot.session.subscriptions().filter_map(|(text, _)| TopicFilter::parse(text).ok());
        let own = filters.filter(|parsed| parsed.share.is_none());
        let shortages: SeededSet<Shortage> =
            own.map(|parsed| Shortage::of(parsed.filter, settings)).collect();
        if slot.connection.is_some() {
            self.credit.watched.push(key);
        }
        for shortage in &shortages {
            self.credit.withhold(shortage, self.id);
        }
        self.credit.blocking.insert(key, shortages);
        self.credit.next_sweep.get_or_insert(self.now.after_ms(SWEEP_MS));
        // Its own client is to be heard from now on.
        self.credit.is_granted = true;
    }

    /// A session holds back nobody any more.
    pub(in crate::shard) fn unblock(&mut self, key: SessionKey) {
        let Some(shortages) = self.credit.blocking.remove(&key) else { return };
        for shortage in &shortages {
            self.credit.grant(shortage, self.id);
        }
        if self.credit.blocking.is_empty() {
            self.credit.next_sweep = None;
        }
    }

    /// A session subscribes to a filter from now on, or not any more. What this costs does not depend on its other subscriptions.
    pub(in crate::shard) fn follow_subscription(&mut self, key: SessionKey, text: &str, is_new: bool) {
        if !self.credit.blocking.contains_key(&key) {
            return;
        }
        let Some(slot) = self.sessions.get(key) else { return };
        let Ok(TopicFilter { share: None, filter }) = TopicFilter::parse(text) else { return };
        let shortage = Shortage::of(filter, self.settings_of(slot));
        let Some(shortages) = self.credit.blocking.get_mut(&key) else { return };
        if is_new {
            if shortages.insert(shortage.clone()) {
                self.credit.withhold(&shortage, self.id);
            }
        } else if shortages.remove(&shortage) {
            self.credit.grant(&shortage, self.id);
        }
    }

    /// What a session asks of its queue has changed, or its client came.
    pub(in crate::shard) fn refresh_blocking(&mut self, key: SessionKey) {
        self.unblock(key);
        self.note_queued(key);
    }

    /// Publishers go on whom nobody holds back any more.
    pub(super) fn settle_blocking(&mut self) {
        if self.credit.blocking.is_empty() {
            return;
        }
        let mut watched = std::mem::take(&mut self.credit.watched);
        watched.retain(|key| {
            let Some(slot) = self.sessions.get(*key).filter(|slot| slot.connection.is_some()) else {
                return false;
            };
            if slot.session.has_drained(self.config.zones.of(slot.session.zone())) {
                self.unblock(*key);
            }
            self.credit.blocking.contains_key(key)
        });
        self.credit.watched = watched;
        if self.credit.next_sweep.is_some_and(|at| at <= self.now) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let keys: Vec<SessionKey> = self.credit.blocking.keys().copied().collect();
        for key in keys {
            let Some(slot) = self.sessions.get_mut(key) else { continue };
            slot.session.remove_expired(&mut cx!(self, slot.session.zone()));
            if slot.session.has_drained(self.config.zones.of(slot.session.zone())) {
                self.unblock(key);
            }
        }
        self.credit.next_sweep = (!self.credit.blocking.is_empty()).then(|| self.now.after_ms(SWEEP_MS));
    }
}
