//! A PUBLISH to one of many topics that differ in a number: encoded once, patched for each message.

use crate::load::payload::Stamp;
use crate::net::wire::PublishTemplate;
use anyhow::Result;
use ringmq_core::codec::{ProtocolVersion, QoS};
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
    template: PublishTemplate,
    digits_at: Range<usize>,
}

impl NumberedPublish {
    /// A PUBLISH to topics of this prefix, with a payload of `payload_bytes`: 0 or at least
    /// [`STAMP_BYTES`](crate::load::payload::STAMP_BYTES).
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
        let template = PublishTemplate::new(version, &topic(prefix, 0), qos, retain, payload_bytes)?;
        let topic_end = template.topic_at().end;
        Ok(NumberedPublish { template, digits_at: topic_end - DIGITS..topic_end })
    }

    /// Appends the message to topic `number`, the `sequence`-th of its publisher.
    pub fn write(&self, number: u32, sequence: u64, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        self.template.write(sequence, stamp, out);
        let mut rest = number;
        for digit in out[start..][self.digits_at.clone()].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }

    /// Bytes of one message on the wire.
    pub fn bytes(&self) -> usize {
        self.template.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::payload;
    use crate::net::wire;
    use ringmq_core::codec::{Packet, PacketId, decode_frame};

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
