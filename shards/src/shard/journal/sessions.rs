//! What a session is beside its messages: its client, its will, its deadlines and its subscriptions.

use super::{Journal, records};
use crate::shard::Shard;
use crate::shard::sessions::SessionKey;
use ringmq_core::config::{ZoneId, Zones};
use ringmq_core::hash::SeededMap;
use ringmq_core::session::{QueueTerms, SessionNumber, Subscription};
use ringmq_persistence::Id;
use ringmq_persistence::record::encode;
use std::num::NonZeroU64;

/// The records of a session.
#[derive(Debug)]
pub struct KeptSession {
    /// Its own.
    pub record: Id,
    /// Its slot.
    pub key: SessionKey,
    /// When it began.
    pub created_ms: u64,
    /// When it ends if nobody connects to it.
    pub expires_at_ms: Option<u64>,
    /// That of what its client asks of its queue, and what that is.
    pub queue_terms: Option<(Id, QueueTerms)>,
    /// That of its zone, if that is not the default one, and which that is.
    pub zone: Option<(Id, ZoneId)>,
    /// Those of its subscriptions, by filter.
    pub subscriptions: SeededMap<Box<str>, Id>,
}

impl Journal {
    /// A number for a new session.
    pub fn next_number(&mut self) -> Option<SessionNumber> {
        self.log.as_ref()?;
        let number = NonZeroU64::new(self.next_number)?;
        self.next_number += 1;
        Some(SessionNumber(number))
    }

    /// Numbers up to this one are taken.
    pub fn skip_numbers(&mut self, last: u64) {
        self.next_number = self.next_number.max(last + 1);
    }

    /// Takes over what is known of a session from an earlier life.
    pub fn adopt_session(&mut self, number: SessionNumber, kept: KeptSession) {
        self.sessions.insert(number, kept);
    }

    /// Records a subscription, which may take the place of another with the same filter.
    fn keep_subscription(&mut self, number: SessionNumber, filter: &str, subscription: &Subscription) {
        let Some(id) = self.put(encode(&records::subscription(number, filter, subscription))) else { return };
        let Some(kept) = self.sessions.get_mut(&number) else { return self.remove(id) };
        if let Some(replaced) = kept.subscriptions.insert(filter.into(), id) {
            self.remove(replaced);
        }
    }
}

impl Shard {
    /// Whether a session outlives the process.
    pub fn is_remembered(&self, key: SessionKey) -> bool {
        self.sessions.get(key).is_some_and(|slot| slot.session.number().is_some())
    }

    /// Has a session that outlives its connection remembered, from now on or as it is now. `expires_s`: when it ends,
    /// counted from now; `will_s`: when its will is due.
    pub fn remember_session(&mut self, key: SessionKey, expires_s: Option<u32>, will_s: Option<u32>) {
        if !self.journal.is_enabled() {
            return;
        }
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let number = match slot.session.number() {
            Some(number) => number,
            None if slot.session.expiry_interval_s() == 0 => return,
            None => {
                let Some(number) = self.journal.next_number() else { return };
                slot.session.remember_as(number);
                number
            }
        };
        let now_ms = self.journal.now_ms;
        let after = |s: u32| now_ms.saturating_add(u64::from(s).saturating_mul(1000));
        let expires_at_ms = expires_s.filter(|s| *s != u32::MAX).map(after);
        self.journal.record_session((number, key), &slot.session, expires_at_ms, will_s.map(after));
        self.journal.record_queue_terms(number, slot.session.queue_terms());
        self.journal.record_zone(number, slot.session.zone(), &self.config.zones);
    }

    /// The will of a session was published, or is not to be any more.
    pub fn forget_will(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get(key) else { return };
        let Some(number) = slot.session.number() else { return };
        let Some(kept) = self.journal.sessions.get(&number) else { return };
        let expires_at_ms = kept.expires_at_ms;
        self.journal.record_session((number, key), &slot.session, expires_at_ms, None);
    }

    /// Has a subscription remembered, if its session is.
    pub fn remember_subscription(&mut self, key: SessionKey, filter: &str, subscription: &Subscription) {
        let Some(slot) = self.sessions.get(key) else { return };
        if let Some(number) = slot.session.number() {
            self.journal.keep_subscription(number, filter, subscription);
        }
    }

    /// A subscription has ended.
    pub fn forget_subscription(&mut self, key: SessionKey, filter: &str) {
        let Some(number) = self.sessions.get(key).and_then(|slot| slot.session.number()) else { return };
        let kept = self.journal.sessions.get_mut(&number);
        if let Some(id) = kept.and_then(|kept| kept.subscriptions.remove(filter)) {
            self.journal.remove(id);
        }
    }

    /// A session has ended: nothing of it is remembered any more.
    pub fn forget_session(&mut self, key: SessionKey) {
        self.receipts.forget_acks(key);
        let Some(slot) = self.sessions.get(key) else { return };
        let Some(number) = slot.session.number() else { return };
        slot.session.forget(&mut self.journal);
        let Some(kept) = self.journal.sessions.remove(&number) else { return };
        let queue_terms = kept.queue_terms.map(|(id, _)| id);
        let zone = kept.zone.map(|(id, _)| id);
        for id in kept.subscriptions.into_values().chain(queue_terms).chain(zone).chain([kept.record]) {
            self.journal.remove(id);
        }
    }
}

impl Journal {
    /// Records what a client asks of its queue, if that is not what is recorded.
    fn record_queue_terms(&mut self, number: SessionNumber, terms: QueueTerms) {
        let Some(kept) = self.sessions.get(&number) else { return };
        if kept.queue_terms.map_or(QueueTerms::default(), |(_, known)| known) == terms {
            return;
        }
        let id = (terms != QueueTerms::default())
            .then(|| self.put_in_place(encode(&records::queue_terms(number, terms))))
            .flatten();
        let Some(kept) = self.sessions.get_mut(&number) else { return };
        let replaced = std::mem::replace(&mut kept.queue_terms, id.map(|id| (id, terms)));
        if let Some((id, _)) = replaced {
            self.remove(id);
        }
    }

    /// Records the zone that a client came through, if that is not what is recorded.
    fn record_zone(&mut self, number: SessionNumber, zone: ZoneId, zones: &Zones) {
        let Some(kept) = self.sessions.get(&number) else { return };
        if kept.zone.map_or(ZoneId::DEFAULT, |(_, known)| known) == zone {
            return;
        }
        let id = (zone != ZoneId::DEFAULT)
            .then(|| self.put_in_place(encode(&records::zone(number, zones.name(zone)))))
            .flatten();
        let Some(kept) = self.sessions.get_mut(&number) else { return };
        let replaced = std::mem::replace(&mut kept.zone, id.map(|id| (id, zone)));
        if let Some((id, _)) = replaced {
            self.remove(id);
        }
    }

    fn record_session(
        &mut self,
        (number, key): (SessionNumber, SessionKey),
        session: &ringmq_core::session::Session,
        expires_at_ms: Option<u64>,
        will_due_at_ms: Option<u64>,
    ) {
        let created_ms = self.sessions.get(&number).map_or(self.now_ms, |kept| kept.created_ms);
        let record = records::session(number, session, created_ms, expires_at_ms, will_due_at_ms);
        let is_known = self.sessions.contains_key(&number);
        let id = if is_known { self.put_in_place(encode(&record)) } else { self.put(encode(&record)) };
        let Some(id) = id else { return };
        let Some(kept) = self.sessions.get_mut(&number) else {
            let kept = KeptSession {
                record: id,
                key,
                created_ms,
                expires_at_ms,
                queue_terms: None,
                zone: None,
                subscriptions: SeededMap::default(),
            };
            self.sessions.insert(number, kept);
            return;
        };
        kept.expires_at_ms = expires_at_ms;
        let replaced = std::mem::replace(&mut kept.record, id);
        self.remove(replaced);
    }
}
