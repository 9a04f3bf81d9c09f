//! Retained messages.

use crate::harness::*;

/// Enough topics for each of four owners to own one.
const SENTINELS: usize = 24;

/// Subscribes a new client to a filter and returns the retained messages it is sent, sorted by topic. Their end is found
/// by asking every owner for sentinels afterwards: at QoS 0 an owner answers in the order in which it was asked.
fn retained(broker: &Broker, filter: &str) -> Vec<Message> {
    let mut publisher = Login::v5("retained-publisher").open(broker);
    for i in 0..SENTINELS {
        publisher.publish(message(format!("sentinel/of/retained/{i}"), "end").qos(1).retained());
    }
    let mut client = Login::v5("").open(broker);
    client.subscribe(filter, 0);
    client.subscribe("sentinel/of/retained/+", 0);
    let mut messages = Vec::new();
    let mut sentinels = 0;
    while sentinels < SENTINELS {
        let message = client.receive();
        assert!(message.retain, "[MQTT-3.3.1-8] {message:?}");
        match message.topic.starts_with("sentinel/") {
            true => sentinels += 1,
            false => messages.push(message),
        }
    }
    messages.sort_by(|a, b| a.topic.cmp(&b.topic));
    messages
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::text).collect()
}

/// Publishes with QoS 1, so that the broker has it when this returns.
fn retain(publisher: &mut Client, topic: &str, payload: &str) {
    publisher.publish(message(topic, payload).qos(1).retained());
}

#[test]
fn a_retained_message_is_set_replaced_and_cleared() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            for i in 0..6 {
                let topic = format!("kept/{version:?}/{i}");
                let mut publisher = Login::new(version, "publisher").open(broker);
                assert_eq!(texts(&retained(broker, &topic)), [""; 0]);
                retain(&mut publisher, &topic, "one");
                assert_eq!(texts(&retained(broker, &topic)), ["one"]);
                retain(&mut publisher, &topic, "two");
                publisher.publish(message(topic.as_str(), "not retained").qos(1));
                assert_eq!(texts(&retained(broker, &topic)), ["two"], "[MQTT-3.3.1-8]");
                retain(&mut publisher, &topic, "");
                assert_eq!(texts(&retained(broker, &topic)), [""; 0], "[MQTT-3.3.1-6]");
            }
        }
    });
}

#[test]
fn qos_0_messages_are_retained_too() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v311("publisher").open(broker);
        for i in 0..8 {
            publisher.publish(message(format!("zero/{i}"), "x").retained());
        }
        broker.wait_metric("messages.retained", 8);
        let mut client = Login::v311("client").open(broker);
        client.subscribe("zero/#", 0);
        for _ in 0..8 {
            assert!(client.receive().retain);
        }
    });
}

#[test]
fn retained_messages_come_at_the_lower_qos() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in 0..=2 {
            publisher.publish(message(format!("q/{qos}"), "x").qos(qos).retained());
        }
        broker.wait_metric("messages.retained", 3);
        for version in VERSIONS {
            for granted in 0..=2 {
                let mut client = Login::new(version, "client").open(broker);
                client.subscribe("q/+", granted);
                for _ in 0..3 {
                    let received = client.receive();
                    let published: u8 = received.topic[2..].parse().expect("a digit");
                    assert_eq!(received.qos, published.min(granted));
                    assert!(received.retain);
                }
                client.disconnect();
            }
        }
    });
}

#[test]
fn retained_messages_come_after_suback() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        for i in 0..20 {
            retain(&mut client, &format!("after/{i}"), "x");
        }
        let id = client.send_subscribe(&[("after/#", 0)], &[]);
        match client.expect_packet() {
            Packet::Suback { packet_id, .. } => assert_eq!(packet_id, id),
            other => panic!("expected SUBACK, got {other:?}"),
        }
        for _ in 0..20 {
            assert!(client.receive().retain);
        }
    });
}

#[test]
fn a_message_published_after_suback_is_not_sent_as_retained_too() {
    for shards in [1, 4, 13] {
        eprintln!("with {shards} shards");
        let broker = Broker::start(shards);
        let mut publisher = Login::v5("publisher").open(&broker);
        for round in 0..20 {
            let mut clients: Vec<Client> =
                (0..5).map(|i| Login::new(VERSIONS[i % 3], &format!("c{i}")).open(&broker)).collect();
            clients.iter_mut().for_each(|client| client.subscribe(&format!("once/{round}/+"), 0));
            for i in 0..4 {
                retain(&mut publisher, &format!("once/{round}/{i}"), &format!("{i}"));
            }
            for client in &mut clients {
                client.expect_texts(["0", "1", "2", "3"]);
                client.expect_nothing_from(&mut publisher);
            }
        }
    }
}

#[test]
fn live_messages_to_old_subscriptions_have_no_retain_flag() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let topic = format!("flag/{version:?}");
            client.subscribe(&topic, 1);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message(topic.as_str(), "x").qos(1).retained());
            assert!(!client.receive().retain, "[MQTT-3.3.1-9]");
        }
    });
}

#[test]
fn the_clearing_message_is_routed_but_not_stored() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        retain(&mut client, "clear", "x");
        client.subscribe("clear", 1);
        client.expect_texts(["x"]);
        retain(&mut client, "clear", "");
        let cleared = client.receive();
        assert!(cleared.payload.is_empty() && !cleared.retain, "{cleared:?}");
        assert_eq!(texts(&retained(broker, "clear")), [""; 0], "[MQTT-3.3.1-7]");
    });
}

#[test]
fn the_clearing_message_is_not_routed_if_configured() {
    at_shards(&["retainer.stop_publish_clear_msg=true"], |broker| {
        let mut client = Login::v5("client").open(broker);
        let mut publisher = Login::v5("publisher").open(broker);
        client.subscribe("clear", 1);
        retain(&mut publisher, "clear", "x");
        client.expect_texts(["x"]);
        retain(&mut publisher, "clear", "");
        client.expect_nothing_from(&mut publisher);
        assert_eq!(texts(&retained(broker, "clear")), [""; 0]);
    });
}

#[test]
fn retain_handling_decides_when_retained_messages_are_sent() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..4 {
            retain(&mut publisher, &format!("handling/{i}"), "x");
            let topic = format!("handling/{i}");
            let mut client = Login::v5("client").open(broker);
            client.subscribe(&topic, RETAINED_NEVER);
            client.expect_nothing_from(&mut publisher);
            client.subscribe(&topic, RETAINED_IF_NEW);
            client.expect_nothing_from(&mut publisher);
            client.subscribe(&topic, 0);
            client.expect_texts(["x"]);
            client.subscribe(&topic, 0);
            client.expect_texts(["x"]);
            client.unsubscribe(&[&topic]);
            client.subscribe(&topic, RETAINED_IF_NEW);
            client.expect_texts(["x"]);
            client.disconnect();
        }
    });
}

#[test]
fn retain_handling_if_new_knows_the_subscriptions_of_a_resumed_session() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        retain(&mut publisher, "resumed", "x");
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let mut client = login.clone().open(broker);
        client.subscribe("resumed", RETAINED_IF_NEW);
        client.expect_texts(["x"]);
        client.vanish();
        let mut client = login.open(broker);
        client.subscribe("resumed", RETAINED_IF_NEW);
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn a_wildcard_subscription_gets_all_retained_messages_of_all_shards() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let messages =
            (0..500).map(|i| message(format!("wide/{}/{i}", i % 7), format!("{i}")).qos(1).retained());
        publisher.publish_all(messages, 50);
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.subscribe("wide/#", 1);
            let mut numbers: Vec<u32> =
                (0..500).map(|_| client.receive().text().parse().expect("a number")).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..500));
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
        let mut client = Login::v5("client").open(broker);
        client.subscribe("+/3/+", 2);
        let wanted = (0..500).filter(|i| i % 7 == 3);
        let mut numbers: Vec<u32> =
            wanted.clone().map(|_| client.receive().text().parse().expect("a number")).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(wanted));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn retained_messages_carry_the_subscription_identifier_and_their_properties() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        let properties = [
            Property::PayloadFormat(1),
            Property::ContentType("text/plain".into()),
            Property::ResponseTopic("answer".into()),
            Property::CorrelationData(vec![0, 1, 255]),
            Property::user("b", "2"),
            Property::user("a", "1"),
            Property::user("b", "2"),
        ];
        let kept = properties.iter().cloned().fold(message("rich", "x").qos(1).retained(), Message::with);
        client.publish(kept);
        client.subscribe_id("rich", 1, 42);
        let received = client.receive();
        assert_eq!(received.subscription_ids(), [42]);
        for property in &properties {
            assert!(received.properties.contains(property), "{property:?} in {:?}", received.properties);
        }
        let users: Vec<&Property> =
            received.properties.iter().filter(|property| matches!(property, Property::User(..))).collect();
        assert_eq!(users, [&properties[4], &properties[5], &properties[6]], "[MQTT-3.3.2-18]");
    });
}

#[test]
fn a_retained_message_expires() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for (topic, seconds) in [("short", 1), ("long", 1000)] {
            publisher.publish(message(topic, "x").qos(1).retained().with(Property::MessageExpiry(seconds)));
        }
        time_passes(2100);
        let mut messages = retained(broker, "+");
        messages.retain(|message| !message.topic.starts_with("sentinel"));
        assert_eq!(messages.len(), 1, "{messages:?}");
        let left = messages[0].expiry_s().expect("an expiry");
        assert!((900..=998).contains(&left), "{left} s left [MQTT-3.3.2-6]");
    });
}

#[test]
fn retained_messages_without_expiry_get_the_configured_one() {
    at_shards(&["retainer.msg_expiry_interval=1s"], |broker| {
        let mut publisher = Login::v311("publisher").open(broker);
        retain(&mut publisher, "default", "x");
        time_passes(2100);
        assert_eq!(retained(broker, "default"), []);
    });
}

#[test]
fn a_payload_over_the_limit_is_routed_but_not_retained() {
    at_shards(&["retainer.max_payload_size=1KB"], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe("size", 1);
        for (bytes, count) in [(1024, 1), (1025, 0)] {
            let payload = vec![b'x'; bytes];
            client.publish(message("size", payload).qos(1).retained());
            assert_eq!(client.receive().payload.len(), bytes);
            let kept = retained(broker, "size");
            assert_eq!(kept.iter().filter(|message| message.payload.len() == bytes).count(), count);
        }
        broker.wait_metric("messages.dropped.retained_too_large", 1);
    });
}

#[test]
fn at_the_limit_known_topics_are_replaced_and_new_ones_not_stored() {
    let broker = Broker::with(1, &["retainer.backend.max_retained_messages=2"]);
    let mut publisher = Login::v5("publisher").open(&broker);
    let expect = |wanted: [&str; 2]| {
        let mut client = Login::v5("client").open(&broker);
        client.subscribe("full/+", 1);
        let mut got = [client.receive(), client.receive()];
        got.sort_by(|a, b| a.topic.cmp(&b.topic));
        assert_eq!(texts(&got), wanted);
        let mut other = Login::v5("other").open(&broker);
        client.expect_nothing_from(&mut other);
    };
    for (topic, payload) in [("full/a", "1"), ("full/b", "2"), ("full/c", "3"), ("full/a", "4")] {
        retain(&mut publisher, topic, payload);
    }
    expect(["4", "2"]);
    broker.wait_metric("messages.dropped.retained_full", 1);
    retain(&mut publisher, "full/b", "");
    retain(&mut publisher, "full/c", "5");
    expect(["4", "5"]);
}

#[test]
fn the_limit_holds_over_all_shards_together() {
    at_shards(&["retainer.backend.max_retained_messages=400"], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let messages = |text: &'static str| {
            (0..2000).map(move |i| message(format!("limit/{i}"), text).qos(1).retained())
        };
        publisher.publish_all(messages("old"), 50);
        publisher.publish_all(messages("new"), 50);
        broker.wait_metric("messages.dropped.retained_full", 3200);
        let mut client = Login::v5("client").open(broker);
        client.subscribe("limit/+", 0);
        client.expect_texts(["new"; 400]);
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn shared_subscriptions_are_sent_no_retained_messages() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let mut publisher = Login::v5("publisher").open(broker);
            retain(&mut publisher, "shared", "x");
            client.subscribe("$share/g/shared", 1);
            client.subscribe("$queue/shared", 1);
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn retained_messages_outlive_the_session_of_their_publisher() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut publisher = Login::new(version, "publisher").open(broker);
            retain(&mut publisher, "outlive", "x");
            publisher.disconnect();
            Login::new(version, "publisher").open(broker).disconnect();
            assert_eq!(texts(&retained(broker, "outlive")), ["x"], "[MQTT-3.1.2-7]");
        }
    });
}
