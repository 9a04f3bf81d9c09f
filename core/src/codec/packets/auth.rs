//! AUTH (section 3.15), MQTT 5.0 only.

use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_answer_properties};
use crate::codec::reader::{Reader, read_reason};
use crate::codec::writer::{Detail, Sink, put_properties, write_packet, write_packet_within};
use crate::codec::{DecodeError, EncodeError, ProtocolVersion, UserProperties};
use crate::reason::ReasonCode;
use bytes::Bytes;

/// An AUTH packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate. [MQTT-3.15.2-1]
    pub reason: ReasonCode,
    /// Authentication Method.
    pub method: Option<Box<str>>,
    /// Authentication Data.
    pub data: Option<Bytes>,
    /// Reason String.
    pub reason_string: Option<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Auth {
    /// Reads the body of an AUTH.
    ///
    /// # Errors
    /// See [`DecodeError`]; always malformed in 3.x.
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Auth, DecodeError> {
        if version != ProtocolVersion::V5 {
            return Err(DecodeError::Malformed("AUTH before MQTT 5.0"));
        }
        let mut reader = Reader::new(body);
        let mut auth = Auth {
            reason: ReasonCode::Success,
            method: None,
            data: None,
            reason_string: None,
            user_properties: Vec::new(),
        };
        // Only Success without properties may leave everything out.
        if reader.is_empty() {
            return Ok(auth);
        }
        auth.reason = read_reason(&mut reader, |reason| {
            use ReasonCode::{ContinueAuthentication, ReAuthenticate, Success};
            matches!(reason, Success | ContinueAuthentication | ReAuthenticate)
        })?;
        auth.read_properties(&mut reader)?;
        reader.finish()?;
        if auth.method.is_none() {
            return Err(DecodeError::Protocol("AUTH without authentication method"));
        }
        Ok(auth)
    }

    fn read_properties(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::new(reader, Place::Auth)?;
        while let Some(property) = properties.read()? {
            match property {
                Property::AuthenticationMethod(value) => self.method = Some(value.into()),
                Property::AuthenticationData(value) => self.data = Some(Bytes::copy_from_slice(value)),
                Property::ReasonString(value) => self.reason_string = Some(value.into()),
                Property::User(name, value) => self.user_properties.push((name.into(), value.into())),
                _ => return Err(misplaced()),
            }
        }
        Ok(())
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows or the version is 3.x; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        only_v5(version)?;
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| self.put_body(Detail::Full, sink))
    }

    /// Appends the packet; leaves out the user properties, then the reason string, if it would be larger than
    /// `packet_bytes_max`. [MQTT-3.15.2-2, -3]
    ///
    /// # Errors
    /// [`EncodeError`] if it is too large nevertheless or the version is 3.x; `out` is then as it was.
    pub fn encode_within(
        &self,
        version: ProtocolVersion,
        packet_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        only_v5(version)?;
        write_packet_within(FIRST_BYTE, packet_bytes_max, out, &|detail, sink| self.put_body(detail, sink))
    }

    fn put_body(&self, detail: Detail, sink: &mut dyn Sink) {
        let properties = |sink: &mut dyn Sink| {
            if let Some(value) = &self.method {
                Property::AuthenticationMethod(value).put(sink);
            }
            if let Some(value) = &self.data {
                Property::AuthenticationData(value).put(sink);
            }
            put_answer_properties(sink, detail, self.reason_string.as_deref(), &self.user_properties);
        };
        let has_properties = self.method.is_some()
            || self.data.is_some()
            || (detail.has_reason_string() && self.reason_string.is_some())
            || (detail.has_user_properties() && !self.user_properties.is_empty());
        if has_properties || self.reason != ReasonCode::Success {
            sink.put(&[self.reason.as_u8()]);
            put_properties(sink, &properties);
        }
    }
}

const FIRST_BYTE: u8 = 0xF0;

const fn only_v5(version: ProtocolVersion) -> Result<(), EncodeError> {
    match version {
        ProtocolVersion::V5 => Ok(()),
        ProtocolVersion::V31 | ProtocolVersion::V311 => Err(EncodeError::NotInVersion),
    }
}
