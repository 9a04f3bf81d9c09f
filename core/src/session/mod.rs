//! A session: what the broker remembers of one client, with or without a connection.
//!
//! The session is a synchronous state machine. Packets come in through `handle_*`, what must be sent is appended to the
//! connection's [`Outbox`], and what others must do (route a message, change the index) is returned. It never reads a
//! clock and never touches a socket; its shard drives it.

mod alias;
mod delivery;
mod expiry;
mod inbound;
mod inflight;
mod outbound;
mod outbox;
mod queue;
mod subscriptions;
mod template;
mod terms;
mod violation;

#[cfg(test)]
mod tests;

pub use alias::Link;
pub use delivery::{Delivered, Delivery, DropReason, Outgoing, ShareTag};
pub use expiry::{CloseCause, Parting, WillTiming};
pub use inbound::{Inbound, Routed};
pub use outbox::Outbox;
pub use subscriptions::{Change, FilterVerdict, Subscription};
pub use template::TemplateCache;
pub use terms::{Terms, refusal};
pub use violation::Violation;

use crate::codec::Will;
use crate::config::MqttConfig;
use crate::hash::SeededMap;
use crate::metrics::Tally;
use crate::time::Timestamp;
use inbound::InboundQos2;
use inflight::Inflight;
use queue::Queue;
use std::sync::Arc;

/// What every handler needs to know and may count.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The moment of this pass.
    pub now: Timestamp,
    /// The `[mqtt]` section.
    pub config: &'a MqttConfig,
    /// The shard's counters.
    pub tally: &'a mut Tally,
}

/// The state of one client, owned by its home shard.
#[derive(Debug)]
pub struct Session {
    client_id: Arc<str>,
    subscriptions: SeededMap<Box<str>, Subscription>,
    inflight: Inflight,
    queue: Queue,
    inbound: InboundQos2,
    will: Option<Box<Will>>,
    link: Option<Box<Link>>,
    expiry_interval_s: u32,
}

impl Session {
    /// A new session without connection.
    pub fn new(client_id: Arc<str>) -> Session {
        Session {
            client_id,
            subscriptions: SeededMap::default(),
            inflight: Inflight::default(),
            queue: Queue::default(),
            inbound: InboundQos2::default(),
            will: None,
            link: None,
            expiry_interval_s: 0,
        }
    }

    /// The client's identifier.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// Whether a connection is attached.
    pub fn is_online(&self) -> bool {
        self.link.is_some()
    }

    /// What was negotiated for the attached connection.
    pub fn terms(&self) -> Option<&Terms> {
        self.link.as_deref().map(|link| &link.terms)
    }

    /// Attaches a connection: its terms, its will, and how long the session outlives it.
    pub fn attach(&mut self, terms: Terms, will: Option<Box<Will>>) {
        self.expiry_interval_s = terms.session_expiry_interval_s;
        self.will = will;
        self.link = Some(Box::new(Link::new(terms)));
    }

    /// Whether something waits for the next [`Session::pump`].
    pub fn is_backlogged(&self) -> bool {
        self.queue.len() > 0 || self.inflight.awaits_resend()
    }

    /// Whether the queue is at its bound of messages, so that one more costs another.
    pub fn queue_is_full(&self, config: &MqttConfig) -> bool {
        self.queue.len() >= config.max_mqueue_len.0
    }

    /// Messages the client does not have yet: queued, or sent and not taken over by PUBACK or PUBREC.
    pub fn undelivered(&self) -> usize {
        self.queue.len() + self.inflight.messages()
    }

    /// Messages waiting in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Packet identifiers in use towards the client.
    pub fn inflight(&self) -> usize {
        self.inflight.len()
    }
}
