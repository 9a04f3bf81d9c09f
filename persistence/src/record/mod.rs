//! What the broker stores: one kind of record a noun, each with a number that is its type and its version. They are
//! read by checked access only; nothing here knows what MQTT does with them.
//!
//! A record that changes its shape gets a new kind; the old type stays as long as files of it may exist. The bytes are
//! rkyv's, little endian, unaligned, with 32-bit offsets: they can be read wherever they lie.

mod message;
mod session;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error as RkyvError;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Portable, Serialize};

pub use message::{
    Applied, ArchivedApplied, ArchivedBody, ArchivedForwardTarget, ArchivedForwarding, ArchivedQueued,
    ArchivedReceived, ArchivedRetained, ArchivedSent, Body, ForwardTarget, Forwarding, Queued, Received,
    Retained, Sent,
};
pub use session::{
    ArchivedQueueTerms, ArchivedSession, ArchivedSessionZone, ArchivedSubscription, ArchivedWill, QueueTerms,
    Session, SessionZone, Subscription, Will,
};

/// A type that is stored under one kind.
pub trait Record: Archive {
    /// The kind: the type in the upper byte, its version in the lower.
    const KIND: u16;
}

/// Why a payload is not the record that was expected.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is of another kind.
    #[error("a record of kind {found:#06x} where {expected:#06x} was expected")]
    Kind {
        /// Which it has.
        found: u16,
        /// Which was expected.
        expected: u16,
    },
    /// Its bytes are not a value of the type.
    #[error("a record of kind {kind:#06x} is malformed")]
    Malformed {
        /// Its kind.
        kind: u16,
        /// What is wrong.
        #[source]
        source: RkyvError,
    },
    /// It could not be encoded: it exceeds what 32-bit offsets reach.
    #[error("a record of kind {kind:#06x} cannot be encoded")]
    Encoding {
        /// Its kind.
        kind: u16,
        /// What is wrong.
        #[source]
        source: RkyvError,
    },
}

/// The kind and the bytes under which `record` is stored.
///
/// # Errors
/// [`RecordError::Encoding`].
pub fn encode<R>(record: &R) -> Result<(u16, AlignedVec), RecordError>
where
    R: Record + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, RkyvError>>,
{
    let bytes = rkyv::to_bytes(record).map_err(|source| RecordError::Encoding { kind: R::KIND, source })?;
    Ok((R::KIND, bytes))
}

/// The record in a payload, checked and read in place.
///
/// # Errors
/// [`RecordError::Kind`], [`RecordError::Malformed`].
pub fn access<R>(kind: u16, payload: &[u8]) -> Result<&R::Archived, RecordError>
where
    R: Record,
    R::Archived: Portable + for<'a> CheckBytes<HighValidator<'a, RkyvError>>,
{
    if kind != R::KIND {
        return Err(RecordError::Kind { found: kind, expected: R::KIND });
    }
    rkyv::access(payload).map_err(|source| RecordError::Malformed { kind, source })
}

/// The record in a payload as a value of its own, checked first.
///
/// # Errors
/// [`RecordError::Kind`], [`RecordError::Malformed`].
pub fn decode<R>(kind: u16, payload: &[u8]) -> Result<R, RecordError>
where
    R: Record,
    R::Archived: Portable
        + for<'a> CheckBytes<HighValidator<'a, RkyvError>>
        + Deserialize<R, HighDeserializer<RkyvError>>,
{
    rkyv::deserialize(access::<R>(kind, payload)?).map_err(|source| RecordError::Malformed { kind, source })
}

#[cfg(test)]
mod tests;
