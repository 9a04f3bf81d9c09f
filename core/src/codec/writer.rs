//! Putting fields and packets on the wire. Packets are written twice by the same code, first into a [`Measure`], then
//! into the output: lengths precede contents in MQTT, and measuring needs neither a second buffer nor patching.

use super::EncodeError;
use crate::limits::{FIXED_HEADER_BYTES_MAX, REMAINING_LENGTH_MAX, STRING_BYTES_MAX};

/// The largest packet there is: fixed header and the longest body.
const PACKET_BYTES_MAX: u32 = REMAINING_LENGTH_MAX + FIXED_HEADER_BYTES_MAX as u32;

/// Where the bytes of a packet go.
pub(super) trait Sink {
    /// Takes bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Takes a string or binary data, its length first. Only [`Measure`] checks the length, because nothing is written
    /// before it was measured.
    fn put_field(&mut self, field: &[u8]) {
        self.put(&(field.len() as u16).to_be_bytes());
        self.put(field);
    }

    /// Takes a Variable Byte Integer.
    fn put_varint(&mut self, value: u32) {
        let (bytes, len) = to_varint(value);
        self.put(&bytes[..len]);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts bytes instead of keeping them, and notes the first field that no packet can carry.
#[derive(Debug, Default)]
pub(super) struct Measure {
    bytes: u64,
    refused: Option<EncodeError>,
}

impl Measure {
    /// The bytes counted.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLarge`] if a field was too large to be written.
    pub(super) fn finish(&self) -> Result<u64, EncodeError> {
        self.refused.map_or(Ok(self.bytes), Err)
    }

    fn refuse(&mut self, value: u64, value_max: u32) {
        self.refused.get_or_insert(EncodeError::FieldTooLarge { value, value_max });
    }
}

impl Sink for Measure {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }

    fn put_field(&mut self, field: &[u8]) {
        if field.len() > STRING_BYTES_MAX {
            self.refuse(field.len() as u64, STRING_BYTES_MAX as u32);
        }
        self.bytes += 2 + field.len() as u64;
    }

    fn put_varint(&mut self, value: u32) {
        if value > REMAINING_LENGTH_MAX {
            self.refuse(u64::from(value), REMAINING_LENGTH_MAX);
        }
        self.bytes += varint_bytes(value) as u64;
    }
}

/// Bytes a Variable Byte Integer takes.
pub(super) const fn varint_bytes(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// The encoding of a Variable Byte Integer: the bytes and how many of them count. `value` is at most 268,435,455.
pub(super) const fn to_varint(value: u32) -> ([u8; 4], usize) {
    let bytes = [value as u8, (value >> 7) as u8, (value >> 14) as u8, (value >> 21) as u8];
    let [a, b, c, d] = bytes;
    match varint_bytes(value) {
        1 => ([a, 0, 0, 0], 1),
        2 => ([a | 0x80, b & 0x7F, 0, 0], 2),
        3 => ([a | 0x80, b | 0x80, c & 0x7F, 0], 3),
        _ => ([a | 0x80, b | 0x80, c | 0x80, d & 0x7F], 4),
    }
}

/// The whole packet's bytes for a body of `body_bytes`.
///
/// # Errors
/// [`EncodeError::TooLarge`] beyond `packet_bytes_max` or the protocol's limit.
pub(super) fn packet_bytes(body_bytes: u64, packet_bytes_max: u32) -> Result<usize, EncodeError> {
    let length_bytes = varint_bytes(u32::try_from(body_bytes).unwrap_or(u32::MAX)) as u64;
    let bytes = 1 + length_bytes + body_bytes;
    let bytes_max = packet_bytes_max.min(PACKET_BYTES_MAX);
    if bytes > u64::from(bytes_max) {
        return Err(EncodeError::TooLarge { bytes, bytes_max });
    }
    Ok(bytes as usize)
}

/// Appends a packet whose body is what `body` puts. On error `out` is as it was.
pub(super) fn write_packet(
    first_byte: u8,
    packet_bytes_max: u32,
    out: &mut Vec<u8>,
    body: &dyn Fn(&mut dyn Sink),
) -> Result<(), EncodeError> {
    let mut measure = Measure::default();
    body(&mut measure);
    let bytes = packet_bytes(measure.bytes, packet_bytes_max)?;
    measure.finish()?;
    out.reserve(bytes);
    out.push(first_byte);
    out.put_varint(measure.bytes as u32);
    body(out);
    Ok(())
}

/// How much of what a peer can do without a packet still says. [MQTT-3.2.2-19, -20] and the like
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    WithoutUserProperties,
    WithoutReasonString,
}

impl Detail {
    pub(super) fn has_user_properties(self) -> bool {
        self == Detail::Full
    }

    pub(super) fn has_reason_string(self) -> bool {
        self != Detail::WithoutReasonString
    }
}

/// Appends a packet with as much detail as fits in `packet_bytes_max`.
pub(super) fn write_packet_within(
    first_byte: u8,
    packet_bytes_max: u32,
    out: &mut Vec<u8>,
    body: &dyn Fn(Detail, &mut dyn Sink),
) -> Result<(), EncodeError> {
    for detail in [Detail::Full, Detail::WithoutUserProperties] {
        if write_packet(first_byte, packet_bytes_max, out, &|sink| body(detail, sink)).is_ok() {
            return Ok(());
        }
    }
    write_packet(first_byte, packet_bytes_max, out, &|sink| body(Detail::WithoutReasonString, sink))
}

/// Puts a Property Length and the properties that `properties` puts.
pub(super) fn put_properties(sink: &mut dyn Sink, properties: &dyn Fn(&mut dyn Sink)) {
    let mut measure = Measure::default();
    properties(&mut measure);
    sink.put_varint(u32::try_from(measure.bytes).unwrap_or(u32::MAX));
    properties(sink);
}
