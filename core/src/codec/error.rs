//! What can be wrong with bytes from a peer.

use crate::reason::ReasonCode;

/// Why bytes are not a valid packet. Always the peer's fault; carries the reason code the specification names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be parsed (0x81).
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// The bytes can be parsed, but say something the protocol forbids (0x82).
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// The packet is larger than the receiver allows (0x95).
    #[error("packet of {bytes} bytes exceeds the maximum of {bytes_max}")]
    TooLarge {
        /// The whole packet's size.
        bytes: u64,
        /// The receiver's maximum.
        bytes_max: u32,
    },
    /// CONNECT names a protocol or level this broker does not speak (0x84).
    #[error("unsupported protocol name or version")]
    UnsupportedVersion,
    /// A topic name is not valid (0x90).
    #[error("invalid topic name")]
    TopicNameInvalid,
    /// A topic filter is not valid (0x8F).
    #[error("invalid topic filter")]
    TopicFilterInvalid,
    /// A topic alias of 0 (0x94).
    #[error("invalid topic alias")]
    TopicAliasInvalid,
    /// The payload is not what its format indicator says (0x99).
    #[error("payload is not of the indicated format")]
    PayloadFormatInvalid,
}

impl DecodeError {
    /// The reason code to disconnect with.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            DecodeError::Malformed(_) => ReasonCode::MalformedPacket,
            DecodeError::Protocol(_) => ReasonCode::ProtocolError,
            DecodeError::TooLarge { .. } => ReasonCode::PacketTooLarge,
            DecodeError::UnsupportedVersion => ReasonCode::UnsupportedProtocolVersion,
            DecodeError::TopicNameInvalid => ReasonCode::TopicNameInvalid,
            DecodeError::TopicFilterInvalid => ReasonCode::TopicFilterInvalid,
            DecodeError::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            DecodeError::PayloadFormatInvalid => ReasonCode::PayloadFormatInvalid,
        }
    }
}

/// Why a packet cannot be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The packet would be larger than the peer's Maximum Packet Size or the protocol's limit.
    #[error("packet of {bytes} bytes exceeds the maximum of {bytes_max}")]
    TooLarge {
        /// The whole packet's size.
        bytes: u64,
        /// The peer's or the protocol's maximum.
        bytes_max: u32,
    },
    /// A string or binary field of more than 65,535 bytes, or a number beyond a Variable Byte Integer.
    #[error("field of {value} exceeds the maximum of {value_max}")]
    FieldTooLarge {
        /// The field's bytes, or the number.
        value: u64,
        /// The most the wire format can carry.
        value_max: u32,
    },
    /// AUTH to a peer that does not speak 5.0.
    #[error("the packet does not exist in this protocol version")]
    NotInVersion,
}
