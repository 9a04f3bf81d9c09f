//! SUBSCRIBE and SUBACK, overlapping subscriptions, subscription options.

use crate::harness::*;

#[test]
fn suback_has_the_identifier_and_one_code_for_each_filter_in_order() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let filters = [("a", 0), ("b", 1), ("c/+", 2), ("#", 1), ("a", 2)];
            assert_eq!(client.subscribe_all(&filters, &[]), [0, 1, 2, 1, 2]);
        }
    });
}

#[test]
fn invalid_filters_fail_one_by_one() {
    let invalid = ["a/#/b", "a#", "+a", "a/b+", "#/a", "##", "a/+b/c"];
    at_shards(&[], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0x8F)] {
            let mut client = Login::new(version, "client").open(broker);
            for filter in invalid {
                let codes = client.subscribe_all(&[("good/1", 1), (filter, 2), ("good/2", 2)], &[]);
                assert_eq!(codes, [1, code, 2], "{filter}");
            }
            for topic in ["good/1", "good/2"] {
                client.publish(message(topic, topic).qos(1));
                client.expect_texts([topic]);
            }
        }
    });
}

#[test]
fn a_thousand_filters_in_one_packet_all_work() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let names: Vec<String> = (0..1000).map(|i| format!("many/{i}")).collect();
            let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
            assert!(client.subscribe_all(&filters, &[]).iter().all(|code| *code == 0));
            let mut publisher = Login::v5("publisher").open(broker);
            for name in &names {
                publisher.publish(message(name.as_str(), name.as_str()));
            }
            client.expect_texts(&names);
        }
    });
}

#[test]
fn a_second_subscribe_replaces_the_first() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("replace", "kept").qos(1).retained());
            for qos in [2, 0, 1] {
                client.subscribe("replace", qos);
                let retained = client.receive();
                assert!(retained.retain, "retained messages are sent again [MQTT-3.8.4-4]");
                publisher.publish(message("replace", "live").qos(2));
                assert_eq!(client.receive().qos, qos);
                client.expect_nothing_from(&mut publisher);
            }
            client.unsubscribe(&["replace"]);
            publisher.publish(message("replace", "gone").qos(1));
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn a_second_subscribe_replaces_the_subscription_identifier() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_id("id", 0, 5);
        client.subscribe_id("id", 0, 6);
        client.publish(message("id", "x"));
        assert_eq!(client.receive().subscription_ids(), [6]);
        client.subscribe("id", 0);
        client.publish(message("id", "y"));
        assert_eq!(client.receive().subscription_ids(), [0_u32; 0]);
    });
}

#[test]
fn overlapping_subscriptions_give_one_copy_at_the_highest_qos_with_all_identifiers() {
    at_shards(&[], |broker| {
        for i in 0..4 {
            let mut client = Login::v5(&format!("client{i}")).open(broker);
            client.subscribe_id("over/lap", 0, 1);
            client.subscribe_id("over/+", 2, 268_435_455);
            client.subscribe_id("over/#", 1, 300);
            client.subscribe("+/lap", 1);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("over/lap", "x").qos(2));
            let received = client.receive();
            assert_eq!(received.qos, 2, "[MQTT-3.3.4-2]");
            assert_eq!(received.subscription_ids(), [1, 300, 268_435_455], "[MQTT-3.3.4-4]");
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn overlapping_subscriptions_give_3_x_clients_one_copy() {
    at_shards(&[], |broker| {
        for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
            let mut client = Login::new(version, "client").open(broker);
            client.subscribe_all(&[("over/#", 0), ("over/lap", 1), ("+/+", 2)], &[]);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("over/lap", "x").qos(2));
            assert_eq!(client.receive().qos, 2, "[MQTT-3.3.5-1]");
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn overlapping_subscriptions_give_one_copy_each_if_configured() {
    at_shards(&["mqtt.overlapping_subscription_copies=true"], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_id("over/lap", 0, 1);
        client.subscribe_id("over/+", 2, 2);
        client.subscribe_id("over/#", 1, 3);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("over/lap", "x").qos(2));
        let mut copies: Vec<(Vec<u32>, u8)> = (0..3)
            .map(|_| {
                let copy = client.receive();
                (copy.subscription_ids(), copy.qos)
            })
            .collect();
        copies.sort();
        assert_eq!(copies, [(vec![1], 0), (vec![2], 2), (vec![3], 1)]);
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn one_identifier_for_several_filters_comes_with_each_match() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_all(&[("one/a", 0), ("one/+", 0)], &[Property::SubscriptionId(9)]);
        client.publish(message("one/b", "x"));
        assert_eq!(client.receive().subscription_ids(), [9]);
        client.publish(message("one/a", "y"));
        let ids = client.receive().subscription_ids();
        assert!(!ids.is_empty() && ids.iter().all(|id| *id == 9), "{ids:?}");
    });
}

#[test]
fn no_local_keeps_only_the_own_messages_away() {
    at_shards(&[], |broker| {
        for i in 0..4 {
            let mut client = Login::v5(&format!("client{i}")).open(broker);
            let mut other = Login::v5("other").open(broker);
            client.subscribe("local/#", 1 | NO_LOCAL);
            client.publish(message("local/a", "own").qos(1));
            other.publish(message("local/a", "theirs").qos(1));
            client.expect_texts(["theirs"]);
            client.expect_nothing_from(&mut other);
            client.subscribe("local/+", 1);
            client.publish(message("local/a", "own").qos(1));
            client.expect_texts(["own"]);
            client.disconnect();
        }
        broker.wait_metric("delivery.dropped.no_local", 4);
    });
}

#[test]
fn retain_as_published_keeps_the_flag_of_live_messages() {
    at_shards(&[], |broker| {
        let mut kept = Login::v5("kept").open(broker);
        let mut cleared = Login::v5("cleared").open(broker);
        kept.subscribe("rap", 1 | RETAIN_AS_PUBLISHED);
        cleared.subscribe("rap", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("rap", "retained").qos(1).retained());
        publisher.publish(message("rap", "plain").qos(1));
        assert_eq!([kept.receive().retain, kept.receive().retain], [true, false], "[MQTT-3.3.1-13]");
        assert_eq!([cleared.receive().retain, cleared.receive().retain], [false, false], "[MQTT-3.3.1-12]");
    });
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = Broker::start(1);
    let mut client = Login::v5("client").open(&broker);
    client.send_subscribe(&[("$share/g/a", NO_LOCAL)], &[]);
    client.expect_disconnect(ReasonCode::ProtocolError);
}

#[test]
fn invalid_subscription_options_are_refused() {
    let broker = Broker::start(1);
    use ReasonCode::{MalformedPacket, ProtocolError};
    for options in [0x03, 0x30, 0x40, 0x80, 0xC0] {
        let mut client = Login::v5("client").open(&broker);
        client.send_subscribe(&[("a", options)], &[]);
        client.expect_disconnect_of(&[MalformedPacket, ProtocolError]);
    }
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        for options in [0x03, 0x04, 0x80] {
            let mut client = Login::new(version, "client").open(&broker);
            client.send_subscribe(&[("a", options)], &[]);
            client.expect_closed();
        }
    }
}

#[test]
fn subscribe_without_filters_is_refused() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.send_subscribe(&[], &[]);
        client.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::MalformedPacket]);
    }
}

#[test]
fn empty_filter_is_refused() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.send_subscribe(&[("", 0)], &[]);
        match client.expect_event() {
            // Either a failure code for this filter or the end of the connection is right. [MQTT-4.7.3-1]
            Event::Packet(Packet::Suback { codes, .. }) => assert!(codes[0] >= 0x80),
            Event::Packet(Packet::Disconnect { reason, .. }) => assert!(reason.is_error()),
            Event::Closed => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn subscription_identifier_0_or_twice_is_a_protocol_error() {
    let broker = Broker::start(1);
    for ids in [&[0][..], &[1, 2][..]] {
        let mut client = Login::v5("client").open(&broker);
        let properties: Vec<Property> = ids.iter().map(|id| Property::SubscriptionId(*id)).collect();
        client.send_subscribe(&[("a", 0)], &properties);
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn whoever_publishes_after_suback_reaches_the_subscriber() {
    at_shards(&[], |broker| {
        let mut publishers: Vec<Client> =
            (0..6).map(|i| Login::v5(&format!("publisher{i}")).open(broker)).collect();
        for round in 0..60 {
            let filter = ["suback/+/x", "suback/#", "suback/TOPIC/x"][round % 3];
            let topic = format!("suback/{round}/x");
            let mut subscriber = Login::v5(&format!("subscriber{round}")).open(broker);
            subscriber.subscribe(&filter.replace("TOPIC", &round.to_string()), 1);
            let publisher = &mut publishers[round % 6];
            let reason = publisher.publish(message(topic.as_str(), "x").qos(1));
            assert_eq!(reason, ReasonCode::Success, "round {round}");
            assert_eq!(subscriber.receive().topic, topic);
            subscriber.disconnect();
        }
    });
}

#[test]
fn several_subscribes_in_flight_are_each_answered() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        let ids: Vec<u16> =
            (0..50).map(|i| client.send_subscribe(&[(&format!("flight/{i}"), (i % 3) as u8)], &[])).collect();
        for (i, id) in ids.into_iter().enumerate() {
            assert_eq!(client.expect_suback(id), [(i % 3) as u8]);
        }
    });
}

#[test]
fn subscriptions_of_one_client_do_not_reach_another() {
    at_shards(&[], |broker| {
        let mut clients: Vec<Client> = (0..12).map(|i| Login::v5(&format!("c{i}")).open(broker)).collect();
        for (i, client) in clients.iter_mut().enumerate() {
            client.subscribe(&format!("private/{i}"), 0);
        }
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..clients.len() {
            publisher.publish(message(format!("private/{i}"), format!("{i}")));
        }
        for (i, client) in clients.iter_mut().enumerate() {
            client.expect_texts([format!("{i}")]);
            client.expect_nothing_from(&mut publisher);
        }
    });
}
