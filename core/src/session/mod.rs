//! A session: what the broker remembers of one client, with or without a connection.
//!
//! The session is a synchronous state machine. Packets come in through `handle_*`, what must be sent is appended to the
//! connection's [`Outbox`], and what others must do (route a message, change the index) is returned. It never reads a
//! clock and never touches a socket; its shard drives it.

mod alias;
mod delivery;
mod durable;
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
pub use delivery::{Delivered, Delivery, DeliveryTerms, DropReason, Outgoing, ShareTag};
pub use durable::{Body, BodyKey, Forgetful, Memory, Restored, RestoredMessage, SessionNumber, Stored};
pub use expiry::{CloseCause, Parting, WillTiming};
pub use inbound::{Inbound, Routed};
pub use outbox::Outbox;
pub use queue::{BLOCK_SLACK_LEN, QueueTerms, QueueTermsError, await_first};
pub use subscriptions::{Change, FilterVerdict, Subscription};
pub use template::TemplateCache;
pub use terms::{Terms, refusal};
pub use violation::Violation;

use crate::client_id::ClientId;
use crate::codec::{Publish, QoS, Will};
use crate::config::{MqttConfig, QueueFullPolicy, ZoneId};
use crate::metrics::Tally;
use crate::publication::PublicationRef;
use crate::time::Timestamp;
use crate::topic::{Mountpoint, TopicFilter, filter_matches};
use inbound::InboundQos2;
use inflight::Inflight;
use queue::Queue;
use std::borrow::Cow;
use std::num::NonZeroU64;
use subscriptions::Subscriptions;

/// What every handler needs to know and may count.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The moment of this pass.
    pub now: Timestamp,
    /// The `[mqtt]` section, as it is for the zone of the session.
    pub config: &'a MqttConfig,
    /// The shard's counters.
    pub tally: &'a mut Tally,
    /// What outlives the process.
    pub memory: &'a mut dyn Memory,
}

/// The state of one client, owned by its home shard.
#[derive(Debug)]
pub struct Session {
    client_id: ClientId,
    subscriptions: Subscriptions,
    /// Absent until the first message that is not just passed through; see [`Session::rest`].
    flows: Option<Box<Flows>>,
    will: Option<Box<Will>>,
    link: Option<Link>,
    /// What stands before the topics of its client, since that came last.
    mount: Option<Box<Mountpoint>>,
    /// Set while the session is remembered beyond the process.
    number: Option<SessionNumber>,
    expiry_interval_s: u32,
    /// The packet identifier given out last before the flows went.
    last_id: u16,
    zone: ZoneId,
}

/// Messages that are neither here nor there: most sessions have none most of the time.
#[derive(Debug)]
struct Flows {
    inflight: Inflight,
    queue: Queue,
    inbound: InboundQos2,
}

impl Session {
    /// A new session without connection.
    pub fn new(client_id: ClientId) -> Session {
        Session {
            client_id,
            subscriptions: Subscriptions::default(),
            flows: None,
            will: None,
            link: None,
            mount: None,
            number: None,
            expiry_interval_s: 0,
            last_id: 0,
            zone: ZoneId::DEFAULT,
        }
    }

    /// The client's identifier.
    pub fn client_id(&self) -> &str {
        self.client_id.as_str()
    }

    /// Whether a connection is attached.
    pub fn is_online(&self) -> bool {
        self.link.is_some()
    }

    /// What the memory knows the session by, if it is remembered beyond the process.
    pub fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    /// From now on the session is remembered. It has no messages yet.
    pub fn remember_as(&mut self, number: SessionNumber) {
        debug_assert!(
            self.flows.as_ref().is_none_or(|flows| flows.are_over()),
            "messages that nobody remembers"
        );
        self.number = Some(number);
    }

    /// How long the session outlives its connection; `u32::MAX` for ever.
    pub fn expiry_interval_s(&self) -> u32 {
        self.expiry_interval_s
    }

    /// The will that is still to be published.
    pub fn will(&self) -> Option<&Will> {
        self.will.as_deref()
    }

    /// What was negotiated for the attached connection.
    pub fn terms(&self) -> Option<&Terms> {
        self.link.as_ref().map(|link| &link.terms)
    }

    /// Attaches a connection: its terms, its will, and how long the session outlives it.
    pub fn attach(&mut self, terms: Terms, will: Option<Box<Will>>) {
        self.expiry_interval_s = terms.session_expiry_interval_s;
        self.will = will;
        self.link = Some(Link::new(terms));
    }

    /// The zone of the listener that its client came through last.
    pub fn zone(&self) -> ZoneId {
        self.zone
    }

    /// The client has come through a listener of this zone: its queue follows the settings of that, `config`, from now on. What
    /// is too much by them stays until a message comes.
    pub fn enter_zone(&mut self, zone: ZoneId, config: &MqttConfig, memory: &dyn Memory) {
        if zone == self.zone {
            return;
        }
        self.zone = zone;
        if let Some(flows) = &mut self.flows {
            flows.queue.arrange(config, memory);
        }
    }

    /// From now on this stands before the topics of its client. Subscriptions, queued messages and the will are what they are,
    /// mountpoint and all. Call before [`Session::attach`].
    pub fn mount(&mut self, mountpoint: Option<Box<Mountpoint>>) {
        self.mount = mountpoint;
    }

    /// Whether something stands before the topics of its client.
    pub fn is_mounted(&self) -> bool {
        self.mount.is_some()
    }

    /// What stands before the topics of its client; empty for nothing.
    pub fn mountpoint(&self) -> &str {
        self.mount.as_deref().map_or("", Mountpoint::as_str)
    }

    /// A topic as its client knows it; none for one that is not behind its mountpoint, and for one that begins with a dollar
    /// sign there and is only matched by filters that begin with a wildcard there. [MQTT-4.7.2-1]
    pub fn own_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        own_topic(self.mount.as_deref(), &self.subscriptions, topic)
    }

    /// A filter of its client's as it is entered. One that is none stays what it is.
    pub fn mounted_filter<'a>(&self, filter: &'a str) -> Cow<'a, str> {
        let mounted = self.mount.as_ref().and_then(|mount| mount.mount_filter(filter).ok());
        mounted.map_or(Cow::Borrowed(filter), |filter| Cow::Owned(filter.into()))
    }

    /// A filter, as it was entered, without the prefix of a share group and as its client knows it.
    pub fn own_filter<'a>(&self, text: &'a str) -> &'a str {
        let filter = TopicFilter::parse(text).map_or(text, |parsed| parsed.filter);
        self.mount.as_ref().and_then(|mount| mount.unmount(filter)).unwrap_or(filter)
    }

    /// Sets what the client asks of its queue, now and until it asks again.
    pub fn ask_queue(&mut self, terms: QueueTerms) {
        if self.flows.is_some() || terms != QueueTerms::default() {
            Flows::open(&mut self.flows, self.last_id).queue.ask(terms);
        }
    }

    /// Whether something waits for the next [`Session::pump`].
    pub fn is_backlogged(&self) -> bool {
        self.flows.as_ref().is_some_and(|flows| flows.queue.len() > 0 || flows.inflight.awaits_resend())
    }

    /// Whether the queue takes a message of this topic and weight without losing any.
    pub fn has_room(&self, topic: &str, weight_bytes: usize, config: &MqttConfig) -> bool {
        match &self.flows {
            Some(flows) => flows.queue.has_room(topic, weight_bytes, config),
            None => QueueTerms::default().bounds(config).admit(weight_bytes),
        }
    }

    fn has_any_room(&self, topic: &str, weight_bytes: usize, config: &MqttConfig) -> bool {
        match &self.flows {
            Some(flows) => flows.queue.has_any_room(topic, weight_bytes, config),
            None => QueueTerms::default().bounds(config).hard().admit(weight_bytes),
        }
    }

    /// Whether publishers of its topics are to be held back, because its queue is full and is to lose nothing.
    pub fn blocks(&self, config: &MqttConfig) -> bool {
        self.flows.as_ref().is_some_and(|flows| flows.queue.blocks(config))
    }

    /// Whether publishers that were held back for this session may go on.
    pub fn has_drained(&self, config: &MqttConfig) -> bool {
        self.flows.as_ref().is_none_or(|flows| flows.queue.has_drained(config))
    }

    /// The record of the queued message that was remembered first.
    pub fn oldest_stored(&self) -> Option<NonZeroU64> {
        self.flows.as_ref()?.queue.oldest_stored()
    }

    /// The topic of a PUBLISH as its client knows it, before it is handled: its own, or what its alias stands for.
    pub fn own_topic_of<'a>(&'a self, publish: &Publish<'a>) -> Option<&'a str> {
        match publish.properties.topic_alias {
            Some(alias) if publish.topic.is_empty() => self.link.as_ref()?.aliases.find(alias),
            _ => Some(publish.topic),
        }
    }

    /// The topic that a PUBLISH is routed by, before it is handled: its own, or what its alias stands for, behind the mountpoint.
    pub fn topic_of<'a>(&'a self, publish: &Publish<'a>) -> Option<Cow<'a, str>> {
        let own = self.own_topic_of(publish)?;
        match &self.mount {
            None => Some(Cow::Borrowed(own)),
            Some(mount) => mount.mount(own).ok().map(|topic| Cow::Owned(topic.into())),
        }
    }

    /// Whether its messages are refused rather than one of them lost: the client asks for that, or `config` has it so.
    pub fn rejects(&self, config: &MqttConfig) -> bool {
        self.queue_terms().bounds(config).policy == QueueFullPolicy::Reject
    }

    /// Whether a message is to be refused rather than this session lose one: it is above QoS 0, the client cannot be sent it
    /// now, and there is no room for it. `out`: the outbox of the connection, if there is one.
    pub fn must_refuse(
        &self,
        message: &PublicationRef<'_>,
        qos: QoS,
        config: &MqttConfig,
        out: Option<&Outbox>,
    ) -> bool {
        qos > QoS::AtMostOnce
            && self.queue_terms().bounds(config).policy.loses_nothing()
            && !out.is_some_and(|out| self.can_send_now(qos, out))
            && !self.has_any_room(message.topic, message.weight_bytes(), config)
    }

    /// Whether a message that is the oldest of its priority in the queue has expired, so that [`Session::remove_expired`]
    /// makes room.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.flows.as_ref().is_some_and(|flows| flows.queue.has_expired(now))
    }

    /// Messages the client does not have yet: queued, or sent and not taken over by PUBACK or PUBREC.
    pub fn undelivered(&self) -> usize {
        self.flows.as_ref().map_or(0, |flows| flows.queue.len() + flows.inflight.messages())
    }

    /// Messages waiting in the queue.
    pub fn queued(&self) -> usize {
        self.flows.as_ref().map_or(0, |flows| flows.queue.len())
    }

    /// Packet identifiers in use towards the client.
    pub fn inflight(&self) -> usize {
        self.flows.as_ref().map_or(0, |flows| flows.inflight.len())
    }

    /// What the client asks of its queue.
    pub fn queue_terms(&self) -> QueueTerms {
        self.flows.as_ref().map_or_else(QueueTerms::default, |flows| flows.queue.terms())
    }

    /// Gives back the memory of exchanges if all are over. Call it now and then: a session that is in use would only ask
    /// for it again.
    fn rest(&mut self) {
        let is_unused =
            |flows: &mut Box<Flows>| flows.are_over() && flows.queue.terms() == QueueTerms::default();
        if let Some(flows) = self.flows.take_if(is_unused) {
            // A late acknowledgement must not meet a new message under its identifier.
            self.last_id = flows.inflight.last_id();
        }
    }
}

/// [`Session::own_topic`] of a session with these parts.
fn own_topic<'a>(
    mount: Option<&Mountpoint>,
    subscriptions: &Subscriptions,
    topic: &'a str,
) -> Option<&'a str> {
    let Some(mount) = mount else { return Some(topic) };
    let own = mount.unmount(topic)?;
    let is_visible = |text: &str| {
        let filter = TopicFilter::parse(text).ok().and_then(|parsed| mount.unmount(parsed.filter));
        filter.is_some_and(|filter| filter_matches(filter, own))
    };
    (!own.starts_with('$') || subscriptions.iter().any(|(text, _)| is_visible(text))).then_some(own)
}

impl Flows {
    /// Whether there are no messages.
    fn are_over(&self) -> bool {
        self.queue.len() == 0 && self.inflight.len() == 0 && self.inbound.is_empty()
    }

    /// The flows of a session, made if there are none.
    #[inline]
    fn open(flows: &mut Option<Box<Flows>>, last_id: u16) -> &mut Flows {
        flows.get_or_insert_with(|| Flows::after(last_id))
    }

    #[cold]
    fn after(last_id: u16) -> Box<Flows> {
        Box::new(Flows {
            inflight: Inflight::after(last_id),
            queue: Queue::default(),
            inbound: InboundQos2::default(),
        })
    }
}
