//! The sum of all packets.

use super::*;

/// A control packet type, the upper four bits of the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the specification's table")]
pub enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

/// A decoded packet. `'a` is the receive buffer.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Packet<'a> {
    Connect(Box<Connect>),
    Connack(Box<Connack>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Subscribe(Subscribe),
    Suback(Suback),
    Unsubscribe(Unsubscribe),
    Unsuback(Unsuback),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl PacketType {
    /// The type with this number, `None` for 0 and for more than 15.
    pub const fn from_u8(value: u8) -> Option<PacketType> {
        use PacketType::*;
        Some(match value {
            1 => Connect,
            2 => Connack,
            3 => Publish,
            4 => Puback,
            5 => Pubrec,
            6 => Pubrel,
            7 => Pubcomp,
            8 => Subscribe,
            9 => Suback,
            10 => Unsubscribe,
            11 => Unsuback,
            12 => Pingreq,
            13 => Pingresp,
            14 => Disconnect,
            15 => Auth,
            _ => return None,
        })
    }

    /// Whether the lower four bits of the first byte are what the specification fixes for this type [MQTT-2.1.3-1]. The
    /// flags of PUBLISH have meanings and are read with it.
    const fn allows_flags(self, flags: u8, version: ProtocolVersion) -> bool {
        use PacketType::*;
        match self {
            Publish => true,
            // In 3.1 these three are sent at QoS 1 and repeated with the DUP flag.
            Pubrel | Subscribe | Unsubscribe => {
                flags == 0x02 || (flags == 0x0A && matches!(version, ProtocolVersion::V31))
            }
            _ => flags == 0,
        }
    }
}

/// Reads a packet of a connection that speaks `version`. CONNECT says its version itself; the argument is ignored then.
///
/// # Errors
/// See [`DecodeError`]; the connection cannot go on.
pub fn decode_packet(frame: Frame<'_>, version: ProtocolVersion) -> Result<Packet<'_>, DecodeError> {
    let Frame { first_byte, body, .. } = frame;
    let packet_type =
        PacketType::from_u8(first_byte >> 4).ok_or(DecodeError::Malformed("packet type is 0"))?;
    if !packet_type.allows_flags(first_byte & 0x0F, version) {
        return Err(DecodeError::Malformed("reserved flags of the fixed header"));
    }
    Ok(match packet_type {
        PacketType::Connect => Packet::Connect(Box::new(Connect::decode(body)?)),
        PacketType::Connack => Packet::Connack(Box::new(Connack::decode(body, version)?)),
        PacketType::Publish => Packet::Publish(Publish::decode(first_byte, body, version)?),
        PacketType::Puback => Packet::Ack(Ack::decode(AckKind::Puback, body, version)?),
        PacketType::Pubrec => Packet::Ack(Ack::decode(AckKind::Pubrec, body, version)?),
        PacketType::Pubrel => Packet::Ack(Ack::decode(AckKind::Pubrel, body, version)?),
        PacketType::Pubcomp => Packet::Ack(Ack::decode(AckKind::Pubcomp, body, version)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(body, version)?),
        PacketType::Suback => Packet::Suback(Suback::decode(body, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(body, version)?),
        PacketType::Unsuback => Packet::Unsuback(Unsuback::decode(body, version)?),
        PacketType::Pingreq => no_body(body, Packet::Pingreq)?,
        PacketType::Pingresp => no_body(body, Packet::Pingresp)?,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(body, version)?),
        PacketType::Auth => Packet::Auth(Auth::decode(body, version)?),
    })
}

/// Reads a packet if it is one of the four that acknowledge, as [`decode_packet`] does and with less ado; `None`: it is another.
///
/// # Errors
/// See [`DecodeError`]; the connection cannot go on.
#[inline]
pub fn decode_ack(frame: Frame<'_>, version: ProtocolVersion) -> Result<Option<Ack>, DecodeError> {
    let kind = match frame.first_byte {
        0x40 => AckKind::Puback,
        0x50 => AckKind::Pubrec,
        0x62 => AckKind::Pubrel,
        0x70 => AckKind::Pubcomp,
        // With other flags it is malformed, or of version 3.1; the long way tells them apart.
        _ => return Ok(None),
    };
    Ack::decode(kind, frame.body, version).map(Some)
}

fn no_body<'a>(body: &[u8], packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    if body.is_empty() { Ok(packet) } else { Err(DecodeError::Malformed("packet is longer than its fields")) }
}

impl Packet<'_> {
    /// Appends the packet. CONNECT is written in its own version.
    ///
    /// # Errors
    /// [`EncodeError`] if the wire format cannot carry it; `out` is then as it was.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Packet::Connect(packet) => packet.encode(version, out),
            Packet::Connack(packet) => packet.encode(version, out),
            Packet::Publish(packet) => packet.encode(version, out),
            Packet::Ack(packet) => packet.encode(version, out),
            Packet::Subscribe(packet) => packet.encode(version, out),
            Packet::Suback(packet) => packet.encode(version, out),
            Packet::Unsubscribe(packet) => packet.encode(version, out),
            Packet::Unsuback(packet) => packet.encode(version, out),
            Packet::Pingreq => {
                out.extend_from_slice(&[0xC0, 0]);
                Ok(())
            }
            Packet::Pingresp => {
                out.extend_from_slice(&[0xD0, 0]);
                Ok(())
            }
            Packet::Disconnect(packet) => packet.encode(version, out),
            Packet::Auth(packet) => packet.encode(version, out),
        }
    }

    /// The packet's type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::Connack(_) => PacketType::Connack,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Ack(Ack { kind: AckKind::Puback, .. }) => PacketType::Puback,
            Packet::Ack(Ack { kind: AckKind::Pubrec, .. }) => PacketType::Pubrec,
            Packet::Ack(Ack { kind: AckKind::Pubrel, .. }) => PacketType::Pubrel,
            Packet::Ack(Ack { kind: AckKind::Pubcomp, .. }) => PacketType::Pubcomp,
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::Suback(_) => PacketType::Suback,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::Unsuback(_) => PacketType::Unsuback,
            Packet::Pingreq => PacketType::Pingreq,
            Packet::Pingresp => PacketType::Pingresp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }
}
