//! A cursor over a packet's body: the data types of section 1.5. It never reads past the body and never copies.

use super::{DecodeError, PacketId, ProtocolVersion};
use crate::reason::ReasonCode;

const TRUNCATED: DecodeError = DecodeError::Malformed("packet ends within a field");
const NUL_IN_STRING: DecodeError = DecodeError::Malformed("string contains U+0000");

/// Bytes that no topic name contains.
const BARRED_IN_TOPIC: [bool; 256] = {
    let mut barred = [false; 256];
    barred[0] = true;
    barred[b'+' as usize] = true;
    barred[b'#' as usize] = true;
    barred
};

/// Reads fields from the front of a body.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    /// Bytes not yet read.
    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything not yet read; the reader is at its end afterwards.
    pub(super) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer in its shortest form. [MQTT-1.5.5-1]
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::Malformed("variable byte integer is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("variable byte integer of more than four bytes"))
    }

    /// Binary Data: two bytes of length, then the bytes.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.u16()?;
        self.take(usize::from(bytes))
    }

    /// A UTF-8 Encoded String. Surrogates are not UTF-8 to Rust either. [MQTT-1.5.4-1, -2]
    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let string = self.text()?;
        if string.as_bytes().contains(&0) {
            return Err(NUL_IN_STRING);
        }
        Ok(string)
    }

    /// A Topic Name: a string without wildcards. [MQTT-3.3.2-2] All that it must not contain is looked for at once.
    pub(super) fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        let topic = self.text()?;
        if !topic.bytes().fold(false, |found, byte| found | BARRED_IN_TOPIC[usize::from(byte)]) {
            return Ok(topic);
        }
        Err(if topic.as_bytes().contains(&0) { NUL_IN_STRING } else { DecodeError::TopicNameInvalid })
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("string is not UTF-8"))
    }

    /// A Packet Identifier, never 0. [MQTT-2.2.1-3]
    pub(super) fn packet_id(&mut self, version: ProtocolVersion) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(match version {
            ProtocolVersion::V5 => DecodeError::Protocol("packet identifier is 0"),
            ProtocolVersion::V31 | ProtocolVersion::V311 => DecodeError::Malformed("packet identifier is 0"),
        })
    }

    /// Asserts that the packet has nothing more to say.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Malformed("packet is longer than its fields"))
    }
}

/// A reason code that the packet allows.
pub(super) fn read_reason(
    reader: &mut Reader<'_>,
    allows: impl Fn(ReasonCode) -> bool,
) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_u8(reader.u8()?)
        .filter(|&reason| allows(reason))
        .ok_or(DecodeError::Protocol("reason code does not belong in this packet"))
}
