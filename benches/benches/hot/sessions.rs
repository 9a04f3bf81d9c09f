//! A session's work for one message: to the client and from it, at each QoS, in 3.1.1 and 5.0, with every acknowledgement
//! of the exchange. Packets are already decoded, except that deliveries are encoded into the outbox, which is written
//! after every sixteenth message.

use crate::outbox::write;
use crate::subject::Subject;
use ringmq_core::codec::{
    Ack, AckKind, Connect, ConnectProperties, PacketId, ProtocolVersion, Publish, PublishProperties, QoS,
};
use ringmq_core::config::MqttConfig;
use ringmq_core::metrics::Tally;
use ringmq_core::publication::{LazyPublication, Origin, PublicationRef};
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::{Cx, Delivered, Delivery, Inbound, Outbox, Routed, Session, TemplateCache, Terms};
use ringmq_core::time::Timestamp;
use std::hint::black_box;

/// Messages between two writes of the outbox.
const BATCH: usize = 16;
const HIGH_WATERMARK: usize = 1 << 16;
const TOPIC: &str = "site/12/device/3456/temperature";
const PAYLOAD: &[u8] = &[b'.'; 64];
const LEVELS: [(QoS, &str); 3] =
    [(QoS::AtMostOnce, "qos0"), (QoS::AtLeastOnce, "qos1"), (QoS::ExactlyOnce, "qos2")];
const VERSIONS: [(ProtocolVersion, &str); 2] =
    [(ProtocolVersion::V311, "3.1.1"), (ProtocolVersion::V5, "5.0")];

/// Out and in at each QoS, then what differs from the common case.
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (version, version_name) in VERSIONS {
        for (qos, name) in LEVELS {
            subjects.push(deliver(version, qos, false, format!("session/out_{name}/{version_name}")));
        }
        for (qos, name) in LEVELS {
            subjects.push(publish(version, qos, format!("session/in_{name}/{version_name}")));
        }
    }
    let (version, version_name) = VERSIONS[1];
    for (qos, name) in LEVELS {
        // Another receiver of a message that was encoded before.
        subjects.push(deliver(version, qos, true, format!("session/out_{name}_again/{version_name}")));
    }
    subjects.push(deliver_aliased(format!("session/out_qos0_alias/{version_name}")));
    subjects.push(queue(format!("session/queue_and_pump_qos1/{version_name}")));
    subjects
}

/// A session with its connection, and what its shard lends it.
struct Desk {
    config: MqttConfig,
    tally: Tally,
    templates: TemplateCache,
    session: Session,
    out: Outbox,
    /// The identifier the session gave out last: it counts up and leaves 0 out.
    last_id: u16,
    since_write: usize,
}

macro_rules! cx {
    ($desk:expr) => {
        Cx {
            now: Timestamp::from_ms(1_000_000),
            config: &$desk.config,
            tally: &mut $desk.tally,
            memory: &mut ringmq_core::session::Forgetful,
        }
    };
}

impl Desk {
    fn new(version: ProtocolVersion, topic_alias_maximum: u16) -> Desk {
        let config = MqttConfig { max_inflight: 64, ..MqttConfig::default() };
        let connect = Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive_s: 60,
            client_id: "client".into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties { topic_alias_maximum, ..ConnectProperties::default() },
        };
        let mut session = Session::new("client".into());
        session.attach(Terms::negotiate(&connect, &config), None);
        Desk {
            config,
            tally: Tally::default(),
            templates: TemplateCache::default(),
            session,
            out: Outbox::new(HIGH_WATERMARK),
            last_id: 0,
            since_write: 0,
        }
    }

    fn deliver(&mut self, qos: QoS) {
        let message = LazyPublication::borrowed(publication(qos));
        let delivery = Delivery { message: &message, qos, retain: false, subscription_ids: &[], share: None };
        let (templates, out) = (&mut self.templates, Some(&mut self.out));
        let delivered = self.session.handle_delivery(black_box(delivery), templates, &mut cx!(self), out);
        assert_eq!(delivered, Delivered::Sent);
    }

    /// The client acknowledges the oldest message that it did not acknowledge.
    fn acknowledge(&mut self, qos: QoS) {
        if qos == QoS::AtMostOnce {
            return;
        }
        self.last_id = if self.last_id == u16::MAX { 1 } else { self.last_id + 1 };
        let Some(packet_id) = PacketId::new(self.last_id) else { return };
        let ack = |kind| black_box(Ack::new(kind, packet_id, ReasonCode::Success));
        if qos == QoS::AtLeastOnce {
            self.session.handle_puback(&ack(AckKind::Puback), &mut cx!(self), &mut self.out);
        } else {
            self.session.handle_pubrec(&ack(AckKind::Pubrec), &mut cx!(self), &mut self.out);
            self.session.handle_pubcomp(&ack(AckKind::Pubcomp), &mut cx!(self), &mut self.out);
        }
    }

    fn receive(&mut self, publish: &Publish<'_>) {
        let inbound = self.session.handle_publish(black_box(publish), &mut cx!(self));
        assert_eq!(inbound, Ok(Inbound::Route { aliased: None, mounted: None }));
        let origin = Origin { shard: 0, session: 7 };
        black_box(Session::publication(publish, publish.topic, origin, &cx!(self)));
        self.session.handle_routed(publish.acknowledgement(), Routed::Matched, &mut cx!(self), &mut self.out);
        if let (QoS::ExactlyOnce, Some(packet_id)) = (publish.qos, publish.packet_id) {
            let pubrel = black_box(Ack::new(AckKind::Pubrel, packet_id, ReasonCode::Success));
            self.session.handle_pubrel(&pubrel, &mut cx!(self), &mut self.out);
        }
    }

    /// Counts a message; with the last of a batch everything is written, and nothing is left over.
    fn finish(&mut self) {
        self.since_write += 1;
        if self.since_write == BATCH {
            self.since_write = 0;
            assert_eq!((self.session.inflight(), self.session.queued()), (0, 0));
            if !self.out.is_empty() {
                write(&mut self.out);
            }
        }
    }
}

fn publication(qos: QoS) -> PublicationRef<'static> {
    PublicationRef {
        topic: TOPIC,
        properties: &[],
        payload: PAYLOAD,
        qos,
        retain: false,
        expires_at: Timestamp::NEVER,
        origin: Origin::BROKER,
    }
}

/// One message to the client and its acknowledgements; `is_encoded` if another receiver had the same message.
fn deliver(version: ProtocolVersion, qos: QoS, is_encoded: bool, name: String) -> Subject {
    Subject::new(name, move || {
        let mut desk = Desk::new(version, 0);
        move || {
            if !is_encoded {
                desk.templates.clear();
            }
            desk.deliver(qos);
            desk.acknowledge(qos);
            desk.finish();
        }
    })
}

/// The client allows topic aliases and knows this one.
fn deliver_aliased(name: String) -> Subject {
    Subject::new(name, || {
        let mut desk = Desk::new(ProtocolVersion::V5, 10);
        move || {
            desk.templates.clear();
            desk.deliver(QoS::AtMostOnce);
            desk.finish();
        }
    })
}

/// One message from the client, its acknowledgement, and PUBREL at QoS 2.
fn publish(version: ProtocolVersion, qos: QoS, name: String) -> Subject {
    Subject::new(name, move || {
        let mut desk = Desk::new(version, 0);
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic: TOPIC,
            packet_id: if qos == QoS::AtMostOnce { None } else { PacketId::new(9) },
            properties: PublishProperties::default(),
            payload: PAYLOAD,
        };
        move || {
            desk.receive(&publish);
            desk.finish();
        }
    })
}

/// Sixteen messages wait in the queue, then leave it together and are acknowledged; one of them is the operation.
fn queue(name: String) -> Subject {
    Subject::new(name, || {
        let mut desk = Desk::new(ProtocolVersion::V5, 0);
        move || {
            let message = LazyPublication::borrowed(publication(QoS::AtLeastOnce));
            let delivery = Delivery {
                message: &message,
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_ids: &[],
                share: None,
            };
            // Without an outbox, as if the connection were gone.
            let templates = &mut desk.templates;
            let delivered =
                desk.session.handle_delivery(black_box(delivery), templates, &mut cx!(desk), None);
            assert_eq!(delivered, Delivered::Queued);
            if desk.session.queued() == BATCH {
                desk.session.pump(&mut cx!(desk), &mut desk.out);
                (0..BATCH).for_each(|_| desk.acknowledge(QoS::AtLeastOnce));
            }
            let is_pumped = desk.session.queued() == 0;
            desk.since_write = if is_pumped { BATCH - 1 } else { 0 };
            if is_pumped {
                desk.finish();
            }
        }
    })
}
