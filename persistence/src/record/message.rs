//! Messages: a body once a shard, and what each session still has to do with it. Ids of other records are the log's.

use rkyv::{Archive, Deserialize, Serialize};

use super::Record;

/// A message as it was published, stored once however many sessions queue it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Body {
    /// The topic name.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Its forwardable v5 properties as they were received.
    pub properties: Vec<u8>,
    /// 0 to 2.
    pub qos: u8,
    /// Whether it was published with retain set.
    pub retain: bool,
    /// The client id of the publisher, for no-local.
    pub publisher: String,
    /// When it expires, in milliseconds since 1970; `None`: never.
    pub expires_at_ms: Option<u64>,
    /// When it was received, in milliseconds since 1970.
    pub received_at_ms: u64,
}

impl Record for Body {
    const KIND: u16 = 0x0301;
}

/// A message in a session's queue.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Queued {
    /// The id of the session's record.
    pub session: u64,
    /// The id of the body's record.
    pub body: u64,
    /// Its place in the queue: lower numbers first.
    pub order: u64,
    /// The QoS of this delivery, 0 to 2.
    pub qos: u8,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions it matched.
    pub identifiers: Vec<u32>,
}

impl Record for Queued {
    const KIND: u16 = 0x0401;
}

/// How far the delivery of a message that was sent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub enum SentPhase {
    /// PUBLISH was sent at QoS 1; PUBACK is awaited.
    AwaitingPuback,
    /// PUBLISH was sent at QoS 2; PUBREC is awaited.
    AwaitingPubrec,
    /// PUBREL was sent; PUBCOMP is awaited.
    AwaitingPubcomp,
}

/// A message that was sent and not acknowledged to its end.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Sent {
    /// The id of the session's record.
    pub session: u64,
    /// The packet identifier.
    pub packet_id: u16,
    /// The id of the queue's record; `None` once only PUBCOMP is awaited.
    pub queued: Option<u64>,
    /// How far it has come.
    pub phase: SentPhase,
}

impl Record for Sent {
    const KIND: u16 = 0x0501;
}

/// A QoS 2 packet identifier of a client that was received and not released.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Received {
    /// The id of the session's record.
    pub session: u64,
    /// The packet identifier.
    pub packet_id: u16,
}

impl Record for Received {
    const KIND: u16 = 0x0601;
}

/// A retained message; its topic is its body's.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Retained {
    /// The message.
    pub body: Body,
}

impl Record for Retained {
    const KIND: u16 = 0x0701;
}
