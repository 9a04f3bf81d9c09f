//! A session out of what was remembered of it.

use super::{SessionNumber, Stored};
use crate::client_id::ClientId;
use crate::codec::{PacketId, Will};
use crate::config::{Priority, ZoneId};
use crate::session::delivery::Outgoing;
use crate::session::inflight::Phase;
use crate::session::queue::QueueTerms;
use crate::session::subscriptions::Subscription;
use crate::session::{Flows, Session};
use crate::time::Timestamp;

/// What was remembered of a session without its subscriptions, which are entered one by one.
#[derive(Debug)]
pub struct Restored {
    /// Its number.
    pub number: SessionNumber,
    /// Its client.
    pub client_id: ClientId,
    /// How long it outlives its connection; `u32::MAX` for ever.
    pub expiry_interval_s: u32,
    /// What its client asks of its queue.
    pub queue_terms: QueueTerms,
    /// The zone of the listener that its client came through last.
    pub zone: ZoneId,
    /// The will that is still to be published.
    pub will: Option<Box<Will>>,
    /// What was sent and not acknowledged, in the order of sending.
    pub inflight: Vec<(PacketId, RestoredMessage)>,
    /// What waits, in its order, with its priority where priorities are configured.
    pub queue: Vec<(Outgoing, Option<Priority>)>,
    /// QoS 2 identifiers the client has begun.
    pub begun: Vec<(PacketId, Stored)>,
}

/// A packet identifier in use.
#[derive(Debug)]
pub enum RestoredMessage {
    /// PUBACK or PUBREC is awaited.
    Sent(Outgoing),
    /// PUBCOMP is awaited.
    Taken(Stored),
}

impl Session {
    /// The session as it was, without a connection.
    pub fn restore(restored: Restored, now: Timestamp) -> Session {
        let Restored {
            number,
            client_id,
            expiry_interval_s,
            queue_terms,
            zone,
            will,
            inflight,
            queue,
            begun,
        } = restored;
        let mut session = Session::new(client_id);
        session.number = Some(number);
        session.expiry_interval_s = expiry_interval_s;
        session.will = will;
        session.zone = zone;
        session.ask_queue(queue_terms);
        if inflight.is_empty() && queue.is_empty() && begun.is_empty() {
            return session;
        }
        let flows = Flows::open(&mut session.flows, 0);
        for (packet_id, message) in inflight {
            let phase = match message {
                RestoredMessage::Sent(message) => Phase::of(message),
                RestoredMessage::Taken(stored) => Phase::Pubcomp(Some(stored)),
            };
            flows.inflight.push_restored(packet_id, phase);
        }
        for (message, priority) in queue {
            flows.queue.push_restored(message, priority);
        }
        for (packet_id, stored) in begun {
            flows.inbound.push_restored(packet_id, stored, now);
        }
        session
    }

    /// Enters a remembered subscription; whether it is new.
    pub fn restore_subscription(&mut self, filter: &str, subscription: Subscription) -> bool {
        self.subscriptions.set(filter, subscription)
    }
}
