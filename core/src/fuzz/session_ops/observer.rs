//! What leaves the session under test, held against the rules of the specification, packet by packet.

use super::Message;
use crate::codec::{Ack, AckKind, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

/// An unfinished delivery of QoS 1 or 2.
#[derive(Debug)]
pub struct Exchange {
    pub packet_id: u16,
    pub serial: u32,
    pub qos: QoS,
    /// PUBREC came.
    is_released: bool,
    /// Sent on the current connection.
    is_sent: bool,
}

/// What is known of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub version: ProtocolVersion,
    pub window: usize,
    pub packet_bytes_max: u32,
    pub alias_max: u16,
    /// What stands before the client's topics.
    pub mount: &'static str,
}

impl Limits {
    /// A topic as the client knows it.
    fn own_topic(self, topic: &'static str) -> Option<&'static str> {
        topic.strip_prefix(self.mount).filter(|own| !own.is_empty())
    }
}

/// The packets of one session so far.
#[derive(Debug, Default)]
pub struct Observer {
    /// In the order in which they were first sent.
    pub exchanges: Vec<Exchange>,
    /// Messages sent at least once.
    pub attempted: BTreeSet<u32>,
    /// Messages given up because a new connection takes only smaller packets, or has another mountpoint.
    pub given_up: BTreeSet<u32>,
    /// Messages whose session ended, or that went to somebody else.
    pub excused: BTreeSet<u32>,
    /// Identifiers of PUBLISH on this connection that the client has not finished.
    open: BTreeSet<u16>,
    aliases: BTreeMap<NonZeroU16, String>,
    has_connack: bool,
}

impl Observer {
    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.open.clear();
        self.aliases.clear();
        self.has_connack = false;
        for exchange in &mut self.exchanges {
            exchange.is_sent = false;
        }
    }

    /// The session is gone.
    pub fn ended(&mut self) {
        self.excused.extend(self.exchanges.drain(..).map(|exchange| exchange.serial));
    }

    /// The message went to somebody else; whether it was being delivered.
    pub fn taken(&mut self, serial: u32) -> bool {
        let Some(position) = self.exchanges.iter().position(|exchange| exchange.serial == serial) else {
            return false;
        };
        let exchange = self.exchanges.remove(position);
        assert_eq!(exchange.qos, QoS::AtLeastOnce, "QoS 2 is completed with its client");
        self.excused.insert(serial);
        true
    }

    /// An acknowledgement that the session is about to handle.
    pub fn acknowledged(&mut self, ack: &Ack) {
        let packet_id = ack.packet_id.as_u16();
        let Some(position) = self.exchanges.iter().position(|exchange| exchange.packet_id == packet_id)
        else {
            return;
        };
        let exchange = &mut self.exchanges[position];
        let ends = match ack.kind {
            AckKind::Puback => exchange.qos == QoS::AtLeastOnce,
            AckKind::Pubrec => {
                exchange.is_released = true;
                ack.reason.is_error()
            }
            AckKind::Pubcomp => exchange.is_released,
            AckKind::Pubrel => false,
        };
        if ends {
            self.exchanges.remove(position);
            self.open.remove(&packet_id);
        }
    }

    /// A packet of `bytes` bytes that the session sent at `now`.
    pub fn sent(
        &mut self,
        packet: &Packet<'_>,
        bytes: usize,
        limits: Limits,
        messages: &[Message],
        now: Timestamp,
    ) {
        assert!(bytes <= limits.packet_bytes_max as usize, "{bytes} bytes: {packet:?}");
        let is_connack = matches!(packet, Packet::Connack(_));
        assert!(is_connack != self.has_connack, "CONNACK comes first and once: {packet:?}");
        self.has_connack = true;
        match packet {
            Packet::Publish(publish) => self.sent_publish(publish, limits, messages, now),
            Packet::Ack(ack) if ack.kind == AckKind::Pubrel => self.sent_pubrel(ack, limits, messages),
            _ => {}
        }
    }

    fn sent_publish(&mut self, publish: &Publish<'_>, limits: Limits, messages: &[Message], now: Timestamp) {
        let serial = super::serial_of(publish.payload);
        let message = &messages[serial as usize];
        assert_eq!((publish.qos, publish.retain), (message.qos, message.retain()));
        assert_eq!(publish.payload, message.payload());
        assert_eq!(Some(self.resolve(publish, limits).as_str()), limits.own_topic(message.topic()));
        if limits.version == ProtocolVersion::V5 {
            let remaining_s = message.expires_at.map(|at| at.since_ms(now).div_ceil(1000) as u32);
            assert_eq!(publish.properties.message_expiry_interval_s, remaining_s);
            assert_eq!(publish.properties.subscription_ids.as_slice(), message.subscription_ids());
        }
        let is_first = self.attempted.insert(serial);
        assert_eq!(publish.dup, !is_first, "DUP marks what was sent before: {publish:?}");
        assert!(!is_first || message.expires_at.is_none_or(|at| at > now), "expired: {publish:?}");
        let Some(packet_id) = publish.packet_id.map(PacketId::as_u16) else { return };

        assert!(self.open.insert(packet_id), "{packet_id} is in use on this connection");
        assert!(self.open.len() <= limits.window, "{} of {}", self.open.len(), limits.window);
        if is_first {
            self.sent_everything_before(self.exchanges.len(), limits, messages);
            let is_used = self.exchanges.iter().any(|exchange| exchange.packet_id == packet_id);
            assert!(!is_used, "{packet_id} is in use: {:?}", self.exchanges);
            let qos = publish.qos;
            let exchange = Exchange { packet_id, serial, qos, is_released: false, is_sent: true };
            self.exchanges.push(exchange);
            return;
        }
        let exchange = self.send_again(packet_id, limits, messages);
        assert_eq!((exchange.serial, exchange.is_released), (serial, false), "{exchange:?}");
    }

    fn resolve(&mut self, publish: &Publish<'_>, limits: Limits) -> String {
        let Some(alias) = publish.properties.topic_alias else { return publish.topic.to_owned() };
        assert!(alias.get() <= limits.alias_max, "{alias} of {}", limits.alias_max);
        if !publish.topic.is_empty() {
            self.aliases.insert(alias, publish.topic.to_owned());
        }
        self.aliases.get(&alias).expect("an alias that was set up on this connection").clone()
    }

    fn sent_pubrel(&mut self, pubrel: &Ack, limits: Limits, messages: &[Message]) {
        let packet_id = pubrel.packet_id.as_u16();
        let known = self.exchanges.iter().find(|exchange| exchange.packet_id == packet_id);
        let Some(known) = known else {
            assert!(
                limits.version != ProtocolVersion::V5
                    || pubrel.reason == ReasonCode::PacketIdentifierNotFound
            );
            return;
        };
        assert!(known.is_released && pubrel.reason == ReasonCode::Success, "{known:?}");
        if !known.is_sent {
            self.send_again(packet_id, limits, messages);
        }
    }

    /// The exchange that goes on with this packet, which must be the next in order.
    fn send_again(&mut self, packet_id: u16, limits: Limits, messages: &[Message]) -> &Exchange {
        let position = || self.exchanges.iter().position(|exchange| exchange.packet_id == packet_id);
        let position = position().expect("only what is unfinished is sent again");
        let given_up = self.sent_everything_before(position, limits, messages);
        let exchange = &mut self.exchanges[position - given_up];
        assert!(!exchange.is_sent, "twice on one connection: {exchange:?}");
        exchange.is_sent = true;
        exchange
    }

    /// Asserts that all exchanges before `end` were sent on this connection. Those that cannot be sent on it are given up.
    fn sent_everything_before(&mut self, end: usize, limits: Limits, messages: &[Message]) -> usize {
        let before = self.exchanges.len();
        let mut position = 0;
        self.exchanges.retain(|exchange| {
            let is_past = position < end;
            position += 1;
            if exchange.is_sent || !is_past {
                return true;
            }
            let message = &messages[exchange.serial as usize];
            assert!(!exchange.is_released && !can_be_sent(message, limits), "overtaken: {exchange:?}");
            self.given_up.insert(exchange.serial);
            false
        });
        before - self.exchanges.len()
    }

    /// The session keeps fewer messages in flight than were seen: those at the front that cannot be sent were given up.
    pub fn reconcile(&mut self, inflight: usize, limits: Limits, messages: &[Message]) {
        while self.exchanges.len() > inflight {
            let unsent = self.exchanges.iter().position(|exchange| !exchange.is_sent);
            let position = unsent.expect("what was sent stays until it is acknowledged");
            self.sent_everything_before(position + 1, limits, messages);
        }
        assert_eq!(self.exchanges.len(), inflight, "{:?}", self.exchanges);
    }
}

fn can_be_sent(message: &Message, limits: Limits) -> bool {
    let Some(topic) = limits.own_topic(message.topic()) else { return false };
    let payload = message.payload();
    let publish = Publish {
        dup: true,
        qos: message.qos,
        retain: message.retain(),
        topic,
        packet_id: PacketId::new(1),
        properties: PublishProperties {
            message_expiry_interval_s: message.expires_at.map(|_| 0),
            subscription_ids: message.subscription_ids().into(),
            ..PublishProperties::default()
        },
        payload: &payload,
    };
    publish.encoded_bytes(limits.version) <= limits.packet_bytes_max as usize
}
