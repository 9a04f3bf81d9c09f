//! The packets a client of this test writes and reads, in MQTT 3.1.1 and 5.0. It is written apart from the
//! broker's codec, so that one cannot excuse the other, and knows nothing of sessions or sockets.

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

/// What a CONNECT says; every client here stays without a keep alive.
pub struct Hello<'a> {
    /// The client id.
    pub client_id: &'a str,
    /// Whether the session ends with the connection.
    pub is_clean: bool,
    /// MQTT 5.0 only: how many messages the broker may have in flight; 0 leaves it to the default.
    pub receive_max: u16,
}

/// A PUBLISH of either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The topic name.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The DUP flag.
    pub is_dup: bool,
    /// The RETAIN flag.
    pub is_retained: bool,
    /// The packet id; 0 at QoS 0.
    pub packet_id: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

/// The packets that answer a PUBLISH or one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the packets are called so")]
pub enum AckKind {
    /// Ends QoS 1.
    PubAck,
    /// The receiver has the message.
    PubRec,
    /// The sender lets the packet id go.
    PubRel,
    /// Ends QoS 2.
    PubComp,
}

/// What a broker sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT.
    ConnAck {
        /// Whether the broker kept the session.
        is_session_present: bool,
        /// 0 where the connection is accepted.
        reason: u8,
    },
    /// A message.
    Publish(Publish),
    /// One of the four acknowledgements.
    Ack {
        /// Which.
        kind: AckKind,
        /// Of which packet.
        packet_id: u16,
        /// 0 in MQTT 3.1.1.
        reason: u8,
    },
    /// The answer to SUBSCRIBE.
    SubAck {
        /// One a filter.
        reasons: Vec<u8>,
    },
    /// MQTT 5.0: the broker says why it closes.
    Disconnect {
        /// Why.
        reason: u8,
    },
}

/// Bytes that are no packet a broker may send to these clients.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// DISCONNECT with reason 0, the same in both versions.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];
/// How long a session outlives its connection in MQTT 5.0: longer than any run.
const SESSION_EXPIRY_S: u32 = 86_400;
/// The properties of CONNECT and CONNACK that are used here.
const SESSION_EXPIRY: u8 = 0x11;
const RECEIVE_MAXIMUM: u8 = 0x21;

impl Version {
    /// Appends a CONNECT.
    pub fn write_connect(self, hello: &Hello<'_>, out: &mut Vec<u8>) {
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T'];
        body.push(if self == Self::V5 { 5 } else { 4 });
        body.push(if hello.is_clean { 2 } else { 0 });
        body.extend([0, 0]);
        if self == Self::V5 {
            let mut properties = Vec::new();
            if !hello.is_clean {
                properties.push(SESSION_EXPIRY);
                properties.extend(SESSION_EXPIRY_S.to_be_bytes());
            }
            if hello.receive_max > 0 {
                properties.push(RECEIVE_MAXIMUM);
                properties.extend(hello.receive_max.to_be_bytes());
            }
            write_length(properties.len(), &mut body);
            body.extend(properties);
        }
        write_text(hello.client_id, &mut body);
        write_frame(0x10, &body, out);
    }

    /// Appends a SUBSCRIBE of one filter.
    pub fn write_subscribe(self, packet_id: u16, filter: &str, qos: u8, out: &mut Vec<u8>) {
        let mut body = packet_id.to_be_bytes().to_vec();
        self.write_no_properties(&mut body);
        write_text(filter, &mut body);
        body.push(qos);
        write_frame(0x82, &body, out);
    }

    /// Appends a PUBLISH.
    pub fn write_publish(self, publish: &Publish, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(publish.payload.len() + publish.topic.len() + 8);
        write_text(&publish.topic, &mut body);
        if publish.qos > 0 {
            body.extend(publish.packet_id.to_be_bytes());
        }
        self.write_no_properties(&mut body);
        body.extend(&publish.payload);
        let flags = u8::from(publish.is_dup) << 3 | publish.qos << 1 | u8::from(publish.is_retained);
        write_frame(0x30 | flags, &body, out);
    }

    /// Appends one of the four acknowledgements, with reason 0.
    pub fn write_ack(self, kind: AckKind, packet_id: u16, out: &mut Vec<u8>) {
        let first = match kind {
            AckKind::PubAck => 0x40,
            AckKind::PubRec => 0x50,
            AckKind::PubRel => 0x62,
            AckKind::PubComp => 0x70,
        };
        write_frame(first, &packet_id.to_be_bytes(), out);
    }

    fn write_no_properties(self, body: &mut Vec<u8>) {
        if self == Self::V5 {
            body.push(0);
        }
    }

    /// Reads the first packet of `input`: the packet and its length, or `None` where more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no packet that a broker may send here.
    pub fn read(self, input: &[u8]) -> Result<Option<(Packet, usize)>, Malformed> {
        let Some((&first, behind)) = input.split_first() else { return Ok(None) };
        let Some((length, taken)) = read_length(behind)? else { return Ok(None) };
        let Some(body) = behind.get(taken..taken + length) else { return Ok(None) };
        let packet = self.read_body(first, body).ok_or(Malformed)?;
        Ok(Some((packet, 1 + taken + length)))
    }

    fn read_body(self, first: u8, mut body: &[u8]) -> Option<Packet> {
        let body = &mut body;
        let packet = match first {
            0x20 => Packet::ConnAck { is_session_present: take_u8(body)? == 1, reason: take_u8(body)? },
            0x30..=0x3F => Packet::Publish(self.read_publish(first, body)?),
            0x40 => read_ack(AckKind::PubAck, body)?,
            0x50 => read_ack(AckKind::PubRec, body)?,
            0x62 => read_ack(AckKind::PubRel, body)?,
            0x70 => read_ack(AckKind::PubComp, body)?,
            0x90 => {
                take_u16(body)?;
                self.skip_properties(body)?;
                Packet::SubAck { reasons: body.to_vec() }
            }
            0xE0 if self == Self::V5 => Packet::Disconnect { reason: take_u8(body).unwrap_or(0) },
            _ => return None,
        };
        Some(packet)
    }

    fn read_publish(self, first: u8, body: &mut &[u8]) -> Option<Publish> {
        let qos = first >> 1 & 3;
        let length = usize::from(take_u16(body)?);
        let topic = String::from_utf8(take(body, length)?.to_vec()).ok()?;
        let packet_id = if qos > 0 { take_u16(body)? } else { 0 };
        self.skip_properties(body)?;
        let is_valid = qos < 3 && (qos == 0) == (packet_id == 0);
        let (is_dup, is_retained) = (first & 8 != 0, first & 1 != 0);
        is_valid.then(|| Publish { topic, qos, is_dup, is_retained, packet_id, payload: body.to_vec() })
    }

    fn skip_properties(self, body: &mut &[u8]) -> Option<()> {
        if self == Self::V5 {
            let (length, taken) = read_length(body).ok()??;
            take(body, taken + length)?;
        }
        Some(())
    }
}

fn read_ack(kind: AckKind, body: &mut &[u8]) -> Option<Packet> {
    Some(Packet::Ack { kind, packet_id: take_u16(body)?, reason: take_u8(body).unwrap_or(0) })
}

fn write_frame(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    write_length(body.len(), out);
    out.extend(body);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Topics, filters and client ids of this test have a few dozen bytes.
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn write_length(mut length: usize, out: &mut Vec<u8>) {
    loop {
        let low = (length & 0x7F) as u8;
        length >>= 7;
        if length == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// A variable byte integer and how many bytes it took.
fn read_length(input: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (place, byte) in input.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((length, place + 1)));
        }
    }
    if input.len() < 4 { Ok(None) } else { Err(Malformed) }
}

fn take<'a>(body: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = body.split_at_checked(count)?;
    *body = rest;
    Some(taken)
}

fn take_u8(body: &mut &[u8]) -> Option<u8> {
    take(body, 1).map(|bytes| bytes[0])
}

fn take_u16(body: &mut &[u8]) -> Option<u16> {
    take(body, 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_is_read_as_it_was_written() {
        for version in [Version::V311, Version::V5] {
            for (qos, packet_id) in [(0, 0), (1, 7), (2, 65_535)] {
                let publish = Publish {
                    topic: "a/b".to_owned(),
                    qos,
                    is_dup: qos == 2,
                    is_retained: qos == 1,
                    packet_id,
                    payload: vec![9; 300],
                };
                let mut bytes = Vec::new();
                version.write_publish(&publish, &mut bytes);
                let length = bytes.len();
                assert_eq!(version.read(&bytes[..length - 1]), Ok(None));
                bytes.push(0x30);
                assert_eq!(version.read(&bytes), Ok(Some((Packet::Publish(publish), length))));
            }
        }
    }

    #[test]
    fn acknowledgements_are_read_in_their_short_and_long_forms() {
        let ack = |kind, packet_id, reason| Ok(Some((Packet::Ack { kind, packet_id, reason }, 4)));
        assert_eq!(Version::V311.read(&[0x40, 2, 1, 2]), ack(AckKind::PubAck, 258, 0));
        assert_eq!(Version::V5.read(&[0x62, 2, 0, 1]), ack(AckKind::PubRel, 1, 0));
        let long = Packet::Ack { kind: AckKind::PubRec, packet_id: 3, reason: 0x97 };
        assert_eq!(Version::V5.read(&[0x50, 4, 0, 3, 0x97, 0]), Ok(Some((long, 6))));
        let mut bytes = Vec::new();
        Version::V5.write_ack(AckKind::PubComp, 258, &mut bytes);
        assert_eq!(bytes, [0x70, 2, 1, 2]);
    }

    #[test]
    fn connections_and_subscriptions_are_written_and_their_answers_read() {
        let mut bytes = Vec::new();
        let hello = Hello { client_id: "c", is_clean: false, receive_max: 5 };
        Version::V5.write_connect(&hello, &mut bytes);
        let wanted = [
            &[0x10, 22, 0, 4][..],
            b"MQTT",
            &[5, 0, 0, 0, 8, 0x11, 0, 1, 0x51, 0x80, 0x21, 0, 5, 0, 1, b'c'],
        ];
        assert_eq!(bytes, wanted.concat());
        bytes.clear();
        Version::V311.write_subscribe(1, "a", 2, &mut bytes);
        assert_eq!(bytes, [0x82, 6, 0, 1, 0, 1, b'a', 2]);
        let connack = Packet::ConnAck { is_session_present: true, reason: 0 };
        assert_eq!(Version::V5.read(&[0x20, 3, 1, 0, 0]), Ok(Some((connack, 5))));
        let suback = Packet::SubAck { reasons: vec![2] };
        assert_eq!(Version::V5.read(&[0x90, 4, 0, 1, 0, 2]), Ok(Some((suback, 6))));
    }

    #[test]
    fn what_no_broker_sends_is_malformed() {
        assert_eq!(Version::V5.read(&[0x36, 4, 0, 1, b'a', 0]), Err(Malformed));
        assert_eq!(Version::V311.read(&[0x32, 5, 0, 1, b'a', 0, 0]), Err(Malformed));
        assert_eq!(Version::V311.read(&[0x10, 0]), Err(Malformed));
        assert_eq!(Version::V311.read(&[0x40, 0x80, 0x80, 0x80, 0x80]), Err(Malformed));
    }
}
