//! A PUBLISH to one of many topics that differ in a number: encoded once, patched for each message.

use crate::load::payload::{self, STAMP_BYTES, Stamp};
use crate::load::window::packet_id_of;
use anyhow::Result;
use ringmq_core::codec::{PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use std::ops::Range;

/// Digits of the number; topics below each prefix are this many at most.
const DIGITS: usize = 8;
/// The most topics.
pub const TOPICS_MAX: u32 = 100_000_000;

/// The topic with this number: `prefix/` and eight digits.
pub fn topic(prefix: &str, number: u32) -> String {
    format!("{prefix}/{number:08}")
}

/// The number of a topic, `None` for a topic that is none of [`topic`]'s.
pub fn number_of(prefix: &str, topic: &str) -> Option<u32> {
    let digits = topic.strip_prefix(prefix)?.strip_prefix('/')?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The PUBLISH.
#[derive(Debug)]
pub struct NumberedPublish {
    bytes: Vec<u8>,
    digits_at: Range<usize>,
    packet_id_at: Option<usize>,
    /// `None` for an empty payload.
    payload_at: Option<usize>,
}

impl NumberedPublish {
    /// A PUBLISH to topics of this prefix, with a payload of `payload_bytes`: 0 or at least [`STAMP_BYTES`].
    ///
    /// # Errors
    /// When prefix or payload are too large for MQTT.
    pub fn new(
        version: ProtocolVersion,
        prefix: &str,
        qos: QoS,
        retain: bool,
        payload_bytes: usize,
    ) -> Result<NumberedPublish> {
        let payload = match payload_bytes {
            0 => Vec::new(),
            bytes => [vec![0; STAMP_BYTES], payload::filling(bytes)].concat(),
        };
        let topic = topic(prefix, 0);
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic: &topic,
            packet_id: if qos == QoS::AtMostOnce { None } else { PacketId::new(1) },
            properties: PublishProperties::default(),
            payload: &payload,
        };
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes)?;
        let length_bytes = bytes[1..].iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        let topic_end = 1 + length_bytes + 2 + topic.len();
        let payload_at = (!payload.is_empty()).then_some(bytes.len() - payload.len());
        let packet_id_at = (qos != QoS::AtMostOnce).then_some(topic_end);
        Ok(NumberedPublish { bytes, digits_at: topic_end - DIGITS..topic_end, packet_id_at, payload_at })
    }

    /// Appends the message to topic `number`, the `sequence`-th of its publisher.
    pub fn write(&self, number: u32, sequence: u64, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let message = &mut out[start..];
        let mut rest = number;
        for digit in message[self.digits_at.clone()].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        if let Some(at) = self.packet_id_at {
            message[at..at + 2].copy_from_slice(&packet_id_of(sequence).to_be_bytes());
        }
        if let Some(at) = self.payload_at {
            stamp.write(&mut message[at..]);
        }
    }

    /// Bytes of one message on the wire.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::wire;
    use ringmq_core::codec::{Packet, decode_frame};

    #[test]
    fn messages_decode_to_what_was_written() {
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            for (qos, payload_bytes) in
                [(QoS::AtMostOnce, 16), (QoS::AtLeastOnce, 200), (QoS::ExactlyOnce, 0)]
            {
                let template = NumberedPublish::new(version, "bench/r", qos, true, payload_bytes).unwrap();
                let stamp = Stamp { publisher: 7, number: 9, sent_ns: 12 };
                let mut out = Vec::new();
                template.write(12_345_678, 3, stamp, &mut out);
                assert_eq!(template.bytes(), out.len());
                let frame = decode_frame(&out, u32::MAX).unwrap().unwrap();
                let Packet::Publish(publish) = wire::decode(frame, version).unwrap() else {
                    panic!("not a PUBLISH")
                };
                assert_eq!((publish.qos, publish.retain, publish.payload.len()), (qos, true, payload_bytes));
                assert_eq!(number_of("bench/r", publish.topic), Some(12_345_678));
                assert_eq!(publish.packet_id.map(PacketId::as_u16), (qos != QoS::AtMostOnce).then_some(4));
                if payload_bytes > 0 {
                    let filling = payload::filling(payload_bytes);
                    assert_eq!(Stamp::read(publish.payload, &filling).unwrap(), stamp);
                }
            }
        }
    }

    #[test]
    fn only_topics_of_ours_have_a_number() {
        assert_eq!(number_of("a/b", &topic("a/b", 42)), Some(42));
        for other in ["a/b/42", "a/b/0000004x", "a/c/00000042", "a/b/000000042", "a/b00000042"] {
            assert_eq!(number_of("a/b", other), None, "{other}");
        }
    }
}
