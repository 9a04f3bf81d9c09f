//! Client to broker: PUBLISH of every QoS, repetitions, PUBREL.

use super::*;

const ROUTE: Result<Inbound, Violation> = Ok(Inbound::Route { aliased: None, mounted: None });
const REPEATED: Result<Inbound, Violation> = Ok(Inbound::Answer(Routed::Matched));
const ID_IN_USE: Result<Inbound, Violation> = Ok(Inbound::Answer(Routed::IdInUse));

fn reason(outcome: Result<Inbound, Violation>) -> Option<ReasonCode> {
    outcome.err().map(|violation| violation.reason)
}

// [MQTT-4.3.1-1, MQTT-4.3.2-4, MQTT-4.3.3-8]
#[test]
fn each_qos_is_acknowledged_by_its_packet() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        assert_eq!(rig.publish(&publish(AtMostOnce, 0)), ROUTE);
        assert_eq!(rig.publish(&publish(AtLeastOnce, 5)), ROUTE);
        assert_eq!(rig.publish(&publish(ExactlyOnce, 6)), ROUTE);
        rig.ack(AckKind::Pubrel, 6);
        assert_eq!(rig.sent(), ["PUBACK #5", "PUBREC #6", "PUBCOMP #6"]);
    }
}

// [MQTT-4.3.2-5]
#[test]
fn a_repeated_qos_1_publish_is_a_new_message() {
    let mut rig = Rig::connected(V311);
    assert_eq!(rig.publish(&publish(AtLeastOnce, 5)), ROUTE);
    assert_eq!(rig.publish(&Publish { dup: true, ..publish(AtLeastOnce, 5) }), ROUTE);
    assert_eq!(rig.sent(), ["PUBACK #5", "PUBACK #5"]);
}

// [MQTT-4.3.3-9, -10, -12]
#[test]
fn qos_2_is_routed_once_until_pubrel_whatever_dup_says() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        assert_eq!(rig.publish(&publish(ExactlyOnce, 5)), ROUTE);
        assert_eq!(rig.publish(&Publish { dup: true, ..publish(ExactlyOnce, 5) }), REPEATED);
        rig.reconnect(&connect(version));
        assert_eq!(rig.publish(&Publish { dup: true, ..publish(ExactlyOnce, 5) }), REPEATED);
        assert_eq!(rig.publish(&publish(ExactlyOnce, 5)), REPEATED);
        assert_eq!(rig.sent(), ["PUBREC #5"; 2]);
        rig.ack(AckKind::Pubrel, 5);
        assert_eq!(rig.publish(&publish(ExactlyOnce, 5)), ROUTE, "released, the identifier is free");
    }
}

#[test]
fn pubrel_for_nothing_is_answered_with_0x92() {
    let mut rig = Rig::connected(V5);
    rig.ack(AckKind::Pubrel, 5);
    assert_eq!(rig.sent(), ["PUBCOMP #5 0x92"]);
    let mut rig = Rig::connected(V311);
    rig.ack(AckKind::Pubrel, 5);
    assert_eq!(rig.sent(), ["PUBCOMP #5"]);
    assert_eq!(rig.count(Metric::PacketsPubrelMissed), 1);
}

#[test]
fn nobody_subscribed_is_told_to_version_5_only() {
    for (version, expected) in
        [(V5, ["PUBACK #1 0x10", "PUBREC #2 0x10"]), (V311, ["PUBACK #1", "PUBREC #2"])]
    {
        let mut rig = Rig::connected(version);
        for packet in [publish(AtLeastOnce, 1), publish(ExactlyOnce, 2)] {
            let mut cx =
                Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
            rig.session.handle_publish(&packet, &mut cx).expect("accepted");
            rig.session.handle_routed(packet.acknowledgement(), Routed::NoSubscribers, &mut cx, &mut rig.out);
        }
        assert_eq!(rig.sent(), expected);
    }
}

// [MQTT-3.3.4-7]
#[test]
fn more_than_receive_maximum_begun_messages_are_refused() {
    let mut rig = Rig::offline(MqttConfig { max_awaiting_rel: 2, ..MqttConfig::default() });
    rig.connect(&connect(V5));
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), ROUTE);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 2)), ROUTE);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 2)), REPEATED, "a repetition takes no place");
    assert_eq!(rig.publish(&publish(AtLeastOnce, 3)), ROUTE, "acknowledged at once, it takes no place");
    assert_eq!(reason(rig.publish(&publish(ExactlyOnce, 3))), Some(ReasonCode::ReceiveMaximumExceeded));
    rig.ack(AckKind::Pubrel, 1);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 3)), ROUTE);
}

// Section 4.9: the quota is not preserved across connections.
#[test]
fn receive_maximum_counts_what_was_begun_on_this_connection() {
    let mut rig = Rig::offline(MqttConfig { max_awaiting_rel: 2, ..MqttConfig::default() });
    rig.connect(&connect(V5));
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), ROUTE);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 2)), ROUTE);
    rig.reconnect(&connect(V5));
    assert_eq!(rig.publish(&publish(ExactlyOnce, 3)), ROUTE);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), REPEATED, "and is still sent only once");
    assert_eq!(reason(rig.publish(&publish(ExactlyOnce, 4))), Some(ReasonCode::ReceiveMaximumExceeded));
    rig.ack(AckKind::Pubrel, 2);
    assert_eq!(reason(rig.publish(&publish(ExactlyOnce, 4))), Some(ReasonCode::ReceiveMaximumExceeded));
    rig.ack(AckKind::Pubrel, 1);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 4)), ROUTE);
}

#[test]
fn begun_messages_that_wait_too_long_give_up_their_place() {
    let mut rig = Rig::offline(MqttConfig { max_awaiting_rel: 1, ..MqttConfig::default() });
    rig.connect(&connect(V5));
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), ROUTE);
    rig.now = rig.now.after_s(299);
    assert_eq!(reason(rig.publish(&publish(ExactlyOnce, 2))), Some(ReasonCode::ReceiveMaximumExceeded));
    rig.now = rig.now.after_s(1);
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), REPEATED, "nobody needs the place yet");
    assert_eq!(rig.publish(&publish(ExactlyOnce, 2)), ROUTE);
    assert_eq!(rig.count(Metric::MessagesDroppedAwaitPubrelTimeout), 1);
}

#[test]
fn clients_of_3_x_know_no_receive_maximum() {
    let mut rig = Rig::offline(MqttConfig { max_awaiting_rel: 1, ..MqttConfig::default() });
    rig.connect(&connect(V311));
    for packet_id in 1..200 {
        assert_eq!(rig.publish(&publish(ExactlyOnce, packet_id)), ROUTE);
    }
}

// [MQTT-3.2.2-11, -14] [MQTT-3.3.4-6]
#[test]
fn what_the_broker_does_not_offer_is_refused_with_its_reason() {
    let config = MqttConfig {
        max_qos_allowed: 1,
        retain_available: false,
        max_topic_levels: 2,
        ..MqttConfig::default()
    };
    let refused = |publish: Publish<'_>| {
        let mut rig = Rig::offline(config.clone());
        rig.connect(&connect(V5));
        reason(rig.publish(&publish))
    };
    let plain = || publish(AtMostOnce, 0);
    assert_eq!(refused(Publish { topic: "a/b", ..plain() }), None);
    assert_eq!(refused(publish(ExactlyOnce, 1)), Some(ReasonCode::QosNotSupported));
    assert_eq!(refused(Publish { retain: true, ..plain() }), Some(ReasonCode::RetainNotSupported));
    assert_eq!(refused(Publish { topic: "a/b/c", ..plain() }), Some(ReasonCode::TopicNameInvalid));
    let mut identified = plain();
    identified.properties.subscription_ids.push(1);
    assert_eq!(refused(identified), Some(ReasonCode::ProtocolError));
}

#[test]
fn a_publication_expires_by_its_own_interval_or_the_configured_one() {
    let mut rig =
        Rig::offline(MqttConfig { message_expiry_interval: Duration::from_s(7), ..MqttConfig::default() });
    let cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
    let mut packet = publish(AtMostOnce, 0);
    assert_eq!(Session::publication(&packet, "t", NOBODY, &cx).expires_at, cx.now.after_s(7));
    packet.properties.message_expiry_interval_s = Some(9);
    assert_eq!(Session::publication(&packet, "t", NOBODY, &cx).expires_at, cx.now.after_s(9));
}

// MQTT 5.0, table 2-6: 0x91, Packet Identifier in use
#[test]
fn an_identifier_of_a_begun_exchange_is_in_use_for_everything_else() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), ROUTE);
        let in_use = version == V5;
        assert_eq!(rig.session.holds_id(id(1)), in_use);
        assert_eq!(rig.publish(&publish(AtLeastOnce, 1)), if in_use { ID_IN_USE } else { ROUTE });
        let puback = if in_use { "PUBACK #1 0x91" } else { "PUBACK #1" };
        assert_eq!(rig.sent(), ["PUBREC #1", puback]);
        // The rig subscribes with identifier 1.
        let verdicts = rig.subscribe(&[("a", SubscriptionOptions::default())]).expect("no violation");
        let expected = if in_use { ReasonCode::PacketIdentifierInUse } else { ReasonCode::Success };
        assert_eq!((verdicts[0].reason, verdicts[0].granted.is_none()), (expected, in_use));
        rig.ack(AckKind::Pubrel, 1);
        assert!(!rig.session.holds_id(id(1)));
        assert_eq!(rig.publish(&publish(AtLeastOnce, 1)), ROUTE);
    }
}
