//! UNSUBACK (section 3.11).

use crate::codec::property::{Place, put_answer_properties, read_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, PacketId, ProtocolVersion, UserProperties};
use crate::reason::ReasonCode;

/// An UNSUBACK packet: one code for each filter in 5.0, no payload in 3.x (`reasons` is then empty when decoded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsuback {
    /// Packet identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One code for each filter.
    pub reasons: Vec<ReasonCode>,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Unsuback {
    /// Reads the body of an UNSUBACK.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Unsuback, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(version)?;
        if version != ProtocolVersion::V5 {
            reader.finish()?;
            return Ok(Unsuback {
                packet_id,
                reasons: Vec::new(),
                reason_string: None,
                user_properties: Vec::new(),
            });
        }
        let (reason_string, user_properties) = read_answer_properties(&mut reader, Place::Unsuback)?;
        if reader.is_empty() {
            return Err(DecodeError::Protocol("UNSUBACK without reason codes"));
        }
        let mut reasons = Vec::with_capacity(reader.remaining());
        while !reader.is_empty() {
            reasons.push(read_reason(&mut reader, allows)?);
        }
        Ok(Unsuback { packet_id, reasons, reason_string, user_properties })
    }

    /// Appends the packet. In 3.x only the packet identifier is written.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(version, Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.11.2-1, -2]
    ///
    /// # Errors
    /// [`EncodeError`] if it is too large nevertheless; `out` is then as it was.
    pub fn encode_within(
        &self,
        version: ProtocolVersion,
        packet_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        write_packet_within(FIRST_BYTE, packet_bytes_max, out, &|detail, sink| {
            self.put_body(version, detail, sink)
        })
    }

    fn put_body(&self, version: ProtocolVersion, detail: Detail, sink: &mut dyn Sink) {
        sink.put(&self.packet_id.as_u16().to_be_bytes());
        if version != ProtocolVersion::V5 {
            return;
        }
        put_properties(sink, &|sink| {
            put_answer_properties(sink, detail, self.reason_string.as_deref(), &self.user_properties);
        });
        for reason in &self.reasons {
            sink.put(&[reason.as_u8()]);
        }
    }
}

const FIRST_BYTE: u8 = 0xB0;

/// Whether an UNSUBACK may carry the reason. [MQTT-3.11.3-2]
const fn allows(reason: ReasonCode) -> bool {
    use ReasonCode::*;
    matches!(
        reason,
        Success
            | NoSubscriptionExisted
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
    )
}
