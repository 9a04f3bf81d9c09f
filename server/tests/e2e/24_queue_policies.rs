//! What a session's queue prefers, and what becomes of a message that finds it full.

use crate::harness::*;

/// Creates a persistent session with one subscription and leaves it.
fn leave(broker: &Broker, version: ProtocolVersion, id: &str, filter: &str) {
    let mut client = Login::persistent(version, id).open_new(broker);
    client.subscribe(filter, 2);
    client.vanish();
}

fn publish_texts<'a>(publisher: &mut Client, topic: &str, texts: impl IntoIterator<Item = &'a str>) {
    for text in texts {
        publisher.publish(message(topic, text).qos(1));
    }
}

const PRIORITIES: [&str; 2] = ["mqtt.max_mqueue_len=3", "mqtt.mqueue_priorities={\"p/high\"=9, \"p/+\"=5}"];

#[test]
fn urgent_messages_leave_first_and_each_priority_has_its_own_bound() {
    at_shards(&PRIORITIES, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            leave(broker, version, "away", "#");
            publish_texts(&mut publisher, "other", ["o1", "o2", "o3", "o4"]);
            publish_texts(&mut publisher, "p/low", ["l1", "l2"]);
            publish_texts(&mut publisher, "p/high", ["h1", "h2", "h3", "h4", "h5"]);
            publish_texts(&mut publisher, "p/also", ["a1"]);
            publisher.settle();
            let mut client = Login::persistent(version, "away").open(broker);
            client.expect_texts(["h3", "h4", "h5", "l1", "l2", "a1", "o2", "o3", "o4"]);
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
        broker.wait_metric("delivery.dropped.queue_full", 9);
    });
}

#[test]
fn topics_without_a_priority_may_come_first() {
    at_shards(&[PRIORITIES[1], "mqtt.mqueue_default_priority=highest"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "#");
        publish_texts(&mut publisher, "p/high", ["h1", "h2"]);
        publish_texts(&mut publisher, "other", ["o1", "o2"]);
        publisher.settle();
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(["o1", "o2", "h1", "h2"]);
    });
}

const REJECT: [&str; 2] = ["mqtt.mqueue_full_policy=reject", "mqtt.max_mqueue_len=3"];

/// Messages that a full queue refuses are answered 0x97 and cost nobody anything.
#[track_caller]
fn expect_refusals(broker: &Broker, subscriber: ProtocolVersion, qos: u8) {
    let mut publisher = Login::v5("publisher").open(broker);
    let mut refused = 0;
    for i in 0..6 {
        let id = format!("away{i}");
        leave(broker, subscriber, &id, &id);
        for (n, reason) in
            [ReasonCode::Success; 3].into_iter().chain([ReasonCode::QuotaExceeded; 3]).enumerate()
        {
            assert_eq!(publisher.publish(message(id.as_str(), n.to_string()).qos(qos)), reason, "{id} {n}");
            refused += u64::from(reason.is_error());
        }
        let mut client = Login::persistent(subscriber, &id).open(broker);
        client.expect_texts(["0", "1", "2"]);
        client.expect_nothing_from(&mut publisher);
        assert_eq!(publisher.publish(message(id.as_str(), "3").qos(qos)), ReasonCode::Success);
        client.expect_texts(["3"]);
    }
    broker.wait_metric("messages.refused.queue_full", refused);
    assert_eq!(broker.metric("delivery.dropped.queue_full"), 0);
}

#[test]
fn a_full_queue_refuses_where_nothing_is_stored() {
    for settings in [["sessions.durable=false"], ["durability.level=memory"]] {
        at_shards(&[&REJECT[..], &settings].concat(), |broker| {
            expect_refusals(broker, ProtocolVersion::V311, 1);
        });
    }
}

#[test]
fn a_full_queue_refuses_qos_1_and_2() {
    for qos in [1, 2] {
        at_shards(&REJECT, |broker| expect_refusals(broker, ProtocolVersion::V5, qos));
    }
}

#[test]
fn a_publisher_that_is_remembered_is_refused_too() {
    at_shards(&REJECT, |broker| {
        for qos in [1, 2] {
            for i in 0..6 {
                let id = format!("away{qos}{i}");
                leave(broker, ProtocolVersion::V5, &id, &id);
                let mut publisher = Login::persistent(ProtocolVersion::V5, "remembered").open(broker);
                for n in 0..3 {
                    publisher.publish(message(id.as_str(), n.to_string()).qos(qos));
                }
                let refused = message(id.as_str(), "3").qos(qos).id(9);
                assert_eq!(publisher.publish(refused.clone()), ReasonCode::QuotaExceeded);
                assert_eq!(
                    publisher.publish(refused),
                    ReasonCode::QuotaExceeded,
                    "the identifier is free again"
                );
                publisher.disconnect();
            }
        }
    });
}

#[test]
fn what_is_refused_is_not_delivered_to_others_on_its_shard() {
    let broker = Broker::with(1, &REJECT);
    let mut publisher = Login::v5("publisher").open(&broker);
    let mut other = Login::v311("other").open(&broker);
    other.subscribe("full", 1);
    leave(&broker, ProtocolVersion::V311, "away", "full");
    publish_texts(&mut publisher, "full", ["a", "b", "c"]);
    other.expect_texts(["a", "b", "c"]);
    assert_eq!(publisher.publish(message("full", "d").qos(1).retained()), ReasonCode::QuotaExceeded);
    other.expect_nothing_from(&mut publisher);
    let mut late = Login::v311("late").open(&broker);
    late.subscribe("full", 1);
    late.expect_nothing_from(&mut publisher);
}

#[test]
fn nothing_is_refused_for_the_sake_of_expired_messages() {
    at_shards(&REJECT, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V5, "away", "short");
        for text in ["a", "b", "c"] {
            publisher.publish(message("short", text).qos(1).with(Property::MessageExpiry(1)));
        }
        time_passes(2100);
        assert_eq!(publisher.publish(message("short", "d").qos(1)), ReasonCode::Success);
        broker.wait_metric("delivery.dropped.expired", 3);
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open(broker);
        client.expect_texts(["d"]);
    });
}

#[test]
fn qos_0_is_dropped_for_the_full_session_alone() {
    at_shards(&REJECT, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        leave(broker, ProtocolVersion::V311, "away", "zero");
        let mut other = Login::v311("other").open(broker);
        other.subscribe("zero", 1);
        for text in ["a", "b", "c", "d"] {
            publisher.publish(message("zero", text));
        }
        other.expect_texts(["a", "b", "c", "d"]);
        broker.wait_metric("delivery.dropped.queue_full", 1);
        let mut client = Login::persistent(ProtocolVersion::V311, "away").open(broker);
        client.expect_texts(["a", "b", "c"]);
        client.expect_nothing_from(&mut publisher);
        assert_eq!(broker.metric("messages.refused.queue_full"), 0);
    });
}

#[test]
fn a_subscriber_at_qos_0_refuses_nothing() {
    at_shards(&REJECT, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut client = Login::persistent(ProtocolVersion::V5, "away").open_new(broker);
        client.subscribe("zero", 0);
        client.vanish();
        for text in ["a", "b", "c", "d"] {
            assert_eq!(publisher.publish(message("zero", text).qos(1)), ReasonCode::Success);
        }
        broker.wait_metric("delivery.dropped.queue_full", 1);
    });
}

#[test]
fn older_publishers_are_disconnected_or_their_message_is_dropped() {
    at_shards(&REJECT, |broker| {
        for qos in [1, 2] {
            let id = format!("away{qos}");
            leave(broker, ProtocolVersion::V311, &id, &id);
            let mut publisher = Login::v311("publisher").open(broker);
            for _ in 0..3 {
                publisher.publish(message(id.as_str(), "x").qos(qos));
            }
            publisher.send(message(id.as_str(), "x").qos(qos));
            publisher.expect_closed();
        }
    });
    at_shards(&[&REJECT[..], &["mqtt.mqueue_reject_v3=drop"]].concat(), |broker| {
        let mut publisher = Login::v311("publisher").open(broker);
        let mut dropped = 0;
        for qos in [1, 2] {
            let id = format!("away{qos}");
            leave(broker, ProtocolVersion::V311, &id, &id);
            for text in ["a", "b", "c", "d", "e"] {
                assert_eq!(publisher.publish(message(id.as_str(), text).qos(qos)), ReasonCode::Success);
            }
            dropped += 2;
            broker.wait_metric("delivery.dropped.queue_full", dropped);
            let mut client = Login::persistent(ProtocolVersion::V311, &id).open(broker);
            client.expect_texts(["a", "b", "c"]);
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn answers_keep_the_order_of_the_messages_when_some_are_refused() {
    at_shards(&REJECT, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..4 {
            leave(broker, ProtocolVersion::V5, &format!("away{i}"), &format!("away{i}"));
        }
        let sent: Vec<(u16, bool)> = (0..20)
            .map(|n| (publisher.send(message(format!("away{}", n % 4), "x").qos(1)), n / 4 >= 3))
            .collect();
        for (packet_id, is_refused) in sent {
            match publisher.expect_packet() {
                Packet::Ack { kind: AckKind::Puback, packet_id: answered, reason, .. } => {
                    assert_eq!((answered, reason.is_error()), (packet_id, is_refused));
                }
                other => panic!("expected PUBACK {packet_id}, got {other:?}"),
            }
        }
    });
}

#[test]
fn a_shared_subscription_refuses_when_no_member_has_room() {
    at_shards(&REJECT, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for id in ["a", "b"] {
            leave(broker, ProtocolVersion::V5, id, "$share/group/work");
        }
        let reasons: Vec<ReasonCode> =
            (0..12).map(|_| publisher.publish(message("work", "x").qos(1))).collect();
        let taken = reasons.iter().filter(|reason| !reason.is_error()).count();
        assert!((3..=6).contains(&taken), "{taken} were taken by two queues of three");
        assert_eq!(broker.metric("delivery.dropped.queue_full"), 0);
        let mut received = 0;
        for id in ["a", "b"] {
            let mut client = Login::persistent(ProtocolVersion::V5, id).open(broker);
            while client.try_receive(std::time::Duration::from_millis(300)).is_some() {
                received += 1;
            }
        }
        assert_eq!(received, taken);
    });
}

fn asking(id: &str, properties: &[(&str, &str)]) -> Login {
    let login = Login::persistent(ProtocolVersion::V5, id);
    properties.iter().fold(login, |login, (name, value)| login.with(Property::user(name, value)))
}

#[test]
fn a_client_has_the_queue_it_asks_for() {
    at_shards(&["mqtt.max_mqueue_len=5"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..4 {
            for (policy, kept) in
                [("drop_oldest", ["2", "3"]), ("drop_newest", ["0", "1"]), ("reject", ["0", "1"])]
            {
                let id = format!("{policy}{i}");
                let properties = [("ringmq-mqueue-len", "2"), ("ringmq-mqueue-policy", policy)];
                let mut client = asking(&id, &properties).open_new(broker);
                client.subscribe(&id, 1);
                client.vanish();
                for n in 0..4 {
                    let reason = publisher.publish(message(id.as_str(), n.to_string()).qos(1));
                    assert_eq!(reason.is_error(), policy == "reject" && n >= 2, "{id} {n}: {reason:?}");
                }
                // Without properties the client has the broker's queue again.
                let mut client = Login::persistent(ProtocolVersion::V5, &id).open(broker);
                client.expect_texts(kept);
                client.expect_nothing_from(&mut publisher);
                client.vanish();
                for n in 0..7 {
                    let reason = publisher.publish(message(id.as_str(), n.to_string()).qos(1));
                    assert!(!reason.is_error(), "{id} {n}: {reason:?}");
                }
                let mut client = Login::persistent(ProtocolVersion::V5, &id).clean().open(broker);
                client.expect_nothing_from(&mut publisher);
            }
        }
        broker.wait_metric("messages.refused.queue_full", 8);
    });
}

#[test]
fn a_queue_that_is_not_to_be_had_refuses_the_connection() {
    at_shards(&["mqtt.max_mqueue_len=5"], |broker| {
        for (name, value) in [
            ("ringmq-mqueue-len", "6"),
            ("ringmq-mqueue-len", "-1"),
            ("ringmq-mqueue-len", "many"),
            ("ringmq-mqueue-policy", "wait"),
        ] {
            let (mut client, connack) = asking("greedy", &[(name, value)]).answer(broker);
            assert_eq!(connack.code, ReasonCode::ImplementationSpecificError.as_u8(), "{name} {value}");
            let told = connack
                .properties
                .iter()
                .any(|property| matches!(property, Property::ReasonString(text) if text.contains(name)));
            assert!(told, "{name} {value}: {:?}", connack.properties);
            client.expect_closed();
        }
    });
}
