//! A blocking MQTT client that does only what a test says and shows everything the broker does.

use super::property::{self, Property};
use super::{
    AckKind, Broker, Connack, Message, Packet, ProtocolVersion, ReasonCode, Stream, connect, message, wire,
};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Generous, because a loaded machine is no failure of the broker.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a client sees next.
#[derive(Debug)]
pub enum Event {
    Packet(Packet),
    Closed,
    Silence,
}

/// One connection.
pub struct Client {
    pub version: ProtocolVersion,
    /// Empty until the client has connected.
    pub client_id: String,
    pub connack: Option<Connack>,
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    pending: VecDeque<Packet>,
    last_packet_id: u16,
    marker: Option<String>,
}

impl Client {
    /// A TCP connection on which no packet was sent.
    pub fn unconnected(broker: &Broker, version: ProtocolVersion) -> Client {
        Client::over(connect(broker.mqtt()), version)
    }

    /// A client on this stream, on which no packet was sent.
    pub fn over(stream: impl Stream + 'static, version: ProtocolVersion) -> Client {
        Client {
            version,
            client_id: String::new(),
            connack: None,
            stream: Box::new(stream),
            buffer: Vec::new(),
            pending: VecDeque::new(),
            last_packet_id: 0,
            marker: None,
        }
    }

    /// Whether CONNACK said that a session was resumed.
    pub fn session_present(&self) -> bool {
        self.connack.as_ref().is_some_and(|connack| connack.session_present)
    }

    /// The properties of CONNACK.
    pub fn connack_properties(&self) -> &[Property] {
        self.connack.as_ref().map(|connack| connack.properties.as_slice()).unwrap_or_default()
    }

    /// Writes bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Writes bytes; that the broker has closed the connection meanwhile is no failure. Tells whether all were written.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next packet, the close, or silence after `within`.
    pub fn poll(&mut self, within: Duration) -> Event {
        match self.pending.pop_front() {
            Some(packet) => Event::Packet(packet),
            None => self.poll_socket(within),
        }
    }

    fn poll_socket(&mut self, within: Duration) -> Event {
        let deadline = Instant::now() + within;
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some((first_byte, body)) = wire::cut_frame(&mut self.buffer) {
                return Event::Packet(Packet::decode(first_byte, &body, self.version));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Silence;
            }
            self.stream.socket().set_read_timeout(Some(left)).expect("a valid timeout");
            match self.stream.read(&mut chunk) {
                Ok(0) => return Event::Closed,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Event::Silence;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Event::Closed,
            }
        }
    }

    /// The next packet, whatever it is.
    pub fn expect_packet(&mut self) -> Packet {
        match self.poll(PATIENCE) {
            Event::Packet(packet) => packet,
            other => panic!("expected a packet, got {other:?}"),
        }
    }

    /// The next thing that happens, not silence.
    pub fn expect_event(&mut self) -> Event {
        match self.poll(PATIENCE) {
            Event::Silence => panic!("expected a packet or the close"),
            event => event,
        }
    }

    /// The first packet `wanted` accepts; packets before it stay to be read, in their order.
    fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        let found =
            self.pending.iter().enumerate().find_map(|(i, packet)| wanted(packet).map(|found| (i, found)));
        if let Some((i, found)) = found {
            self.pending.remove(i);
            return found;
        }
        loop {
            match self.poll_socket(PATIENCE) {
                Event::Packet(packet) => match wanted(&packet) {
                    Some(found) => return found,
                    None => self.pending.push_back(packet),
                },
                other => panic!("expected {what}, got {other:?} after {:?}", self.pending),
            }
        }
    }

    /// The connection must be closed by the broker, with no packet before.
    pub fn expect_closed(&mut self) {
        match self.poll(PATIENCE) {
            Event::Closed => {}
            other => panic!("expected the close, got {other:?}"),
        }
    }

    /// The broker must end the connection: with DISCONNECT and this reason for 5.0, with nothing for 3.x.
    pub fn expect_disconnect(&mut self, reason: ReasonCode) {
        self.expect_disconnect_of(&[reason]);
    }

    /// As [`Client::expect_disconnect`], where the specification leaves a choice of reasons.
    pub fn expect_disconnect_of(&mut self, reasons: &[ReasonCode]) {
        if self.version == ProtocolVersion::V5 {
            match self.expect_packet() {
                Packet::Disconnect { reason, .. } => {
                    assert!(reasons.contains(&reason), "expected one of {reasons:?}, got {reason:?}");
                }
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        }
        self.expect_closed();
    }

    /// Reads packets until the connection is closed and returns them.
    pub fn read_until_closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.poll(PATIENCE) {
                Event::Packet(packet) => packets.push(packet),
                Event::Closed => return packets,
                Event::Silence => panic!("expected the close after {packets:?}"),
            }
        }
    }

    /// No packet and no close may come within this time.
    pub fn expect_silence(&mut self, within: Duration) {
        match self.poll(within) {
            Event::Silence => {}
            other => panic!("expected silence, got {other:?}"),
        }
    }

    /// Proves that the broker has delivered nothing to this client: `publisher` publishes a marker, and the marker must
    /// be what comes first. Rests on the order in which the messages of one publisher reach one subscriber.
    pub fn expect_nothing_from(&mut self, publisher: &mut Client) {
        let topic = match self.marker.clone() {
            Some(topic) => topic,
            None => {
                let topic =
                    format!("marker/{}", self.stream.socket().local_addr().expect("a TCP socket").port());
                self.subscribe(&topic, 0);
                self.marker = Some(topic.clone());
                topic
            }
        };
        publisher.publish(message(topic.clone(), "marker"));
        loop {
            let first = self.receive();
            if first.topic == topic {
                return;
            }
            // A wildcard subscription also sees the markers of other clients.
            assert!(first.topic.starts_with("marker/"), "expected nothing, got {first:?}");
        }
    }

    /// Waits until all shards have handled what this client's home shard sent them so far, such as its publications: SUBACK
    /// comes once every shard has applied a subscription, and lanes keep their order.
    pub fn settle(&mut self) {
        let id = self.next_packet_id();
        let filter =
            format!("settled/{}/{id}", self.stream.socket().local_addr().expect("a TCP socket").port());
        self.subscribe(&filter, 0);
        self.unsubscribe(&[&filter]);
    }

    /// PINGREQ and PINGRESP; other packets that come in between stay to be read.
    pub fn ping(&mut self) {
        self.send_raw(&[0xC0, 0]);
        self.wait_for("PINGRESP", |packet| (*packet == Packet::Pingresp).then_some(()));
    }

    /// A packet identifier this client has not used lately.
    pub fn next_packet_id(&mut self) -> u16 {
        self.last_packet_id = self.last_packet_id % u16::MAX + 1;
        self.last_packet_id
    }

    /// Sends a PUBLISH packet and reads nothing. Returns its packet identifier, 0 at QoS 0.
    pub fn send(&mut self, mut message: Message) -> u16 {
        if message.qos > 0 && message.packet_id.is_none() {
            message.packet_id = Some(self.next_packet_id());
        }
        self.send_raw(&message.encode(self.version));
        message.packet_id.unwrap_or(0)
    }

    /// Publishes with the whole handshake and returns the reason code of PUBACK or PUBREC.
    pub fn publish(&mut self, message: Message) -> ReasonCode {
        let qos = message.qos;
        let packet_id = self.send(message);
        match qos {
            0 => ReasonCode::Success,
            1 => self.expect_ack(AckKind::Puback, packet_id),
            _ => {
                let reason = self.expect_ack(AckKind::Pubrec, packet_id);
                if !reason.is_error() {
                    self.ack(AckKind::Pubrel, packet_id);
                    assert_eq!(self.expect_ack(AckKind::Pubcomp, packet_id), ReasonCode::Success);
                }
                reason
            }
        }
    }

    /// Publishes many messages with the whole handshake, `window` of them at a time.
    pub fn publish_all(&mut self, messages: impl IntoIterator<Item = Message>, window: usize) {
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let batch: Vec<(u8, u16)> =
                messages.by_ref().take(window).map(|message| (message.qos, self.send(message))).collect();
            for &(qos, packet_id) in &batch {
                match qos {
                    0 => {}
                    1 => assert!(!self.expect_ack(AckKind::Puback, packet_id).is_error()),
                    _ => {
                        assert!(!self.expect_ack(AckKind::Pubrec, packet_id).is_error());
                        self.ack(AckKind::Pubrel, packet_id);
                    }
                }
            }
            for &(_, packet_id) in batch.iter().filter(|(qos, _)| *qos == 2) {
                self.expect_ack(AckKind::Pubcomp, packet_id);
            }
        }
    }

    /// Sends an acknowledgement with reason Success.
    pub fn ack(&mut self, kind: AckKind, packet_id: u16) {
        let flags = if kind == AckKind::Pubrel { 2 } else { 0 };
        self.send_raw(&wire::frame((kind as u8) << 4 | flags, &packet_id.to_be_bytes()));
    }

    /// Sends an acknowledgement with a reason code (5.0).
    pub fn ack_with(&mut self, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let flags = if kind == AckKind::Pubrel { 2 } else { 0 };
        let [high, low] = packet_id.to_be_bytes();
        self.send_raw(&wire::frame((kind as u8) << 4 | flags, &[high, low, reason.as_u8()]));
    }

    /// Waits for an acknowledgement with this identifier and returns its reason code.
    pub fn expect_ack(&mut self, kind: AckKind, packet_id: u16) -> ReasonCode {
        self.wait_for(&format!("{kind:?} {packet_id}"), |packet| match packet {
            Packet::Ack { kind: k, packet_id: id, reason, .. } if (*k, *id) == (kind, packet_id) => {
                Some(*reason)
            }
            _ => None,
        })
    }

    /// Sends SUBSCRIBE without waiting for the answer. Returns the packet identifier.
    pub fn send_subscribe(&mut self, filters: &[(&str, u8)], properties: &[Property]) -> u16 {
        let packet_id = self.next_packet_id();
        let mut body = packet_id.to_be_bytes().to_vec();
        if self.version == ProtocolVersion::V5 {
            property::write_all(&mut body, properties);
        }
        for (filter, options) in filters {
            wire::string(&mut body, filter);
            body.push(*options);
        }
        self.send_raw(&wire::frame(0x82, &body));
        packet_id
    }

    /// Waits for the SUBACK with this identifier and returns its codes.
    pub fn expect_suback(&mut self, id: u16) -> Vec<u8> {
        self.wait_for("SUBACK", |packet| match packet {
            Packet::Suback { packet_id, codes, .. } if *packet_id == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// Subscribes to filters with their options and returns the codes.
    pub fn subscribe_all(&mut self, filters: &[(&str, u8)], properties: &[Property]) -> Vec<u8> {
        let id = self.send_subscribe(filters, properties);
        let codes = self.expect_suback(id);
        assert_eq!(codes.len(), filters.len(), "one code for each filter");
        codes
    }

    /// Subscribes to one filter and expects the QoS asked for.
    pub fn subscribe(&mut self, filter: &str, options: u8) {
        assert_eq!(self.subscribe_all(&[(filter, options)], &[]), [options & 3], "{filter}");
    }

    /// Subscribes to one filter with a subscription identifier.
    pub fn subscribe_id(&mut self, filter: &str, options: u8, id: u32) {
        let codes = self.subscribe_all(&[(filter, options)], &[Property::SubscriptionId(id)]);
        assert_eq!(codes, [options & 3], "{filter}");
    }

    /// Unsubscribes and returns the codes, none in 3.x.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let id = self.next_packet_id();
        let mut body = id.to_be_bytes().to_vec();
        if self.version == ProtocolVersion::V5 {
            body.push(0);
        }
        filters.iter().for_each(|filter| wire::string(&mut body, filter));
        self.send_raw(&wire::frame(0xA2, &body));
        self.wait_for("UNSUBACK", |packet| match packet {
            Packet::Unsuback { packet_id, codes, .. } if *packet_id == id => Some(codes.clone()),
            _ => None,
        })
    }

    /// The next packet must be a PUBLISH; it is not acknowledged.
    pub fn receive_unacked(&mut self) -> Message {
        match self.expect_packet() {
            Packet::Publish(message) => message,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The next packet must be a PUBLISH; it is acknowledged with the whole handshake.
    pub fn receive(&mut self) -> Message {
        let message = self.receive_unacked();
        self.acknowledge(&message);
        message
    }

    /// Acknowledges a received message with the whole handshake.
    pub fn acknowledge(&mut self, message: &Message) {
        match message.qos {
            0 => {}
            1 => self.ack(AckKind::Puback, message.packet_id()),
            _ => {
                self.ack(AckKind::Pubrec, message.packet_id());
                assert_eq!(self.expect_ack(AckKind::Pubrel, message.packet_id()), ReasonCode::Success);
                self.ack(AckKind::Pubcomp, message.packet_id());
            }
        }
    }

    /// The next messages must have these payloads, in this order.
    pub fn expect_texts<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        for text in texts {
            let message = self.receive();
            assert_eq!(message.text(), text.as_ref(), "{message:?}");
        }
    }

    /// A message if one comes within this time, acknowledged.
    pub fn try_receive(&mut self, within: Duration) -> Option<Message> {
        match self.poll(within) {
            Event::Packet(Packet::Publish(message)) => {
                self.acknowledge(&message);
                Some(message)
            }
            Event::Silence => None,
            other => panic!("expected PUBLISH or silence, got {other:?}"),
        }
    }

    /// Ends the connection with a normal DISCONNECT and waits for the broker's close.
    pub fn disconnect(mut self) {
        self.send_raw(&[0xE0, 0]);
        self.read_until_closed();
    }

    /// Sends DISCONNECT with a reason code and properties (5.0), and stays.
    pub fn send_disconnect(&mut self, reason: ReasonCode, properties: &[Property]) {
        let mut body = vec![reason.as_u8()];
        property::write_all(&mut body, properties);
        self.send_raw(&wire::frame(0xE0, &body));
    }

    /// Ends the connection without DISCONNECT and waits until the broker has seen it.
    pub fn vanish(mut self) {
        self.stream.socket().shutdown(Shutdown::Write).expect("an open socket");
        self.read_until_closed();
    }

    /// As [`Client::vanish`], also if the broker has reset the connection meanwhile.
    pub fn vanish_quietly(mut self) {
        let _ = self.stream.socket().shutdown(Shutdown::Write);
        self.read_until_closed();
    }
}

/// Has every client hear every other at every level, and ends them.
pub fn exchange(mut clients: Vec<Client>) {
    clients.iter_mut().for_each(|client| client.subscribe("all/#", 2));
    for publisher in 0..clients.len() {
        for qos in 0..=2 {
            let text = format!("{publisher} {qos}");
            clients[publisher].publish(message("all/a", text.clone()).qos(qos));
            clients.iter_mut().for_each(|client| client.expect_texts([&text]));
        }
    }
    clients.iter_mut().for_each(Client::ping);
    clients.into_iter().for_each(Client::disconnect);
}
