//! Cutting packets out of a byte stream.

use super::{AckKind, DecodeError, PacketId, PacketType, QoS};

/// One whole packet, not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags.
    pub first_byte: u8,
    /// Everything after the fixed header.
    pub body: &'a [u8],
    /// Bytes of the whole packet, fixed header included.
    pub bytes: usize,
}

/// Cuts the first packet out of `input`. `Ok(None)` when more bytes are needed.
///
/// # Errors
/// [`DecodeError::Malformed`] for a remaining length of more than four bytes [MQTT-1.5.5-1] or a packet type of 0;
/// [`DecodeError::TooLarge`] as soon as the header announces more than `packet_bytes_max`, before the body arrives.
pub fn decode_frame(input: &[u8], packet_bytes_max: u32) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some(&first_byte) = input.first() else {
        return Ok(None);
    };
    if first_byte >> 4 == 0 {
        return Err(DecodeError::Malformed("packet type is 0"));
    }
    let Some((body_bytes, header_bytes)) = remaining_length(input)? else {
        return Ok(None);
    };
    let bytes = header_bytes + body_bytes;
    if bytes as u64 > u64::from(packet_bytes_max) {
        return Err(DecodeError::TooLarge { bytes: bytes as u64, bytes_max: packet_bytes_max });
    }
    Ok(input.get(header_bytes..bytes).map(|body| Frame { first_byte, body, bytes }))
}

/// A PUBLISH of which only the beginning is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishHead {
    /// The acknowledgement that it asks for; none at QoS 0.
    pub acknowledgement: Option<(AckKind, PacketId)>,
    /// Bytes of the whole packet, fixed header included.
    pub bytes: usize,
}

/// Reads the beginning of a PUBLISH that is not to be read whole; its topic is not looked at. `Ok(None)` when more bytes are
/// needed: at most those of the longest topic and its packet identifier.
///
/// # Errors
/// [`DecodeError::Malformed`] when it cannot become one.
pub fn peek_publish(input: &[u8]) -> Result<Option<PublishHead>, DecodeError> {
    let (Some(&first_byte), Some((body_bytes, header_bytes))) = (input.first(), remaining_length(input)?)
    else {
        return Ok(None);
    };
    let bytes = header_bytes + body_bytes;
    if first_byte >> 4 != PacketType::Publish as u8 {
        return Err(DecodeError::Malformed("not a PUBLISH"));
    }
    let kind = match QoS::from_u8(first_byte >> 1 & 3) {
        None => return Err(DecodeError::Malformed("QoS 3")),
        Some(QoS::AtMostOnce) => return Ok(Some(PublishHead { acknowledgement: None, bytes })),
        Some(QoS::AtLeastOnce) => AckKind::Puback,
        Some(QoS::ExactlyOnce) => AckKind::Pubrec,
    };
    let two = |at: usize| input.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let Some(topic_bytes) = two(header_bytes) else { return Ok(None) };
    let id_at = header_bytes + 2 + usize::from(topic_bytes);
    if id_at + 2 > bytes {
        return Err(DecodeError::Malformed("topic longer than the packet"));
    }
    let Some(packet_id) = two(id_at) else { return Ok(None) };
    let packet_id = PacketId::new(packet_id).ok_or(DecodeError::Malformed("packet identifier 0"))?;
    Ok(Some(PublishHead { acknowledgement: Some((kind, packet_id)), bytes }))
}

/// The Remaining Length and the bytes of the fixed header, `None` when more bytes are needed. A length that is not in its
/// shortest form is accepted here: 3.x does not forbid it, and the version is not known before CONNECT was read.
fn remaining_length(input: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut value = 0;
    for (index, shift) in [(1, 0), (2, 7), (3, 14), (4, 21)] {
        let Some(&byte) = input.get(index) else {
            return Ok(None);
        };
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    Err(DecodeError::Malformed("remaining length of more than four bytes"))
}
