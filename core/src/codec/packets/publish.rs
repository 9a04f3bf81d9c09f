//! PUBLISH (section 3.3), borrowed from the receive buffer.

use crate::codec::forward::ForwardRanges;
use crate::codec::property::{Place, Property, PropertyReader, id};
use crate::codec::reader::Reader;
use crate::codec::writer::{packet_bytes, to_varint, varint_bytes};
use crate::codec::{AckKind, DecodeError, EncodeError, PacketId, ProtocolVersion, QoS};
use crate::limits::{STRING_BYTES_MAX, SUBSCRIPTION_ID_MAX};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::num::NonZeroU16;

/// A PUBLISH packet. Decoding guarantees: the topic is valid UTF-8 without U+0000 and wildcards, empty only together with
/// a topic alias; `packet_id` is `Some` exactly when `qos` is above 0; DUP is clear at QoS 0. [MQTT-3.3.1-2]
#[derive(Debug, Clone, PartialEq)]
pub struct Publish<'a> {
    /// A re-delivery attempt.
    pub dup: bool,
    /// Quality of service of this packet.
    pub qos: QoS,
    /// To be stored, or stored before.
    pub retain: bool,
    /// Topic name.
    pub topic: &'a str,
    /// Packet identifier; `None` at QoS 0. [MQTT-2.2.1-2]
    pub packet_id: Option<PacketId>,
    /// MQTT 5.0 properties; default for 3.x.
    pub properties: PublishProperties<'a>,
    /// Application payload.
    pub payload: &'a [u8],
}

/// What a PUBLISH says in its properties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PublishProperties<'a> {
    /// Topic Alias.
    pub topic_alias: Option<NonZeroU16>,
    /// Message Expiry Interval in seconds.
    pub message_expiry_interval_s: Option<u32>,
    /// Subscription Identifiers; only from broker to client.
    pub subscription_ids: SmallVec<[u32; 2]>,
    /// The forwardable properties, encoded, in the sender's order: borrowed when they are contiguous on the wire. See
    /// [`ForwardPropertyIter`](crate::codec::ForwardPropertyIter).
    pub forward: Cow<'a, [u8]>,
}

impl<'a> Publish<'a> {
    /// The acknowledgement that its receiver owes for it; `None` at QoS 0.
    pub fn acknowledgement(&self) -> Option<(AckKind, PacketId)> {
        let kind = if self.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
        self.packet_id.map(|packet_id| (kind, packet_id))
    }

    /// Reads a PUBLISH: the fixed header's first byte holds its flags. Copies nothing, except forwardable properties that
    /// are not contiguous.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(
        first_byte: u8,
        body: &'a [u8],
        version: ProtocolVersion,
    ) -> Result<Publish<'a>, DecodeError> {
        let dup = first_byte & 0x08 != 0;
        let retain = first_byte & 0x01 != 0;
        let qos = QoS::from_u8(first_byte >> 1 & 3).ok_or(DecodeError::Malformed("PUBLISH with QoS 3"))?;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::Malformed("PUBLISH with DUP at QoS 0"));
        }
        let mut reader = Reader::new(body);
        let topic = reader.topic_name()?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id(version)?),
        };
        let (properties, is_text) = match version {
            ProtocolVersion::V5 => PublishProperties::read(&mut reader)?,
            ProtocolVersion::V31 | ProtocolVersion::V311 => (PublishProperties::default(), false),
        };
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(match version {
                ProtocolVersion::V5 => DecodeError::Protocol("PUBLISH without topic and topic alias"),
                ProtocolVersion::V31 | ProtocolVersion::V311 => {
                    DecodeError::Malformed("PUBLISH without topic")
                }
            });
        }
        let payload = reader.take_rest();
        if is_text && std::str::from_utf8(payload).is_err() {
            return Err(DecodeError::PayloadFormatInvalid);
        }
        Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload })
    }

    /// Bytes of the encoded packet, fixed header included. Beyond the protocol's limit it still is the sum.
    pub fn encoded_bytes(&self, version: ProtocolVersion) -> usize {
        let body_bytes = self.body_bytes(version, self.properties.encoded_bytes());
        1 + varint_bytes(u32::try_from(body_bytes).unwrap_or(u32::MAX)) + body_bytes
    }

    fn body_bytes(&self, version: ProtocolVersion, properties_bytes: usize) -> usize {
        let packet_id_bytes = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties_bytes = match version {
            ProtocolVersion::V5 => {
                varint_bytes(u32::try_from(properties_bytes).unwrap_or(u32::MAX)) + properties_bytes
            }
            ProtocolVersion::V31 | ProtocolVersion::V311 => 0,
        };
        2 + self.topic.len() + packet_id_bytes + properties_bytes + self.payload.len()
    }

    /// Appends the packet, growing `out` at most once. In 3.x the properties are not written.
    ///
    /// # Errors
    /// [`EncodeError`] if it is larger than the protocol allows or a field is; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_within(version, u32::MAX, out)
    }

    /// Appends the packet as [`Publish::encode`] does, unless it is larger than `packet_bytes_max`.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`] then, and whatever [`Publish::encode`] fails with; `out` is then as it was.
    pub fn encode_within(
        &self,
        version: ProtocolVersion,
        packet_bytes_max: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        debug_assert_eq!(self.packet_id.is_some(), self.qos != QoS::AtMostOnce, "packet id and QoS disagree");
        let properties_bytes = self.properties.encoded_bytes();
        let body_bytes = self.body_bytes(version, properties_bytes);
        let bytes = packet_bytes(body_bytes as u64, packet_bytes_max)?;
        self.check_fields()?;
        out.reserve(bytes);

        // The short fields around topic and properties are joined, so that each group is appended by one copy.
        let mut head = Group::new();
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        head.push(&[0x30 | flags]);
        head.push_varint(body_bytes as u32);
        head.push(&(self.topic.len() as u16).to_be_bytes());
        out.extend_from_slice(head.as_slice());
        out.extend_from_slice(self.topic.as_bytes());

        let mut middle = Group::new();
        if self.qos != QoS::AtMostOnce {
            middle.push(&self.packet_id.map_or(0, PacketId::as_u16).to_be_bytes());
        }
        if version == ProtocolVersion::V5 {
            middle.push_varint(properties_bytes as u32);
            if let Some(alias) = self.properties.topic_alias {
                middle.push(&[id::TOPIC_ALIAS]);
                middle.push(&alias.get().to_be_bytes());
            }
            if let Some(seconds) = self.properties.message_expiry_interval_s {
                middle.push(&[id::MESSAGE_EXPIRY_INTERVAL]);
                middle.push(&seconds.to_be_bytes());
            }
        }
        out.extend_from_slice(middle.as_slice());
        if version == ProtocolVersion::V5 {
            for &subscription_id in &self.properties.subscription_ids {
                Property::SubscriptionIdentifier(subscription_id).put(out);
            }
            out.extend_from_slice(&self.properties.forward);
        }
        out.extend_from_slice(self.payload);
        Ok(())
    }

    fn check_fields(&self) -> Result<(), EncodeError> {
        let (value, value_max) = if self.topic.len() > STRING_BYTES_MAX {
            (self.topic.len() as u64, STRING_BYTES_MAX as u32)
        } else if let Some(&id) =
            self.properties.subscription_ids.iter().find(|&&id| id > SUBSCRIPTION_ID_MAX)
        {
            (u64::from(id), SUBSCRIPTION_ID_MAX)
        } else {
            return Ok(());
        };
        Err(EncodeError::FieldTooLarge { value, value_max })
    }
}

impl<'a> PublishProperties<'a> {
    /// Also says whether the payload format indicator promises UTF-8.
    fn read(reader: &mut Reader<'a>) -> Result<(PublishProperties<'a>, bool), DecodeError> {
        let mut this = PublishProperties::default();
        let mut is_text = false;
        let mut properties = PropertyReader::new(reader, Place::Publish)?;
        let mut forward = ForwardRanges::new(properties.block());
        while let Some(property) = properties.read()? {
            match property {
                Property::TopicAlias(value) => this.topic_alias = Some(value),
                Property::MessageExpiryInterval(value) => this.message_expiry_interval_s = Some(value),
                Property::SubscriptionIdentifier(value) => this.subscription_ids.push(value),
                _ => {
                    is_text |= property == Property::PayloadFormatIndicator(1);
                    forward.add(properties.last());
                }
            }
        }
        this.forward = forward.finish();
        Ok((this, is_text))
    }

    /// Bytes of the encoded properties, without their length.
    fn encoded_bytes(&self) -> usize {
        let subscription_ids: usize = self.subscription_ids.iter().map(|&id| 1 + varint_bytes(id)).sum();
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let expiry = if self.message_expiry_interval_s.is_some() { 5 } else { 0 };
        alias + expiry + subscription_ids + self.forward.len()
    }
}

/// A few short fields on the stack. The longest group is packet identifier, property length, topic alias and expiry.
struct Group {
    bytes: [u8; 16],
    len: usize,
}

impl Group {
    const fn new() -> Group {
        Group { bytes: [0; 16], len: 0 }
    }

    fn push(&mut self, field: &[u8]) {
        self.bytes[self.len..self.len + field.len()].copy_from_slice(field);
        self.len += field.len();
    }

    fn push_varint(&mut self, value: u32) {
        let (bytes, len) = to_varint(value);
        self.push(&bytes[..len]);
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
