//! The session, packet by packet, as its client sees it.

mod aliases;
mod bodies;
mod delivery;
mod mountpoints;
mod packet_bounds;
mod parting;
mod publishing;
mod resending;
mod subscribing;
mod templates;
mod terms;

use super::*;
use crate::codec::*;
use crate::config::{ByteSize, Duration, Limit, QueueFullPolicy};
use crate::metrics::Metric;
use crate::publication::{LazyPublication, Origin, PublicationRef};
use crate::reason::ReasonCode;
use ProtocolVersion::{V5, V31, V311};
use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

const ALL: [ProtocolVersion; 3] = [V31, V311, V5];
const NOBODY: Origin = Origin { shard: 0, session: 99 };

/// A session, and what a shard has beside it.
struct Rig {
    session: Session,
    config: MqttConfig,
    tally: Tally,
    now: Timestamp,
    templates: TemplateCache,
    out: Outbox,
    terms: Terms,
}

impl Rig {
    /// A session without connection.
    fn offline(config: MqttConfig) -> Rig {
        let terms = Terms::negotiate(&connect(V5), &config);
        Rig {
            session: Session::new("client".into()),
            config,
            tally: Tally::default(),
            now: Timestamp::from_ms(1_000_000),
            templates: TemplateCache::default(),
            out: Outbox::new(1 << 20),
            terms,
        }
    }

    /// A session that is connected and outlives its connection.
    fn connected(version: ProtocolVersion) -> Rig {
        let mut rig = Rig::offline(MqttConfig::default());
        rig.connect(&connect(version));
        rig
    }

    /// A connection of the client, with an empty outbox.
    fn connect(&mut self, connect: &Connect) {
        self.terms = Terms::negotiate(connect, &self.config);
        self.out = Outbox::new(1 << 20);
        self.session.attach(self.terms.clone(), connect.will.clone());
        self.pump();
    }

    fn reconnect(&mut self, connect: &Connect) {
        self.session.handle_closed(CloseCause::Lost);
        self.connect(connect);
    }

    fn pump(&mut self) {
        let mut cx =
            Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        self.session.pump(&mut cx, &mut self.out);
    }

    /// Delivers a message with this payload on the topic `t`.
    fn deliver(&mut self, qos: QoS, payload: &str) -> Delivered {
        self.deliver_with("t", qos, payload, |_| ())
    }

    fn deliver_with(
        &mut self,
        topic: &str,
        qos: QoS,
        payload: &str,
        change: impl FnOnce(&mut PublicationRef<'_>),
    ) -> Delivered {
        let mut view = message(topic, payload);
        change(&mut view);
        self.deliver_view(view, qos, None)
    }

    /// Delivers a message through the shared subscription with this tag.
    fn deliver_shared(&mut self, qos: QoS, payload: &str, share: ShareTag) -> Delivered {
        self.deliver_view(message("t", payload), qos, Some(share))
    }

    fn deliver_view(&mut self, view: PublicationRef<'_>, qos: QoS, share: Option<ShareTag>) -> Delivered {
        let message = LazyPublication::borrowed(view);
        let delivery = Delivery { message: &message, qos, retain: false, subscription_ids: &[], share };
        self.templates.clear();
        let out = if self.session.is_online() { Some(&mut self.out) } else { None };
        let mut cx =
            Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        self.session.handle_delivery(delivery, &mut self.templates, &mut cx, out)
    }

    /// The client acknowledges successfully.
    fn ack(&mut self, kind: AckKind, packet_id: u16) {
        self.answer(kind, packet_id, ReasonCode::Success);
    }

    fn answer(&mut self, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let ack = Ack::new(kind, id(packet_id), reason);
        let mut cx =
            Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        let out = &mut self.out;
        match kind {
            AckKind::Puback => self.session.handle_puback(&ack, &mut cx, out),
            AckKind::Pubrec => self.session.handle_pubrec(&ack, &mut cx, out),
            AckKind::Pubrel => self.session.handle_pubrel(&ack, &mut cx, out),
            AckKind::Pubcomp => self.session.handle_pubcomp(&ack, &mut cx, out),
        }
    }

    /// The client publishes; whether the broker is to route it. It is acknowledged.
    fn publish(&mut self, publish: &Publish<'_>) -> Result<Inbound, Violation> {
        let mut cx =
            Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        let inbound = self.session.handle_publish(publish, &mut cx)?;
        let routed = if let Inbound::Answer(routed) = inbound { routed } else { Routed::Matched };
        self.session.handle_routed(publish.acknowledgement(), routed, &mut cx, &mut self.out);
        Ok(inbound)
    }

    fn subscribe(
        &mut self,
        filters: &[(&str, SubscriptionOptions)],
    ) -> Result<Vec<FilterVerdict>, Violation> {
        let filters = filters
            .iter()
            .map(|(filter, options)| SubscribeFilter { filter: (*filter).into(), options: *options })
            .collect();
        let subscribe =
            Subscribe { packet_id: id(1), subscription_id: None, user_properties: Vec::new(), filters };
        let mut cx =
            Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        self.session.handle_subscribe(subscribe, &[], &mut cx)
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> Result<CloseCause, Violation> {
        let cx = Cx { now: self.now, config: &self.config, tally: &mut self.tally, memory: &mut Forgetful };
        self.session.handle_disconnect(disconnect, &cx)
    }

    /// What was sent since the last call, one line a packet.
    fn sent(&mut self) -> Vec<String> {
        let version = self.terms.version;
        let bytes = self.out.take(0);
        self.out.sent();
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        while let Some(frame) =
            decode_frame(rest, self.terms.packet_bytes_max).expect("frames that are allowed")
        {
            lines.push(line(&decode_packet(frame, version).expect("decodable packets")));
            rest = &rest[frame.bytes..];
        }
        assert!(rest.is_empty(), "whole packets");
        lines
    }

    fn count(&self, metric: Metric) -> u64 {
        self.tally.count(metric)
    }
}

/// CONNECT of a session that outlives the connection.
fn connect(version: ProtocolVersion) -> Connect {
    let mut properties = ConnectProperties::default();
    if version == V5 {
        properties.session_expiry_interval_s = Some(3600);
    }
    Connect {
        version,
        bridge: false,
        clean_start: false,
        keep_alive_s: 60,
        client_id: "client".into(),
        will: None,
        user_name: None,
        password: None,
        properties,
    }
}

fn connect_with(change: impl FnOnce(&mut ConnectProperties)) -> Connect {
    let mut connect = connect(V5);
    change(&mut connect.properties);
    connect
}

fn message<'a>(topic: &'a str, payload: &'a str) -> PublicationRef<'a> {
    PublicationRef {
        topic,
        properties: &[],
        payload: payload.as_bytes(),
        qos: ExactlyOnce,
        retain: false,
        expires_at: Timestamp::NEVER,
        origin: NOBODY,
    }
}

/// A PUBLISH from the client.
fn publish(qos: QoS, packet_id: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "t",
        packet_id: PacketId::new(packet_id).filter(|_| qos > AtMostOnce),
        properties: PublishProperties::default(),
        payload: b"x",
    }
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("not 0")
}

/// A packet in short: `PUBLISH q1 #7 DUP topic=payload`.
fn line(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let mut line = format!("PUBLISH q{}", publish.qos as u8);
            if let Some(packet_id) = publish.packet_id {
                line += &format!(" #{}", packet_id.as_u16());
            }
            line += if publish.dup { " DUP" } else { "" };
            line += &format!(" {}={}", publish.topic, String::from_utf8_lossy(publish.payload));
            if let Some(alias) = publish.properties.topic_alias {
                line += &format!(" alias {alias}");
            }
            if let Some(expiry_s) = publish.properties.message_expiry_interval_s {
                line += &format!(" expiry {expiry_s}");
            }
            line
        }
        Packet::Ack(ack) => {
            let name = format!("{:?}", ack.kind).to_uppercase();
            let reason = ack.reason.as_u8();
            let reason = if reason == 0 { String::new() } else { format!(" {reason:#04x}") };
            format!("{name} #{}{reason}", ack.packet_id.as_u16())
        }
        other => format!("{:?}", other.packet_type()).to_uppercase(),
    }
}
