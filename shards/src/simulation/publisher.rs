//! A publisher of a simulated life: it keeps what is not over, and sends it again to whoever it is connected to next.

use super::checks::{Checked, Ledger};
use super::client::{encode, finding};
use ringmq_core::codec::{Ack, AckKind, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use ringmq_core::reason::ReasonCode;
use std::collections::VecDeque;

/// Packet identifiers are few, so that each is used many times.
const IDS_MAX: u16 = 24;

/// A publisher.
#[derive(Debug)]
pub struct Publisher {
    /// Which one, in the ledger.
    index: usize,
    next: usize,
    window: usize,
    next_id: u16,
    /// Sent and not yet over, in the order of sending.
    flights: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    packet_id: PacketId,
    number: usize,
    qos: QoS,
    /// PUBREC came.
    is_released: bool,
}

impl Publisher {
    /// A publisher that has sent nothing, and sends at most so many messages ahead.
    pub fn new(index: usize, window: usize) -> Publisher {
        Publisher { index, next: 0, window, next_id: 0, flights: VecDeque::new() }
    }

    /// Whether everything was sent and is over.
    pub fn is_done(&self, ledger: &Ledger) -> bool {
        self.flights.is_empty() && self.next == ledger.messages[self.index].len()
    }

    /// Sends the next message, if there is one and the window has room.
    pub fn publish(&mut self, version: ProtocolVersion, ledger: &mut Ledger) -> Option<Vec<u8>> {
        if self.next == ledger.messages[self.index].len() || self.flights.len() >= self.window {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let packet_id = self.free_id();
        let qos = ledger.messages[self.index][number].qos;
        self.flights.push_back(Flight { packet_id, number, qos, is_released: false });
        ledger.send((self.index, number));
        let mut out = Vec::new();
        self.send(self.flights.len() - 1, false, version, ledger, &mut out);
        Some(out)
    }

    /// The lowest, so that it is used again at once, or the next, by publisher.
    fn free_id(&mut self) -> PacketId {
        if self.index.is_multiple_of(2) {
            self.next_id = 0;
        }
        loop {
            self.next_id = self.next_id % IDS_MAX + 1;
            let packet_id = PacketId::new(self.next_id).expect("not 0");
            if self.flights.iter().all(|flight| flight.packet_id != packet_id) {
                return packet_id;
            }
        }
    }

    fn send(&self, at: usize, dup: bool, version: ProtocolVersion, ledger: &Ledger, out: &mut Vec<u8>) {
        let Flight { packet_id, number, qos, is_released } = self.flights[at];
        if is_released {
            let release = Ack::new(AckKind::Pubrel, packet_id, ReasonCode::Success);
            return encode(&Packet::Ack(release), version, out);
        }
        let message = &ledger.messages[self.index][number];
        let publish = Publish {
            dup,
            qos,
            retain: message.retain,
            topic: message.topic,
            packet_id: Some(packet_id),
            properties: PublishProperties::default(),
            payload: &message.payload((self.index, number)),
        };
        encode(&Packet::Publish(publish), version, out);
    }

    /// Sends everything again that is not over, in order. [MQTT-4.4.0-1]
    pub fn resend(&self, version: ProtocolVersion, ledger: &Ledger, out: &mut Vec<u8>) {
        (0..self.flights.len()).for_each(|at| self.send(at, true, version, ledger, out));
    }

    /// PUBACK, PUBREC or PUBCOMP came.
    ///
    /// # Errors
    /// Nothing waits for it, it is not its turn, or it is a refusal without cause.
    pub fn handle_ack(
        &mut self,
        ack: &Ack,
        is_lenient: bool,
        version: ProtocolVersion,
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Checked {
        let qos = if ack.kind == AckKind::Puback { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let at = if ack.kind == AckKind::Pubcomp {
            self.flights.iter().position(|flight| flight.is_released && flight.packet_id == ack.packet_id)
        } else {
            // Acknowledgements come in the order of the messages. [MQTT-4.6.0-2, MQTT-4.6.0-3]
            let next = self.flights.iter().position(|flight| flight.qos == qos && !flight.is_released);
            next.filter(|at| self.flights[*at].packet_id == ack.packet_id)
        };
        let Some(at) = at else { return finding(format!("{ack:?}, with {:?}", self.flights)) };
        if ack.kind == AckKind::Pubcomp {
            self.flights.remove(at);
            return Ok(());
        }
        let is_refused = ack.reason.as_u8() >= 0x80;
        if is_refused && !(is_lenient && ack.reason == ReasonCode::QuotaExceeded) {
            return finding(format!("refused: {ack:?}"));
        }
        ledger.acknowledge((self.index, self.flights[at].number), is_refused)?;
        if ack.kind == AckKind::Puback || is_refused {
            self.flights.remove(at);
            return Ok(());
        }
        self.flights[at].is_released = true;
        self.send(at, false, version, ledger, out);
        Ok(())
    }
}
