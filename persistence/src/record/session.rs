//! A session that outlives its connections, and its subscriptions. Deadlines are wall-clock time, so that they hold
//! across restarts.

use rkyv::{Archive, Deserialize, Serialize};

use super::Record;

/// A session. Of two with the same number the one with the higher id counts.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Session {
    /// What the session's other records know it by. Never given to another session.
    pub number: u64,
    /// The client it belongs to.
    pub client_id: String,
    /// When it began, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends if nobody connects to it, in milliseconds since 1970; `None`: its client is connected, or it never ends.
    pub expires_at_ms: Option<u64>,
    /// Its session expiry interval in seconds; `u32::MAX`: never.
    pub expiry_interval_s: u32,
    /// The will that is still to be published.
    pub will: Option<Will>,
}

impl Record for Session {
    const KIND: u16 = 0x0101;
}

/// A will.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Will {
    /// The topic name.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// 0 to 2.
    pub qos: u8,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Its delay interval in seconds.
    pub delay_s: u32,
    /// Its message expiry interval in seconds.
    pub expiry_interval_s: Option<u32>,
    /// Its forwardable v5 properties as they were received.
    pub properties: Vec<u8>,
    /// When it is due, in milliseconds since 1970; `None`: the connection has not ended.
    pub due_at_ms: Option<u64>,
}

/// What the client of a session asks of its queue. Of two of a session the one with the higher id counts; without one the
/// broker's configuration does.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct QueueTerms {
    /// The session's number.
    pub session: u64,
    /// The most messages that wait.
    pub len_max: Option<u32>,
    /// What happens to more: 1 the oldest is dropped, 2 the newest is dropped, 3 it is refused, 4 publishers are held back.
    pub policy: Option<u8>,
}

impl Record for QueueTerms {
    const KIND: u16 = 0x0A01;
}

/// The zone of a session whose client came last through a listener of another one than `default`. Of two of a session the one
/// with the higher id counts.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct SessionZone {
    /// The session's number.
    pub session: u64,
    /// The name of the zone in the broker's configuration.
    pub zone: String,
}

impl Record for SessionZone {
    const KIND: u16 = 0x0B01;
}

/// A subscription of a session. Of two with the same filter the one with the higher id counts.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
#[rkyv(derive(Debug))]
pub struct Subscription {
    /// The session's number.
    pub session: u64,
    /// The topic filter, with `$share/…` if it is shared.
    pub filter: String,
    /// The maximum QoS, 0 to 2.
    pub qos: u8,
    /// The option of this name.
    pub no_local: bool,
    /// The option of this name.
    pub retain_as_published: bool,
    /// The option of this name, 0 to 2.
    pub retain_handling: u8,
    /// The subscription identifier.
    pub identifier: Option<u32>,
}

impl Record for Subscription {
    const KIND: u16 = 0x0201;
}
