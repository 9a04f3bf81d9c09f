//! The packets a client receives, and the application message it sends and receives.

use super::property::{self, Property};
use super::wire::{self, Reader};
use super::{AckKind, ProtocolVersion, ReasonCode};

/// An application message in a PUBLISH packet, to be sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: Option<u16>,
    pub properties: Vec<Property>,
}

/// A QoS 0 message, not retained.
pub fn message(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Message {
    Message {
        topic: topic.into(),
        payload: payload.into(),
        qos: 0,
        retain: false,
        dup: false,
        packet_id: None,
        properties: Vec::new(),
    }
}

impl Message {
    /// With this quality of service.
    pub fn qos(mut self, qos: u8) -> Message {
        self.qos = qos;
        self
    }

    /// With the RETAIN flag.
    pub fn retained(mut self) -> Message {
        self.retain = true;
        self
    }

    /// With the DUP flag.
    pub fn dup(mut self) -> Message {
        self.dup = true;
        self
    }

    /// With a packet identifier chosen by the test.
    pub fn id(mut self, packet_id: u16) -> Message {
        self.packet_id = Some(packet_id);
        self
    }

    /// With one more property.
    pub fn with(mut self, property: Property) -> Message {
        self.properties.push(property);
        self
    }

    /// The payload as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("a payload that is text")
    }

    /// The packet identifier of a message above QoS 0.
    pub fn packet_id(&self) -> u16 {
        self.packet_id.expect("a packet identifier")
    }

    /// The subscription identifiers, sorted.
    pub fn subscription_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self
            .properties
            .iter()
            .filter_map(|property| if let Property::SubscriptionId(id) = property { Some(*id) } else { None })
            .collect();
        ids.sort_unstable();
        ids
    }

    /// The message expiry interval.
    pub fn expiry_s(&self) -> Option<u32> {
        self.properties
            .iter()
            .find_map(|property| if let Property::MessageExpiry(s) = property { Some(*s) } else { None })
    }

    /// The topic alias.
    pub fn alias(&self) -> Option<u16> {
        self.properties
            .iter()
            .find_map(|property| if let Property::TopicAlias(alias) = property { Some(*alias) } else { None })
    }

    /// The whole PUBLISH packet.
    pub fn encode(&self, version: ProtocolVersion) -> Vec<u8> {
        let mut body = Vec::new();
        wire::string(&mut body, &self.topic);
        if let Some(packet_id) = self.packet_id {
            wire::u16(&mut body, packet_id);
        }
        if version == ProtocolVersion::V5 {
            property::write_all(&mut body, &self.properties);
        }
        body.extend_from_slice(&self.payload);
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        wire::frame(0x30 | flags, &body)
    }

    fn decode(flags: u8, reader: &mut Reader<'_>, version: ProtocolVersion) -> Message {
        let qos = flags >> 1 & 3;
        assert_ne!(qos, 3, "the broker sent QoS 3");
        let dup = flags & 8 != 0;
        assert!(!(dup && qos == 0), "the broker sent DUP at QoS 0 [MQTT-3.3.1-2]");
        let topic = reader.string();
        assert!(!topic.contains(['#', '+', '\0']), "the broker sent the topic name {topic} [MQTT-3.3.2-2]");
        let packet_id = (qos > 0).then(|| reader.u16());
        assert_ne!(packet_id, Some(0), "the broker sent packet identifier 0");
        let properties = match version {
            ProtocolVersion::V5 => {
                property::read_all(reader, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26])
            }
            _ => Vec::new(),
        };
        let payload = reader.remainder().to_vec();
        Message { topic, payload, qos, retain: flags & 1 != 0, dup, packet_id, properties }
    }
}

/// A CONNACK packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    pub session_present: bool,
    /// Reason code of 5.0, return code of 3.x.
    pub code: u8,
    pub properties: Vec<Property>,
}

/// A packet from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connack(Connack),
    Publish(Message),
    Ack { kind: AckKind, packet_id: u16, reason: ReasonCode, properties: Vec<Property> },
    Suback { packet_id: u16, codes: Vec<u8>, properties: Vec<Property> },
    Unsuback { packet_id: u16, codes: Vec<u8>, properties: Vec<Property> },
    Pingresp,
    Disconnect { reason: ReasonCode, properties: Vec<Property> },
    Auth { reason: ReasonCode, properties: Vec<Property> },
}

/// Properties CONNACK may carry.
const CONNACK: [u8; 17] =
    [0x11, 0x21, 0x24, 0x25, 0x27, 0x12, 0x22, 0x1F, 0x26, 0x28, 0x29, 0x2A, 0x13, 0x1A, 0x1C, 0x15, 0x16];

impl Packet {
    /// Reads a packet and panics at everything a broker must not send.
    pub fn decode(first_byte: u8, body: &[u8], version: ProtocolVersion) -> Packet {
        let (kind, flags) = (first_byte >> 4, first_byte & 0x0F);
        let wanted = if kind == 6 { 2 } else { 0 };
        assert!(kind == 3 || flags == wanted, "the broker sent reserved flags: {first_byte:#04x}");
        let v5 = version == ProtocolVersion::V5;
        let mut reader = Reader::new(body);
        let packet = match kind {
            2 => Packet::connack(&mut reader, v5),
            3 => Packet::Publish(Message::decode(flags, &mut reader, version)),
            4 => Packet::ack(AckKind::Puback, &mut reader, v5),
            5 => Packet::ack(AckKind::Pubrec, &mut reader, v5),
            6 => Packet::ack(AckKind::Pubrel, &mut reader, v5),
            7 => Packet::ack(AckKind::Pubcomp, &mut reader, v5),
            9 | 11 => Packet::suback(kind, &mut reader, version),
            13 => Packet::Pingresp,
            14 if v5 => {
                let (reason, properties) = reason_and_properties(&mut reader, &[0x1F, 0x26, 0x1C]);
                Packet::Disconnect { reason, properties }
            }
            15 if v5 => {
                let (reason, properties) = reason_and_properties(&mut reader, &[0x15, 0x16, 0x1F, 0x26]);
                Packet::Auth { reason, properties }
            }
            _ => panic!("the broker sent a packet of type {kind} to a {version:?} client"),
        };
        assert!(reader.is_empty(), "the broker sent a packet with bytes left over: {packet:?}");
        packet
    }

    fn connack(reader: &mut Reader<'_>, v5: bool) -> Packet {
        let flags = reader.u8();
        assert!(flags <= 1, "the broker sent reserved CONNACK flags: {flags:#04x}");
        let code = reader.u8();
        assert!(flags == 0 || code == 0, "session present in a refusal [MQTT-3.2.2-6]");
        let properties =
            if v5 && !reader.is_empty() { property::read_all(reader, &CONNACK) } else { Vec::new() };
        Packet::Connack(Connack { session_present: flags == 1, code, properties })
    }

    fn ack(kind: AckKind, reader: &mut Reader<'_>, v5: bool) -> Packet {
        let packet_id = reader.u16();
        let (reason, properties) = match v5 {
            true => reason_and_properties(reader, &[0x1F, 0x26]),
            false => (ReasonCode::Success, Vec::new()),
        };
        Packet::Ack { kind, packet_id, reason, properties }
    }

    fn suback(kind: u8, reader: &mut Reader<'_>, version: ProtocolVersion) -> Packet {
        let packet_id = reader.u16();
        let v5 = version == ProtocolVersion::V5;
        let properties = if v5 { property::read_all(reader, &[0x1F, 0x26]) } else { Vec::new() };
        let codes = reader.remainder().to_vec();
        if kind == 11 {
            assert!(v5 || codes.is_empty(), "UNSUBACK of 3.x has no payload");
            return Packet::Unsuback { packet_id, codes, properties };
        }
        if !v5 {
            assert!(codes.iter().all(|code| [0, 1, 2, 0x80].contains(code)), "reserved code [MQTT-3.9.3-2]");
        }
        Packet::Suback { packet_id, codes, properties }
    }
}

fn reason_and_properties(reader: &mut Reader<'_>, allowed: &[u8]) -> (ReasonCode, Vec<Property>) {
    if reader.is_empty() {
        return (ReasonCode::Success, Vec::new());
    }
    let code = reader.u8();
    let reason =
        ReasonCode::from_u8(code).unwrap_or_else(|| panic!("the broker sent reason code {code:#04x}"));
    let properties = if reader.is_empty() { Vec::new() } else { property::read_all(reader, allowed) };
    (reason, properties)
}
