//! DISCONNECT (section 3.14).

use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, ProtocolVersion, UserProperties};
use crate::reason::ReasonCode;

/// A DISCONNECT packet; 3.x has neither reason nor properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why.
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds that replaces the one of CONNECT; only from the client.
    pub session_expiry_interval_s: Option<u32>,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
    /// Server Reference; only from the broker.
    pub server_reference: Option<Box<str>>,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    pub const fn new(reason: ReasonCode) -> Disconnect {
        Disconnect {
            reason,
            session_expiry_interval_s: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }
    }
}

impl Disconnect {
    /// Reads the body of a DISCONNECT.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Disconnect, DecodeError> {
        let mut reader = Reader::new(body);
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        if version != ProtocolVersion::V5 || reader.is_empty() {
            reader.finish()?;
            return Ok(disconnect);
        }
        disconnect.reason = read_reason(&mut reader, allows)?;
        if !reader.is_empty() {
            disconnect.read_properties(&mut reader)?;
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn read_properties(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::new(reader, Place::Disconnect)?;
        while let Some(property) = properties.read()? {
            match property {
                Property::SessionExpiryInterval(value) => self.session_expiry_interval_s = Some(value),
                Property::ReasonString(value) => self.reason_string = Some(value.into()),
                Property::User(name, value) => self.user_properties.push((name.into(), value.into())),
                Property::ServerReference(value) => self.server_reference = Some(value.into()),
                _ => return Err(misplaced()),
            }
        }
        Ok(())
    }

    /// Appends the packet. In 3.x it has no body.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(version, Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.14.2-3, -4]
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
        if version != ProtocolVersion::V5 {
            return;
        }
        let has_properties = self.session_expiry_interval_s.is_some()
            || self.server_reference.is_some()
            || (detail.has_reason_string() && self.reason_string.is_some())
            || (detail.has_user_properties() && !self.user_properties.is_empty());
        if !has_properties {
            if self.reason != ReasonCode::Success {
                sink.put(&[self.reason.as_u8()]);
            }
            return;
        }
        sink.put(&[self.reason.as_u8()]);
        put_properties(sink, &|sink| {
            if let Some(value) = self.session_expiry_interval_s {
                Property::SessionExpiryInterval(value).put(sink);
            }
            if let Some(value) = &self.server_reference {
                Property::ServerReference(value).put(sink);
            }
            put_answer_properties(sink, detail, self.reason_string.as_deref(), &self.user_properties);
        });
    }
}

const FIRST_BYTE: u8 = 0xE0;

/// Whether a DISCONNECT may carry the reason, from either side. [MQTT-3.14.2-1]
const fn allows(reason: ReasonCode) -> bool {
    use ReasonCode::*;
    match reason {
        Success | DisconnectWithWill => true,
        // These answer one packet, or a CONNECT, and never end a connection.
        UnsupportedProtocolVersion
        | ClientIdentifierNotValid
        | BadUserNameOrPassword
        | ServerUnavailable
        | Banned
        | PacketIdentifierInUse
        | PacketIdentifierNotFound => false,
        _ => reason.is_error(),
    }
}
