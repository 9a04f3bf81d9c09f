//! MQTT 5.0 properties (section 2.2.2): which exist, where each is allowed, and the values each may have. What a packet
//! makes of its properties is in the packet's file.

use super::reader::Reader;
use super::writer::{Detail, Sink};
use super::{DecodeError, QoS};
use crate::limits::USER_PROPERTIES_MAX;
use std::num::NonZeroU16;
use std::ops::Range;

/// User properties in the order they were sent. [MQTT-3.1.3-10]
pub type UserProperties = Vec<(Box<str>, Box<str>)>;

/// Where properties stand. The discriminants are bits of [`places`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Place {
    Connect = 1,
    Will = 1 << 1,
    Connack = 1 << 2,
    Publish = 1 << 3,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Ack = 1 << 4,
    Subscribe = 1 << 5,
    Suback = 1 << 6,
    Unsubscribe = 1 << 7,
    Unsuback = 1 << 8,
    Disconnect = 1 << 9,
    Auth = 1 << 10,
}

/// One property, its value valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property<'a> {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQos(QoS),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

pub(super) mod id {
    //! Property identifiers (table 2-4).
    pub(in crate::codec) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(in crate::codec) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(in crate::codec) const CONTENT_TYPE: u8 = 0x03;
    pub(in crate::codec) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in crate::codec) const CORRELATION_DATA: u8 = 0x09;
    pub(in crate::codec) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(in crate::codec) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(in crate::codec) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(in crate::codec) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(in crate::codec) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(in crate::codec) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(in crate::codec) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(in crate::codec) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(in crate::codec) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(in crate::codec) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(in crate::codec) const SERVER_REFERENCE: u8 = 0x1C;
    pub(in crate::codec) const REASON_STRING: u8 = 0x1F;
    pub(in crate::codec) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in crate::codec) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(in crate::codec) const TOPIC_ALIAS: u8 = 0x23;
    pub(in crate::codec) const MAXIMUM_QOS: u8 = 0x24;
    pub(in crate::codec) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(in crate::codec) const USER_PROPERTY: u8 = 0x26;
    pub(in crate::codec) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(in crate::codec) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(in crate::codec) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(in crate::codec) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// The places where a property is allowed, as bits of [`Place`] (table 2-4); 0 for identifiers that do not exist.
const fn places(id: u8) -> u16 {
    const CONNECT: u16 = Place::Connect as u16;
    const WILL: u16 = Place::Will as u16;
    const CONNACK: u16 = Place::Connack as u16;
    const PUBLISH: u16 = Place::Publish as u16;
    const SUBSCRIBE: u16 = Place::Subscribe as u16;
    const DISCONNECT: u16 = Place::Disconnect as u16;
    const AUTH: u16 = Place::Auth as u16;
    const ANSWERS: u16 = Place::Ack as u16 | Place::Suback as u16 | Place::Unsuback as u16;
    match id {
        id::PAYLOAD_FORMAT_INDICATOR
        | id::MESSAGE_EXPIRY_INTERVAL
        | id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::CORRELATION_DATA => PUBLISH | WILL,
        id::SUBSCRIPTION_IDENTIFIER => PUBLISH | SUBSCRIBE,
        id::SESSION_EXPIRY_INTERVAL => CONNECT | CONNACK | DISCONNECT,
        id::AUTHENTICATION_METHOD | id::AUTHENTICATION_DATA => CONNECT | CONNACK | AUTH,
        id::REQUEST_PROBLEM_INFORMATION | id::REQUEST_RESPONSE_INFORMATION => CONNECT,
        id::WILL_DELAY_INTERVAL => WILL,
        id::SERVER_REFERENCE => CONNACK | DISCONNECT,
        id::REASON_STRING => CONNACK | ANSWERS | DISCONNECT | AUTH,
        id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::MAXIMUM_PACKET_SIZE => CONNECT | CONNACK,
        id::TOPIC_ALIAS => PUBLISH,
        id::ASSIGNED_CLIENT_IDENTIFIER
        | id::SERVER_KEEP_ALIVE
        | id::RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTION_AVAILABLE
        | id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE
        | id::SHARED_SUBSCRIPTION_AVAILABLE => CONNACK,
        id::USER_PROPERTY => u16::MAX,
        _ => 0,
    }
}

/// Whether a property may stand more than once.
const fn is_repeatable(id: u8, place: Place) -> bool {
    match id {
        id::USER_PROPERTY => true,
        id::SUBSCRIPTION_IDENTIFIER => matches!(place, Place::Publish),
        _ => false,
    }
}

/// Reads a Property Length and then the properties, one by one.
#[derive(Debug)]
pub(super) struct PropertyReader<'a> {
    block: &'a [u8],
    reader: Reader<'a>,
    place: Place,
    /// One bit for each identifier read; all are below 64.
    seen: u64,
    user_properties: usize,
    last: Range<usize>,
}

impl<'a> PropertyReader<'a> {
    /// Takes the properties off the front of `reader`.
    pub(super) fn new(reader: &mut Reader<'a>, place: Place) -> Result<PropertyReader<'a>, DecodeError> {
        let bytes = reader.varint()?;
        let block = reader.take(bytes as usize)?;
        Ok(PropertyReader {
            block,
            reader: Reader::new(block),
            place,
            seen: 0,
            user_properties: 0,
            last: 0..0,
        })
    }

    /// The next property, `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let start = self.block.len() - self.reader.remaining();
        // Identifiers are Variable Byte Integers, but none of more than one byte exists.
        let id = self.reader.u8()?;
        if places(id) & self.place as u16 == 0 {
            return Err(DecodeError::Malformed("property does not belong in this packet"));
        }
        if id == id::USER_PROPERTY {
            self.user_properties += 1;
            if self.user_properties > USER_PROPERTIES_MAX {
                return Err(DecodeError::Protocol("too many user properties"));
            }
        }
        let bit = 1 << (id & 63);
        if self.seen & bit != 0 && !is_repeatable(id, self.place) {
            return Err(DecodeError::Protocol("property appears more than once"));
        }
        self.seen |= bit;
        let property = Property::decode(id, &mut self.reader)?;
        self.last = start..self.block.len() - self.reader.remaining();
        Ok(Some(property))
    }

    /// The encoded properties, without their length.
    pub(super) const fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Where in the block the property last read stands, identifier included.
    pub(super) fn last(&self) -> Range<usize> {
        self.last.clone()
    }
}

impl<'a> Property<'a> {
    /// Reads the value of the property with this identifier.
    pub(super) fn decode(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
        Ok(match id {
            id::PAYLOAD_FORMAT_INDICATOR => Property::PayloadFormatIndicator(u8::from(read_flag(reader)?)),
            id::MESSAGE_EXPIRY_INTERVAL => Property::MessageExpiryInterval(reader.u32()?),
            id::CONTENT_TYPE => Property::ContentType(reader.string()?),
            id::RESPONSE_TOPIC => Property::ResponseTopic(read_response_topic(reader)?),
            id::CORRELATION_DATA => Property::CorrelationData(reader.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => {
                Property::SubscriptionIdentifier(not_zero(reader.varint()?, "subscription identifier is 0")?)
            }
            id::SESSION_EXPIRY_INTERVAL => Property::SessionExpiryInterval(reader.u32()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => Property::AssignedClientIdentifier(reader.string()?),
            id::SERVER_KEEP_ALIVE => Property::ServerKeepAlive(reader.u16()?),
            id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(reader.string()?),
            id::AUTHENTICATION_DATA => Property::AuthenticationData(reader.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(read_flag(reader)?),
            id::WILL_DELAY_INTERVAL => Property::WillDelayInterval(reader.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(read_flag(reader)?),
            id::RESPONSE_INFORMATION => Property::ResponseInformation(reader.string()?),
            id::SERVER_REFERENCE => Property::ServerReference(reader.string()?),
            id::REASON_STRING => Property::ReasonString(reader.string()?),
            id::RECEIVE_MAXIMUM => Property::ReceiveMaximum(not_zero(reader.u16()?, "receive maximum is 0")?),
            id::TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(reader.u16()?),
            id::TOPIC_ALIAS => {
                Property::TopicAlias(NonZeroU16::new(reader.u16()?).ok_or(DecodeError::TopicAliasInvalid)?)
            }
            id::MAXIMUM_QOS => {
                Property::MaximumQos(if read_flag(reader)? { QoS::AtLeastOnce } else { QoS::AtMostOnce })
            }
            id::RETAIN_AVAILABLE => Property::RetainAvailable(read_flag(reader)?),
            id::USER_PROPERTY => Property::User(reader.string()?, reader.string()?),
            id::MAXIMUM_PACKET_SIZE => {
                Property::MaximumPacketSize(not_zero(reader.u32()?, "maximum packet size is 0")?)
            }
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                Property::WildcardSubscriptionAvailable(read_flag(reader)?)
            }
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                Property::SubscriptionIdentifiersAvailable(read_flag(reader)?)
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => Property::SharedSubscriptionAvailable(read_flag(reader)?),
            _ => return Err(DecodeError::Malformed("unknown property")),
        })
    }

    /// Puts identifier and value.
    pub(super) fn put(self, sink: &mut dyn Sink) {
        match self {
            Property::PayloadFormatIndicator(value) => sink.put(&[id::PAYLOAD_FORMAT_INDICATOR, value]),
            Property::MessageExpiryInterval(value) => put_u32(sink, id::MESSAGE_EXPIRY_INTERVAL, value),
            Property::ContentType(value) => put_string(sink, id::CONTENT_TYPE, value),
            Property::ResponseTopic(value) => put_string(sink, id::RESPONSE_TOPIC, value),
            Property::CorrelationData(value) => put_binary(sink, id::CORRELATION_DATA, value),
            Property::SubscriptionIdentifier(value) => {
                sink.put(&[id::SUBSCRIPTION_IDENTIFIER]);
                sink.put_varint(value);
            }
            Property::SessionExpiryInterval(value) => put_u32(sink, id::SESSION_EXPIRY_INTERVAL, value),
            Property::AssignedClientIdentifier(value) => {
                put_string(sink, id::ASSIGNED_CLIENT_IDENTIFIER, value)
            }
            Property::ServerKeepAlive(value) => put_u16(sink, id::SERVER_KEEP_ALIVE, value),
            Property::AuthenticationMethod(value) => put_string(sink, id::AUTHENTICATION_METHOD, value),
            Property::AuthenticationData(value) => put_binary(sink, id::AUTHENTICATION_DATA, value),
            Property::RequestProblemInformation(value) => {
                put_flag(sink, id::REQUEST_PROBLEM_INFORMATION, value)
            }
            Property::WillDelayInterval(value) => put_u32(sink, id::WILL_DELAY_INTERVAL, value),
            Property::RequestResponseInformation(value) => {
                put_flag(sink, id::REQUEST_RESPONSE_INFORMATION, value)
            }
            Property::ResponseInformation(value) => put_string(sink, id::RESPONSE_INFORMATION, value),
            Property::ServerReference(value) => put_string(sink, id::SERVER_REFERENCE, value),
            Property::ReasonString(value) => put_string(sink, id::REASON_STRING, value),
            Property::ReceiveMaximum(value) => put_u16(sink, id::RECEIVE_MAXIMUM, value),
            Property::TopicAliasMaximum(value) => put_u16(sink, id::TOPIC_ALIAS_MAXIMUM, value),
            Property::TopicAlias(value) => put_u16(sink, id::TOPIC_ALIAS, value.get()),
            Property::MaximumQos(value) => sink.put(&[id::MAXIMUM_QOS, value as u8]),
            Property::RetainAvailable(value) => put_flag(sink, id::RETAIN_AVAILABLE, value),
            Property::User(name, value) => {
                put_string(sink, id::USER_PROPERTY, name);
                sink.put_field(value.as_bytes());
            }
            Property::MaximumPacketSize(value) => put_u32(sink, id::MAXIMUM_PACKET_SIZE, value),
            Property::WildcardSubscriptionAvailable(value) => {
                put_flag(sink, id::WILDCARD_SUBSCRIPTION_AVAILABLE, value);
            }
            Property::SubscriptionIdentifiersAvailable(value) => {
                put_flag(sink, id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE, value);
            }
            Property::SharedSubscriptionAvailable(value) => {
                put_flag(sink, id::SHARED_SUBSCRIPTION_AVAILABLE, value)
            }
        }
    }
}

/// Reads the properties of the packets that have only a reason string and user properties.
pub(super) fn read_answer_properties(
    reader: &mut Reader<'_>,
    place: Place,
) -> Result<(Option<Box<str>>, UserProperties), DecodeError> {
    let mut reason_string = None;
    let mut user_properties = Vec::new();
    let mut properties = PropertyReader::new(reader, place)?;
    while let Some(property) = properties.read()? {
        match property {
            Property::ReasonString(value) => reason_string = Some(value.into()),
            Property::User(name, value) => user_properties.push((name.into(), value.into())),
            _ => return Err(misplaced()),
        }
    }
    Ok((reason_string, user_properties))
}

/// Puts the reason string and the user properties as far as `detail` goes.
pub(super) fn put_answer_properties(
    sink: &mut dyn Sink,
    detail: Detail,
    reason_string: Option<&str>,
    user_properties: &UserProperties,
) {
    if detail.has_reason_string()
        && let Some(reason_string) = reason_string
    {
        Property::ReasonString(reason_string).put(sink);
    }
    if detail.has_user_properties() {
        put_user_properties(sink, user_properties);
    }
}

/// Puts user properties in their order.
pub(super) fn put_user_properties(sink: &mut dyn Sink, user_properties: &UserProperties) {
    for (name, value) in user_properties {
        Property::User(name, value).put(sink);
    }
}

/// The arm of a `match` that [`PropertyReader`] makes unreachable by refusing what is not allowed in the place.
pub(super) const fn misplaced() -> DecodeError {
    DecodeError::Malformed("property does not belong in this packet")
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Protocol("property is neither 0 nor 1")),
    }
}

fn not_zero<T: Default + PartialEq>(value: T, what: &'static str) -> Result<T, DecodeError> {
    if value == T::default() {
        return Err(DecodeError::Protocol(what));
    }
    Ok(value)
}

/// A Response Topic is a topic name: not empty, no wildcards. [MQTT-3.3.2-14] [MQTT-4.7.3-1]
fn read_response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let topic = reader.string()?;
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(DecodeError::Protocol("response topic is not a topic name"));
    }
    Ok(topic)
}

fn put_flag(sink: &mut dyn Sink, id: u8, value: bool) {
    sink.put(&[id, u8::from(value)]);
}

fn put_u16(sink: &mut dyn Sink, id: u8, value: u16) {
    let [a, b] = value.to_be_bytes();
    sink.put(&[id, a, b]);
}

fn put_u32(sink: &mut dyn Sink, id: u8, value: u32) {
    let [a, b, c, d] = value.to_be_bytes();
    sink.put(&[id, a, b, c, d]);
}

fn put_string(sink: &mut dyn Sink, id: u8, value: &str) {
    put_binary(sink, id, value.as_bytes());
}

fn put_binary(sink: &mut dyn Sink, id: u8, value: &[u8]) {
    sink.put(&[id]);
    sink.put_field(value);
}
