//! What of a session outlives the process. The session says what is to be remembered and when it may be forgotten; a
//! [`Memory`] remembers. Neither knows what the other is made of.

mod restore;

pub use restore::{Restored, RestoredMessage};

use crate::publication::Publication;

use super::delivery::Outgoing;
use crate::codec::PacketId;
use std::fmt::Debug;
use std::num::NonZeroU64;

/// What a memory knows a session by. Never given to another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNumber(pub NonZeroU64);

/// What a memory knows the body of a message by: as long as something that has it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyKey(pub u32);

impl BodyKey {
    /// That of what has no body.
    pub const NONE: BodyKey = BodyKey(u32::MAX);
}

/// A message's body, as far as a memory has it at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The message.
    Here(Publication),
    /// It must be read first: [`Memory::want`] asks for that.
    Away,
    /// It cannot be read any more.
    Lost,
}

/// Where something is remembered. Made and understood by the memory alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The record of this one thing.
    pub record: NonZeroU64,
    /// What it shares with others: a message's body.
    pub body: BodyKey,
}

/// Remembers sessions beyond the process. `None` as an answer: it is not remembered, and nothing need be forgotten.
pub trait Memory: Debug {
    /// A message is the session's to deliver: queued, or sent under this identifier. The memory takes care of its body,
    /// until it is forgotten.
    fn keep(
        &mut self,
        session: SessionNumber,
        message: &Outgoing,
        packet_id: Option<PacketId>,
    ) -> Option<Stored>;

    /// A message that was queued was sent under this identifier; its old place is forgotten.
    fn sent(
        &mut self,
        session: SessionNumber,
        message: &Outgoing,
        stored: Stored,
        packet_id: PacketId,
    ) -> Stored;

    /// The client has taken a QoS 2 message over: only its identifier is remembered, until PUBCOMP.
    fn taken(&mut self, session: SessionNumber, stored: Stored, packet_id: PacketId) -> Option<Stored>;

    /// The client has begun a QoS 2 exchange under this identifier.
    fn begun(&mut self, session: SessionNumber, packet_id: PacketId) -> Option<Stored>;

    /// It is over.
    fn forget(&mut self, stored: Stored);

    /// A body that is in the memory's care.
    fn body(&self, body: BodyKey) -> Body;

    /// A body of so many bytes is wanted soon; whether that is news: it is away, and nobody has asked for it. `waiting`: this
    /// session can send nothing before it comes, and is pumped then.
    fn want(&mut self, body: BodyKey, weight_bytes: usize, waiting: Option<SessionNumber>) -> bool;
}

/// Remembers nothing.
#[derive(Debug, Default)]
pub struct Forgetful;

impl Memory for Forgetful {
    fn keep(&mut self, _: SessionNumber, _: &Outgoing, _: Option<PacketId>) -> Option<Stored> {
        None
    }

    fn sent(&mut self, _: SessionNumber, _: &Outgoing, stored: Stored, _: PacketId) -> Stored {
        stored
    }

    fn taken(&mut self, _: SessionNumber, _: Stored, _: PacketId) -> Option<Stored> {
        None
    }

    fn begun(&mut self, _: SessionNumber, _: PacketId) -> Option<Stored> {
        None
    }

    fn forget(&mut self, _: Stored) {}

    fn body(&self, _: BodyKey) -> Body {
        Body::Lost
    }

    fn want(&mut self, _: BodyKey, _: usize, _: Option<SessionNumber>) -> bool {
        false
    }
}
