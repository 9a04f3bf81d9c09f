//! The model of a client: the receiver and the sender of the specification, written down naively. It is always right;
//! what it sees is checked by [`super::observer`], what reaches its application is checked here.

use crate::codec::{Ack, AckKind, Packet, Publish, QoS};
use crate::reason::ReasonCode;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A message of the client's own on its way to the broker.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    pub packet_id: u16,
    pub serial: u32,
    pub qos: QoS,
    /// PUBREC came: PUBREL is what is sent again.
    pub is_released: bool,
    /// Published on this connection, so that it counts against the broker's Receive Maximum.
    pub is_counted: bool,
    /// Sent, or sent again, on this connection.
    pub is_sent: bool,
}

/// One client with its session state and its connection state.
#[derive(Debug, Default)]
pub struct Client {
    /// QoS 2 identifiers received and not released.
    pub held: BTreeSet<u16>,
    /// How often each message reached the application.
    pub got: BTreeMap<u32, u32>,
    /// Messages refused with an error.
    pub refused: BTreeSet<u32>,
    /// The client's own messages, in the order in which they were first sent.
    pub sending: Vec<Sending>,
    /// Acknowledgements not yet sent.
    pub owed: VecDeque<Ack>,
    /// Refuse the next message.
    pub refuses_next: bool,
    /// What the broker allows.
    pub receive_maximum: usize,
    /// The last message of each QoS that was seen for the first time.
    newest: [Option<u32>; 3],
    seen: BTreeSet<u32>,
    last_packet_id: u16,
}

impl Client {
    /// The connection is gone, and with it whatever was not sent.
    pub fn disconnected(&mut self) {
        self.owed.clear();
        for sending in &mut self.sending {
            sending.is_counted = false;
            sending.is_sent = false;
        }
    }

    /// The session is gone: nothing is sent again. Returns what will not arrive.
    pub fn forget(&mut self) -> Vec<Sending> {
        self.held.clear();
        std::mem::take(&mut self.sending)
    }

    /// Reads a packet.
    pub fn read(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => self.read_publish(publish),
            Packet::Ack(ack) => self.read_ack(ack),
            Packet::Connack(_) => {}
            other => panic!("no business of a client: {other:?}"),
        }
    }

    fn read_publish(&mut self, publish: &Publish<'_>) {
        let serial = super::serial_of(publish.payload);
        if self.seen.insert(serial) {
            let newest = self.newest[publish.qos as usize].replace(serial);
            assert!(newest < Some(serial), "{:?}: message {serial} after {newest:?}", publish.qos);
        }
        let Some(packet_id) = publish.packet_id else { return self.take(serial, publish.qos) };
        let is_held = self.held.contains(&packet_id.as_u16());
        let kind = if publish.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
        if !is_held && std::mem::take(&mut self.refuses_next) {
            self.refused.insert(serial);
            self.owed.push_back(Ack::new(kind, packet_id, ReasonCode::QuotaExceeded));
            return;
        }
        if !is_held {
            self.take(serial, publish.qos);
        }
        if publish.qos == QoS::ExactlyOnce {
            self.held.insert(packet_id.as_u16());
        }
        self.owed.push_back(Ack::new(kind, packet_id, ReasonCode::Success));
    }

    /// A message reaches the application.
    fn take(&mut self, serial: u32, qos: QoS) {
        let times = self.got.entry(serial).or_insert(0);
        *times += 1;
        assert!(qos == QoS::AtLeastOnce || *times == 1, "{qos:?}: message {serial} came {times} times");
    }

    fn read_ack(&mut self, ack: &Ack) {
        let packet_id = ack.packet_id.as_u16();
        let position = self.sending.iter().position(|sending| sending.packet_id == packet_id);
        match ack.kind {
            AckKind::Pubrel => {
                let known = self.held.remove(&packet_id);
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                self.owed.push_back(Ack::new(AckKind::Pubcomp, ack.packet_id, reason));
            }
            AckKind::Pubrec => {
                if let Some(position) = position {
                    self.sending[position].is_released = true;
                    self.owed.push_back(Ack::new(AckKind::Pubrel, ack.packet_id, ReasonCode::Success));
                }
            }
            AckKind::Puback | AckKind::Pubcomp => {
                if let Some(position) = position {
                    let sending = self.sending.remove(position);
                    let is_last = (ack.kind == AckKind::Puback) == (sending.qos == QoS::AtLeastOnce);
                    assert!(is_last, "{sending:?} ended by {ack:?}");
                }
            }
        }
    }

    /// Whether the broker's Receive Maximum allows another PUBLISH.
    pub fn has_quota(&self) -> bool {
        self.sending.iter().filter(|sending| sending.is_counted).count() < self.receive_maximum
    }

    /// Begins a message of QoS 1 or 2.
    pub fn begin(&mut self, serial: u32, qos: QoS) -> Sending {
        self.last_packet_id = self.last_packet_id % 0x8000 + 1;
        let packet_id = self.last_packet_id;
        let sending = Sending { packet_id, serial, qos, is_released: false, is_counted: true, is_sent: true };
        self.sending.push(sending);
        sending
    }

    /// The next message to send again on a new connection, as far as the quota allows.
    pub fn resend_next(&mut self) -> Option<Sending> {
        let has_quota = self.has_quota();
        let sending = self.sending.iter_mut().find(|sending| !sending.is_sent)?;
        if !sending.is_released && !has_quota {
            return None;
        }
        sending.is_counted = !sending.is_released;
        sending.is_sent = true;
        Some(*sending)
    }
}
