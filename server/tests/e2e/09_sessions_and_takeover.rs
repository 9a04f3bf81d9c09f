//! How long sessions last, who resumes them, and what happens when two connections want one.

use crate::harness::*;

/// The versions in which CONNACK can say that a session is present.
const WITH_FLAG: [ProtocolVersion; 2] = [ProtocolVersion::V311, ProtocolVersion::V5];

#[test]
fn session_present_tells_whether_a_session_was_resumed() {
    at_shards(&[], |broker| {
        for version in WITH_FLAG {
            for i in 0..6 {
                let login = Login::persistent(version, &format!("{version:?}{i}"));
                let first = login.clone().open(broker);
                assert!(!first.session_present(), "[MQTT-3.2.2-3]");
                first.disconnect();
                let second = login.clone().open(broker);
                assert!(second.session_present(), "[MQTT-3.2.2-2]");
                second.vanish();
                let third = login.clone().clean().open(broker);
                assert!(!third.session_present(), "[MQTT-3.2.2-1]");
                third.disconnect();
            }
        }
    });
}

#[test]
fn connack_of_3_1_has_no_session_present_flag() {
    let broker = Broker::start(1);
    for _ in 0..2 {
        let client = Login::v31("client").resume().open(&broker);
        assert!(!client.session_present(), "the byte is reserved in 3.1");
        client.disconnect();
    }
}

#[test]
fn subscriptions_survive_in_a_persistent_session() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            for i in 0..4 {
                let id = format!("keep{version:?}{i}");
                let mut client = Login::persistent(version, &id).open(broker);
                client.subscribe_all(&[(&id, 1), (&format!("{id}/+"), 2)], &[]);
                client.disconnect();
                let mut client = Login::persistent(version, &id).open(broker);
                publisher.publish(message(id.as_str(), "one").qos(1));
                publisher.publish(message(format!("{id}/x"), "two").qos(2));
                client.expect_texts(["one", "two"]);
            }
        }
    });
}

#[test]
fn subscription_options_and_identifiers_survive() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let mut client = login.clone().open(broker);
        let id = [Property::SubscriptionId(77)];
        client.subscribe_all(&[("options/#", 2 | NO_LOCAL | RETAIN_AS_PUBLISHED)], &id);
        client.vanish();
        let mut client = login.open(broker);
        let mut publisher = Login::v5("publisher").open(broker);
        client.publish(message("options/own", "own").qos(1));
        publisher.publish(message("options/theirs", "theirs").qos(1).retained());
        let received = client.receive();
        assert_eq!((received.text(), received.retain), ("theirs", true));
        assert_eq!(received.subscription_ids(), [77]);
    });
}

#[test]
fn a_session_without_expiry_ends_with_the_connection() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "short").open(broker);
            client.subscribe("short", 1);
            client.vanish();
            let mut client = Login::new(version, "short").resume().open(broker);
            assert!(!client.session_present());
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("short", "x").qos(1));
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
            Login::new(version, "short").open(broker).disconnect();
        }
    });
}

#[test]
fn clean_start_discards_subscriptions_and_queue() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            let login = Login::persistent(version, "client");
            let mut client = login.clone().open(broker);
            client.subscribe("discard", 1);
            client.vanish();
            publisher.publish(message("discard", "queued").qos(1));
            let mut client = login.clone().clean().open(broker);
            assert!(!client.session_present());
            publisher.publish(message("discard", "live").qos(1));
            client.expect_nothing_from(&mut publisher);
            client.disconnect();
        }
    });
}

#[test]
fn a_session_ends_when_its_expiry_interval_has_passed() {
    at_shards(&[], |broker| {
        let login = |seconds| Login::v5("client").resume().with(Property::SessionExpiry(seconds));
        let mut client = login(1).open(broker);
        client.subscribe("ended", 1);
        let ended = broker.metric("session.terminated");
        client.vanish();
        broker.wait_metric("session.terminated", ended + 1);
        let mut publisher = Login::v5("publisher").open(broker);
        let reason = publisher.publish(message("ended", "x").qos(1));
        assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
        assert!(!login(1).open(broker).session_present());
    });
}

#[test]
fn session_expiry_counts_from_the_last_close() {
    at_shards(&[], |broker| {
        let login = || Login::v5("client").resume().with(Property::SessionExpiry(2));
        for _ in 0..3 {
            let client = login().open(broker);
            time_passes(700);
            client.vanish();
            time_passes(700);
        }
        let resumed = login().open(broker);
        assert!(resumed.session_present());
        time_passes(2500);
        resumed.vanish();
        assert!(login().open(broker).session_present(), "the interval does not run while connected");
    });
}

#[test]
fn the_longest_expiry_interval_never_ends() {
    at_shards(&[], |broker| {
        let login = || Login::v5("client").resume().with(Property::SessionExpiry(u32::MAX));
        login().open(broker).vanish();
        time_passes(1500);
        assert!(login().open(broker).session_present());
    });
}

#[test]
fn sessions_of_3_x_end_after_the_configured_time() {
    at_shards(&["mqtt.session_expiry_interval=1s"], |broker| {
        let logins = [ProtocolVersion::V31, ProtocolVersion::V311]
            .map(|version| Login::persistent(version, &format!("client{version:?}")));
        for login in &logins {
            login.clone().open(broker).vanish();
        }
        broker.wait_metric("session.terminated", 2);
        for login in logins {
            assert!(!login.open(broker).session_present());
        }
    });
}

#[test]
fn the_granted_expiry_is_capped() {
    at_shards(&["mqtt.max_session_expiry_interval=1s"], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let client = login.clone().open(broker);
        assert!(client.connack_properties().contains(&Property::SessionExpiry(1)));
        let ended = broker.metric("session.terminated");
        client.vanish();
        broker.wait_metric("session.terminated", ended + 1);
        assert!(!login.open(broker).session_present());
    });
}

#[test]
fn disconnect_can_change_the_expiry_interval() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "client");
        let mut client = login.clone().open(broker);
        client.send_disconnect(ReasonCode::Success, &[Property::SessionExpiry(0)]);
        client.expect_closed();
        assert!(!login.clone().open(broker).session_present(), "ended by DISCONNECT");

        let mut client = Login::v5("short").resume().with(Property::SessionExpiry(1)).open(broker);
        client.send_disconnect(ReasonCode::Success, &[Property::SessionExpiry(1000)]);
        client.expect_closed();
        time_passes(2100);
        assert!(Login::v5("short").resume().open(broker).session_present(), "prolonged by DISCONNECT");
    });
}

#[test]
fn disconnect_must_not_give_a_session_without_expiry_one() {
    let broker = Broker::start(1);
    for login in [Login::v5("client"), Login::v5("client").with(Property::SessionExpiry(0))] {
        let mut client = login.open(&broker);
        client.send_disconnect(ReasonCode::Success, &[Property::SessionExpiry(10)]);
        client.expect_disconnect(ReasonCode::ProtocolError);
    }
}

#[test]
fn a_second_connection_takes_the_session_over() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for old_version in VERSIONS {
            for new_version in VERSIONS {
                let id = format!("taken{old_version:?}{new_version:?}");
                let mut old = Login::persistent(old_version, &id).open(broker);
                old.subscribe(&id, 1);
                publisher.publish(message(id.as_str(), "unacknowledged").qos(1));
                old.receive_unacked();
                let mut new = Login::persistent(new_version, &id).open(broker);
                assert!(new.session_present() || new_version == ProtocolVersion::V31);
                old.expect_disconnect(ReasonCode::SessionTakenOver);
                publisher.publish(message(id.as_str(), "later").qos(1));
                new.expect_texts(["unacknowledged", "later"]);
                new.disconnect();
            }
        }
    });
}

#[test]
fn takeover_by_a_clean_start_begins_a_new_session() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for version in VERSIONS {
            let id = format!("taken{version:?}");
            let mut old = Login::persistent(version, &id).open(broker);
            old.subscribe(&id, 1);
            let mut new = Login::persistent(version, &id).clean().open(broker);
            old.expect_disconnect(ReasonCode::SessionTakenOver);
            assert!(!new.session_present());
            publisher.publish(message(id.as_str(), "x").qos(1));
            new.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn takeover_of_a_session_without_expiry_resumes_nothing() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut old = Login::v5("taken").open(broker);
        old.subscribe("taken", 1);
        let mut new = Login::v5("taken").resume().open(broker);
        old.expect_disconnect(ReasonCode::SessionTakenOver);
        // The old session ended with its connection, since its expiry interval was 0.
        if !new.session_present() {
            publisher.publish(message("taken", "x").qos(1));
            new.expect_nothing_from(&mut publisher);
        } else {
            publisher.publish(message("taken", "x").qos(1));
            new.expect_texts(["x"]);
        }
    });
}

#[test]
fn one_of_many_simultaneous_connections_keeps_the_session() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "wanted");
        let mut setup = login.clone().open(broker);
        setup.subscribe("wanted", 1);
        let clients: Vec<Client> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..5).map(|_| login.clone().open(broker)).reduce(|_, next| next)))
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no failure")).collect()
        });
        let mut publisher = Login::v5("publisher").open(broker);
        assert_eq!(publisher.publish(message("wanted", "x").qos(1)), ReasonCode::Success);
        let mut received = 0;
        for mut client in clients {
            match client.expect_event() {
                Event::Packet(Packet::Publish(message)) => {
                    assert_eq!(message.text(), "x");
                    received += 1;
                    client.acknowledge(&message);
                }
                Event::Packet(Packet::Disconnect { reason, .. }) => {
                    assert_eq!(reason, ReasonCode::SessionTakenOver);
                    client.expect_closed();
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, 1);
    });
}

#[test]
fn a_session_can_be_resumed_with_another_protocol_version() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let id = "wanderer";
        let mut client = Login::persistent(ProtocolVersion::V311, id).open(broker);
        client.subscribe("wander", 2);
        client.vanish();
        for version in [ProtocolVersion::V5, ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5]
        {
            let sent = message("wander", "x").qos(2).with(Property::ContentType("t".into()));
            publisher.publish(sent);
            let mut client = Login::persistent(version, id).open(broker);
            let received = client.receive();
            let has_properties = !received.properties.is_empty();
            assert_eq!(has_properties, version == ProtocolVersion::V5, "{received:?}");
            client.vanish();
        }
    });
}

#[test]
fn sessions_of_different_clients_are_independent() {
    at_shards(&[], |broker| {
        let ids: Vec<String> = (0..12).map(|i| format!("client{i}")).collect();
        for id in &ids {
            let mut client = Login::persistent(ProtocolVersion::V311, id).open(broker);
            client.subscribe(&format!("for/{id}"), 1);
            client.vanish();
        }
        let mut publisher = Login::v5("publisher").open(broker);
        for id in &ids {
            publisher.publish(message(format!("for/{id}"), id.as_str()).qos(1));
        }
        for id in ids.iter().rev() {
            let mut client = Login::persistent(ProtocolVersion::V311, id).open(broker);
            client.expect_texts([id]);
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn a_thousand_reconnects_leave_one_session() {
    at_shards(&[], |broker| {
        for i in 0..1000 {
            let client = Login::persistent(VERSIONS[i % 3], &format!("churn{}", i % 5)).open(broker);
            if i % 2 == 0 { client.vanish() } else { client.disconnect() }
        }
        let mut client = Login::v5("last").open(broker);
        client.subscribe("churn", 1);
        client.publish(message("churn", "x").qos(1));
        client.expect_texts(["x"]);
    });
}

#[test]
fn user_name_can_be_used_as_client_id() {
    at_shards(&["mqtt.use_username_as_clientid=true"], |broker| {
        let login = |id: &str, user: &str| Login::persistent(ProtocolVersion::V311, id).user_name(user);
        login("a", "same").open(broker).vanish();
        assert!(login("b", "same").open(broker).session_present());
        assert!(!login("a", "other").open(broker).session_present());
    });
}
