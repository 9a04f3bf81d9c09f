//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one shape, four meanings.

use crate::codec::property::{Place, put_answer_properties, read_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, PacketId, ProtocolVersion, UserProperties};
use crate::reason::ReasonCode;

/// Which of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum AckKind {
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
}

/// An acknowledgement of one PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which of the four packets.
    pub kind: AckKind,
    /// The PUBLISH it belongs to.
    pub packet_id: PacketId,
    /// [`ReasonCode::Success`] in 3.x.
    pub reason: ReasonCode,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Ack {
    /// An acknowledgement without properties.
    pub const fn new(kind: AckKind, packet_id: PacketId, reason: ReasonCode) -> Ack {
        Ack { kind, packet_id, reason, reason_string: None, user_properties: Vec::new() }
    }
}

impl AckKind {
    /// The first byte of the packet: its type and the flags that the specification fixes. [MQTT-3.6.1-1]
    const fn first_byte(self) -> u8 {
        match self {
            AckKind::Pubrel => 0x62,
            AckKind::Puback | AckKind::Pubrec | AckKind::Pubcomp => (self as u8) << 4,
        }
    }

    /// Whether this packet may carry the reason.
    const fn allows(self, reason: ReasonCode) -> bool {
        use ReasonCode::*;
        match self {
            AckKind::Puback | AckKind::Pubrec => matches!(
                reason,
                Success
                    | NoMatchingSubscribers
                    | UnspecifiedError
                    | ImplementationSpecificError
                    | NotAuthorized
                    | TopicNameInvalid
                    | PacketIdentifierInUse
                    | QuotaExceeded
                    | PayloadFormatInvalid
            ),
            AckKind::Pubrel | AckKind::Pubcomp => matches!(reason, Success | PacketIdentifierNotFound),
        }
    }
}

impl Ack {
    /// Reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP. Allocates only for properties.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(kind: AckKind, body: &[u8], version: ProtocolVersion) -> Result<Ack, DecodeError> {
        let mut reader = Reader::new(body);
        let mut ack = Ack::new(kind, reader.packet_id(version)?, ReasonCode::Success);
        if version != ProtocolVersion::V5 || reader.is_empty() {
            reader.finish()?;
            return Ok(ack);
        }
        ack.reason = read_reason(&mut reader, |reason| kind.allows(reason))?;
        if !reader.is_empty() {
            (ack.reason_string, ack.user_properties) = read_answer_properties(&mut reader, Place::Ack)?;
        }
        reader.finish()?;
        Ok(ack)
    }

    /// Appends the packet. In 3.x only the packet identifier is written.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.put_short(version, out) {
            return Ok(());
        }
        write_packet(self.kind.first_byte(), u32::MAX, out, &|sink| self.put_body(Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.4.2-2, -3] [MQTT-3.5.2-2, -3] [MQTT-3.6.2-2, -3] [MQTT-3.7.2-2, -3]
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`] if it is too large nevertheless; `out` is then as it was.
    pub fn encode_within(
        &self,
        version: ProtocolVersion,
        packet_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        // The short forms take five bytes at most; a peer that allows less gets the error from the long way.
        if packet_bytes_max >= 5 && self.put_short(version, out) {
            return Ok(());
        }
        write_packet_within(self.kind.first_byte(), packet_bytes_max, out, &|detail, sink| match version {
            ProtocolVersion::V5 => self.put_body(detail, sink),
            ProtocolVersion::V31 | ProtocolVersion::V311 => sink.put(&self.packet_id.as_u16().to_be_bytes()),
        })
    }

    /// Appends the forms without properties, which are nearly all there are. Says whether it did.
    fn put_short(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> bool {
        let first_byte = self.kind.first_byte();
        let [high, low] = self.packet_id.as_u16().to_be_bytes();
        let is_v5 = version == ProtocolVersion::V5;
        if is_v5 && (self.reason_string.is_some() || !self.user_properties.is_empty()) {
            return false;
        }
        if is_v5 && self.reason != ReasonCode::Success {
            out.extend_from_slice(&[first_byte, 3, high, low, self.reason.as_u8()]);
        } else {
            out.extend_from_slice(&[first_byte, 2, high, low]);
        }
        true
    }

    fn put_body(&self, detail: Detail, sink: &mut dyn Sink) {
        sink.put(&self.packet_id.as_u16().to_be_bytes());
        let reason_string = self.reason_string.as_deref().filter(|_| detail.has_reason_string());
        let has_user_properties = detail.has_user_properties() && !self.user_properties.is_empty();
        if reason_string.is_none() && !has_user_properties {
            if self.reason != ReasonCode::Success {
                sink.put(&[self.reason.as_u8()]);
            }
            return;
        }
        sink.put(&[self.reason.as_u8()]);
        put_properties(sink, &|sink| {
            put_answer_properties(sink, detail, reason_string, &self.user_properties)
        });
    }
}
