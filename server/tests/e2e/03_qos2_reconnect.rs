//! QoS 1 and 2 across reconnects: nothing lost, nothing twice.

use crate::harness::*;

fn login(version: ProtocolVersion, id: &str) -> Login {
    Login::persistent(version, id)
}

#[test]
fn qos2_publish_is_routed_once_after_reconnect() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut subscriber = Login::new(version, "subscriber").open(broker);
            subscriber.subscribe("once", 2);
            let mut publisher = login(version, "publisher").open_new(broker);
            publisher.send(message("once", "x").qos(2).id(3));
            publisher.expect_ack(AckKind::Pubrec, 3);
            publisher.vanish();

            let mut publisher = login(version, "publisher").open(broker);
            assert!(publisher.session_present() || version == ProtocolVersion::V31);
            publisher.send(message("once", "x").qos(2).id(3).dup());
            assert!(!publisher.expect_ack(AckKind::Pubrec, 3).is_error());
            publisher.ack(AckKind::Pubrel, 3);
            assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 3), ReasonCode::Success);
            subscriber.expect_texts(["x"]);
            subscriber.expect_nothing_from(&mut publisher);
        }
    });
}

// [MQTT-4.6.0-3]
#[test]
fn a_repeated_publish_is_answered_behind_what_its_connection_sent_before() {
    // What was sent before the connection ended is still to be stored when the next one repeats it.
    at_shards(&["durability.commit_delay=200ms"], |broker| {
        let mut away = login(ProtocolVersion::V5, "away").open(broker);
        away.subscribe("kept", 2);
        away.vanish();
        for version in VERSIONS {
            let id = format!("{version:?}");
            let mut publisher = login(version, &id).open(broker);
            publisher.send(message("kept", "2").qos(2).id(2));
            publisher.vanish();
            let mut publisher = Client::unconnected(broker, version);
            publisher.send_raw(&login(version, &id).encode());
            publisher.send(message("kept", "1").qos(2).id(1));
            publisher.send(message("kept", "2").qos(2).id(2).dup());
            assert!(matches!(publisher.expect_packet(), Packet::Connack(_)));
            for id in [1, 2] {
                match publisher.expect_packet() {
                    Packet::Ack { kind: AckKind::Pubrec, packet_id, reason, .. } => {
                        assert_eq!((packet_id, reason.is_error()), (id, false));
                    }
                    other => panic!("expected PUBREC {id}, got {other:?}"),
                }
            }
            publisher.vanish();
        }
        let mut client = login(ProtocolVersion::V5, "away").open(broker);
        client.expect_texts(["2", "1"].repeat(VERSIONS.len()));
    });
}

#[test]
fn pubrel_finds_its_publish_after_reconnect() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = login(version, "publisher").open_new(broker);
            publisher.send(message("once", "x").qos(2).id(3));
            publisher.expect_ack(AckKind::Pubrec, 3);
            publisher.vanish();
            let mut publisher = login(version, "publisher").open(broker);
            publisher.ack(AckKind::Pubrel, 3);
            assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 3), ReasonCode::Success);
        }
    });
}

#[test]
fn clean_start_forgets_received_qos2_identifiers() {
    at_shards(&[], |broker| {
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("forget", 2);
        let mut publisher = login(ProtocolVersion::V5, "publisher").open(broker);
        publisher.send(message("forget", "x").qos(2).id(3));
        publisher.expect_ack(AckKind::Pubrec, 3);
        publisher.vanish();
        let mut publisher = login(ProtocolVersion::V5, "publisher").clean().open(broker);
        publisher.ack(AckKind::Pubrel, 3);
        assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 3), ReasonCode::PacketIdentifierNotFound);
        publisher.publish(message("forget", "y").qos(2).id(3));
        subscriber.expect_texts(["x", "y"]);
    });
}

#[test]
fn unacknowledged_messages_are_sent_again_with_the_same_identifiers() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            for i in 0..4 {
                let id = format!("sub{version:?}{i}");
                let topic = format!("again/{id}");
                let mut publisher = Login::v5("publisher").open(broker);
                let mut subscriber = login(version, &id).open(broker);
                subscriber.subscribe(&topic, 2);
                for (n, qos) in [1, 2, 1, 2, 1].into_iter().enumerate() {
                    publisher.publish(message(topic.as_str(), format!("m{n}")).qos(qos));
                }
                let first: Vec<Message> = (0..5).map(|_| subscriber.receive_unacked()).collect();
                subscriber.acknowledge(&first[2]);
                subscriber.ping();
                subscriber.vanish();

                let mut subscriber = login(version, &id).open(broker);
                for earlier in [&first[0], &first[1], &first[3], &first[4]] {
                    let again = subscriber.receive();
                    assert_eq!((again.packet_id, again.text()), (earlier.packet_id, earlier.text()));
                    assert_eq!(again.qos, earlier.qos);
                    assert!(again.dup, "[MQTT-3.3.1-1]");
                }
                subscriber.expect_nothing_from(&mut publisher);
                subscriber.vanish();
                let mut subscriber = login(version, &id).open(broker);
                subscriber.expect_nothing_from(&mut publisher);
            }
        }
    });
}

#[test]
fn pubrel_is_sent_again_instead_of_the_message() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::v5("publisher").open(broker);
            let mut subscriber = login(version, "subscriber").open(broker);
            subscriber.subscribe("rel", 2);
            for text in ["a", "b"] {
                publisher.publish(message("rel", text).qos(2));
            }
            let (first, second) = (subscriber.receive_unacked(), subscriber.receive_unacked());
            for message in [&first, &second] {
                subscriber.ack(AckKind::Pubrec, message.packet_id());
                subscriber.expect_ack(AckKind::Pubrel, message.packet_id());
            }
            subscriber.vanish();

            let mut subscriber = login(version, "subscriber").open(broker);
            for message in [&first, &second] {
                match subscriber.expect_packet() {
                    Packet::Ack { kind: AckKind::Pubrel, packet_id, .. } => {
                        assert_eq!(packet_id, message.packet_id());
                    }
                    other => panic!("expected PUBREL, got {other:?}"),
                }
                subscriber.ack(AckKind::Pubcomp, message.packet_id());
            }
            subscriber.expect_nothing_from(&mut publisher);
            subscriber.vanish();
            let mut subscriber = login(version, "subscriber").open(broker);
            subscriber.expect_nothing_from(&mut publisher);
            subscriber.unsubscribe(&["rel"]);
            subscriber.disconnect();
        }
    });
}

/// The connection breaks after each step of the receiver's side in turn; the application sees the message exactly once
/// if it counts it when it sends PUBREC.
#[test]
fn qos2_delivery_is_exactly_once_wherever_the_connection_breaks() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            for step in 0..4 {
                let id = format!("step{step}{version:?}");
                let mut subscriber = login(version, &id).open(broker);
                subscriber.subscribe(&id, 2);
                publisher.publish(message(id.as_str(), "x").qos(2));
                let mut seen = 0;
                if step > 0 {
                    let packet_id = subscriber.receive_unacked().packet_id();
                    if step > 1 {
                        seen += 1;
                        subscriber.ack(AckKind::Pubrec, packet_id);
                        subscriber.expect_ack(AckKind::Pubrel, packet_id);
                    }
                    if step > 2 {
                        subscriber.ack(AckKind::Pubcomp, packet_id);
                        subscriber.ping();
                    }
                }
                subscriber.vanish();
                let mut subscriber = login(version, &id).open(broker);
                publisher.publish(message(id.as_str(), "end").qos(2));
                loop {
                    match subscriber.expect_packet() {
                        Packet::Ack { kind: AckKind::Pubrel, packet_id, .. } => {
                            subscriber.ack(AckKind::Pubcomp, packet_id);
                        }
                        Packet::Publish(message) => {
                            subscriber.acknowledge(&message);
                            if message.text() == "end" {
                                break;
                            }
                            seen += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(seen, 1, "broken after step {step}, {version:?}");
            }
        }
    });
}

/// The mirror image: the publisher's connection breaks after each of its steps and it continues as the specification says.
#[test]
fn qos2_publish_is_exactly_once_wherever_the_connection_breaks() {
    at_shards(&[], |broker| {
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("exactly/#", 2);
        for version in VERSIONS {
            for step in 0..3 {
                let id = format!("pub{step}{version:?}");
                let topic = format!("exactly/{id}");
                let mut publisher = login(version, &id).open(broker);
                publisher.send(message(topic.as_str(), "x").qos(2).id(1));
                if step > 0 {
                    publisher.expect_ack(AckKind::Pubrec, 1);
                }
                if step > 1 {
                    publisher.ack(AckKind::Pubrel, 1);
                    publisher.expect_ack(AckKind::Pubcomp, 1);
                }
                publisher.vanish();
                let mut publisher = login(version, &id).open(broker);
                if step == 0 {
                    publisher.send(message(topic.as_str(), "x").qos(2).id(1).dup());
                    publisher.expect_ack(AckKind::Pubrec, 1);
                }
                if step < 2 {
                    publisher.ack(AckKind::Pubrel, 1);
                    publisher.expect_ack(AckKind::Pubcomp, 1);
                }
                assert_eq!(subscriber.receive().topic, topic);
                subscriber.expect_nothing_from(&mut publisher);
            }
        }
    });
}

#[test]
fn messages_published_meanwhile_come_after_those_sent_again() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::v5("publisher").open(broker);
            let mut subscriber = login(version, "subscriber").open(broker);
            subscriber.subscribe("line", 1);
            publisher.publish(message("line", "1").qos(1));
            publisher.publish(message("line", "2").qos(1));
            subscriber.receive_unacked();
            subscriber.receive_unacked();
            subscriber.vanish();
            publisher.publish(message("line", "3").qos(1));
            publisher.publish(message("line", "4").qos(1));
            let mut subscriber = login(version, "subscriber").open(broker);
            subscriber.expect_texts(["1", "2", "3", "4"]);
            subscriber.unsubscribe(&["line"]);
            subscriber.disconnect();
        }
    });
}

#[test]
fn nothing_is_sent_again_to_a_clean_start() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::v5("publisher").open(broker);
            let mut subscriber = login(version, "subscriber").open(broker);
            subscriber.subscribe("gone", 2);
            publisher.publish(message("gone", "x").qos(2));
            subscriber.receive_unacked();
            subscriber.vanish();
            let mut subscriber = login(version, "subscriber").clean().open(broker);
            assert!(!subscriber.session_present());
            publisher.publish(message("gone", "y").qos(1));
            subscriber.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn an_identifier_is_free_again_after_its_handshake() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.subscribe("free", 2);
        for round in 0..50 {
            let qos = 1 + round % 2;
            client.publish(message("free", format!("{round}")).qos(qos).id(1));
            client.expect_texts([format!("{round}")]);
        }
        client.disconnect();
    }
}
