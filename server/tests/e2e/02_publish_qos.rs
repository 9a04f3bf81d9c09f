//! PUBLISH and its acknowledgements while the connection lasts.

use crate::harness::*;

/// QoS 1 and 2 acknowledgements that lead to nothing: a packet identifier the broker never used.
const NEVER_USED: u16 = 4711;

#[test]
fn every_version_reaches_every_version_at_the_lower_qos() {
    at_shards(&[], |broker| {
        for publisher_version in VERSIONS {
            let mut publisher =
                Login::new(publisher_version, &format!("pub{publisher_version:?}")).open(broker);
            for subscriber_version in VERSIONS {
                for granted in 0..=2 {
                    let name = format!("{publisher_version:?}{subscriber_version:?}{granted}");
                    let mut subscriber = Login::new(subscriber_version, &name).open(broker);
                    let topic = format!("qos/{name}");
                    subscriber.subscribe(&topic, granted);
                    for published in 0..=2 {
                        let payload = format!("at {published}");
                        let reason =
                            publisher.publish(message(topic.as_str(), payload.as_str()).qos(published));
                        assert_eq!(reason, ReasonCode::Success);
                        let received = subscriber.receive();
                        assert_eq!(
                            (received.topic.as_str(), received.text()),
                            (topic.as_str(), payload.as_str())
                        );
                        assert_eq!(received.qos, published.min(granted), "{name} published at {published}");
                        assert!(!received.dup && !received.retain, "{received:?}");
                        assert_eq!(received.properties, []);
                    }
                }
            }
        }
    });
}

#[test]
fn upgrade_qos_delivers_at_the_subscriptions_qos() {
    at_shards(&["mqtt.upgrade_qos=true"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for granted in 0..=2 {
            let mut subscriber = Login::v5(&format!("sub{granted}")).open(broker);
            subscriber.subscribe("up", granted);
            publisher.publish(message("up", "x").qos(0));
            assert_eq!(subscriber.receive().qos, granted);
            subscriber.disconnect();
        }
    });
}

#[test]
fn acknowledgements_follow_the_order_of_the_protocol() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.subscribe("order", 2);
        client.send(message("order", "one").qos(1).id(10));
        client.send(message("order", "two").qos(2).id(11));
        assert_eq!(client.expect_ack(AckKind::Puback, 10), ReasonCode::Success);
        assert_eq!(client.expect_ack(AckKind::Pubrec, 11), ReasonCode::Success);
        client.ack(AckKind::Pubrel, 11);
        assert_eq!(client.expect_ack(AckKind::Pubcomp, 11), ReasonCode::Success);
        client.expect_texts(["one", "two"]);
        client.disconnect();
    }
}

#[test]
fn puback_and_pubrec_follow_the_order_of_publish() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let mut other = Login::new(version, "other").open(broker);
            other.subscribe("in/order/+", 0);
            for qos in [1, 2] {
                for id in 1..=40 {
                    client.send(message(format!("in/order/{}", id % 7), "x").qos(qos).id(id));
                }
                let ids: Vec<u16> = (0..40)
                    .map(|_| match client.expect_packet() {
                        Packet::Ack { kind: AckKind::Puback | AckKind::Pubrec, packet_id, .. } => packet_id,
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert!(ids.into_iter().eq(1..=40), "QoS {qos}");
            }
        }
    });
}

// [MQTT-4.6.0-2, MQTT-4.6.0-3]
#[test]
fn what_is_answered_and_not_routed_waits_for_what_came_before() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut away = Login::persistent(ProtocolVersion::V5, "away").open(broker);
            away.subscribe("kept", 2);
            away.vanish();
            let mut client = Login::new(version, "client").open(broker);
            assert!(!client.publish(message("kept", "before").qos(1)).is_error());
            client.send(message("kept", "begun").qos(2).id(9));
            client.expect_ack(AckKind::Pubrec, 9);
            // A packet identifier of QoS 2 is in use, which a v5 client is told at QoS 1 too.
            for (qos, kind) in [(1, AckKind::Puback), (2, AckKind::Pubrec)] {
                let first = message("kept", "stored first").qos(qos).id(u16::from(qos));
                let second = message("kept", "begun").qos(qos).id(9);
                client.send_raw(&[first.encode(version), second.encode(version)].concat());
                for id in [u16::from(qos), 9] {
                    match client.expect_packet() {
                        Packet::Ack { kind: k, packet_id, .. } => assert_eq!((k, packet_id), (kind, id)),
                        other => panic!("expected {kind:?} {id}, got {other:?}"),
                    }
                }
            }
            client.disconnect();
        }
    });
}

#[test]
fn pubrel_follows_the_order_of_pubrec() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.subscribe("rel", 2);
        for _ in 0..10 {
            client.publish(message("rel", "x").qos(2));
        }
        let mut ids: Vec<u16> = (0..10).map(|_| client.receive_unacked().packet_id()).collect();
        ids.reverse();
        ids.iter().for_each(|id| client.ack(AckKind::Pubrec, *id));
        for id in ids {
            match client.expect_packet() {
                Packet::Ack { kind: AckKind::Pubrel, packet_id, .. } => assert_eq!(packet_id, id),
                other => panic!("{other:?}"),
            }
            client.ack(AckKind::Pubcomp, id);
        }
        client.disconnect();
    }
}

#[test]
fn puback_and_pubrec_say_that_nobody_subscribes() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in [1, 2] {
            let reason = publisher.publish(message("nobody/here", "x").qos(qos));
            assert_eq!(reason, ReasonCode::NoMatchingSubscribers, "QoS {qos}");
        }
        for i in 0..8 {
            let mut subscriber = Login::v5(&format!("subscriber{i}")).open(broker);
            let topic = format!("somebody/{i}");
            subscriber.subscribe(&topic, 0);
            for qos in [1, 2] {
                assert_eq!(publisher.publish(message(topic.as_str(), "x").qos(qos)), ReasonCode::Success);
            }
        }
        broker.wait_metric("messages.dropped.no_subscribers", 2);
    });
}

#[test]
fn messages_of_one_publisher_arrive_in_order() {
    at_shards(&[], |broker| {
        let mut subscribers: Vec<Client> =
            (0..4).map(|i| Login::new(VERSIONS[i % 3], &format!("sub{i}")).open(broker)).collect();
        subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe("ordered/#", 2));
        for qos in 0..=2 {
            let mut publisher = Login::v5(&format!("pub{qos}")).open(broker);
            let texts: Vec<String> = (0..500).map(|i| format!("{qos}/{i}")).collect();
            let messages = texts.iter().map(|text| message("ordered/x", text.as_str()).qos(qos));
            publisher.publish_all(messages, 50);
            subscribers.iter_mut().for_each(|subscriber| subscriber.expect_texts(&texts));
        }
    });
}

#[test]
fn one_message_reaches_many_subscribers_once() {
    at_shards(&[], |broker| {
        let mut subscribers: Vec<Client> =
            (0..40).map(|i| Login::new(VERSIONS[i % 3], &format!("fan{i}")).open(broker)).collect();
        for (i, subscriber) in subscribers.iter_mut().enumerate() {
            subscriber.subscribe(["fan/out", "fan/+", "fan/#", "+/out"][i % 4], (i % 3) as u8);
        }
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in 0..=2 {
            publisher.publish(message("fan/out", format!("at {qos}")).qos(qos));
        }
        for subscriber in &mut subscribers {
            subscriber.expect_texts(["at 0", "at 1", "at 2"]);
            subscriber.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn a_publisher_receives_its_own_messages() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "own").open(broker);
            client.subscribe("own", 1);
            client.publish(message("own", "x").qos(1));
            client.expect_texts(["x"]);
        }
    });
}

#[test]
fn ignore_loop_deliver_keeps_messages_from_their_publisher() {
    at_shards(&["mqtt.ignore_loop_deliver=true"], |broker| {
        let mut own = Login::v311("own").open(broker);
        let mut other = Login::v311("other").open(broker);
        own.subscribe("loop", 1);
        other.subscribe("loop", 1);
        own.publish(message("loop", "x").qos(1));
        other.expect_texts(["x"]);
        own.expect_nothing_from(&mut other);
    });
}

#[test]
fn payloads_of_any_content_and_size_arrive_unaltered() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut subscriber = Login::v311("subscriber").open(broker);
        subscriber.subscribe("payload", 2);
        let every_byte: Vec<u8> = (0..=255).collect();
        for size in [0, 1, 100, 127, 128, 16_300, 16_384, 65_535, 65_536, 1_000_000] {
            let payload: Vec<u8> = every_byte.iter().copied().cycle().take(size).collect();
            for qos in 0..=2 {
                publisher.publish(message("payload", payload.clone()).qos(qos));
                assert!(subscriber.receive().payload == payload, "{size} bytes at QoS {qos}");
            }
        }
    });
}

#[test]
fn topic_names_arrive_unaltered() {
    at_shards(&[], |broker| {
        let long = "x".repeat(65_535);
        let topics = ["/", "//", " ", "a b/c", "\u{feff}bom", "日本/語", "😀", "A/a", "$dollar/x", &long];
        let mut client = Login::v5("client").open(broker);
        for topic in topics {
            client.subscribe(topic, 0);
            client.publish(message(topic, "x"));
            assert_eq!(client.receive().topic, topic);
        }
    });
}

#[test]
fn dup_of_the_publisher_is_not_passed_on() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::new(version, "publisher").open(broker);
            let mut subscriber = Login::new(version, "subscriber").open(broker);
            subscriber.subscribe("dup", 2);
            for qos in [1, 2] {
                publisher.publish(message("dup", "x").qos(qos).dup());
                assert!(!subscriber.receive().dup, "[MQTT-3.3.1-3]");
            }
        }
    });
}

#[test]
fn qos2_packet_sent_again_before_pubrel_is_not_routed_again() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::new(version, "publisher").open(broker);
            let mut subscriber = Login::new(version, "subscriber").open(broker);
            subscriber.subscribe("twice", 2);
            publisher.send(message("twice", "x").qos(2).id(7));
            assert_eq!(publisher.expect_ack(AckKind::Pubrec, 7), ReasonCode::Success);
            publisher.send(message("twice", "x").qos(2).id(7).dup());
            assert!(!publisher.expect_ack(AckKind::Pubrec, 7).is_error(), "[MQTT-4.3.3-10]");
            publisher.ack(AckKind::Pubrel, 7);
            assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 7), ReasonCode::Success);
            subscriber.expect_texts(["x"]);
            subscriber.expect_nothing_from(&mut publisher);

            publisher.publish(message("twice", "y").qos(2).id(7));
            subscriber.expect_texts(["y"]);
        }
    });
}

#[test]
fn new_qos2_message_with_an_identifier_in_use_is_not_routed() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("in/use", 2);
        publisher.send(message("in/use", "x").qos(2).id(7));
        assert_eq!(publisher.expect_ack(AckKind::Pubrec, 7), ReasonCode::Success);
        publisher.send(message("in/use", "y").qos(2).id(7));
        let reason = publisher.expect_ack(AckKind::Pubrec, 7);
        assert!([ReasonCode::PacketIdentifierInUse, ReasonCode::Success].contains(&reason), "{reason:?}");
        subscriber.expect_texts(["x"]);
        subscriber.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn pubrel_for_an_unknown_identifier_is_answered() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.ack(AckKind::Pubrel, NEVER_USED);
        let reason = client.expect_ack(AckKind::Pubcomp, NEVER_USED);
        let v5 = version == ProtocolVersion::V5;
        assert_eq!(reason, if v5 { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success });
        client.publish(message("a", "x").qos(2).id(9));
        client.ack(AckKind::Pubrel, 9);
        client.expect_ack(AckKind::Pubcomp, 9);
        client.disconnect();
    }
}

#[test]
fn pubrec_for_an_unknown_identifier_is_answered_with_pubrel() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.ack(AckKind::Pubrec, NEVER_USED);
        let reason = client.expect_ack(AckKind::Pubrel, NEVER_USED);
        let v5 = version == ProtocolVersion::V5;
        assert_eq!(reason, if v5 { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success });
        client.disconnect();
    }
}

#[test]
fn unsolicited_puback_and_pubcomp_change_nothing() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.subscribe("after", 1);
        client.ack(AckKind::Puback, NEVER_USED);
        client.ack(AckKind::Pubcomp, NEVER_USED);
        client.publish(message("after", "x").qos(1));
        client.expect_texts(["x"]);
        client.disconnect();
    }
}

#[test]
fn negative_pubrec_ends_the_delivery() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let login = Login::persistent(ProtocolVersion::V5, "subscriber");
        let mut subscriber = login.clone().open(broker);
        subscriber.subscribe("refuse", 2);
        publisher.publish(message("refuse", "x").qos(2));
        let id = subscriber.receive_unacked().packet_id();
        subscriber.ack_with(AckKind::Pubrec, id, ReasonCode::UnspecifiedError);
        publisher.publish(message("refuse", "y").qos(2));
        subscriber.expect_texts(["y"]);
        subscriber.vanish();
        let mut subscriber = login.open(broker);
        subscriber.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn negative_puback_ends_the_delivery() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let login = Login::persistent(ProtocolVersion::V5, "subscriber");
        let mut subscriber = login.clone().open(broker);
        subscriber.subscribe("refuse", 1);
        publisher.publish(message("refuse", "x").qos(1));
        let id = subscriber.receive_unacked().packet_id();
        subscriber.ack_with(AckKind::Puback, id, ReasonCode::NotAuthorized);
        subscriber.ping();
        subscriber.vanish();
        let mut subscriber = login.open(broker);
        subscriber.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn acknowledgements_with_reason_and_properties_are_read() {
    let broker = Broker::start(1);
    let mut client = Login::v5("client").open(&broker);
    client.subscribe("props", 2);
    client.publish(message("props", "x").qos(1));
    let id = client.receive_unacked().packet_id().to_be_bytes();
    // Reason Success, property length 7, a user property of one character each side.
    let tail = [0x00, 0x07, 0x26, 0, 1, b'n', 0, 1, b'v'];
    client.send_raw(&frame(0x40, &[&id[..], &tail[..]].concat()));
    client.publish(message("props", "y").qos(2));
    let id = client.receive_unacked().packet_id();
    let bytes = id.to_be_bytes();
    client.send_raw(&frame(0x50, &[&bytes[..], &tail[..]].concat()));
    assert_eq!(client.expect_ack(AckKind::Pubrel, id), ReasonCode::Success);
    client.send_raw(&frame(0x70, &[&bytes[..], &tail[..]].concat()));
    client.send(message("props", "z").qos(2).id(77));
    assert_eq!(client.expect_ack(AckKind::Pubrec, 77), ReasonCode::Success);
    client.send_raw(&frame(0x62, &[&[0, 77][..], &tail[..]].concat()));
    assert_eq!(client.expect_ack(AckKind::Pubcomp, 77), ReasonCode::Success);
    client.expect_texts(["z"]);
}

#[test]
fn no_message_is_sent_again_while_the_connection_lasts() {
    let broker = Broker::start(1);
    let mut client = Login::v311("client").open(&broker);
    client.subscribe("once", 1);
    client.publish(message("once", "x").qos(1));
    let first = client.receive_unacked();
    // The absence of a second transmission is the subject [MQTT-4.4.0-1].
    client.expect_silence(std::time::Duration::from_millis(1500));
    client.acknowledge(&first);
    client.ping();
}
