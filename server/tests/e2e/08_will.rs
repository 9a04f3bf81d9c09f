//! The will message.

use crate::harness::*;
use std::time::{Duration, Instant};

fn watcher(broker: &Broker) -> Client {
    let mut watcher = Login::v5("watcher").open(broker);
    watcher.subscribe("will/#", 2 | RETAIN_AS_PUBLISHED);
    watcher
}

#[test]
fn the_will_is_published_when_the_connection_breaks() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            for qos in 0..=2 {
                let topic = format!("will/{version:?}");
                let will = Will::new(&topic, "gone").qos(qos);
                Login::new(version, &format!("dying{version:?}{qos}")).will(will).open(broker).vanish();
                let received = watcher.receive();
                assert_eq!(
                    (received.topic.as_str(), received.text(), received.qos),
                    (topic.as_str(), "gone", qos)
                );
                assert!(!received.retain, "[MQTT-3.1.2-14]");
            }
        }
    });
}

#[test]
fn the_will_reaches_subscribers_of_all_shards() {
    at_shards(&[], |broker| {
        let mut watchers: Vec<Client> = (0..8).map(|i| Login::v311(&format!("w{i}")).open(broker)).collect();
        watchers.iter_mut().for_each(|watcher| watcher.subscribe("will/+", 1));
        for i in 0..4 {
            let will = Will::new(&format!("will/{i}"), &format!("{i}")).qos(1);
            Login::v311(&format!("dying{i}")).will(will).open(broker).vanish();
            watchers.iter_mut().for_each(|watcher| watcher.expect_texts([format!("{i}")]));
        }
    });
}

#[test]
fn a_normal_disconnect_deletes_the_will() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            for i in 0..4 {
                let login =
                    Login::new(version, &format!("normal{i}")).will(Will::new("will/normal", "never"));
                login.open(broker).disconnect();
            }
        }
        Login::v5("last").will(Will::new("will/last", "last")).open(broker).vanish();
        watcher.expect_texts(["last"]);
    });
}

#[test]
fn disconnect_with_will_publishes_it_once() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for i in 0..4 {
            let login =
                Login::v5(&format!("client{i}")).will(Will::new("will/asked", &format!("{i}")).qos(1));
            let mut client = login.open(broker);
            client.send_disconnect(ReasonCode::DisconnectWithWill, &[]);
            client.expect_closed();
            watcher.expect_texts([format!("{i}")]);
        }
        let mut other = Login::v5("other").open(broker);
        watcher.expect_nothing_from(&mut other);
    });
}

#[test]
fn a_protocol_error_publishes_the_will() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            let mut client = Login::new(version, "wrong").will(Will::new("will/error", "error")).open(broker);
            client.send_raw(&[0x36, 0]);
            client.read_until_closed();
            watcher.expect_texts(["error"]);
        }
    });
}

#[test]
fn keep_alive_timeout_publishes_the_will() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let mut clients: Vec<Client> = VERSIONS
            .map(|version| {
                let login = Login::new(version, &format!("silent{version:?}")).keep_alive(1);
                login.will(Will::new("will/silent", "timeout").qos(1)).open(broker)
            })
            .into();
        for _ in 0..3 {
            watcher.expect_texts(["timeout"]);
        }
        clients.iter_mut().for_each(|client| client.expect_disconnect(ReasonCode::KeepAliveTimeout));
    });
}

#[test]
fn the_will_is_retained_if_asked() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            let topic = format!("will/kept/{version:?}");
            let login = Login::new(version, "dying").will(Will::new(&topic, "kept").qos(1).retained());
            login.open(broker).vanish();
            assert!(watcher.receive().retain, "[MQTT-3.1.2-15]");
            let mut late = Login::new(version, "late").open(broker);
            late.subscribe(&topic, 1);
            let received = late.receive();
            assert_eq!((received.text(), received.retain), ("kept", true));
        }
    });
}

#[test]
fn will_properties_are_passed_on() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let properties = [
            Property::PayloadFormat(1),
            Property::ContentType("text/plain".into()),
            Property::ResponseTopic("answer".into()),
            Property::CorrelationData(vec![1, 2, 3]),
            Property::user("z", "1"),
            Property::user("a", "2"),
            Property::user("z", "1"),
        ];
        let will = properties.iter().cloned().fold(Will::new("will/rich", "x"), Will::with);
        Login::v5("dying").will(will.with(Property::MessageExpiry(500))).open(broker).vanish();
        let received = watcher.receive();
        for property in &properties {
            assert!(received.properties.contains(property), "{property:?}");
        }
        let users: Vec<&Property> =
            received.properties.iter().filter(|property| matches!(property, Property::User(..))).collect();
        assert_eq!(users, [&properties[4], &properties[5], &properties[6]], "[MQTT-3.1.3-10]");
        let left = received.expiry_s().expect("an expiry");
        assert!((490..=500).contains(&left), "{left}");
        assert!(!received.properties.iter().any(|property| matches!(property, Property::WillDelay(_))));
    });
}

#[test]
fn the_will_waits_for_its_delay() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let will = Will::new("will/late", "late").with(Property::WillDelay(1));
        let client = Login::persistent(ProtocolVersion::V5, "dying").will(will).open(broker);
        let start = Instant::now();
        client.vanish();
        watcher.expect_texts(["late"]);
        assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    });
}

#[test]
fn a_reconnect_within_the_delay_deletes_the_will() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for i in 0..4 {
            let login = Login::persistent(ProtocolVersion::V5, &format!("back{i}"));
            let delayed = Will::new("will/back", "never").with(Property::WillDelay(1));
            login.clone().will(delayed).open(broker).vanish();
            let resumed = login.open(broker);
            assert!(resumed.session_present());
            resumed.disconnect();
        }
        // This one starts later with the same delay, so its arrival proves that the others are not coming.
        let will = Will::new("will/last", "last").with(Property::WillDelay(2));
        Login::persistent(ProtocolVersion::V5, "last").will(will).open(broker).vanish();
        watcher.expect_texts(["last"]);
    });
}

#[test]
fn the_end_of_the_session_publishes_a_delayed_will() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let delayed = || Will::new("will/end", "ended").with(Property::WillDelay(1000));
        Login::v5("at-once").will(delayed()).open(broker).vanish();
        watcher.expect_texts(["ended"]);

        let start = Instant::now();
        Login::v5("after-1s").with(Property::SessionExpiry(1)).will(delayed()).open(broker).vanish();
        watcher.expect_texts(["ended"]);
        assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());

        let login = Login::persistent(ProtocolVersion::V5, "clean");
        login.clone().will(delayed()).open(broker).vanish();
        let fresh = login.clean().open(broker);
        watcher.expect_texts(["ended"]);
        fresh.disconnect();
    });
}

#[test]
fn takeover_publishes_a_will_without_delay() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            for resume in [false, true] {
                let id = format!("taken{version:?}{resume}");
                let login = Login::persistent(version, &id);
                let mut old = login.clone().will(Will::new("will/taken", &id)).open(broker);
                let new = if resume { login } else { login.clean() }.open(broker);
                old.expect_disconnect(ReasonCode::SessionTakenOver);
                watcher.expect_texts([id]);
                new.disconnect();
            }
        }
    });
}

#[test]
fn takeover_by_a_resuming_connection_keeps_a_delayed_will_back() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let login = Login::persistent(ProtocolVersion::V5, "taken");
        let will = Will::new("will/taken", "never").with(Property::WillDelay(1));
        let mut old = login.clone().will(will).open(broker);
        let mut new = login.clone().open(broker);
        old.expect_disconnect(ReasonCode::SessionTakenOver);
        new.ping();
        let later = Will::new("will/last", "last").with(Property::WillDelay(2));
        Login::persistent(ProtocolVersion::V5, "last").will(later).open(broker).vanish();
        watcher.expect_texts(["last"]);

        let will = Will::new("will/taken", "clean").with(Property::WillDelay(1000));
        let mut old = login.clone().will(will).open(broker);
        let _new = login.clean().open(broker);
        old.expect_disconnect(ReasonCode::SessionTakenOver);
        watcher.expect_texts(["clean"]);
    });
}

#[test]
fn the_will_of_the_new_connection_replaces_the_old_one() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let delayed = Will::new("will/old", "old").with(Property::WillDelay(1));
        login.clone().will(delayed).open(broker).vanish();
        login.will(Will::new("will/new", "new")).open(broker).vanish();
        watcher.expect_texts(["new"]);
        let mut other = Login::v5("other").open(broker);
        watcher.expect_nothing_from(&mut other);
    });
}

#[test]
fn a_will_that_expired_before_its_delay_is_not_sent_to_later_subscribers() {
    at_shards(&[], |broker| {
        let will = Will::new("will/expire", "x").qos(1).retained().with(Property::MessageExpiry(1));
        let mut watcher = watcher(broker);
        Login::v5("dying").will(will).open(broker).vanish();
        watcher.expect_texts(["x"]);
        time_passes(2100);
        let mut late = Login::v5("late").open(broker);
        late.subscribe("will/expire", 1);
        late.expect_nothing_from(&mut watcher);
    });
}

#[test]
fn invalid_will_topics_are_refused() {
    let broker = Broker::start(1);
    for topic in ["a/#", "+", "a/+/b", ""] {
        for version in VERSIONS {
            let mut client = Client::unconnected(&broker, version);
            client.send_raw(&Login::new(version, "bad").will(Will::new(topic, "x")).encode());
            for packet in client.read_until_closed() {
                match packet {
                    Packet::Connack(connack) => {
                        assert!(version == ProtocolVersion::V5, "a malformed CONNECT of 3.x gets no CONNACK");
                        assert!([0x81, 0x82, 0x90].contains(&connack.code), "{connack:?}");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_will_with_an_empty_payload_is_published() {
    at_shards(&[], |broker| {
        let mut watcher = watcher(broker);
        for version in VERSIONS {
            Login::new(version, "dying").will(Will::new("will/empty", "")).open(broker).vanish();
            assert_eq!(watcher.receive().payload, b"");
        }
    });
}
