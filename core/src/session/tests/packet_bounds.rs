//! Nothing above the client's Maximum Packet Size. [MQTT-3.1.2-24]

use super::*;

// [MQTT-3.1.2-24, -25]
#[test]
fn larger_messages_are_dropped_and_the_next_ones_sent() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.deliver(AtLeastOnce, "a queued message that is too long");
    rig.deliver(AtLeastOnce, "a");
    rig.connect(&connect_with(|properties| properties.maximum_packet_size = Some(12)));
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let delivered = rig.deliver(qos, "a message that is too long");
        assert_eq!(delivered, Delivered::Dropped(DropReason::TooLarge));
        assert_eq!(rig.deliver(qos, "b"), Delivered::Sent);
    }
    let seen = rig.sent();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert_eq!((rig.session.inflight(), rig.count(Metric::DeliveryDroppedTooLarge)), (3, 4));
}

#[test]
fn the_protocols_own_limit_holds_for_clients_that_name_a_larger_one() {
    let generous = connect_with(|properties| properties.maximum_packet_size = Some(u32::MAX));
    let terms = Terms::negotiate(&generous, &MqttConfig::default());
    assert_eq!(terms.packet_bytes_max, crate::limits::REMAINING_LENGTH_MAX + 5);
}

#[test]
fn answers_that_do_not_fit_are_not_sent() {
    let mut rig = Rig::connected(V5);
    rig.out.limit_packets(8);
    let suback = |filters: usize| Suback {
        packet_id: id(1),
        reasons: vec![ReasonCode::Success; filters],
        reason_string: None,
        user_properties: Vec::new(),
    };
    rig.out.push_suback(&suback(3), V5, &mut rig.tally);
    rig.out.push_suback(&suback(4), V5, &mut rig.tally);
    assert_eq!(rig.sent(), ["SUBACK"]);
    assert_eq!(rig.count(Metric::PacketsSubackSent), 1);

    rig.out.limit_packets(4);
    rig.out.push_ack(&Ack::new(AckKind::Puback, id(1), ReasonCode::Success), V5, &mut rig.tally);
    rig.out.push_ack(
        &Ack::new(AckKind::Puback, id(2), ReasonCode::NoMatchingSubscribers),
        V5,
        &mut rig.tally,
    );
    assert_eq!(rig.sent(), ["PUBACK #1"]);
    let connack = Connack {
        session_present: false,
        reason: ReasonCode::Success,
        properties: ConnackProperties { receive_maximum: Some(9), ..ConnackProperties::default() },
    };
    assert!(!rig.out.push_connack(&connack, V5, &mut rig.tally), "the caller can close");
}
