//! MQTT 5.0 properties of PUBLISH: what is forwarded, what is consumed, what is refused.

use crate::harness::*;
use std::collections::HashMap;

fn pair(broker: &Broker, filter: &str) -> (Client, Client) {
    let mut subscriber = Login::v5("subscriber").open(broker);
    subscriber.subscribe(filter, 2);
    (Login::v5("publisher").open(broker), subscriber)
}

#[test]
fn forwardable_properties_arrive_unaltered_and_in_order() {
    at_shards(&[], |broker| {
        let (mut publisher, mut subscriber) = pair(broker, "rich");
        let properties = vec![
            Property::user("z", "first"),
            Property::PayloadFormat(1),
            Property::user("a", ""),
            Property::ContentType("application/json".into()),
            Property::ResponseTopic("answers/\u{feff}1".into()),
            Property::user("", "empty name"),
            Property::CorrelationData((0..=255).collect()),
            Property::user("z", "first"),
        ];
        for qos in 0..=2 {
            let rich = properties.iter().cloned().fold(message("rich", "{}").qos(qos), Message::with);
            publisher.publish(rich);
            let received = subscriber.receive();
            let users = |properties: &[Property]| -> Vec<Property> {
                properties.iter().filter(|property| matches!(property, Property::User(..))).cloned().collect()
            };
            assert_eq!(users(&received.properties), users(&properties), "[MQTT-3.3.2-18]");
            assert_eq!(received.properties.len(), properties.len());
            for property in &properties {
                assert!(received.properties.contains(property), "{property:?}");
            }
        }
    });
}

#[test]
fn payload_format_0_is_forwarded_or_left_out() {
    let broker = Broker::start(1);
    let (mut publisher, mut subscriber) = pair(&broker, "format");
    publisher.publish(message("format", [0xFF]).with(Property::PayloadFormat(0)));
    let properties = subscriber.receive().properties;
    assert!(properties.is_empty() || properties == [Property::PayloadFormat(0)], "{properties:?}");
}

#[test]
fn thousand_user_properties_arrive() {
    at_shards(&[], |broker| {
        let (mut publisher, mut subscriber) = pair(broker, "users");
        let properties: Vec<Property> = (0..1000).map(|i| Property::user(&format!("n{i}"), "v")).collect();
        publisher.publish(properties.iter().cloned().fold(message("users", "x").qos(1), Message::with));
        assert_eq!(subscriber.receive().properties, properties);
    });
}

#[test]
fn clients_of_3_x_get_the_message_without_properties() {
    at_shards(&[], |broker| {
        for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
            let mut old = Login::new(version, "old").open(broker);
            old.subscribe("mixed", 1);
            let mut publisher = Login::v5("publisher").open(broker);
            let rich = message("mixed", "x").qos(1).with(Property::ContentType("t".into()));
            publisher.publish(rich.with(Property::user("a", "b")).with(Property::MessageExpiry(100)));
            old.expect_texts(["x"]);
        }
    });
}

#[test]
fn the_expiry_interval_is_forwarded() {
    at_shards(&[], |broker| {
        let (mut publisher, mut subscriber) = pair(broker, "expiry");
        for seconds in [100, 86_400, u32::MAX] {
            publisher.publish(message("expiry", "x").qos(1).with(Property::MessageExpiry(seconds)));
            let left = subscriber.receive().expiry_s().expect("an expiry");
            assert!((seconds - 5..=seconds).contains(&left), "{left} of {seconds}");
        }
        publisher.publish(message("expiry", "x"));
        assert_eq!(subscriber.receive().expiry_s(), None);
    });
}

#[test]
fn a_message_that_waits_for_the_window_can_expire() {
    at_shards(&[], |broker| {
        let mut subscriber = Login::v5("subscriber").with(Property::ReceiveMaximum(1)).open(broker);
        subscriber.subscribe("window", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("window", "first").qos(1));
        publisher.publish(message("window", "expires").qos(1).with(Property::MessageExpiry(1)));
        publisher.publish(message("window", "last").qos(1));
        let first = subscriber.receive_unacked();
        time_passes(2100);
        subscriber.acknowledge(&first);
        subscriber.expect_texts(["last"]);
        broker.wait_metric("delivery.dropped.expired", 1);
    });
}

#[test]
fn a_delivery_that_has_begun_does_not_expire() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "subscriber");
        let mut subscriber = login.clone().open(broker);
        subscriber.subscribe("begun", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in [1, 2] {
            publisher.publish(message("begun", "x").qos(qos).with(Property::MessageExpiry(1)));
        }
        let first = [subscriber.receive_unacked(), subscriber.receive_unacked()];
        time_passes(2100);
        subscriber.vanish();
        let mut subscriber = login.open(broker);
        for earlier in first {
            assert_eq!(subscriber.receive().packet_id, earlier.packet_id, "[MQTT-4.3.3-7]");
        }
    });
}

#[test]
fn a_qos_2_handshake_goes_on_after_the_message_expired() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.send(message("expired", "x").qos(2).id(5).with(Property::MessageExpiry(1)));
        publisher.expect_ack(AckKind::Pubrec, 5);
        time_passes(2100);
        publisher.ack(AckKind::Pubrel, 5);
        assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 5), ReasonCode::Success, "[MQTT-4.3.3-13]");
    });
}

#[test]
fn incoming_aliases_are_set_used_and_replaced() {
    at_shards(&[], |broker| {
        let (mut publisher, mut subscriber) = pair(broker, "alias/#");
        let alias = |topic: &str, text: &str, alias| message(topic, text).with(Property::TopicAlias(alias));
        publisher.publish(alias("alias/one", "a", 1).qos(1));
        publisher.publish(alias("", "b", 1).qos(2));
        publisher.publish(alias("alias/max", "c", 65_535));
        publisher.publish(alias("", "d", 65_535));
        publisher.publish(alias("alias/two", "e", 1));
        publisher.publish(alias("", "f", 1).qos(1));
        for (topic, text) in [
            ("alias/one", "a"),
            ("alias/one", "b"),
            ("alias/max", "c"),
            ("alias/max", "d"),
            ("alias/two", "e"),
            ("alias/two", "f"),
        ] {
            let received = subscriber.receive();
            assert_eq!((received.topic.as_str(), received.text()), (topic, text));
            assert_eq!(received.alias(), None, "the alias of the sender is not forwarded");
        }
    });
}

#[test]
fn aliases_belong_to_one_connection_and_direction() {
    at_shards(&[], |broker| {
        let login = || Login::persistent(ProtocolVersion::V5, "client");
        let mut client = login().open(broker);
        client.publish(message("alias", "x").qos(1).with(Property::TopicAlias(3)));
        let mut other = Login::v5("other").open(broker);
        other.send(message("", "x").with(Property::TopicAlias(3)));
        other.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid]);
        client.vanish();
        let mut client = login().open(broker);
        client.send(message("", "x").with(Property::TopicAlias(3)));
        client.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid]);
    });
}

#[test]
fn invalid_aliases_are_refused() {
    let broker = Broker::with(1, &["mqtt.max_topic_alias=5"]);
    for alias in [0, 6, 65_535] {
        let mut client = Login::v5("client").open(&broker);
        client.send(message("a", "x").with(Property::TopicAlias(alias)));
        client.expect_disconnect(ReasonCode::TopicAliasInvalid);
    }
    let mut client = Login::v5("client").open(&broker);
    client.publish(message("a", "x").qos(1).with(Property::TopicAlias(5)));
    client.send(message("", "without alias"));
    client.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::TopicNameInvalid]);

    let broker = Broker::with(1, &["mqtt.max_topic_alias=0"]);
    let mut client = Login::v5("client").open(&broker);
    client.send(message("a", "x").with(Property::TopicAlias(1)));
    client.expect_disconnect(ReasonCode::TopicAliasInvalid);
}

#[test]
fn outgoing_aliases_stay_within_the_clients_maximum_and_resolve() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for maximum in [0, 1, 2, 65_535] {
            let login = Login::v5(&format!("aliases{maximum}")).with(Property::TopicAliasMaximum(maximum));
            let mut subscriber = login.open(broker);
            subscriber.subscribe("out/+", 1);
            let mut aliases: HashMap<u16, String> = HashMap::new();
            let mut shortened = 0;
            for i in 0..60 {
                let topic = format!("out/{}", i % 4);
                publisher.publish(message(topic.as_str(), "x").qos(i % 2));
                let received = subscriber.receive();
                let resolved = match received.alias() {
                    None => received.topic.clone(),
                    Some(alias) => {
                        assert!((1..=maximum).contains(&alias), "alias {alias} [MQTT-3.1.2-26]");
                        if received.topic.is_empty() {
                            shortened += 1;
                        } else {
                            aliases.insert(alias, received.topic.clone());
                        }
                        aliases.get(&alias).expect("an alias that was set").clone()
                    }
                };
                assert_eq!(resolved, topic);
            }
            assert_eq!(shortened > 0, maximum > 0, "with a maximum of {maximum}");
        }
    });
}

#[test]
fn outgoing_aliases_are_set_anew_after_reconnect() {
    at_shards(&[], |broker| {
        let login = || Login::persistent(ProtocolVersion::V5, "sub").with(Property::TopicAliasMaximum(10));
        let mut publisher = Login::v5("publisher").open(broker);
        for round in 0..3 {
            let mut subscriber = login().open(broker);
            subscriber.subscribe("anew", 1);
            for i in 0..3 {
                publisher.publish(message("anew", "x").qos(1));
                let received = subscriber.receive();
                assert!(i > 0 || received.topic == "anew", "round {round}: {received:?}");
            }
            subscriber.vanish();
        }
    });
}

#[test]
fn a_message_sent_again_after_reconnect_has_a_topic_the_client_can_know() {
    at_shards(&[], |broker| {
        let login = || Login::persistent(ProtocolVersion::V5, "sub").with(Property::TopicAliasMaximum(10));
        let mut publisher = Login::v5("publisher").open(broker);
        let mut subscriber = login().open(broker);
        subscriber.subscribe("resend", 1);
        for _ in 0..3 {
            publisher.publish(message("resend", "x").qos(1));
            subscriber.receive_unacked();
        }
        subscriber.vanish();
        let mut subscriber = login().open(broker);
        assert_eq!(subscriber.receive().topic, "resend");
    });
}

#[test]
fn invalid_publish_properties_are_refused() {
    use Property::*;
    let broker = Broker::start(1);
    let protocol_error = [ReasonCode::ProtocolError].as_slice();
    let either = [ReasonCode::ProtocolError, ReasonCode::MalformedPacket].as_slice();
    let topic =
        [ReasonCode::ProtocolError, ReasonCode::MalformedPacket, ReasonCode::TopicNameInvalid].as_slice();
    let cases = [
        (vec![PayloadFormat(2)], either),
        (vec![PayloadFormat(0), PayloadFormat(0)], protocol_error),
        (vec![MessageExpiry(1), MessageExpiry(1)], protocol_error),
        (vec![ContentType("a".into()), ContentType("a".into())], protocol_error),
        (vec![ResponseTopic("a".into()), ResponseTopic("a".into())], protocol_error),
        (vec![CorrelationData(vec![]), CorrelationData(vec![])], protocol_error),
        (vec![TopicAlias(1), TopicAlias(1)], protocol_error),
        (vec![ResponseTopic("a/#".into())], topic),
        (vec![ResponseTopic("+".into())], topic),
        (vec![SubscriptionId(1)], either),
        (vec![SessionExpiry(1)], either),
        (vec![ReasonString("no".into())], either),
        (vec![WillDelay(1)], either),
        (vec![ContentType("\0".into())], either),
    ];
    for (properties, reasons) in cases {
        eprintln!("{properties:?}");
        let mut client = Login::v5("client").open(&broker);
        client.send(properties.into_iter().fold(message("a", "x"), Message::with));
        client.expect_disconnect_of(reasons);
    }
}

#[test]
fn properties_that_overrun_their_section_are_malformed() {
    let broker = Broker::start(1);
    // Topic "a", then: an unknown property, a section longer than the packet, a property cut off by its section.
    for tail in [&[2, 0x7F, 0][..], &[100, 1, 1][..], &[3, 2, 0, 0][..], &[0xFF, 0xFF, 0xFF, 0xFF, 1][..]] {
        let mut client = Login::v5("client").open(&broker);
        client.send_raw(&frame(0x30, &[&[0, 1, b'a'], tail].concat()));
        client.expect_disconnect(ReasonCode::MalformedPacket);
    }
}

#[test]
fn without_problem_information_acknowledgements_carry_no_texts() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("quiet").with(Property::RequestProblemInformation(0)).open(broker);
        client.send_subscribe(&[("a/#/b", 0), ("a", 0)], &[]);
        client.send(message("nobody", "x").qos(1));
        client.send(message("nobody", "x").qos(2));
        client.ack(AckKind::Pubrel, 4711);
        for _ in 0..4 {
            match client.expect_packet() {
                Packet::Suback { properties, .. } | Packet::Ack { properties, .. } => {
                    assert_eq!(properties, [], "[MQTT-3.1.2-29]");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn request_and_response_work_between_two_clients() {
    at_shards(&[], |broker| {
        let mut requester = Login::v5("requester").open(broker);
        let mut responder = Login::v5("responder").open(broker);
        responder.subscribe("requests", 1);
        requester.subscribe("answers/requester", 1);
        let request =
            message("requests", "what?").qos(1).with(Property::ResponseTopic("answers/requester".into()));
        requester.publish(request.with(Property::CorrelationData(b"id 1".to_vec())));
        let received = responder.receive();
        let mut answer = None;
        let mut correlation = None;
        for property in received.properties {
            match property {
                Property::ResponseTopic(topic) => answer = Some(topic),
                Property::CorrelationData(data) => correlation = Some(data),
                other => panic!("{other:?}"),
            }
        }
        let reply = message(answer.expect("a response topic"), "that").qos(1);
        responder.publish(reply.with(Property::CorrelationData(correlation.expect("correlation data"))));
        assert_eq!(requester.receive().properties, [Property::CorrelationData(b"id 1".to_vec())]);
    });
}
