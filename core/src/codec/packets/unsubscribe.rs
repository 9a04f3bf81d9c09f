//! UNSUBSCRIBE (section 3.10).

use super::subscribe::read_filter;
use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_user_properties};
use crate::codec::reader::Reader;
use crate::codec::writer::{put_properties, write_packet};
use crate::codec::{DecodeError, EncodeError, PacketId, ProtocolVersion, UserProperties};

/// An UNSUBSCRIBE packet; at least one filter. [MQTT-3.10.3-2]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Filters in the order sent, each valid UTF-8 without U+0000 and not empty.
    pub filters: Vec<Box<str>>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl Unsubscribe {
    /// Reads the body of an UNSUBSCRIBE.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Unsubscribe, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(version)?;
        let mut user_properties = Vec::new();
        if version == ProtocolVersion::V5 {
            let mut properties = PropertyReader::new(&mut reader, Place::Unsubscribe)?;
            while let Some(property) = properties.read()? {
                match property {
                    Property::User(name, value) => user_properties.push((name.into(), value.into())),
                    _ => return Err(misplaced()),
                }
            }
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(read_filter(&mut reader)?.into());
        }
        if filters.is_empty() {
            return Err(DecodeError::Protocol("UNSUBSCRIBE without filters"));
        }
        Ok(Unsubscribe { packet_id, filters, user_properties })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| {
            sink.put(&self.packet_id.as_u16().to_be_bytes());
            if version == ProtocolVersion::V5 {
                put_properties(sink, &|sink| put_user_properties(sink, &self.user_properties));
            }
            for filter in &self.filters {
                sink.put_field(filter.as_bytes());
            }
        })
    }
}

/// Type and the flags that the specification fixes. [MQTT-3.10.1-1]
const FIRST_BYTE: u8 = 0xA2;
