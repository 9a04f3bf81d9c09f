//! A message addressed to one session.

use super::durable::{Body, BodyKey, Memory, Stored};
use crate::codec::QoS;
use crate::publication::{LazyPublication, Outline, Publication};
use crate::time::Timestamp;
use std::num::NonZeroU64;
use triomphe::ThinArc;

/// Which shared subscription a message was dispatched through: the hash of its full filter, `$share/` included.
pub type ShareTag = u64;

/// A message that matched this session's subscriptions.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The message.
    pub message: &'a LazyPublication<'a>,
    /// The QoS of this delivery: the lower of publication and subscription, unless upgraded.
    pub qos: QoS,
    /// The RETAIN flag of this delivery.
    pub retain: bool,
    /// Subscription identifiers of the matching subscriptions, in ascending order.
    pub subscription_ids: &'a [u32],
    /// Set if it came through a shared subscription.
    pub share: Option<ShareTag>,
}

impl Delivery<'_> {
    /// Makes a copy the session can keep.
    pub(super) fn to_outgoing(self) -> Outgoing {
        let publication = self.message.shared();
        let terms = DeliveryTerms {
            subscription_ids: self.subscription_ids,
            share: self.share,
            qos: self.qos,
            retain: self.retain,
        };
        let mut message = Outgoing::outlined(publication.outline(), terms);
        message.publication = Some(publication);
        message
    }
}

/// How a message is delivered.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryTerms<'a> {
    /// Subscription identifiers to send with it, in ascending order.
    pub subscription_ids: &'a [u32],
    /// Set if it came through a shared subscription.
    pub share: Option<ShareTag>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
}

/// A message a session keeps: queued, or sent and not acknowledged. Its body is with it, or in the care of the memory that
/// remembers it.
///
/// A queue of millions has one of these for each, so it is kept small.
#[derive(Debug)]
pub struct Outgoing {
    /// `None`: the memory has it.
    publication: Option<Publication>,
    /// All subscription identifiers, if they are more than one.
    more_ids: Option<ThinArc<(), u32>>,
    /// 0 for none.
    share: ShareTag,
    expires_at: Timestamp,
    record: Option<NonZeroU64>,
    body: BodyKey,
    weight_bytes: u32,
    /// 0 for none.
    first_id: u32,
    /// The QoS at which it was published.
    published: QoS,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
}

impl Outgoing {
    /// A message of an earlier life, whose body the memory has.
    pub fn restored(outline: Outline, terms: DeliveryTerms<'_>, stored: Stored) -> Outgoing {
        let mut message = Outgoing::outlined(outline, terms);
        message.remember(Some(stored));
        message
    }

    fn outlined(outline: Outline, terms: DeliveryTerms<'_>) -> Outgoing {
        let DeliveryTerms { subscription_ids, share, qos, retain } = terms;
        let has_more = subscription_ids.len() > 1;
        Outgoing {
            publication: None,
            more_ids: has_more.then(|| ThinArc::from_header_and_slice((), subscription_ids)),
            share: share.unwrap_or(0),
            expires_at: outline.expires_at,
            record: None,
            body: BodyKey::NONE,
            weight_bytes: outline.weight_bytes,
            first_id: subscription_ids.first().copied().unwrap_or(0),
            published: outline.qos,
            qos,
            retain,
        }
    }

    /// What the message weighs in a queue, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes as usize
    }

    /// When it expires; [`Timestamp::NEVER`] if it does not.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The QoS at which it was published.
    pub fn published_qos(&self) -> QoS {
        self.published
    }

    /// Set if it came through a shared subscription.
    pub fn share(&self) -> Option<ShareTag> {
        (self.share > 0).then_some(self.share)
    }

    /// Subscription identifiers to send with it, in ascending order.
    pub fn subscription_ids(&self) -> &[u32] {
        match &self.more_ids {
            Some(ids) => &ids.slice,
            None if self.first_id > 0 => std::slice::from_ref(&self.first_id),
            None => &[],
        }
    }

    /// Where it is remembered beyond the process.
    pub fn stored(&self) -> Option<Stored> {
        self.record.map(|record| Stored { record, body: self.body })
    }

    /// It is remembered, and the memory has its body from now on; or it could not be.
    pub(super) fn remember(&mut self, stored: Option<Stored>) {
        let Some(Stored { record, body }) = stored else { return };
        (self.record, self.body, self.publication) = (Some(record), body, None);
    }

    /// The message itself, if it is not in the memory's care.
    pub fn publication(&self) -> Option<&Publication> {
        self.publication.as_ref()
    }

    /// Its body, wherever it is.
    pub fn body(&self, memory: &dyn Memory) -> Body {
        match &self.publication {
            Some(publication) => Body::Here(publication.clone()),
            None => memory.body(self.body),
        }
    }
}

/// Why a message did not reach a session. Each has a counter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was at its bound.
    QueueFull,
    /// QoS 0, and the session is offline or congested and does not queue QoS 0.
    Qos0,
    /// The packet would exceed the client's Maximum Packet Size. [MQTT-3.1.2-24]
    TooLarge,
    /// Its expiry interval passed.
    Expired,
    /// The store was full, and it was among the oldest in it.
    StoreFull,
    /// The store cannot give its body back: the disk has damaged it.
    StoreLost,
    /// Its topic is not behind the mountpoint of the connection.
    Mountpoint,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the outbox.
    Sent,
    /// It waits in the session's queue.
    Queued,
    /// It is gone, and counted.
    Dropped(DropReason),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_identifiers_are_kept_however_many_they_are() {
        let outline = Outline { weight_bytes: 1, qos: QoS::AtLeastOnce, expires_at: Timestamp::NEVER };
        for ids in [&[][..], &[7], &[7, 9], &[1, 2, 3]] {
            let terms =
                DeliveryTerms { subscription_ids: ids, share: None, qos: QoS::AtMostOnce, retain: false };
            assert_eq!(Outgoing::outlined(outline, terms).subscription_ids(), ids);
        }
    }

    /// What a queued message takes beside its body; `docs/durability.md` adds it up.
    #[test]
    fn a_message_without_its_body_is_small() {
        assert!(size_of::<Outgoing>() <= 56, "{}", size_of::<Outgoing>());
    }
}
