//! Quotas: what goes beyond them is refused, and its publisher told so where that is possible.

use crate::harness::*;

/// Publishes until a message is refused, at most `most`; how many were not.
fn publish_to_the_end(publisher: &mut Client, topic: &str, most: usize) -> usize {
    let accepted = |_: &usize| !publisher.publish(message(topic, "m").qos(1)).is_error();
    (0..most).take_while(accepted).count()
}

#[test]
fn beyond_the_quota_of_a_day_publications_are_refused_and_others_are_not_concerned() {
    let settings = ["quota.client.messages_per_day=5"];
    at_shards(&settings, |broker| {
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("q", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        for number in 0..5 {
            let text = number.to_string();
            assert_eq!(publisher.publish(message("q", text).qos(number % 3)), ReasonCode::Success);
        }
        subscriber.expect_texts(["0", "1", "2", "3", "4"]);
        assert_eq!(publisher.publish(message("q", "x").qos(1)), ReasonCode::QuotaExceeded);
        let refused = message("q", "x").qos(2).id(700);
        assert_eq!(publisher.publish(refused.clone()), ReasonCode::QuotaExceeded);
        // The identifier stands for nothing, so it can be used at once.
        assert_eq!(publisher.publish(refused), ReasonCode::QuotaExceeded);
        publisher.publish(message("q", "x"));
        subscriber.expect_nothing_from(&mut Login::v5("other").open(broker));
        assert_eq!(broker.metric("messages.refused.quota_exceeded"), 3);
        assert_eq!(broker.metric("messages.dropped.quota_exceeded"), 1);

        publisher.ping();
        publisher.disconnect();
        let mut publisher = Login::v5("publisher").open(broker);
        assert_eq!(publisher.publish(message("q", "x").qos(1)), ReasonCode::QuotaExceeded, "still its day");
    });
}

#[test]
fn a_period_later_as_much_may_be_published_again() {
    let broker = Broker::with(2, &["quota.client.messages=4/2s"]);
    let mut publisher = Login::v5("publisher").open(&broker);
    publisher.publish(message("q", "m").qos(1));
    let at_once = publish_to_the_end(&mut publisher, "q", 1000);
    assert!(at_once < 1000);
    until("a new period", || !publisher.publish(message("q", "m").qos(1)).is_error());
    until("its end", || publisher.publish(message("q", "m").qos(1)).is_error());
}

#[test]
fn bytes_are_those_of_topic_properties_and_payload() {
    let broker = Broker::with(1, &["quota.client.bytes=1000/h"]);
    let mut publisher = Login::v5("publisher").open(&broker);
    let of = |bytes: usize| message("abc", "x".repeat(bytes)).qos(1);
    assert_eq!(publisher.publish(of(998)), ReasonCode::QuotaExceeded);
    assert_eq!(publisher.publish(of(597)), ReasonCode::NoMatchingSubscribers);
    assert_eq!(publisher.publish(of(398)), ReasonCode::QuotaExceeded);
    assert_eq!(publisher.publish(of(397)), ReasonCode::NoMatchingSubscribers, "a thousand");
    assert_eq!(publisher.publish(of(0)), ReasonCode::QuotaExceeded);
}

#[test]
fn all_clients_of_a_user_have_one_quota_on_whatever_shards_they_are() {
    let settings = ["quota.user.messages_per_day=20", "quota.client.messages_per_day=8"];
    at_shards(&settings, |broker| {
        let accepted = |name: String, user: &str| {
            let mut client = Login::v5(&name).user_name(user).open(broker);
            publish_to_the_end(&mut client, "q", 1000)
        };
        let of_alice: Vec<usize> = (0..5).map(|number| accepted(format!("a{number}"), "alice")).collect();
        assert_eq!(of_alice, [8, 8, 4, 0, 0]);
        assert_eq!(accepted("b0".to_owned(), "bob"), 8);
        // What the user's quota refused does not count for the client.
        assert_eq!(accepted("a4".to_owned(), "carol"), 8);
        let mut nobody = Login::v5("nobody").open(broker);
        assert_eq!(publish_to_the_end(&mut nobody, "q", 1000), 8);
    });
}

#[test]
fn a_client_that_cannot_be_told_is_closed_and_may_be_lied_to_where_that_is_asked_for() {
    for (policy, is_closed) in [("close", true), ("drop", false)] {
        let settings = ["quota.client.messages_per_day=1", &format!("mqtt.mqueue_reject_v3={policy}")];
        let broker = Broker::with(2, &settings);
        let mut subscriber = Login::v5("subscriber").open(&broker);
        subscriber.subscribe("q", 2);
        for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
            let name = format!("publisher-{version:?}");
            let mut publisher = Login::new(version, &name).open(&broker);
            publisher.publish(message("q", "first").qos(1));
            // At QoS 0 it is dropped, and nobody waits to be told.
            publisher.publish(message("q", "x"));
            publisher.ping();
            publisher.send(message("q", "x").qos(1).id(7));
            if is_closed {
                publisher.expect_closed();
                let mut publisher = Login::new(version, &name).open(&broker);
                publisher.send(message("q", "x").qos(2).id(7));
                publisher.expect_closed();
            } else {
                assert_eq!(publisher.expect_ack(AckKind::Puback, 7), ReasonCode::Success);
                publisher.publish(message("q", "x").qos(2));
            }
            subscriber.expect_texts(["first"]);
        }
        subscriber.expect_nothing_from(&mut Login::v5("other").open(&broker));
        assert_eq!(broker.metric("messages.refused.quota_exceeded"), if is_closed { 4 } else { 0 });
        assert_eq!(broker.metric("messages.dropped.quota_exceeded"), if is_closed { 2 } else { 6 });
    }
}

#[test]
fn what_was_used_of_the_day_outlives_the_process_and_is_counted_on() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let data_dir = format!("node.data_dir={}", data.path().display());
    let settings = [data_dir.as_str(), "quota.client.messages_per_day=6", "quota.user.bytes_per_day=100"];
    let start = |shards| Broker::with(shards, &settings);
    let login = |id: &str| Login::v5(id).user_name("user");
    let accepted =
        |broker: &Broker, id: &str, most| publish_to_the_end(&mut login(id).open(broker), "q", most);
    let broker = start(2);
    assert_eq!(accepted(&broker, "a", 4), 4);
    drop(broker);
    let mut broker = start(4);
    assert_eq!(accepted(&broker, "a", 9), 2, "four were published before");
    assert_eq!(accepted(&broker, "b", 1), 1);
    let is_kept = |text: &str| {
        std::fs::read_to_string(data.path().join("quota.jsonl")).is_ok_and(|file| file.contains(text))
    };
    until("what b has published is in the file", || is_kept("\"who\":\"b\""));
    broker.signal(Signal::KILL);
    broker.wait(PATIENCE).expect("nobody survives that");
    let broker = start(1);
    assert_eq!((accepted(&broker, "a", 9), accepted(&broker, "b", 9)), (0, 5));
    let mut client = login("c").open(&broker);
    // Twelve messages of two bytes.
    assert_eq!(client.publish(message("q", "x".repeat(76)).qos(1)), ReasonCode::QuotaExceeded);
    assert!(!client.publish(message("q", "x".repeat(75)).qos(1)).is_error());
}
