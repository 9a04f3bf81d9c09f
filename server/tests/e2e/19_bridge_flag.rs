//! CONNECT with the bridge bit in the protocol level, as bridging brokers send it.

use crate::harness::*;

const OLD: [ProtocolVersion; 2] = [ProtocolVersion::V31, ProtocolVersion::V311];

#[test]
fn a_bridge_is_accepted() {
    at_shards(&[], |broker| {
        for version in OLD {
            for i in 0..4 {
                let mut bridge = Login::new(version, &format!("bridge{i}")).bridge().open(broker);
                bridge.ping();
                bridge.disconnect();
            }
        }
    });
}

#[test]
fn a_bridge_is_not_sent_its_own_messages() {
    at_shards(&[], |broker| {
        for version in OLD {
            let mut bridge = Login::new(version, "bridge").bridge().open(broker);
            let mut client = Login::new(version, "client").open(broker);
            bridge.subscribe("bridged/#", 2);
            client.subscribe("bridged/#", 2);
            for qos in 0..=2 {
                bridge.publish(message("bridged/own", "own").qos(qos));
                client.expect_texts(["own"]);
                client.publish(message("bridged/theirs", "theirs").qos(qos));
                bridge.expect_texts(["theirs"]);
                client.expect_texts(["theirs"]);
            }
            bridge.expect_nothing_from(&mut client);
        }
    });
}

#[test]
fn a_bridge_sees_the_retain_flag_as_published() {
    at_shards(&[], |broker| {
        for version in OLD {
            let mut bridge = Login::new(version, "bridge").bridge().open(broker);
            let mut client = Login::new(version, "client").open(broker);
            bridge.subscribe("bridged", 1);
            client.subscribe("bridged", 1);
            let mut publisher = Login::v311("publisher").open(broker);
            publisher.publish(message("bridged", "kept").qos(1).retained());
            publisher.publish(message("bridged", "plain").qos(1));
            assert_eq!([bridge.receive().retain, bridge.receive().retain], [true, false]);
            assert_eq!([client.receive().retain, client.receive().retain], [false, false]);
            publisher.publish(message("bridged", "").qos(1).retained());
        }
    });
}

#[test]
fn a_bridges_session_persists_with_its_rules() {
    at_shards(&[], |broker| {
        let mut client = Login::v311("client").open(broker);
        for version in OLD {
            let login = Login::persistent(version, &format!("bridge{version:?}")).bridge();
            let mut bridge = login.clone().open(broker);
            bridge.subscribe("bridged", 1);
            bridge.vanish();
            client.publish(message("bridged", "waiting").qos(1));
            let mut bridge = login.open(broker);
            bridge.expect_texts(["waiting"]);
            bridge.publish(message("bridged", "own").qos(1));
            bridge.expect_nothing_from(&mut client);
            bridge.unsubscribe(&["bridged"]);
            bridge.disconnect();
        }
    });
}
