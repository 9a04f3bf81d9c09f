//! Clients of a simulated life, and subscribers that take QoS 2 exactly once. They are as strict as the specification lets
//! them be, and never wait.

use super::checks::{Checked, Finding, Ledger, name_of};
use super::network::Line;
use super::publisher::Publisher;
use ringmq_core::codec::{
    Ack, AckKind, Connack, Connect, ConnectProperties, Disconnect, Packet, PacketId, ProtocolVersion,
    Publish, QoS, RetainHandling, Subscribe, SubscribeFilter, SubscriptionOptions, decode_frame,
    decode_packet,
};
use ringmq_core::reason::ReasonCode;
use std::collections::BTreeMap;

/// A client: its session's state outlives its connections.
#[derive(Debug)]
pub struct Client {
    pub name: String,
    version: ProtocolVersion,
    receive_maximum: Option<u16>,
    /// It keeps no session.
    is_clean: bool,
    pub line: Option<Line>,
    /// CONNACK came on this connection.
    pub is_ready: bool,
    /// CONNACK came on some connection: the broker answers for the session.
    is_known: bool,
    inbox: Vec<u8>,
    pub role: Role,
    /// What it was sent, in words, if anybody wants to know.
    pub told: Option<Vec<String>>,
}

/// What a client does.
#[derive(Debug)]
pub enum Role {
    Publisher(Publisher),
    Subscriber(Subscriber),
}

/// A subscriber.
#[derive(Debug)]
pub struct Subscriber {
    /// Which reader, in the ledger.
    index: usize,
    /// QoS 2 messages that came and are not released.
    taken: BTreeMap<PacketId, Vec<u8>>,
}

const SUBSCRIBE_ID: u16 = 7;

/// The broker may refuse: a log has failed.
#[derive(Debug, Clone, Copy)]
pub struct Leniency(pub bool);

/// A promise that was not kept.
pub fn finding(text: String) -> Checked {
    Err(Finding(text))
}

/// Writes a packet.
pub fn encode(packet: &Packet<'_>, version: ProtocolVersion, out: &mut Vec<u8>) {
    packet.encode(version, out).expect("every packet here can be written");
}

impl Client {
    /// A publisher of the ledger's messages with this index.
    pub fn publisher(index: usize, version: ProtocolVersion, window: usize) -> Client {
        let role = Role::Publisher(Publisher::new(index, window));
        Client::new(format!("publisher-{index}"), version, None, role)
    }

    /// A subscriber that is the ledger's reader with this index.
    pub fn subscriber(index: usize, version: ProtocolVersion, receive_maximum: u16) -> Client {
        let role = Subscriber { index, taken: BTreeMap::new() };
        Client::new(format!("subscriber-{index}"), version, Some(receive_maximum), Role::Subscriber(role))
    }

    fn new(name: String, version: ProtocolVersion, receive_maximum: Option<u16>, role: Role) -> Client {
        Client {
            name,
            version,
            receive_maximum,
            is_clean: false,
            line: None,
            is_ready: false,
            is_known: false,
            inbox: Vec::new(),
            role,
            told: None,
        }
    }

    /// Has it keep no session.
    pub fn clean(mut self) -> Client {
        self.is_clean = true;
        self
    }

    /// A connection begins; what is to be written first.
    pub fn connect(&mut self, line: Line) -> Vec<u8> {
        (self.line, self.is_ready) = (Some(line), false);
        self.inbox.clear();
        let mut properties = ConnectProperties::default();
        if self.version == ProtocolVersion::V5 {
            properties.session_expiry_interval_s = (!self.is_clean).then_some(u32::MAX);
            properties.receive_maximum = self.receive_maximum;
        }
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: self.is_clean,
            keep_alive_s: 0,
            client_id: self.name.as_str().into(),
            will: None,
            user_name: None,
            password: None,
            properties,
        };
        let mut out = Vec::new();
        encode(&Packet::Connect(Box::new(connect)), self.version, &mut out);
        out
    }

    /// The connection is over; its line.
    pub fn disconnect(&mut self) -> Option<Line> {
        self.is_ready = false;
        self.inbox.clear();
        self.line.take()
    }

    /// What is written before an orderly end.
    pub fn goodbye(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)), self.version, &mut out);
        out
    }

    /// Whether it has done everything.
    pub fn is_done(&self, ledger: &Ledger) -> bool {
        match &self.role {
            Role::Publisher(publisher) => publisher.is_done(ledger),
            Role::Subscriber(subscriber) => {
                subscriber.taken.is_empty() && ledger.readers[subscriber.index].is_subscribed
            }
        }
    }

    /// Bytes came; what is to be written, and whether the connection goes on.
    ///
    /// # Errors
    /// The broker broke a promise.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        leniency: Leniency,
        ledger: &mut Ledger,
    ) -> Result<(Vec<u8>, bool), Finding> {
        self.inbox.extend_from_slice(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let (mut out, mut used) = (Vec::new(), 0);
        let malformed = |name: &str| Finding(format!("{name}: bytes that are no packet"));
        while let Some(frame) = decode_frame(&inbox[used..], u32::MAX).map_err(|_| malformed(&self.name))? {
            used += frame.bytes;
            let packet = decode_packet(frame, self.version).map_err(|_| malformed(&self.name))?;
            if let Some(told) = &mut self.told {
                told.push(told_of(&self.name, &packet));
            }
            let handled = self.handle_packet(packet, leniency, ledger, &mut out);
            let goes_on = handled.map_err(|Finding(text)| Finding(format!("{}: {text}", self.name)))?;
            if !goes_on {
                return Ok((out, false));
            }
        }
        self.inbox = inbox[used..].to_vec();
        Ok((out, true))
    }

    fn handle_packet(
        &mut self,
        packet: Packet<'_>,
        Leniency(is_lenient): Leniency,
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Result<bool, Finding> {
        match packet {
            Packet::Connack(connack) => return self.handle_connack(&connack, is_lenient, ledger, out),
            Packet::Disconnect(disconnect) => {
                let is_expected = is_lenient || disconnect.reason == ReasonCode::SessionTakenOver;
                if !is_expected {
                    finding(format!("disconnected with {:?}", disconnect.reason))?;
                }
                return Ok(false);
            }
            _ if !self.is_ready => finding("a packet before CONNACK".to_owned())?,
            _ => {}
        }
        let version = self.version;
        match (&mut self.role, packet) {
            (Role::Publisher(publisher), Packet::Ack(ack)) => {
                publisher.handle_ack(&ack, is_lenient, version, ledger, out)?;
            }
            (Role::Subscriber(subscriber), Packet::Ack(ack)) if ack.kind == AckKind::Pubrel => {
                subscriber.taken.remove(&ack.packet_id);
                let answer = Ack::new(AckKind::Pubcomp, ack.packet_id, ReasonCode::Success);
                encode(&Packet::Ack(answer), version, out);
            }
            (Role::Subscriber(subscriber), Packet::Publish(publish)) => {
                subscriber.handle_publish(&publish, version, ledger, out)?;
            }
            (Role::Subscriber(subscriber), Packet::Suback(suback)) => {
                let qos = ledger.readers[subscriber.index].qos as u8;
                let is_granted = suback.reasons.iter().all(|reason| reason.as_u8() == qos);
                if !is_granted && !is_lenient {
                    finding(format!("SUBACK {:?}", suback.reasons))?;
                }
                ledger.readers[subscriber.index].is_subscribed |= is_granted;
                return Ok(is_granted);
            }
            (_, packet) => finding(format!("unexpected {packet:?}"))?,
        }
        Ok(true)
    }

    fn handle_connack(
        &mut self,
        connack: &Connack,
        is_lenient: bool,
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Result<bool, Finding> {
        if connack.reason != ReasonCode::Success {
            if !is_lenient {
                finding(format!("refused with {:?}", connack.reason))?;
            }
            return Ok(false);
        }
        if self.is_ready || (self.is_known && !self.is_clean && !connack.session_present) {
            finding("the session is gone, or a second CONNACK".to_owned())?;
        }
        (self.is_ready, self.is_known) = (true, true);
        match &mut self.role {
            Role::Publisher(publisher) => publisher.resend(self.version, ledger, out),
            Role::Subscriber(subscriber) => {
                let reader = &ledger.readers[subscriber.index];
                if !reader.is_subscribed {
                    subscribe(&reader.filters, reader.qos, self.version, out);
                }
            }
        }
        Ok(true)
    }

    /// A publisher sends its next message, if it may.
    pub fn publish(&mut self, ledger: &mut Ledger) -> Option<Vec<u8>> {
        match &mut self.role {
            Role::Publisher(publisher) if self.is_ready => publisher.publish(self.version, ledger),
            _ => None,
        }
    }
}

fn subscribe(filters: &[&str], qos: QoS, version: ProtocolVersion, out: &mut Vec<u8>) {
    let options =
        SubscriptionOptions { qos, retain_handling: RetainHandling::Send, ..SubscriptionOptions::default() };
    let filters = filters.iter().map(|filter| SubscribeFilter { filter: (*filter).into(), options });
    let subscribe = Subscribe {
        packet_id: PacketId::new(SUBSCRIBE_ID).expect("not 0"),
        subscription_id: None,
        filters: filters.collect(),
        user_properties: Vec::new(),
    };
    encode(&Packet::Subscribe(subscribe), version, out);
}

fn told_of(client: &str, packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let Publish { dup, qos, retain, topic, packet_id, payload, .. } = publish;
            format!(
                "{client}: {packet_id:?} dup {dup} retain {retain} {qos:?} {topic} {:?}",
                name_of(payload)
            )
        }
        packet => format!("{client}: {packet:?}"),
    }
}

impl Subscriber {
    fn handle_publish(
        &mut self,
        publish: &Publish<'_>,
        version: ProtocolVersion,
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> Checked {
        let Some((kind, packet_id)) = publish.acknowledgement() else {
            return finding(format!("QoS 0: {publish:?}"));
        };
        if let Some(taken) = self.taken.get(&packet_id).filter(|_| kind == AckKind::Pubrec) {
            if !publish.dup || *taken != publish.payload {
                return finding(format!("{packet_id:?} is used again before it was released"));
            }
        } else {
            ledger.receive(self.index, publish.payload, publish.topic, publish.qos, publish.retain)?;
            if kind == AckKind::Pubrec {
                self.taken.insert(packet_id, publish.payload.to_vec());
            }
        }
        encode(&Packet::Ack(Ack::new(kind, packet_id, ReasonCode::Success)), version, out);
        Ok(())
    }
}
