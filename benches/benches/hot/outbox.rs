//! The outbox: appending answers, and handing everything to a write. Buffers go away as they do in a reactor's pass:
//! after sixteen packets, unless said.

use crate::subject::Subject;
use ringmq_core::codec::{Ack, AckKind, PacketId, ProtocolVersion, Suback};
use ringmq_core::metrics::Tally;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::Outbox;
use std::hint::black_box;

/// Packets between two writes.
const BATCH: u32 = 16;
const HIGH_WATERMARK: usize = 1 << 16;

/// Each answer, then a write of every packet by itself.
pub fn all() -> Vec<Subject> {
    let old = ProtocolVersion::V311;
    vec![
        answer("outbox/ack/3.1.1", BATCH, move |out, tally| out.push_ack(&puback(), old, tally)),
        answer("outbox/ack/5.0", BATCH, |out, tally| out.push_ack(&puback(), ProtocolVersion::V5, tally)),
        answer("outbox/suback/5.0", BATCH, |out, tally| {
            out.push_suback(&suback(), ProtocolVersion::V5, tally);
        }),
        answer("outbox/pingresp", BATCH, move |out, tally| out.push_pingresp(old, tally)),
        answer("outbox/pingresp_and_write", 1, move |out, tally| out.push_pingresp(old, tally)),
    ]
}

fn answer(name: &str, batch: u32, push: impl Fn(&mut Outbox, &mut Tally) + Copy + 'static) -> Subject {
    Subject::new(name, move || {
        let mut out = Outbox::new(HIGH_WATERMARK);
        let mut tally = Tally::default();
        let mut pushed = 0;
        move || {
            push(&mut out, &mut tally);
            pushed += 1;
            if pushed == batch {
                pushed = 0;
                write(&mut out);
            }
        }
    })
}

/// Takes what waits, as a write does that ends at once.
pub fn write(out: &mut Outbox) {
    let bytes = out.take(0);
    assert!(!black_box(&bytes).is_empty());
    out.sent();
}

fn puback() -> Ack {
    let packet_id = PacketId::new(black_box(0x1234)).expect("not 0");
    Ack::new(AckKind::Puback, packet_id, ReasonCode::Success)
}

fn suback() -> Suback {
    Suback {
        packet_id: PacketId::new(black_box(0x1234)).expect("not 0"),
        reasons: vec![ReasonCode::GrantedQos1],
        reason_string: None,
        user_properties: Vec::new(),
    }
}
