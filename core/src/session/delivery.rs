//! A message addressed to one session.

use super::durable::Stored;
use crate::codec::QoS;
use crate::publication::{LazyPublication, Publication};
use smallvec::SmallVec;

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
        Outgoing {
            publication: self.message.shared(),
            subscription_ids: SmallVec::from_slice(self.subscription_ids),
            share: self.share,
            qos: self.qos,
            retain: self.retain,
            stored: None,
        }
    }
}

/// A message a session keeps: queued, or sent and not acknowledged.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The message.
    pub publication: Publication,
    /// Subscription identifiers to send with it.
    pub subscription_ids: SmallVec<[u32; 2]>,
    /// Set if it came through a shared subscription.
    pub share: Option<ShareTag>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
    /// Where it is remembered beyond the process.
    pub stored: Option<Stored>,
}

impl Outgoing {
    /// What the message weighs in a queue, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.publication.weight_bytes()
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
