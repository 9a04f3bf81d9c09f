//! What is done when the store is nearly full (`persistence.full_policy`): publishers that need it wait until there is room, which
//! consumers make, or the broker itself by dropping what has waited longest.

use super::super::sessions::SessionKey;
use super::super::{Shard, cx};
use super::CreditChange;
use super::shortages::Shortage;
use crate::durability::StorePolicy;
use ringmq_core::topic::TopicFilter;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

/// Messages dropped in one pass before other work gets its turn.
const DROPS_PER_PASS: usize = 10_000;

impl Shard {
    /// Sees to it that there is room in the store, or that who needs it waits.
    pub(super) fn settle_store(&mut self) {
        let policy = self.config.persistence.full_policy;
        if policy == StorePolicy::Refuse {
            return;
        }
        let is_short = self.journal.is_short();
        self.credit.is_dropping = false;
        // Where there is nothing to drop, waiting is no help: what does not fit is refused.
        let is_hopeless = is_short && policy == StorePolicy::DropOldest && !self.drop_stored();
        self.withhold_store(is_short && !is_hopeless);
    }

    /// Has publishers wait at once if what came earlier in this pass has left the store short of room: what one pass receives
    /// may be more than lies between that and the bound.
    pub(super) fn look_at_store(&mut self) {
        if self.credit.store.is_none()
            && self.config.persistence.full_policy == StorePolicy::StopReading
            && self.journal.is_short()
        {
            self.withhold_store(true);
        }
    }

    fn withhold_store(&mut self, is_short: bool) {
        if is_short == self.credit.store.is_some() {
            return;
        }
        if is_short {
            let shortages = self.remembered_shortages();
            for shortage in &shortages {
                self.credit.withhold(shortage, self.id);
            }
            self.credit.stores.insert(self.id);
            self.credit.store = Some(shortages);
        } else {
            for shortage in self.credit.store.take().unwrap_or_default() {
                self.credit.grant(&shortage, self.id);
            }
            self.credit.stores.remove(self.id);
            self.credit.is_granted = true;
        }
        self.credit.news.push(CreditChange::Store(is_short));
    }

    /// What sessions subscribe to that outlive the process.
    fn remembered_shortages(&self) -> Vec<Shortage> {
        let mut shortages = Vec::new();
        for (_, slot) in self.sessions.iter().filter(|(_, slot)| slot.session.number().is_some()) {
            let settings = self.settings_of(slot);
            let filters = slot.session.subscriptions().filter_map(|(text, _)| TopicFilter::parse(text).ok());
            shortages.extend(filters.map(|parsed| Shortage::of(parsed.filter, settings)));
        }
        shortages
    }

    /// Drops what was stored first of all that is queued, as far as compaction cannot make room without; whether anything can
    /// be done.
    fn drop_stored(&mut self) -> bool {
        if self.journal.surplus_bytes() == 0 {
            return true;
        }
        let oldest = self
            .sessions
            .iter()
            .filter_map(|(key, slot)| Some(Reverse((slot.session.oldest_stored()?, key))));
        let mut oldest: BinaryHeap<Reverse<(NonZeroU64, SessionKey)>> = oldest.collect();
        if oldest.is_empty() {
            return false;
        }
        for _ in 0..DROPS_PER_PASS {
            if self.journal.surplus_bytes() == 0 {
                return true;
            }
            let Some(Reverse((_, key))) = oldest.pop() else { return true };
            let Some(slot) = self.sessions.get_mut(key) else { continue };
            slot.session.drop_oldest_stored(&mut cx!(self, slot.session.zone()));
            oldest.extend(slot.session.oldest_stored().map(|record| Reverse((record, key))));
        }
        self.credit.is_dropping = true;
        true
    }
}
