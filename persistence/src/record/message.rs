//! Messages: a body once a shard, and what each session still has to do with it. Sessions are named by their number, other
//! records by their id.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Deserialize, Serialize};

use super::Record;

/// A message as it was published, stored once however many sessions queue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub struct Body<'a> {
    /// The topic name.
    #[rkyv(with = InlineAsBox)]
    pub topic: &'a str,
    /// The payload.
    #[rkyv(with = InlineAsBox)]
    pub payload: &'a [u8],
    /// Its forwardable v5 properties as they were received.
    #[rkyv(with = InlineAsBox)]
    pub properties: &'a [u8],
    /// 0 to 2.
    pub qos: u8,
    /// Whether it was published with retain set.
    pub retain: bool,
    /// When it expires, in milliseconds since 1970; `None`: never.
    pub expires_at_ms: Option<u64>,
    /// When it was stored, in milliseconds since 1970.
    pub stored_at_ms: u64,
}

impl Record for Body<'_> {
    const KIND: u16 = 0x0301;
}

/// A message that a session is to be sent, or was sent and has not acknowledged. Lower ids come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub struct Queued<'a> {
    /// The session's number.
    pub session: u64,
    /// The id of the body's record.
    pub body: u64,
    /// The identifier under which it was sent; `None`: it waits.
    pub packet_id: Option<u16>,
    /// The id of the record that this one takes the place of; 0: of none.
    pub replaces: u64,
    /// The shared subscription it came through, as the hash of its filter; 0: none.
    pub share: u64,
    /// The QoS of this delivery, 0 to 2.
    pub qos: u8,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions it matched.
    #[rkyv(with = InlineAsBox)]
    pub identifiers: &'a [u32],
}

impl Record for Queued<'_> {
    const KIND: u16 = 0x0401;
}

/// A QoS 2 message that the client has taken over: PUBCOMP is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Sent {
    /// The session's number.
    pub session: u64,
    /// The packet identifier.
    pub packet_id: u16,
    /// The id of the [`Queued`] record that this one takes the place of.
    pub replaces: u64,
}

impl Record for Sent {
    const KIND: u16 = 0x0501;
}

/// A QoS 2 packet identifier of a client that was received and not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Received {
    /// The session's number.
    pub session: u64,
    /// The packet identifier.
    pub packet_id: u16,
}

impl Record for Received {
    const KIND: u16 = 0x0601;
}

/// A retained message; its topic is its body's. Of two with the same topic the one with the higher id counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize)]
pub struct Retained<'a> {
    /// The message.
    pub body: Body<'a>,
}

impl Record for Retained<'_> {
    const KIND: u16 = 0x0701;
}

/// A QoS 2 message of a publisher of this shard that other shards are to be sent, exactly once. It is sent to them when it is
/// stored here, and forgotten when they have stored it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Forwarding {
    /// Its place among all that this shard forwards: ascending, never used twice.
    pub sequence: u64,
    /// The id of the body's record.
    pub body: u64,
    /// Who is to be sent it.
    pub targets: Vec<ForwardTarget>,
}

impl Record for Forwarding {
    const KIND: u16 = 0x0801;
}

/// What another shard is to do with a message.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct ForwardTarget {
    /// Which shard.
    pub shard: u16,
    /// Its subscribers want it.
    pub deliver: bool,
    /// It owns the topic's retained message.
    pub retain: bool,
    /// Shared subscriptions, as the hashes of their filters, of which one of its members is to get it.
    pub shares: Vec<u64>,
}

/// How far a shard has stored what another one forwards. Of two for the same shard the one with the higher id counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Applied {
    /// The shard that forwards.
    pub from: u16,
    /// Everything up to this [`Forwarding::sequence`] is stored.
    pub sequence: u64,
}

impl Record for Applied {
    const KIND: u16 = 0x0901;
}
