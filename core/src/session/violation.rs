//! A peer's breach of the protocol that ends its connection.

use crate::codec::DecodeError;
use crate::reason::ReasonCode;

/// Why a connection must be closed. v5 peers are told the reason in DISCONNECT; 3.x peers are just closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} (reason code {:#04x})", .reason.as_u8())]
pub struct Violation {
    /// The reason code for DISCONNECT.
    pub reason: ReasonCode,
    /// What the peer did, for the log and the reason string.
    pub what: &'static str,
}

impl Violation {
    /// A violation with this reason.
    pub const fn new(reason: ReasonCode, what: &'static str) -> Violation {
        Violation { reason, what }
    }

    /// A protocol error, 0x82.
    pub const fn protocol(what: &'static str) -> Violation {
        Violation::new(ReasonCode::ProtocolError, what)
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Violation {
        let what = match error {
            DecodeError::Malformed(what) | DecodeError::Protocol(what) => what,
            DecodeError::TooLarge { .. } => "packet exceeds the maximum size",
            DecodeError::UnsupportedVersion => "unsupported protocol version",
            DecodeError::TopicNameInvalid => "invalid topic name",
            DecodeError::TopicFilterInvalid => "invalid topic filter",
            DecodeError::TopicAliasInvalid => "invalid topic alias",
            DecodeError::PayloadFormatInvalid => "payload is not of the indicated format",
        };
        match error {
            // Only a second CONNECT can say so here, and DISCONNECT has no such reason. [MQTT-3.1.0-2, MQTT-3.14.2-1]
            DecodeError::UnsupportedVersion => Violation::protocol(what),
            error => Violation::new(error.reason_code(), what),
        }
    }
}
