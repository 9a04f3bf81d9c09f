//! Variable Byte Integers of one to four bytes. The functions are the codec's own, so they are measured through the
//! smallest thing that uses them: a fixed header without its body, and a PUBLISH of nothing but a Subscription Identifier.

use crate::subject::Subject;
use ringmq_core::codec::{ProtocolVersion, Publish, PublishProperties, QoS, decode_frame};
use std::hint::black_box;

/// The largest value of each length in bytes.
const VALUES: [u32; 4] = [0x7F, 0x3FFF, 0x1F_FFFF, 0x0FFF_FFFF];

/// Decoding and encoding, for each length.
pub fn all() -> Vec<Subject> {
    VALUES
        .into_iter()
        .zip(1..)
        .flat_map(|(value, bytes)| [decode(value, bytes), encode(value, bytes)])
        .collect()
}

fn decode(value: u32, bytes: usize) -> Subject {
    Subject::new(format!("varint/decode/{bytes}_bytes"), move || {
        let mut header = vec![0x30];
        header.extend((0..bytes).map(|at| {
            let more = if at + 1 < bytes { 0x80 } else { 0 };
            (value >> (7 * at)) as u8 & 0x7F | more
        }));
        move || {
            // The length is read, then found to be more than there is.
            let frame = decode_frame(black_box(&header), u32::MAX);
            assert_eq!(black_box(frame), Ok(None));
        }
    })
}

fn encode(value: u32, bytes: usize) -> Subject {
    Subject::new(format!("varint/encode/{bytes}_bytes"), move || {
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "t",
            packet_id: None,
            properties: PublishProperties {
                subscription_ids: std::iter::once(value).collect(),
                ..PublishProperties::default()
            },
            payload: &[],
        };
        let mut out = Vec::new();
        move || {
            out.clear();
            let written = black_box(&publish).encode(ProtocolVersion::V5, &mut out);
            assert!(written.is_ok());
            black_box(&out);
        }
    })
}
