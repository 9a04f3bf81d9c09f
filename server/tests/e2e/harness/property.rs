//! MQTT 5.0 properties as tests write and compare them.

use super::wire::{self, Reader};

/// One property of any packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    PayloadFormat(u8),
    MessageExpiry(u32),
    ContentType(String),
    ResponseTopic(String),
    CorrelationData(Vec<u8>),
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(String),
    ServerKeepAlive(u16),
    AuthMethod(String),
    AuthData(Vec<u8>),
    RequestProblemInformation(u8),
    WillDelay(u32),
    RequestResponseInformation(u8),
    ResponseInformation(String),
    ServerReference(String),
    ReasonString(String),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(u8),
    RetainAvailable(u8),
    User(String, String),
    MaximumPacketSize(u32),
    WildcardAvailable(u8),
    SubscriptionIdsAvailable(u8),
    SharedAvailable(u8),
}

use Property::*;

impl Property {
    /// A user property.
    pub fn user(name: &str, value: &str) -> Property {
        User(name.to_owned(), value.to_owned())
    }

    /// Its identifier.
    pub fn id(&self) -> u8 {
        match self {
            PayloadFormat(_) => 0x01,
            MessageExpiry(_) => 0x02,
            ContentType(_) => 0x03,
            ResponseTopic(_) => 0x08,
            CorrelationData(_) => 0x09,
            SubscriptionId(_) => 0x0B,
            SessionExpiry(_) => 0x11,
            AssignedClientId(_) => 0x12,
            ServerKeepAlive(_) => 0x13,
            AuthMethod(_) => 0x15,
            AuthData(_) => 0x16,
            RequestProblemInformation(_) => 0x17,
            WillDelay(_) => 0x18,
            RequestResponseInformation(_) => 0x19,
            ResponseInformation(_) => 0x1A,
            ServerReference(_) => 0x1C,
            ReasonString(_) => 0x1F,
            ReceiveMaximum(_) => 0x21,
            TopicAliasMaximum(_) => 0x22,
            TopicAlias(_) => 0x23,
            MaximumQos(_) => 0x24,
            RetainAvailable(_) => 0x25,
            User(..) => 0x26,
            MaximumPacketSize(_) => 0x27,
            WildcardAvailable(_) => 0x28,
            SubscriptionIdsAvailable(_) => 0x29,
            SharedAvailable(_) => 0x2A,
        }
    }

    /// Appends identifier and value.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.id());
        match self {
            PayloadFormat(v)
            | RequestProblemInformation(v)
            | RequestResponseInformation(v)
            | MaximumQos(v)
            | RetainAvailable(v)
            | WildcardAvailable(v)
            | SubscriptionIdsAvailable(v)
            | SharedAvailable(v) => out.push(*v),
            ServerKeepAlive(v) | ReceiveMaximum(v) | TopicAliasMaximum(v) | TopicAlias(v) => {
                wire::u16(out, *v)
            }
            MessageExpiry(v) | SessionExpiry(v) | WillDelay(v) | MaximumPacketSize(v) => {
                out.extend_from_slice(&v.to_be_bytes());
            }
            SubscriptionId(v) => wire::varint(out, *v as usize),
            ContentType(v)
            | ResponseTopic(v)
            | AssignedClientId(v)
            | AuthMethod(v)
            | ResponseInformation(v)
            | ServerReference(v)
            | ReasonString(v) => wire::string(out, v),
            CorrelationData(v) | AuthData(v) => wire::binary(out, v),
            User(name, value) => {
                wire::string(out, name);
                wire::string(out, value);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Property {
        match reader.varint() {
            0x01 => PayloadFormat(reader.u8()),
            0x02 => MessageExpiry(reader.u32()),
            0x03 => ContentType(reader.string()),
            0x08 => ResponseTopic(reader.string()),
            0x09 => CorrelationData(reader.binary().to_vec()),
            0x0B => SubscriptionId(reader.varint()),
            0x11 => SessionExpiry(reader.u32()),
            0x12 => AssignedClientId(reader.string()),
            0x13 => ServerKeepAlive(reader.u16()),
            0x15 => AuthMethod(reader.string()),
            0x16 => AuthData(reader.binary().to_vec()),
            0x17 => RequestProblemInformation(reader.u8()),
            0x18 => WillDelay(reader.u32()),
            0x19 => RequestResponseInformation(reader.u8()),
            0x1A => ResponseInformation(reader.string()),
            0x1C => ServerReference(reader.string()),
            0x1F => ReasonString(reader.string()),
            0x21 => ReceiveMaximum(reader.u16()),
            0x22 => TopicAliasMaximum(reader.u16()),
            0x23 => TopicAlias(reader.u16()),
            0x24 => MaximumQos(reader.u8()),
            0x25 => RetainAvailable(reader.u8()),
            0x26 => User(reader.string(), reader.string()),
            0x27 => MaximumPacketSize(reader.u32()),
            0x28 => WildcardAvailable(reader.u8()),
            0x29 => SubscriptionIdsAvailable(reader.u8()),
            0x2A => SharedAvailable(reader.u8()),
            id => panic!("the broker sent the unknown property {id:#04x}"),
        }
    }
}

/// Appends a property section: its length and the properties.
pub fn write_all(out: &mut Vec<u8>, properties: &[Property]) {
    let mut section = Vec::new();
    properties.iter().for_each(|property| property.write(&mut section));
    wire::varint(out, section.len());
    out.extend_from_slice(&section);
}

/// Reads a property section. `allowed` are the identifiers this packet may carry, once each except user properties and
/// subscription identifiers.
pub fn read_all(reader: &mut Reader<'_>, allowed: &[u8]) -> Vec<Property> {
    let bytes = reader.varint();
    let mut section = Reader::new(reader.bytes(bytes as usize));
    let mut properties: Vec<Property> = Vec::new();
    while !section.is_empty() {
        let property = Property::read(&mut section);
        let id = property.id();
        assert!(allowed.contains(&id), "the broker sent a property that does not belong there: {property:?}");
        let repeatable = matches!(property, User(..) | SubscriptionId(_));
        assert!(
            repeatable || properties.iter().all(|other| other.id() != id),
            "the broker sent a property twice: {property:?}"
        );
        properties.push(property);
    }
    properties
}
