//! What a client publishes, measured against its quotas: they are looked up when it connects, and refuse what goes beyond.

use super::Guest;
use crate::allowance::{Moment, Usage};
use crate::reactor::Token;
use crate::shard::Shard;
use ringmq_core::codec::QoS;
use ringmq_core::metrics::Metric;
use ringmq_core::publication::PublicationRef;
use std::sync::Arc;

/// The quotas that a client's publications count against.
#[derive(Debug)]
pub struct Meter {
    client: Option<Arc<Usage>>,
    user: Option<Arc<Usage>>,
}

impl Shard {
    /// Has a client that connects measured, if there are quotas for it. Whether there are.
    pub(super) fn measure(&mut self, guest: Option<&mut Guest>) -> bool {
        let at = self.quota_moment();
        let (client, user) = (&self.config.quota.client, &self.config.quota.user);
        let Some(guest) = guest.filter(|_| client.is_bounded() || user.is_bounded()) else { return false };
        let subject = &guest.subject;
        let user_name = subject.user_name.as_deref().filter(|_| user.is_bounded());
        let meter = Meter {
            client: client.is_bounded().then(|| self.usage.clients.open(&subject.client_id, client, at)),
            user: user_name.map(|name| self.usage.users.open(name, user, at)),
        };
        let is_metered = meter.client.is_some() || meter.user.is_some();
        guest.meter = is_metered.then_some(meter);
        is_metered
    }

    /// Whether a client has published as much as it may, and this goes beyond. Otherwise it is counted.
    pub(in crate::shard) fn exceeds_quota(&mut self, token: Token, view: &PublicationRef<'_>) -> bool {
        let at = self.quota_moment();
        let connection = self.connections.get(token as usize);
        let guest = connection.and_then(|connection| connection.guest.as_deref());
        let Some(meter) = guest.and_then(|guest| guest.meter.as_ref()) else { return false };
        let bytes = (view.topic.len() + view.properties.len() + view.payload.len()) as u64;
        let quota = &self.config.quota;
        let client = meter.client.as_deref();
        if client.is_none_or(|usage| usage.try_publish(&quota.client, bytes, at)) {
            let user = meter.user.as_deref();
            if user.is_none_or(|usage| usage.try_publish(&quota.user, bytes, at)) {
                return false;
            }
            if let Some(usage) = client {
                usage.take_back(bytes);
            }
        }
        if view.qos == QoS::AtMostOnce {
            self.tally.bump(Metric::MessagesDropped);
            self.tally.bump(Metric::MessagesDroppedQuotaExceeded);
        }
        true
    }

    fn quota_moment(&self) -> Moment {
        Moment { ms: self.now.as_ms(), wall_ms: self.journal.wall_ms() }
    }
}
