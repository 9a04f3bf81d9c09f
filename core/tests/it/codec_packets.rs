//! Strategies for packets that the wire format can carry, for property tests.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringmq_core::codec::*;
use ringmq_core::reason::ReasonCode;
use std::borrow::Cow;
use std::num::NonZeroU16;

/// The fields of a PUBLISH, owned: a [`Publish`] borrows from what a strategy would drop.
#[derive(Debug, Clone)]
pub struct OwnedPublish {
    dup: bool,
    qos: QoS,
    retain: bool,
    topic: String,
    packet_id: PacketId,
    topic_alias: Option<NonZeroU16>,
    message_expiry_interval_s: Option<u32>,
    subscription_ids: Vec<u32>,
    forward: Vec<u8>,
    payload: Vec<u8>,
}

impl OwnedPublish {
    /// The packet as a peer of `version` sees it.
    pub fn packet(&self, version: ProtocolVersion) -> Packet<'_> {
        let is_v5 = version == ProtocolVersion::V5;
        let properties = PublishProperties {
            topic_alias: self.topic_alias,
            message_expiry_interval_s: self.message_expiry_interval_s,
            subscription_ids: self.subscription_ids.iter().copied().collect(),
            forward: Cow::Borrowed(&self.forward),
        };
        Packet::Publish(Publish {
            dup: self.dup && self.qos != QoS::AtMostOnce,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: (self.qos != QoS::AtMostOnce).then_some(self.packet_id),
            properties: if is_v5 { properties } else { PublishProperties::default() },
            payload: &self.payload,
        })
    }
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[^\\x00]{0,12}".prop_map(String::into_boxed_str)
}

fn topic() -> impl Strategy<Value = String> {
    "[^\\x00+#]{1,12}"
}

fn binary() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn user_properties() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..4)
}

fn qos() -> impl Strategy<Value = QoS> {
    (0u8..3).prop_filter_map("three levels", QoS::from_u8)
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1u16..).prop_filter_map("not 0", PacketId::new)
}

fn reason(codes: &'static [u8]) -> impl Strategy<Value = ReasonCode> {
    prop::sample::select(codes).prop_filter_map("defined", ReasonCode::from_u8)
}

/// Encoded forwardable properties; the payload format indicator is 0, because payloads are arbitrary.
fn forward() -> impl Strategy<Value = Vec<u8>> {
    let fields =
        (any::<bool>(), option::of(text()), option::of(topic()), option::of(binary()), user_properties());
    fields.prop_map(|(format, content_type, response_topic, correlation_data, user_properties)| {
        let mut out = Vec::new();
        let mut put = |property: ForwardProperty<'_>| property.encode(&mut out).expect("short fields");
        // Half of the user properties come first: their place among the others is free.
        let (early, late) = user_properties.split_at(user_properties.len() / 2);
        early.iter().for_each(|(name, value)| put(ForwardProperty::UserProperty(name, value)));
        if format {
            put(ForwardProperty::PayloadFormatIndicator(0));
        }
        if let Some(value) = &content_type {
            put(ForwardProperty::ContentType(value));
        }
        if let Some(value) = &response_topic {
            put(ForwardProperty::ResponseTopic(value));
        }
        if let Some(value) = &correlation_data {
            put(ForwardProperty::CorrelationData(value));
        }
        late.iter().for_each(|(name, value)| put(ForwardProperty::UserProperty(name, value)));
        out
    })
}

/// Any PUBLISH.
pub fn publish() -> impl Strategy<Value = OwnedPublish> {
    let header = (any::<bool>(), qos(), any::<bool>(), topic(), packet_id());
    let properties = (
        option::of((1u16..).prop_filter_map("not 0", NonZeroU16::new)),
        option::of(any::<u32>()),
        vec(1u32..=268_435_455, 0..4),
        forward(),
    );
    (header, properties, vec(any::<u8>(), 0..300)).prop_map(|(header, properties, payload)| {
        let (dup, qos, retain, topic, packet_id) = header;
        let (topic_alias, message_expiry_interval_s, subscription_ids, forward) = properties;
        OwnedPublish {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            topic_alias,
            message_expiry_interval_s,
            subscription_ids,
            forward,
            payload,
        }
    })
}

fn will(is_v5: bool) -> impl Strategy<Value = Box<Will>> {
    let message = (topic(), binary(), qos(), any::<bool>());
    let properties = (any::<u32>(), option::of(any::<u32>()), forward());
    (message, properties).prop_map(move |((topic, payload, qos, retain), (delay, expiry, forward))| {
        Box::new(Will {
            topic: topic.into(),
            payload,
            qos,
            retain,
            delay_interval_s: if is_v5 { delay } else { 0 },
            message_expiry_interval_s: expiry.filter(|_| is_v5),
            forward: if is_v5 { forward.into() } else { Box::default() },
        })
    })
}

fn authentication() -> impl Strategy<Value = (Option<Box<str>>, Option<Bytes>)> {
    option::of((text(), option::of(binary()))).prop_map(|pair| match pair {
        Some((method, data)) => (Some(method), data),
        None => (None, None),
    })
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let limits = (option::of(any::<u32>()), option::of(1u16..), option::of(1u32..), any::<u16>());
    (limits, any::<bool>(), any::<bool>(), authentication(), user_properties()).prop_map(
        |(limits, request_response_information, no_problem_information, authentication, user_properties)| {
            let (session_expiry_interval_s, receive_maximum, maximum_packet_size, topic_alias_maximum) =
                limits;
            ConnectProperties {
                session_expiry_interval_s,
                receive_maximum,
                maximum_packet_size,
                topic_alias_maximum,
                request_response_information,
                no_problem_information,
                authentication_method: authentication.0,
                authentication_data: authentication.1,
                user_properties,
            }
        },
    )
}

fn connect(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    let header = (any::<bool>(), any::<bool>(), any::<u16>(), text());
    let credentials = (option::of(text()), option::of(binary()));
    (header, option::of(will(is_v5)), credentials, connect_properties()).prop_map(
        move |((bridge, clean_start, keep_alive_s, client_id), will, (user_name, password), properties)| {
            let password = password.filter(|_| is_v5 || user_name.is_some());
            Packet::Connect(Box::new(Connect {
                version,
                bridge: bridge && !is_v5,
                clean_start,
                keep_alive_s,
                client_id,
                will,
                user_name,
                password,
                properties: if is_v5 { properties } else { ConnectProperties::default() },
            }))
        },
    )
}

fn connack_properties() -> impl Strategy<Value = ConnackProperties> {
    let numbers = (option::of(any::<u32>()), option::of(1u16..), option::of(1u32..), any::<u16>());
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let flags = any::<[bool; 5]>();
    let rest = (option::of(any::<u16>()), authentication(), user_properties());
    (numbers, texts, flags, rest).prop_map(|(numbers, texts, flags, rest)| ConnackProperties {
        session_expiry_interval_s: numbers.0,
        receive_maximum: numbers.1,
        maximum_qos: flags[0].then_some(QoS::AtLeastOnce),
        retain_unavailable: flags[1],
        maximum_packet_size: numbers.2,
        assigned_client_id: texts.0,
        topic_alias_maximum: numbers.3,
        reason_string: texts.1,
        user_properties: rest.2,
        wildcard_subscription_unavailable: flags[2],
        subscription_ids_unavailable: flags[3],
        shared_subscription_unavailable: flags[4],
        server_keep_alive_s: rest.0,
        response_information: texts.2,
        server_reference: texts.3,
        authentication_method: rest.1.0,
        authentication_data: rest.1.1,
    })
}

fn connack(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    // Those that have a return code of their own in 3.x.
    let reasons: &[u8] =
        if is_v5 { &[0, 0x80, 0x87, 0x8C, 0x9F] } else { &[0, 0x84, 0x85, 0x86, 0x87, 0x88] };
    (any::<bool>(), reason(reasons), connack_properties()).prop_map(move |(present, reason, properties)| {
        Packet::Connack(Box::new(Connack {
            session_present: present && version != ProtocolVersion::V31 && reason == ReasonCode::Success,
            reason,
            properties: if is_v5 { properties } else { ConnackProperties::default() },
        }))
    })
}

/// What packets that answer have in 5.0 only.
fn answer(version: ProtocolVersion) -> impl Strategy<Value = (Option<Box<str>>, UserProperties)> {
    let is_v5 = version == ProtocolVersion::V5;
    (option::of(text()), user_properties()).prop_map(move |(reason_string, user_properties)| {
        if is_v5 { (reason_string, user_properties) } else { (None, Vec::new()) }
    })
}

fn ack(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    let receipt = (
        prop::sample::select(&[AckKind::Puback, AckKind::Pubrec][..]),
        reason(if is_v5 { &[0, 0x10, 0x80, 0x97] } else { &[0] }),
    );
    let release = (
        prop::sample::select(&[AckKind::Pubrel, AckKind::Pubcomp][..]),
        reason(if is_v5 { &[0, 0x92] } else { &[0] }),
    );
    (prop_oneof![receipt, release], packet_id(), answer(version)).prop_map(
        |((kind, reason), packet_id, (reason_string, user_properties))| {
            Packet::Ack(Ack { kind, packet_id, reason, reason_string, user_properties })
        },
    )
}

fn subscribe(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    let handlings = &[RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..];
    let options = (qos(), any::<bool>(), any::<bool>(), prop::sample::select(handlings)).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| {
            let full = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling };
            if is_v5 { full } else { SubscriptionOptions { qos, ..Default::default() } }
        },
    );
    let filter = ("[^\\x00]{1,12}", options)
        .prop_map(|(filter, options)| SubscribeFilter { filter: filter.into(), options });
    (packet_id(), option::of(1u32..=268_435_455), vec(filter, 1..5), user_properties()).prop_map(
        move |(packet_id, subscription_id, filters, user_properties)| {
            Packet::Subscribe(Subscribe {
                packet_id,
                subscription_id: subscription_id.filter(|_| is_v5),
                filters,
                user_properties: if is_v5 { user_properties } else { Vec::new() },
            })
        },
    )
}

fn suback(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    let reasons = reason(if is_v5 { &[0, 1, 2, 0x80, 0x87, 0xA2] } else { &[0, 1, 2, 0x80] });
    (packet_id(), vec(reasons, 1..5), answer(version)).prop_map(
        |(packet_id, reasons, (reason_string, user_properties))| {
            Packet::Suback(Suback { packet_id, reasons, reason_string, user_properties })
        },
    )
}

fn unsubscribe(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let filters = vec("[^\\x00]{1,12}".prop_map(String::into_boxed_str), 1..5);
    (packet_id(), filters, answer(version)).prop_map(|(packet_id, filters, (_, user_properties))| {
        Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties })
    })
}

fn unsuback(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    (packet_id(), vec(reason(&[0, 0x11, 0x87]), 1..5), answer(version)).prop_map(
        move |(packet_id, reasons, (reason_string, user_properties))| {
            let reasons = if is_v5 { reasons } else { Vec::new() };
            Packet::Unsuback(Unsuback { packet_id, reasons, reason_string, user_properties })
        },
    )
}

fn disconnect(version: ProtocolVersion) -> impl Strategy<Value = Packet<'static>> {
    let is_v5 = version == ProtocolVersion::V5;
    let reasons = reason(if is_v5 { &[0, 4, 0x81, 0x8B, 0x9C] } else { &[0] });
    (reasons, option::of(any::<u32>()), option::of(text()), answer(version)).prop_map(
        move |(reason, expiry, server_reference, (reason_string, user_properties))| {
            Packet::Disconnect(Disconnect {
                reason,
                session_expiry_interval_s: expiry.filter(|_| is_v5),
                reason_string,
                user_properties,
                server_reference: server_reference.filter(|_| is_v5),
            })
        },
    )
}

fn auth() -> impl Strategy<Value = Packet<'static>> {
    (reason(&[0, 0x18, 0x19]), text(), option::of(binary()), answer(ProtocolVersion::V5)).prop_map(
        |(reason, method, data, (reason_string, user_properties))| {
            Packet::Auth(Auth { reason, method: Some(method), data, reason_string, user_properties })
        },
    )
}

/// Any packet of `version` but PUBLISH.
pub fn owned_packet(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        connect(version),
        connack(version),
        ack(version),
        subscribe(version),
        suback(version),
        unsubscribe(version),
        unsuback(version),
        disconnect(version),
        prop::sample::select(&[Packet::Pingreq, Packet::Pingresp][..]),
    ];
    match version {
        ProtocolVersion::V5 => prop_oneof![8 => common, 1 => auth()].boxed(),
        ProtocolVersion::V31 | ProtocolVersion::V311 => common.boxed(),
    }
}

/// Any version.
pub fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop::sample::select(&[ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5][..])
}
