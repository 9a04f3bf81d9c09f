//! SUBSCRIBE (section 3.8).

use crate::codec::property::{Place, Property, PropertyReader, misplaced, put_user_properties};
use crate::codec::reader::Reader;
use crate::codec::writer::{put_properties, write_packet};
use crate::codec::{DecodeError, EncodeError, PacketId, ProtocolVersion, QoS, UserProperties};

/// When a new subscription is sent the retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// Subscription options (section 3.8.3.1); 3.x has only the QoS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SubscriptionOptions {
    /// Maximum QoS of deliveries.
    pub qos: QoS,
    /// Do not deliver what this client published itself.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// A topic filter and its options. The filter is valid UTF-8 without U+0000 and not empty; whether its wildcards and its
/// share name are well placed is checked by [`TopicFilter::parse`](crate::topic::TopicFilter::parse), because each filter
/// is answered by a reason code of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// The filter as sent.
    pub filter: Box<str>,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// A SUBSCRIBE packet; at least one filter. [MQTT-3.8.3-2]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Packet identifier.
    pub packet_id: PacketId,
    /// Subscription Identifier, 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// Filters in the order sent.
    pub filters: Vec<SubscribeFilter>,
    /// User properties.
    pub user_properties: UserProperties,
}

impl SubscriptionOptions {
    /// Reads the options byte. In 3.x everything but the QoS is reserved. [MQTT-3.8.3-5]
    pub(crate) fn from_u8(byte: u8, version: ProtocolVersion) -> Result<SubscriptionOptions, DecodeError> {
        let reserved = if version == ProtocolVersion::V5 { 0xC0 } else { 0xFC };
        if byte & reserved != 0 {
            return Err(DecodeError::Malformed("reserved bits of the subscription options are set"));
        }
        let qos = QoS::from_u8(byte & 3).ok_or(DecodeError::Malformed("subscription with QoS 3"))?;
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::Protocol("subscription with retain handling 3")),
        };
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & 4 != 0,
            retain_as_published: byte & 8 != 0,
            retain_handling,
        })
    }

    /// The options byte; 3.x has no room for anything but the QoS.
    pub(crate) const fn to_u8(self, version: ProtocolVersion) -> u8 {
        let qos = self.qos as u8;
        match version {
            ProtocolVersion::V31 | ProtocolVersion::V311 => qos,
            ProtocolVersion::V5 => {
                let flags = (self.no_local as u8) << 2 | (self.retain_as_published as u8) << 3;
                qos | flags | (self.retain_handling as u8) << 4
            }
        }
    }
}

impl Subscribe {
    /// Reads the body of a SUBSCRIBE.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(body: &[u8], version: ProtocolVersion) -> Result<Subscribe, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id(version)?;
        let mut subscribe =
            Subscribe { packet_id, subscription_id: None, filters: Vec::new(), user_properties: Vec::new() };
        if version == ProtocolVersion::V5 {
            subscribe.read_properties(&mut reader)?;
        }
        while !reader.is_empty() {
            let filter = read_filter(&mut reader)?.into();
            let options = SubscriptionOptions::from_u8(reader.u8()?, version)?;
            subscribe.filters.push(SubscribeFilter { filter, options });
        }
        if subscribe.filters.is_empty() {
            return Err(DecodeError::Protocol("SUBSCRIBE without filters"));
        }
        Ok(subscribe)
    }

    fn read_properties(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut properties = PropertyReader::new(reader, Place::Subscribe)?;
        while let Some(property) = properties.read()? {
            match property {
                Property::SubscriptionIdentifier(value) => self.subscription_id = Some(value),
                Property::User(name, value) => self.user_properties.push((name.into(), value.into())),
                _ => return Err(misplaced()),
            }
        }
        Ok(())
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_packet(FIRST_BYTE, u32::MAX, out, &|sink| {
            sink.put(&self.packet_id.as_u16().to_be_bytes());
            if version == ProtocolVersion::V5 {
                put_properties(sink, &|sink| {
                    if let Some(value) = self.subscription_id {
                        Property::SubscriptionIdentifier(value).put(sink);
                    }
                    put_user_properties(sink, &self.user_properties);
                });
            }
            for SubscribeFilter { filter, options } in &self.filters {
                sink.put_field(filter.as_bytes());
                sink.put(&[options.to_u8(version)]);
            }
        })
    }
}

/// Type and the flags that the specification fixes. [MQTT-3.8.1-1]
const FIRST_BYTE: u8 = 0x82;

/// A topic filter, not empty. [MQTT-4.7.3-1]
pub(super) fn read_filter<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let filter = reader.string()?;
    if filter.is_empty() {
        return Err(DecodeError::TopicFilterInvalid);
    }
    Ok(filter)
}
