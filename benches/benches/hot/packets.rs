//! Every packet decoded and encoded, in 3.1.1 and 5.0, with the fields that clients and broker commonly send. Bytes go
//! through `decode_frame` and `decode_packet` as a connection's do.

use crate::subject::Subject;
use ringmq_core::codec::{
    Ack, AckKind, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Disconnect, ForwardProperty,
    Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, RetainHandling, Suback, Subscribe,
    SubscribeFilter, SubscriptionOptions, Unsuback, Unsubscribe, Will, decode_frame, decode_packet,
};
use ringmq_core::reason::ReasonCode;
use std::borrow::Cow;
use std::hint::black_box;

/// What makes a packet for a version.
type Make = fn(ProtocolVersion) -> Packet<'static>;

const TOPIC: &str = "site/12/device/3456/temperature";
const FILTERS: [&str; 4] =
    ["site/12/device/3456/temperature", "site/+/alarm", "site/12/#", "$share/g/job/+/done"];
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// Name, maker, and whether 3.1.1 has the packet.
const PACKETS: [(&str, Make, bool); 15] = [
    ("connect", connect, true),
    ("connack", connack, true),
    ("publish_qos0", publish_qos0, true),
    ("publish_qos1", publish_qos1, true),
    ("publish_properties", publish_properties, false),
    ("puback", puback, true),
    ("pubrel", pubrel, true),
    ("subscribe", subscribe, true),
    ("suback", suback, true),
    ("unsubscribe", unsubscribe, true),
    ("unsuback", unsuback, true),
    ("pingreq", pingreq, true),
    ("disconnect", disconnect, true),
    ("disconnect_reason", disconnect_reason, false),
    ("auth", auth, false),
];

/// Decoding, then encoding, of all packets.
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for direction in [decode, encode] {
        for (name, make, is_old) in PACKETS {
            if is_old {
                subjects.push(direction(name, make, ProtocolVersion::V311));
            }
            subjects.push(direction(name, make, ProtocolVersion::V5));
        }
    }
    subjects
}

fn to_text(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V31 => "3.1",
        ProtocolVersion::V311 => "3.1.1",
        ProtocolVersion::V5 => "5.0",
    }
}

fn decode(name: &str, make: Make, version: ProtocolVersion) -> Subject {
    Subject::new(format!("decode/{name}/{}", to_text(version)), move || {
        let packet = make(version);
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).expect("the packets of this file can be written");
        let again = decode_frame(&bytes, PACKET_BYTES_MAX).ok().flatten();
        let again = again.and_then(|frame| decode_packet(frame, version).ok());
        assert_eq!(again, Some(packet), "what is measured is decoded");
        move || {
            let frame = decode_frame(black_box(&bytes), PACKET_BYTES_MAX);
            if let Ok(Some(frame)) = frame {
                let _packet = black_box(decode_packet(frame, version));
            }
        }
    })
}

fn encode(name: &str, make: Make, version: ProtocolVersion) -> Subject {
    Subject::new(format!("encode/{name}/{}", to_text(version)), move || {
        let packet = make(version);
        let mut out = Vec::new();
        move || {
            out.clear();
            let written = black_box(&packet).encode(version, &mut out);
            assert!(written.is_ok());
            black_box(&out);
        }
    })
}

fn packet_id() -> PacketId {
    PacketId::new(0x1234).expect("not 0")
}

fn connect(version: ProtocolVersion) -> Packet<'static> {
    let is_v5 = version == ProtocolVersion::V5;
    let properties = ConnectProperties {
        session_expiry_interval_s: Some(3600),
        receive_maximum: Some(100),
        topic_alias_maximum: 10,
        ..ConnectProperties::default()
    };
    let will = Will {
        topic: "site/12/device/3456/gone".into(),
        payload: b"offline".as_slice().into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_interval_s: if is_v5 { 30 } else { 0 },
        message_expiry_interval_s: None,
        forward: Box::default(),
    };
    Packet::Connect(Box::new(Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        client_id: "device-3456".into(),
        will: Some(Box::new(will)),
        user_name: Some("device".into()),
        password: Some(b"a password".as_slice().into()),
        properties: if is_v5 { properties } else { ConnectProperties::default() },
    }))
}

fn connack(version: ProtocolVersion) -> Packet<'static> {
    let mut properties = ConnackProperties::default();
    if version == ProtocolVersion::V5 {
        properties.receive_maximum = Some(100);
        properties.maximum_packet_size = Some(PACKET_BYTES_MAX);
        properties.topic_alias_maximum = 65_535;
    }
    Packet::Connack(Box::new(Connack { session_present: false, reason: ReasonCode::Success, properties }))
}

fn publish(qos: QoS, properties: PublishProperties<'static>) -> Packet<'static> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        packet_id: (qos != QoS::AtMostOnce).then(packet_id),
        properties,
        payload: &[b'.'; 64],
    })
}

fn publish_qos0(_version: ProtocolVersion) -> Packet<'static> {
    publish(QoS::AtMostOnce, PublishProperties::default())
}

fn publish_qos1(_version: ProtocolVersion) -> Packet<'static> {
    publish(QoS::AtLeastOnce, PublishProperties::default())
}

fn publish_properties(_version: ProtocolVersion) -> Packet<'static> {
    let listed = [
        ForwardProperty::PayloadFormatIndicator(1),
        ForwardProperty::ContentType("text/plain"),
        ForwardProperty::ResponseTopic("site/12/answer"),
        ForwardProperty::CorrelationData(b"0123456789abcdef"),
        ForwardProperty::UserProperty("trace", "00-4bf92f3577b34da6"),
    ];
    let mut forward = Vec::new();
    for property in listed {
        property.encode(&mut forward).expect("short fields");
    }
    publish(
        QoS::AtMostOnce,
        PublishProperties {
            message_expiry_interval_s: Some(60),
            forward: Cow::Owned(forward),
            ..PublishProperties::default()
        },
    )
}

fn puback(version: ProtocolVersion) -> Packet<'static> {
    let is_v5 = version == ProtocolVersion::V5;
    let reason = if is_v5 { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
    Packet::Ack(Ack::new(AckKind::Puback, packet_id(), reason))
}

fn pubrel(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Ack(Ack::new(AckKind::Pubrel, packet_id(), ReasonCode::Success))
}

fn subscribe(version: ProtocolVersion) -> Packet<'static> {
    let is_v5 = version == ProtocolVersion::V5;
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        retain_handling: if is_v5 { RetainHandling::SendIfNew } else { RetainHandling::Send },
        ..SubscriptionOptions::default()
    };
    let filters = FILTERS.map(|filter| SubscribeFilter { filter: filter.into(), options });
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(),
        subscription_id: is_v5.then_some(7),
        filters: filters.into(),
        user_properties: Vec::new(),
    })
}

fn suback(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Suback(Suback {
        packet_id: packet_id(),
        reasons: vec![ReasonCode::GrantedQos1; FILTERS.len()],
        reason_string: None,
        user_properties: Vec::new(),
    })
}

fn unsubscribe(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(),
        filters: FILTERS.map(Into::into).into(),
        user_properties: Vec::new(),
    })
}

fn unsuback(version: ProtocolVersion) -> Packet<'static> {
    let is_v5 = version == ProtocolVersion::V5;
    Packet::Unsuback(Unsuback {
        packet_id: packet_id(),
        // Before 5.0 it carries no reasons.
        reasons: if is_v5 { vec![ReasonCode::Success; FILTERS.len()] } else { Vec::new() },
        reason_string: None,
        user_properties: Vec::new(),
    })
}

fn pingreq(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Pingreq
}

fn disconnect(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Disconnect(Disconnect::new(ReasonCode::Success))
}

fn disconnect_reason(_version: ProtocolVersion) -> Packet<'static> {
    let mut disconnect = Disconnect::new(ReasonCode::DisconnectWithWill);
    disconnect.session_expiry_interval_s = Some(60);
    Packet::Disconnect(disconnect)
}

fn auth(_version: ProtocolVersion) -> Packet<'static> {
    Packet::Auth(Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: Some("SCRAM-SHA-256".into()),
        data: Some([b'.'; 64].as_slice().into()),
        reason_string: None,
        user_properties: Vec::new(),
    })
}
