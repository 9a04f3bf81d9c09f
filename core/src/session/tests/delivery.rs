//! Broker to client on one connection: windows, queues, acknowledgements.

use super::*;

#[test]
fn qos_0_is_sent_without_an_identifier_and_keeps_nothing() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        assert_eq!(rig.deliver(AtMostOnce, "a"), Delivered::Sent);
        assert_eq!(rig.sent(), ["PUBLISH q0 t=a"]);
        assert_eq!((rig.session.inflight(), rig.session.queued()), (0, 0));
    }
}

// [MQTT-4.3.2-1, -2]
#[test]
fn qos_1_holds_its_identifier_until_puback() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        rig.deliver(AtLeastOnce, "a");
        rig.deliver(AtLeastOnce, "b");
        assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=a", "PUBLISH q1 #2 t=b"]);
        rig.ack(AckKind::Puback, 1);
        assert_eq!(rig.session.inflight(), 1);
        rig.deliver(AtLeastOnce, "c");
        assert_eq!(rig.sent(), ["PUBLISH q1 #3 t=c"]);
        assert_eq!(rig.count(Metric::MessagesAcked), 1);
    }
}

// [MQTT-4.3.3-1 to -5]
#[test]
fn qos_2_is_released_by_pubrec_and_ends_with_pubcomp() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        rig.deliver(ExactlyOnce, "a");
        assert_eq!(rig.sent(), ["PUBLISH q2 #1 t=a"]);
        rig.ack(AckKind::Pubrec, 1);
        assert_eq!(rig.sent(), ["PUBREL #1"]);
        rig.ack(AckKind::Pubrec, 1);
        assert_eq!(rig.sent(), ["PUBREL #1"], "a repeated PUBREC is answered again");
        rig.ack(AckKind::Pubcomp, 1);
        assert_eq!(rig.session.inflight(), 0);
        assert_eq!(rig.count(Metric::MessagesAcked), 1);
    }
}

// [MQTT-4.3.3-4]
#[test]
fn pubrec_with_an_error_ends_the_exchange_without_pubrel() {
    let mut rig = Rig::connected(V5);
    rig.deliver(ExactlyOnce, "a");
    rig.sent();
    rig.answer(AckKind::Pubrec, 1, ReasonCode::QuotaExceeded);
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(rig.session.inflight(), 0);
    assert_eq!(rig.count(Metric::DeliveryDroppedPeerRefused), 1);
}

#[test]
fn pubrec_with_an_error_after_pubrel_ends_the_exchange_too() {
    let mut rig = Rig::connected(V5);
    rig.deliver(ExactlyOnce, "a");
    rig.ack(AckKind::Pubrec, 1);
    rig.sent();
    rig.answer(AckKind::Pubrec, 1, ReasonCode::UnspecifiedError);
    assert_eq!(rig.sent(), [""; 0]);
    assert_eq!(rig.session.inflight(), 0);
    assert_eq!(rig.count(Metric::DeliveryDroppedPeerRefused), 0, "the client had taken the message");
}

#[test]
fn unknown_acknowledgements_are_counted_and_change_nothing() {
    let mut rig = Rig::connected(V5);
    rig.deliver(AtLeastOnce, "a");
    rig.deliver(ExactlyOnce, "b");
    rig.sent();
    rig.ack(AckKind::Puback, 9);
    rig.ack(AckKind::Puback, 2);
    rig.ack(AckKind::Pubcomp, 9);
    rig.ack(AckKind::Pubcomp, 2);
    assert_eq!(rig.sent(), [""; 0]);
    rig.ack(AckKind::Pubrec, 9);
    rig.ack(AckKind::Pubrec, 1);
    assert_eq!(rig.sent(), ["PUBREL #9 0x92", "PUBREL #1 0x92"], "the client may forget them");
    rig.answer(AckKind::Pubrec, 9, ReasonCode::UnspecifiedError);
    assert_eq!(rig.sent(), [""; 0], "there is nothing to release");
    assert_eq!(rig.session.inflight(), 2);
    assert_eq!(rig.count(Metric::PacketsPubackMissed), 2);
    assert_eq!(rig.count(Metric::PacketsPubcompMissed), 2);
    assert_eq!(rig.count(Metric::PacketsPubrecMissed), 3);
}

// [MQTT-3.3.4-9]
#[test]
fn no_more_than_receive_maximum_are_unacknowledged() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.connect(&connect_with(|properties| properties.receive_maximum = Some(2)));
    for (qos, payload) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (AtLeastOnce, "c"), (ExactlyOnce, "d")] {
        rig.deliver(qos, payload);
    }
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=a", "PUBLISH q2 #2 t=b"]);
    rig.ack(AckKind::Pubrec, 2);
    assert_eq!(rig.sent(), ["PUBREL #2"], "a released message still counts");
    rig.ack(AckKind::Pubcomp, 2);
    assert_eq!(rig.sent(), ["PUBLISH q1 #3 t=c"]);
    rig.ack(AckKind::Puback, 1);
    assert_eq!(rig.sent(), ["PUBLISH q2 #4 t=d"]);
}

#[test]
fn max_inflight_bounds_clients_that_allow_more() {
    for version in ALL {
        let mut rig = Rig::offline(MqttConfig { max_inflight: 1, ..MqttConfig::default() });
        rig.connect(&connect(version));
        rig.deliver(AtLeastOnce, "a");
        assert_eq!(rig.deliver(AtLeastOnce, "b"), Delivered::Queued);
        assert_eq!(rig.deliver(AtMostOnce, "c"), Delivered::Sent, "QoS 0 needs no place");
        assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=a", "PUBLISH q0 t=c"]);
    }
}

// [MQTT-4.6.0-5, -6]
#[test]
fn messages_of_one_qos_stay_in_order_through_queue_and_congestion() {
    let mut rig = Rig::connected(V5);
    rig.out = Outbox::new(1);
    for (qos, payload) in [(AtLeastOnce, "a"), (AtMostOnce, "b"), (AtLeastOnce, "c"), (AtMostOnce, "d")] {
        rig.deliver(qos, payload);
    }
    assert!(rig.session.is_backlogged());
    let mut seen = Vec::new();
    while !rig.out.is_empty() {
        seen.extend(rig.sent());
        rig.pump();
    }
    assert_eq!(seen, ["PUBLISH q1 #1 t=a", "PUBLISH q0 t=b", "PUBLISH q1 #2 t=c", "PUBLISH q0 t=d"]);
    assert!(!rig.session.is_backlogged());
}

// [MQTT-2.2.1-3]
#[test]
fn identifiers_in_use_are_skipped_when_they_come_round() {
    let mut rig = Rig::connected(V5);
    rig.deliver(AtLeastOnce, "stuck");
    for number in 2..=u16::MAX {
        rig.deliver(AtLeastOnce, "x");
        rig.ack(AckKind::Puback, number);
        rig.out = Outbox::new(1 << 20);
    }
    rig.deliver(AtLeastOnce, "y");
    assert_eq!(rig.sent(), ["PUBLISH q1 #2 t=y"]);
    rig.ack(AckKind::Puback, 1);
    rig.ack(AckKind::Puback, 2);
    assert_eq!(rig.session.inflight(), 0);
}

#[test]
fn offline_sessions_queue_and_qos_0_only_if_configured() {
    let mut rig = Rig::offline(MqttConfig { mqueue_store_qos0: false, ..MqttConfig::default() });
    assert_eq!(rig.deliver(AtMostOnce, "a"), Delivered::Dropped(DropReason::Qos0));
    assert_eq!(rig.deliver(AtLeastOnce, "b"), Delivered::Queued);
    assert_eq!(rig.count(Metric::DeliveryDroppedQos0Msg), 1);
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=b"]);
}

#[test]
fn a_full_queue_drops_the_oldest() {
    let mut rig = Rig::offline(MqttConfig { max_mqueue_len: Limit(2), ..MqttConfig::default() });
    for payload in ["a", "b", "c"] {
        assert_eq!(rig.deliver(AtLeastOnce, payload), Delivered::Queued);
    }
    assert_eq!(rig.count(Metric::DeliveryDroppedQueueFull), 1);
    rig.connect(&connect(V311));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=b", "PUBLISH q1 #2 t=c"]);
}

#[test]
fn a_full_queue_drops_the_newest_if_configured() {
    let policy = QueueFullPolicy::DropNewest;
    let config = MqttConfig { max_mqueue_len: Limit(2), mqueue_full_policy: policy, ..MqttConfig::default() };
    let mut rig = Rig::offline(config);
    rig.deliver(AtLeastOnce, "a");
    rig.deliver(AtLeastOnce, "b");
    assert_eq!(rig.deliver(AtLeastOnce, "c"), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!((rig.session.queued(), rig.count(Metric::DeliveryDroppedQueueFull)), (2, 1));
}

#[test]
fn a_full_queue_blocks_until_half_of_it_has_gone_and_takes_what_is_on_its_way() {
    let config = MqttConfig {
        max_mqueue_len: Limit(4),
        max_inflight: 1,
        mqueue_full_policy: QueueFullPolicy::Block,
        ..MqttConfig::default()
    };
    let mut rig = Rig::offline(config);
    for text in ["a", "b", "c"] {
        rig.deliver(AtLeastOnce, text);
        assert!(!rig.session.blocks(&rig.config), "{text}");
    }
    for _ in 0..=BLOCK_SLACK_LEN {
        let refuses = rig.session.must_refuse(&message("t", "x"), AtLeastOnce, &rig.config, None);
        assert!(!refuses, "{} are queued", rig.session.queued());
        assert_eq!(rig.deliver(AtLeastOnce, "x"), Delivered::Queued);
        assert!(rig.session.blocks(&rig.config) && !rig.session.has_drained(&rig.config));
    }
    assert!(rig.session.must_refuse(&message("t", "x"), AtLeastOnce, &rig.config, None));
    assert_eq!(rig.deliver(AtLeastOnce, "y"), Delivered::Dropped(DropReason::QueueFull));
    rig.connect(&connect(V5));
    let mut packet_id = 1;
    while !rig.session.has_drained(&rig.config) {
        assert!(rig.session.queued() > 2);
        rig.ack(AckKind::Puback, packet_id);
        packet_id += 1;
    }
    assert_eq!(rig.session.queued(), 2);
}

#[test]
fn a_message_is_refused_only_if_it_is_above_qos_0_and_can_neither_be_sent_nor_queued() {
    let policy = QueueFullPolicy::Reject;
    let config = MqttConfig {
        max_mqueue_len: Limit(1),
        max_inflight: 1,
        mqueue_full_policy: policy,
        ..MqttConfig::default()
    };
    let mut rig = Rig::offline(config);
    let refuses = |rig: &Rig, qos| {
        let out = rig.session.is_online().then_some(&rig.out);
        rig.session.must_refuse(&message("t", "x"), qos, &rig.config, out)
    };
    assert!(!refuses(&rig, AtLeastOnce), "the queue is empty");
    rig.deliver(AtLeastOnce, "a");
    assert!(refuses(&rig, AtLeastOnce) && refuses(&rig, ExactlyOnce) && !refuses(&rig, AtMostOnce));
    // What nobody was asked about is dropped.
    assert_eq!(rig.deliver(AtMostOnce, "b"), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!(rig.count(Metric::DeliveryDroppedQueueFull), 1);
    rig.connect(&connect(V5));
    assert!(!refuses(&rig, AtLeastOnce), "the queue was sent");
    rig.deliver(AtLeastOnce, "c");
    assert!(refuses(&rig, AtLeastOnce), "the window and the queue are full");
    rig.ack(AckKind::Puback, 1);
    assert!(!refuses(&rig, AtLeastOnce));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=a", "PUBLISH q1 #2 t=c"]);
}

#[test]
fn what_a_client_asks_of_its_queue_holds_until_it_asks_again() {
    let mut rig = Rig::offline(MqttConfig::default());
    let asked = connect_with(|properties| {
        properties.user_properties = vec![
            ("ringmq-mqueue-len".into(), "1".into()),
            ("ringmq-mqueue-policy".into(), "drop_newest".into()),
        ];
    });
    rig.connect(&asked);
    rig.session.ask_queue(QueueTerms::of(&asked, &rig.config).expect("terms"));
    rig.session.handle_closed(CloseCause::Lost);
    let mut cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
    rig.session.remove_expired(&mut cx);
    assert_eq!(rig.deliver(AtLeastOnce, "a"), Delivered::Queued);
    assert_eq!(rig.deliver(AtLeastOnce, "b"), Delivered::Dropped(DropReason::QueueFull));
    rig.connect(&connect(V5));
    rig.session.ask_queue(QueueTerms::default());
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=a"]);
    rig.session.handle_closed(CloseCause::Lost);
    for payload in ["c", "d"] {
        assert_eq!(rig.deliver(AtLeastOnce, payload), Delivered::Queued);
    }
}

#[test]
fn a_queue_of_length_0_keeps_nothing() {
    let mut rig = Rig::offline(MqttConfig { max_mqueue_len: Limit(0), ..MqttConfig::default() });
    assert_eq!(rig.deliver(ExactlyOnce, "a"), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!(rig.count(Metric::DeliveryDroppedQueueFull), 1);
}

#[test]
fn bytes_bound_the_queue_and_one_large_message_does_not_empty_it() {
    let mut rig = Rig::offline(MqttConfig { max_mqueue_bytes: ByteSize(8), ..MqttConfig::default() });
    rig.deliver(AtLeastOnce, "abc");
    rig.deliver(AtLeastOnce, "def");
    assert_eq!(rig.deliver(AtLeastOnce, "12345678"), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!((rig.session.queued(), rig.count(Metric::DeliveryDroppedQueueFull)), (2, 1));
    rig.deliver(AtLeastOnce, "ghi");
    assert_eq!((rig.session.queued(), rig.count(Metric::DeliveryDroppedQueueFull)), (2, 2));
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=def", "PUBLISH q1 #2 t=ghi"]);
}

// [MQTT-3.3.2-5, -6]
#[test]
fn waiting_messages_expire_and_the_rest_of_their_interval_is_sent() {
    let mut rig = Rig::offline(MqttConfig::default());
    let (soon, later) = (rig.now.after_s(5), rig.now.after_s(10));
    rig.deliver_with("t", AtLeastOnce, "a", |view| view.expires_at = soon);
    rig.deliver_with("t", AtLeastOnce, "b", |view| view.expires_at = later);
    rig.now = rig.now.after_s(5);
    let delivered = rig.deliver_with("t", AtLeastOnce, "c", |view| view.expires_at = soon);
    assert_eq!(delivered, Delivered::Dropped(DropReason::Expired));
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 t=b expiry 5"]);
    assert_eq!(rig.count(Metric::DeliveryDroppedExpired), 2);
}

#[test]
fn expired_messages_leave_the_queue_when_asked() {
    let mut rig = Rig::offline(MqttConfig::default());
    let soon = rig.now.after_s(5);
    rig.deliver_with("t", AtMostOnce, "a", |view| view.expires_at = soon);
    rig.deliver(AtLeastOnce, "b");
    rig.now = soon;
    let mut cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
    rig.session.remove_expired(&mut cx);
    assert_eq!((rig.session.queued(), rig.count(Metric::DeliveryDroppedExpired)), (1, 1));
}

#[test]
fn shared_messages_are_taken_from_queue_and_window_but_not_begun_qos_2() {
    let mut rig = Rig::offline(MqttConfig { max_inflight: 3, ..MqttConfig::default() });
    rig.connect(&connect(V5));
    rig.deliver_shared(AtLeastOnce, "a", 7);
    rig.deliver_shared(ExactlyOnce, "b", 7);
    rig.deliver(AtLeastOnce, "c");
    rig.deliver_shared(AtLeastOnce, "d", 7);
    rig.deliver_shared(ExactlyOnce, "e", 8);
    rig.session.handle_closed(CloseCause::Lost);
    let taken = rig.session.take_shared(|tag| tag == 7);
    let payloads: Vec<&[u8]> =
        taken.iter().filter_map(Outgoing::publication).map(|it| it.view().payload).collect();
    assert_eq!(payloads, [b"a", b"d"]);
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q2 #2 DUP t=b", "PUBLISH q1 #3 DUP t=c", "PUBLISH q2 #4 t=e"]);
    assert_eq!(rig.session.inflight(), 3);
}

#[test]
fn identifiers_go_on_where_they_were_when_a_quiet_session_gave_its_memory_back() {
    let mut rig = Rig::connected(V311);
    for packet_id in 1..=3 {
        rig.deliver(AtLeastOnce, "a");
        assert_eq!(rig.sent(), [format!("PUBLISH q1 #{packet_id} t=a")]);
        rig.ack(AckKind::Puback, packet_id);
        let mut cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
        rig.session.remove_expired(&mut cx);
        assert!(rig.session.flows.is_none(), "nothing is kept for what is over");
    }
}
