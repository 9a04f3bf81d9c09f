//! How connections end, and what each side is told.

use crate::harness::*;

#[test]
fn the_broker_closes_after_a_normal_disconnect() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.send_raw(&[0xE0, 0]);
            client.expect_closed();
        }
    });
}

#[test]
fn nothing_after_disconnect_is_processed() {
    at_shards(&[], |broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("after", 1);
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            let mut bytes = vec![0xE0, 0];
            bytes.extend(message("after", "x").encode(version));
            client.send_raw(&bytes);
            assert_eq!(client.read_until_closed(), []);
        }
        let mut other = Login::v5("other").open(broker);
        watcher.expect_nothing_from(&mut other);
    });
}

#[test]
fn disconnect_with_properties_is_accepted() {
    let broker = Broker::start(1);
    let properties = [Property::ReasonString("going home".into()), Property::user("a", "b")];
    for reason in [ReasonCode::Success, ReasonCode::UnspecifiedError, ReasonCode::QuotaExceeded] {
        let mut client = Login::v5("client").open(&broker);
        client.send_disconnect(reason, &properties);
        client.expect_closed();
    }
}

#[test]
fn disconnect_flags_are_reserved() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.send_raw(&[0xE1, 0]);
        client.expect_disconnect(ReasonCode::MalformedPacket);
    }
}

#[test]
fn packets_only_a_broker_sends_are_protocol_errors() {
    let broker = Broker::start(1);
    let packets = |v5: bool| -> Vec<Vec<u8>> {
        let mut packets = vec![vec![0xD0, 0]];
        match v5 {
            true => {
                packets.extend([vec![0x20, 3, 0, 0, 0], vec![0x90, 4, 0, 1, 0, 0], vec![0xB0, 4, 0, 1, 0, 0]])
            }
            false => packets.extend([vec![0x20, 2, 0, 0], vec![0x90, 3, 0, 1, 0], vec![0xB0, 2, 0, 1]]),
        }
        packets
    };
    for version in VERSIONS {
        for bytes in packets(version == ProtocolVersion::V5) {
            eprintln!("{version:?} {bytes:?}");
            let mut client = Login::new(version, "client").open(&broker);
            client.send_raw(&bytes);
            client.expect_disconnect_of(&[ReasonCode::ProtocolError, ReasonCode::MalformedPacket]);
        }
    }
}

#[test]
fn unknown_packet_types_are_malformed() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        let mut client = Login::new(version, "client").open(&broker);
        client.send_raw(&[0x00, 0]);
        client.expect_disconnect_of(&[ReasonCode::MalformedPacket, ReasonCode::ProtocolError]);
    }
}

#[test]
fn each_fault_has_its_reason_code() {
    let broker = Broker::with(
        1,
        &[
            "mqtt.max_qos_allowed=1",
            "mqtt.retain_available=false",
            "mqtt.max_topic_alias=1",
            "mqtt.max_packet_size=1KB",
        ],
    );
    type Fault = fn(&mut Client);
    let faults: [(ReasonCode, Fault); 7] = [
        (ReasonCode::QosNotSupported, |client| {
            client.send(message("a", "x").qos(2));
        }),
        (ReasonCode::RetainNotSupported, |client| {
            client.send(message("a", "x").retained());
        }),
        (ReasonCode::TopicAliasInvalid, |client| {
            client.send(message("a", "x").with(Property::TopicAlias(2)));
        }),
        (ReasonCode::PacketTooLarge, |client| {
            client.send(message("a", vec![0; 1100]));
        }),
        (ReasonCode::TopicNameInvalid, |client| {
            client.send(message("a/#", "x"));
        }),
        (ReasonCode::ProtocolError, |client| client.send_raw(&Login::v5("client").encode())),
        (ReasonCode::MalformedPacket, |client| client.send_raw(&[0x36, 4, 0, 1, b'a', 0])),
    ];
    for (reason, fault) in faults {
        eprintln!("{reason:?}");
        let mut client = Login::v5("client").open(&broker);
        fault(&mut client);
        // A wildcard in a topic name is a malformed packet as well, and either code tells it.
        match reason {
            ReasonCode::TopicNameInvalid => {
                client.expect_disconnect_of(&[reason, ReasonCode::MalformedPacket])
            }
            _ => client.expect_disconnect(reason),
        }
    }
}

#[test]
fn a_disconnect_of_the_broker_names_no_session_expiry() {
    // The harness refuses any property in DISCONNECT but reason string, user properties and server reference.
    let broker = Broker::start(1);
    let login = Login::persistent(ProtocolVersion::V5, "client");
    let mut old = login.clone().open(&broker);
    let mut new = login.open(&broker);
    old.expect_disconnect(ReasonCode::SessionTakenOver);
    new.send_raw(&[0x30, 0]);
    new.expect_disconnect(ReasonCode::MalformedPacket);
}

#[test]
fn a_connection_that_breaks_inside_a_packet_leaves_nothing_behind() {
    at_shards(&[], |broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("broken", 1);
        for version in VERSIONS {
            let whole = message("broken", "xxxxxxxxxx").qos(1).id(1).encode(version);
            for cut in 1..whole.len() {
                let mut client = Login::new(version, "client").open(broker);
                client.send_raw(&whole[..cut]);
                client.vanish();
            }
        }
        let mut other = Login::v5("other").open(broker);
        watcher.expect_nothing_from(&mut other);
    });
}
