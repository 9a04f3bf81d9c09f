//! The `[mqtt]` section.

use super::{ByteSize, DefaultPriority, Duration, Limit, Priority, QueuePriorities};
use serde::{Deserialize, Serialize};

/// How the member of a shared subscription group is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedStrategy {
    /// Any member, with equal chance.
    Random,
    /// One after another; each publisher keeps its own place.
    RoundRobin,
    /// One after another; the place belongs to the group.
    RoundRobinPerGroup,
    /// Always the same member for a publisher, until that member goes away.
    Sticky,
    /// A member on the publisher's shard if there is one, else a random one.
    Local,
    /// By hash of the publisher's client id.
    HashClientid,
    /// By hash of the topic.
    HashTopic,
}

/// How a sticky publisher finds its first member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as the strategies of the same names")]
pub enum StickyPick {
    Random,
    Local,
    HashClientid,
    HashTopic,
}

/// What happens to a message that finds the session's queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueFullPolicy {
    /// The oldest queued message is dropped and counted.
    DropOldest,
    /// The new message is dropped and counted.
    DropNewest,
    /// A publication above QoS 0 is refused, and its publisher told so. What nobody waits to be told of is dropped as by
    /// [`QueueFullPolicy::DropNewest`].
    Reject,
    /// The publishers of the session's topics are not read from until half of the queue has gone. What is on its way already
    /// finds room beyond the bound, and is refused where that ends too.
    Block,
}

impl QueueFullPolicy {
    /// Whether a publisher is told that there is no room, rather than a message above QoS 0 lost.
    pub fn loses_nothing(self) -> bool {
        matches!(self, QueueFullPolicy::Reject | QueueFullPolicy::Block)
    }
}

/// What a refusal is to 3.x publishers, which cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectV3 {
    /// The connection is closed; the client sends the message again when it is back.
    Close,
    /// The message is dropped, counted and acknowledged.
    Drop,
}

/// What happens to a PUBLISH that is larger than `max_packet_size`. Other packets end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OversizePolicy {
    /// The connection is closed, with reason 0x95.
    Disconnect,
    /// It is discarded as it comes and counted; above QoS 0 its publisher is told so.
    Drop,
}

/// A field of a certificate that names its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateField {
    /// None.
    Disabled,
    /// Common Name of the subject.
    Cn,
    /// The subject as a Distinguished Name.
    Dn,
    /// The first alternative name that is a DNS name, URI or mail address.
    San,
    /// The whole certificate: its DER in base64, as between the first and the last line of PEM, on one line.
    Pem,
    /// MD5 of its DER, in hexadecimal.
    Md5,
}

/// Protocol behaviour; the keys and defaults users of EMQX know. No key takes effect before a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// Time from accepting a connection to its complete CONNECT. 1s to 1h.
    pub idle_timeout: Duration,
    /// The largest packet accepted, fixed header included. 1KB to 256MB.
    pub max_packet_size: ByteSize,
    /// What happens to a larger PUBLISH.
    pub max_packet_size_policy: OversizePolicy,
    /// The longest client id in bytes. 23 to 65535.
    pub max_clientid_len: u16,
    /// The most levels a topic name or filter may have. 1 to 65535.
    pub max_topic_levels: u16,
    /// Topic aliases a v5 client may use towards the broker. 0 to 65535.
    pub max_topic_alias: u16,
    /// Whether retained messages may be published.
    pub retain_available: bool,
    /// Whether filters may contain wildcards.
    pub wildcard_subscription: bool,
    /// Whether `$share/` and `$queue/` subscriptions are allowed.
    pub shared_subscription: bool,
    /// How the member of a shared subscription is chosen.
    pub shared_subscription_strategy: SharedStrategy,
    /// How a sticky publisher finds its first member.
    pub shared_subscription_initial_sticky_pick: StickyPick,
    /// Never deliver a message to its own publisher, whatever the subscription says (useful for 3.x).
    pub ignore_loop_deliver: bool,
    /// Response Information sent to v5 clients that ask for it; empty sends none.
    pub response_information: String,
    /// Keep alive in seconds imposed on all clients; 0 leaves it to the client. 0 to 65535.
    pub server_keepalive: u16,
    /// The least keep alive in seconds that a client may ask for; 0 for no bound. v5 clients that ask for less get this one and
    /// are told, others are refused. 0 to 65535.
    pub min_keepalive: u16,
    /// The greatest keep alive in seconds that a client may ask for, who must ask for one then; 0 for no bound. As with
    /// `min_keepalive`. 0 to 65535.
    pub max_keepalive: u16,
    /// A client is silent too long after keep alive × this. 1.0 to 10.0.
    pub keepalive_multiplier: f64,
    /// Session expiry of 3.x clients with clean session = 0.
    pub session_expiry_interval: Duration,
    /// The longest session expiry a v5 client is granted.
    pub max_session_expiry_interval: Duration,
    /// Expiry of messages published without one; infinity for none.
    pub message_expiry_interval: Duration,
    /// QoS 2 messages a client may have begun and not released. 1 to 65535; also the Receive Maximum told to v5 clients.
    pub max_awaiting_rel: u16,
    /// How long an unreleased QoS 2 message keeps its place.
    pub await_rel_timeout: Duration,
    /// The highest QoS accepted and granted. 0 to 2.
    pub max_qos_allowed: u8,
    /// Whether QoS 0 messages are queued for offline or congested sessions.
    pub mqueue_store_qos0: bool,
    /// The most messages a session queues, of each priority; 0 queues nothing.
    pub max_mqueue_len: Limit,
    /// The most bytes (topic, properties, payload) a session queues, of all priorities together.
    pub max_mqueue_bytes: ByteSize,
    /// What happens when the queue is full.
    pub mqueue_full_policy: QueueFullPolicy,
    /// What 3.x publishers meet where `reject`, a quota or [`OversizePolicy::Drop`] refuses their message.
    pub mqueue_reject_v3: RejectV3,
    /// The priority of topics that `mqueue_priorities` does not name.
    pub mqueue_default_priority: DefaultPriority,
    /// The most QoS 1 and 2 messages on their way to one client, also for clients that allow more. 1 to 65535.
    pub max_inflight: u16,
    /// The most subscriptions of one client.
    pub max_subscriptions: Limit,
    /// Deliver at the subscription's QoS even if the message was published at a lower one.
    pub upgrade_qos: bool,
    /// The field of a client's certificate that is taken as its user name.
    pub peer_cert_as_username: CertificateField,
    /// The field of a client's certificate that is taken as its client id.
    pub peer_cert_as_clientid: CertificateField,
    /// Use the user name as the client id.
    pub use_username_as_clientid: bool,
    /// Send one copy per matching subscription instead of one merged copy per client.
    pub overlapping_subscription_copies: bool,
    /// Which messages leave a queue first: topics or topic filters, and their priorities from 1 to 255. At most 256.
    pub mqueue_priorities: QueuePriorities,
}

impl MqttConfig {
    /// Whether what is published at QoS 0 may wait in a queue: as such, or as what it is upgraded to.
    pub fn queues_qos0(&self) -> bool {
        self.mqueue_store_qos0 || self.upgrade_qos
    }

    /// The keep alive in force for a client that asks for `asked_s`; 0 for none.
    pub fn granted_keep_alive_s(&self, asked_s: u16) -> u16 {
        if self.server_keepalive > 0 {
            return self.server_keepalive;
        }
        let is_bounded = self.max_keepalive > 0;
        match asked_s {
            0 if is_bounded => self.max_keepalive,
            0 => 0,
            asked_s if is_bounded => asked_s.max(self.min_keepalive).min(self.max_keepalive),
            asked_s => asked_s.max(self.min_keepalive),
        }
    }

    /// The priority of a topic's messages in a queue.
    pub fn priority_of(&self, topic: &str) -> Priority {
        self.mqueue_priorities.of(topic).unwrap_or_else(|| self.mqueue_default_priority.into())
    }
}

impl Default for MqttConfig {
    fn default() -> MqttConfig {
        MqttConfig {
            idle_timeout: Duration::from_s(15),
            max_packet_size: ByteSize(1 << 20),
            max_packet_size_policy: OversizePolicy::Disconnect,
            max_clientid_len: 65_535,
            max_topic_levels: 128,
            max_topic_alias: 65_535,
            retain_available: true,
            wildcard_subscription: true,
            shared_subscription: true,
            shared_subscription_strategy: SharedStrategy::RoundRobin,
            shared_subscription_initial_sticky_pick: StickyPick::Random,
            ignore_loop_deliver: false,
            response_information: String::new(),
            server_keepalive: 0,
            min_keepalive: 0,
            max_keepalive: 0,
            keepalive_multiplier: 1.5,
            session_expiry_interval: Duration::from_s(2 * 3600),
            max_session_expiry_interval: Duration::INFINITY,
            message_expiry_interval: Duration::INFINITY,
            max_awaiting_rel: 100,
            await_rel_timeout: Duration::from_s(300),
            max_qos_allowed: 2,
            mqueue_store_qos0: true,
            max_mqueue_len: Limit(1000),
            max_mqueue_bytes: ByteSize(64 << 20),
            mqueue_full_policy: QueueFullPolicy::DropOldest,
            mqueue_reject_v3: RejectV3::Close,
            mqueue_default_priority: DefaultPriority::Lowest,
            max_inflight: 32,
            max_subscriptions: Limit::INFINITY,
            upgrade_qos: false,
            peer_cert_as_username: CertificateField::Disabled,
            peer_cert_as_clientid: CertificateField::Disabled,
            use_username_as_clientid: false,
            overlapping_subscription_copies: false,
            mqueue_priorities: QueuePriorities::default(),
        }
    }
}
