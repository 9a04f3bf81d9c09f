//! SUBACK (section 3.9).

use crate::codec::property::{Place, put_answer_properties, read_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, PacketId, ProtocolVersion, UserProperties};
use crate::reason::ReasonCode;

/// A SUBACK packet: one code for each filter, in order. In 3.x every error code is written as 0x80.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suback {
    /// Packet identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One code for each filter.
    pub reasons: Vec<ReasonCode>,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Suback {
    /// Reads the body of a SUBACK.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Suback, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(version)?;
        let (reason_string, user_properties) = match version {
            ProtocolVersion::V5 => read_answer_properties(&mut reader, Place::Suback)?,
            ProtocolVersion::V31 | ProtocolVersion::V311 => Default::default(),
        };
        if reader.is_empty() {
            return Err(DecodeError::Protocol("SUBACK without reason codes"));
        }
        let mut reasons = Vec::with_capacity(reader.remaining());
        while !reader.is_empty() {
            reasons.push(read_reason(&mut reader, |reason| allows(reason, version))?);
        }
        Ok(Suback { packet_id, reasons, reason_string, user_properties })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(version, Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.9.2-1, -2]
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
        let is_v5 = version == ProtocolVersion::V5;
        if is_v5 {
            put_properties(sink, &|sink| {
                put_answer_properties(sink, detail, self.reason_string.as_deref(), &self.user_properties);
            });
        }
        for reason in &self.reasons {
            let byte = if !is_v5 && reason.is_error() { FAILURE } else { reason.as_u8() };
            sink.put(&[byte]);
        }
    }
}

const FIRST_BYTE: u8 = 0x90;

/// The only error code of 3.1.1; 3.1 has none, its clients see a QoS they did not ask for.
const FAILURE: u8 = ReasonCode::UnspecifiedError.as_u8();

/// Whether a SUBACK may carry the reason. [MQTT-3.9.3-2]
const fn allows(reason: ReasonCode, version: ProtocolVersion) -> bool {
    use ReasonCode::*;
    match reason {
        Success | GrantedQos1 | GrantedQos2 | UnspecifiedError => true,
        ImplementationSpecificError
        | NotAuthorized
        | TopicFilterInvalid
        | PacketIdentifierInUse
        | QuotaExceeded
        | SharedSubscriptionsNotSupported
        | SubscriptionIdentifiersNotSupported
        | WildcardSubscriptionsNotSupported => matches!(version, ProtocolVersion::V5),
        _ => false,
    }
}
