//! UNSUBSCRIBE and UNSUBACK.

use crate::harness::*;

#[test]
fn unsuback_says_for_each_filter_whether_it_existed() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_all(&[("a", 0), ("b/+", 1), ("$share/g/c", 2)], &[]);
        let (gone, none) = (ReasonCode::Success.as_u8(), ReasonCode::NoSubscriptionExisted.as_u8());
        let codes = client.unsubscribe(&["a", "b/x", "b/+", "$share/g/c", "$share/h/c", "a"]);
        assert_eq!(codes, [gone, none, gone, gone, none, none], "[MQTT-3.11.3-2]");
    });
}

#[test]
fn unsuback_of_3_x_comes_also_if_nothing_was_removed() {
    let broker = Broker::start(1);
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let mut client = Login::new(version, "client").open(&broker);
        assert_eq!(client.unsubscribe(&["never"]), [0_u8; 0]);
        client.subscribe("a", 0);
        assert_eq!(client.unsubscribe(&["a", "never"]), [0_u8; 0]);
    }
}

#[test]
fn nothing_published_after_unsuback_arrives() {
    at_shards(&[], |broker| {
        let mut publishers: Vec<Client> =
            (0..4).map(|i| Login::v5(&format!("pub{i}")).open(broker)).collect();
        for version in VERSIONS {
            for (i, filter) in ["gone/x", "gone/+", "gone/#", "+/x"].into_iter().enumerate() {
                let mut client = Login::new(version, &format!("sub{version:?}{i}")).open(broker);
                client.subscribe(filter, 1);
                for publisher in &mut publishers {
                    publisher.publish(message("gone/x", "before").qos(1));
                }
                client.expect_texts(["before"; 4]);
                client.unsubscribe(&[filter]);
                for publisher in &mut publishers {
                    publisher.publish(message("gone/x", "after").qos(1));
                    client.expect_nothing_from(publisher);
                }
                client.disconnect();
            }
        }
    });
}

#[test]
fn the_last_unsubscribe_ends_interest_on_every_shard() {
    at_shards(&[], |broker| {
        let mut subscribers: Vec<Client> = (0..6).map(|i| Login::v5(&format!("s{i}")).open(broker)).collect();
        subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe("interest/+", 1));
        let mut publisher = Login::v5("publisher").open(broker);
        while let Some(mut subscriber) = subscribers.pop() {
            assert_eq!(publisher.publish(message("interest/a", "x").qos(1)), ReasonCode::Success);
            subscriber.expect_texts(["x"]);
            for other in &mut subscribers {
                other.expect_texts(["x"]);
            }
            subscriber.unsubscribe(&["interest/+"]);
        }
        // The removal may still travel after UNSUBACK; it arrives without another event.
        let deadline = std::time::Instant::now() + PATIENCE;
        while publisher.publish(message("interest/a", "x").qos(1)) != ReasonCode::NoMatchingSubscribers {
            assert!(std::time::Instant::now() < deadline, "interest stays without a subscriber");
        }
    });
}

#[test]
fn filters_are_compared_character_by_character() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_all(&[("Exact/+", 0), ("Exact/a/", 0)], &[]);
        let none = ReasonCode::NoSubscriptionExisted.as_u8();
        for other in ["exact/+", "Exact/a", "Exact/#", "/Exact/+", "Exact/a//", "+/+"] {
            assert_eq!(client.unsubscribe(&[other]), [none], "{other}");
        }
        client.publish(message("Exact/b", "x"));
        client.publish(message("Exact/a/", "y"));
        client.expect_texts(["x", "y"]);
    });
}

#[test]
fn other_overlapping_subscriptions_stay() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe_id("stay/a", 2, 1);
        client.subscribe_id("stay/+", 1, 2);
        client.subscribe_id("stay/#", 0, 3);
        let mut publisher = Login::v5("publisher").open(broker);
        for (remove, qos, ids) in [("stay/a", 1, vec![2, 3]), ("stay/+", 0, vec![3])] {
            client.unsubscribe(&[remove]);
            publisher.publish(message("stay/a", "x").qos(2));
            let received = client.receive();
            assert_eq!((received.qos, received.subscription_ids()), (qos, ids));
        }
        client.unsubscribe(&["stay/#"]);
        publisher.publish(message("stay/a", "x").qos(2));
        client.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn deliveries_begun_before_unsubscribe_are_completed() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::persistent(version, "client").open(broker);
            let mut publisher = Login::v5("publisher").open(broker);
            client.subscribe("begun", 2);
            publisher.publish(message("begun", "one").qos(1));
            publisher.publish(message("begun", "two").qos(2));
            let (one, two) = (client.receive_unacked(), client.receive_unacked());
            client.unsubscribe(&["begun"]);
            client.vanish();
            let mut client = Login::persistent(version, "client").open(broker);
            for earlier in [&one, &two] {
                let again = client.receive();
                assert_eq!(again.packet_id, earlier.packet_id, "[MQTT-3.10.4-3]");
            }
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
    });
}

#[test]
fn a_subscription_made_again_is_new() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.publish(message("new/again", "kept").qos(1).retained());
        for _ in 0..3 {
            client.subscribe("new/again", RETAINED_IF_NEW);
            client.expect_texts(["kept"]);
            client.unsubscribe(&["new/again"]);
        }
    });
}

#[test]
fn unsubscribe_without_filters_is_refused() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        let mut body = vec![0, 1];
        if version == ProtocolVersion::V5 {
            body.push(0);
        }
        client.send_raw(&frame(0xA2, &body));
        client.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::MalformedPacket]);
    }
}

#[test]
fn a_thousand_filters_are_removed_by_one_packet() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        let names: Vec<String> = (0..1000).map(|i| format!("many/{i}/+")).collect();
        let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        client.subscribe_all(&filters, &[]);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(client.unsubscribe(&names).iter().all(|code| *code == 0));
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("many/17/x", "x"));
        client.expect_nothing_from(&mut publisher);
    });
}
