//! CONNECT and CONNACK.

use crate::harness::*;

/// A CONNECT body with these parts: protocol name, level, flags, keep alive 0, then the rest as given.
fn raw_connect(name: &str, level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    string(&mut body, name);
    body.extend_from_slice(&[level, flags, 0, 0]);
    body.extend_from_slice(rest);
    frame(0x10, &body)
}

fn field(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, text);
    out
}

#[test]
fn clients_of_every_version_are_accepted() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            for i in 0..8 {
                let mut client = Login::new(version, &format!("client{i}{version:?}")).open(broker);
                assert!(!client.session_present());
                client.ping();
                client.disconnect();
            }
        }
    });
}

#[test]
fn unsupported_protocol_level_is_answered_with_return_code_1() {
    let broker = Broker::start(1);
    for (name, level) in [("MQTT", 0), ("MQTT", 1), ("MQTT", 2), ("MQTT", 6), ("MQTT", 127), ("MQIsdp", 9)] {
        let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
        client.send_raw(&raw_connect(name, level, 2, &field("x")));
        match client.expect_packet() {
            Packet::Connack(connack) => assert_eq!(connack.code, 1, "{name} {level}"),
            other => panic!("{name} {level}: {other:?}"),
        }
        client.expect_closed();
    }
}

#[test]
fn wrong_protocol_name_is_refused() {
    let broker = Broker::start(1);
    for name in ["MQTTX", "mqtt", "", "MQIsd", "HTTP"] {
        let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
        client.send_raw(&raw_connect(name, 4, 2, &field("x")));
        for packet in client.read_until_closed() {
            assert!(matches!(&packet, Packet::Connack(connack) if connack.code != 0), "{name}: {packet:?}");
        }
    }
}

/// Malformed CONNECT packets of level 4 and 5: what is wrong, flags, and what follows the keep alive in 3.1.1.
fn malformed_connects() -> Vec<(&'static str, u8, Vec<u8>)> {
    let id = || field("bad");
    let join = |fields: &[&str]| fields.iter().flat_map(|text| field(text)).collect::<Vec<u8>>();
    vec![
        ("reserved flag", 0x03, id()),
        ("will QoS without will", 0x0A, id()),
        ("will retain without will", 0x22, id()),
        ("will QoS 3", 0x1E, join(&["bad", "will", "payload"])),
        ("will without topic", 0x06, id()),
        ("will without payload", 0x06, join(&["bad", "will"])),
        ("user name flag without name", 0x82, id()),
        ("password flag without password", 0xC2, join(&["bad", "name"])),
        ("user name without flag", 0x02, join(&["bad", "name"])),
        ("password without flag", 0x82, join(&["bad", "name", "password"])),
        ("no client id", 0x02, Vec::new()),
        ("truncated client id", 0x02, vec![0, 5, b'a']),
        ("client id with U+0000", 0x02, vec![0, 3, b'a', 0, b'b']),
        ("client id with a surrogate", 0x02, vec![0, 3, 0xED, 0xA0, 0x80]),
        ("client id that is not UTF-8", 0x02, vec![0, 2, 0xC3, 0x28]),
        ("user name that is not UTF-8", 0x82, [field("bad"), vec![0, 1, 0xFF]].concat()),
        ("will topic with U+0000", 0x06, [field("bad"), vec![0, 1, 0], field("payload")].concat()),
    ]
}

#[test]
fn malformed_connect_of_3_1_1_is_closed_without_connack() {
    let broker = Broker::start(1);
    for (what, flags, rest) in malformed_connects() {
        let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
        client.send_raw(&raw_connect("MQTT", 4, flags, &rest));
        assert_eq!(client.read_until_closed(), [], "{what}");
    }
}

#[test]
fn malformed_connect_of_5_is_answered_with_its_reason_code() {
    let broker = Broker::start(1);
    for (what, flags, rest) in malformed_connects() {
        // CONNECT has its property length before the client id, the will has one before its topic.
        let mut with_properties = vec![0];
        match flags & 0x04 {
            0 => with_properties.extend_from_slice(&rest),
            _ => {
                let (id, will) = rest.split_at(5);
                with_properties.extend_from_slice(id);
                with_properties.push(0);
                with_properties.extend_from_slice(will);
            }
        }
        let mut client = Client::unconnected(&broker, ProtocolVersion::V5);
        client.send_raw(&raw_connect("MQTT", 5, flags, &with_properties));
        for packet in client.read_until_closed() {
            match packet {
                Packet::Connack(connack) => {
                    assert!([0x81, 0x82].contains(&connack.code), "{what}: {connack:?}")
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}

#[test]
fn invalid_connect_properties_are_refused() {
    use Property::*;
    let broker = Broker::start(1);
    let (protocol_error, malformed) = (0x82, 0x81);
    let cases = [
        (vec![ReceiveMaximum(0)], protocol_error),
        (vec![MaximumPacketSize(0)], protocol_error),
        (vec![RequestProblemInformation(2)], protocol_error),
        (vec![RequestResponseInformation(2)], protocol_error),
        (vec![AuthData(vec![1])], protocol_error),
        (vec![SessionExpiry(1), SessionExpiry(1)], protocol_error),
        (vec![ReceiveMaximum(9), ReceiveMaximum(9)], protocol_error),
        (vec![MaximumPacketSize(900), MaximumPacketSize(900)], protocol_error),
        (vec![TopicAliasMaximum(1), TopicAliasMaximum(1)], protocol_error),
        (vec![RequestProblemInformation(1), RequestProblemInformation(1)], protocol_error),
        (vec![RequestResponseInformation(1), RequestResponseInformation(1)], protocol_error),
        (vec![AuthMethod("a".into()), AuthMethod("a".into())], protocol_error),
        (vec![TopicAlias(1)], malformed),
        (vec![ServerKeepAlive(1)], malformed),
        (vec![SubscriptionId(1)], malformed),
        (vec![WillDelay(1)], malformed),
    ];
    for (properties, code) in cases {
        let what = format!("{properties:?}");
        let login = properties.into_iter().fold(Login::v5("bad"), Login::with);
        let (mut client, connack) = login.answer(&broker);
        // 0x81 and 0x82 are both right where a property is in the wrong place; a duplicate or a bad value is 0x82 alone.
        let fits = connack.code == code || (code == malformed && connack.code == protocol_error);
        assert!(fits, "{what}: {:#04x}", connack.code);
        client.expect_closed();
    }
}

#[test]
fn first_packet_must_be_connect() {
    let broker = Broker::start(1);
    let publish = message("a", "x").encode(ProtocolVersion::V311);
    let mut first_packets: Vec<Vec<u8>> = vec![
        publish,
        vec![0x82, 6, 0, 1, 0, 1, b'a', 0],
        vec![0xA2, 5, 0, 1, 0, 1, b'a'],
        vec![0xC0, 0],
        vec![0xE0, 0],
        vec![0xF0, 0],
        vec![0x20, 2, 0, 0],
    ];
    first_packets.extend([0x40, 0x50, 0x62, 0x70].map(|first| vec![first, 2, 0, 1]));
    for bytes in first_packets {
        let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
        client.send_raw(&bytes);
        assert_eq!(client.read_until_closed(), [], "{bytes:?}");
    }
}

#[test]
fn second_connect_is_a_protocol_error() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let login = Login::new(version, "twice");
            let mut client = login.clone().open(broker);
            client.send_raw(&login.encode());
            client.expect_disconnect(ReasonCode::ProtocolError);
        }
    });
}

#[test]
fn packets_sent_together_with_connect_survive_the_handover() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            for i in 0..8 {
                let topic = format!("early/{version:?}/{i}");
                let login = Login::new(version, &format!("early{version:?}{i}"));
                let mut bytes = login.encode();
                let mut subscribe = vec![0, 1];
                if version == ProtocolVersion::V5 {
                    subscribe.push(0);
                }
                string(&mut subscribe, &topic);
                subscribe.push(1);
                bytes.extend(frame(0x82, &subscribe));
                bytes.extend(message(topic.as_str(), "first").qos(1).id(2).encode(version));
                bytes.extend(message(topic.as_str(), "second").encode(version));
                let mut client = Client::unconnected(broker, version);
                client.send_raw(&bytes);
                match client.expect_packet() {
                    Packet::Connack(connack) => assert_eq!(connack.code, 0),
                    other => panic!("the first packet must be CONNACK, got {other:?}"),
                }
                assert_eq!(client.expect_suback(1), [1]);
                assert_eq!(client.expect_ack(AckKind::Puback, 2), ReasonCode::Success);
                client.expect_texts(["first", "second"]);
            }
        }
    });
}

#[test]
fn connect_that_arrives_byte_by_byte_is_accepted() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Client::unconnected(broker, version);
            for byte in Login::new(version, "trickle").will(Will::new("w", "x")).encode() {
                client.send_raw(&[byte]);
            }
            assert!(matches!(client.expect_packet(), Packet::Connack(connack) if connack.code == 0));
            client.ping();
        }
    });
}

#[test]
fn nothing_after_a_refused_connect_is_processed() {
    at_shards(&[], |broker| {
        let mut watcher = Login::v311("watcher").open(broker);
        watcher.subscribe("secret", 0);
        let mut refused = Client::unconnected(broker, ProtocolVersion::V311);
        let mut bytes = Login::v311("").resume().encode();
        bytes.extend(message("secret", "x").encode(ProtocolVersion::V311));
        refused.send_raw(&bytes);
        assert!(matches!(refused.expect_packet(), Packet::Connack(connack) if connack.code == 2));
        refused.expect_closed();
        let mut publisher = Login::v311("publisher").open(broker);
        watcher.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn empty_client_id_of_5_is_assigned_one() {
    at_shards(&[], |broker| {
        let assigned = |client: &Client| {
            client.connack_properties().iter().find_map(|property| match property {
                Property::AssignedClientId(id) => Some(id.clone()),
                _ => None,
            })
        };
        let first = Login::v5("").open(broker);
        let second = Login::v5("").resume().with(Property::SessionExpiry(100)).open(broker);
        let (first_id, second_id) = (assigned(&first).expect("an id"), assigned(&second).expect("an id"));
        assert!(!first_id.is_empty() && first_id != second_id, "{first_id} {second_id}");
        second.vanish();
        let resumed = Login::persistent(ProtocolVersion::V5, &second_id).open(broker);
        assert!(resumed.session_present(), "the assigned id names the session [MQTT-3.1.3-7]");
        assert_eq!(assigned(&resumed), None);
    });
}

#[test]
fn empty_client_id_of_3_1_1_needs_clean_session() {
    at_shards(&[], |broker| {
        let mut first = Login::v311("").open(broker);
        let mut second = Login::v311("").open(broker);
        first.ping();
        second.ping();
        Login::v311("").resume().refused(broker, 2);
    });
}

#[test]
fn empty_client_id_of_3_1_is_refused() {
    let broker = Broker::start(1);
    Login::v31("").refused(&broker, 2);
}

#[test]
fn client_ids_of_any_length_and_script_are_accepted() {
    let broker = Broker::start(4);
    let long = "x".repeat(65_535);
    let ids = [
        "0",
        "0123456789abcdefghijklm",
        "nopqrstuvwxyzABCDEFGHIJ",
        "KLMNOPQRSTUVWXYZ",
        "a b",
        "ключ/#+",
        &long,
    ];
    for version in VERSIONS {
        for id in ids {
            Login::new(version, id).open(&broker).disconnect();
        }
    }
}

#[test]
fn user_name_and_password_are_accepted_in_every_lawful_combination() {
    let broker = Broker::start(1);
    for version in VERSIONS {
        Login::new(version, "a").user_name("name").open(&broker);
        Login::new(version, "b").user_name("name").password(b"\x00\xFF").open(&broker);
        Login::new(version, "c").user_name("").password(b"").open(&broker);
    }
    Login::v5("d").password(b"password alone").open(&broker).ping();
}

#[test]
fn password_without_user_name_is_refused_in_3_1_1() {
    let broker = Broker::start(1);
    let mut client = Client::unconnected(&broker, ProtocolVersion::V311);
    client.send_raw(&Login::v311("x").password(b"password alone").encode());
    assert_eq!(client.read_until_closed(), [], "[MQTT-3.1.2-22]");
}

#[test]
fn connack_announces_what_the_broker_allows() {
    let broker = Broker::start(1);
    let client = Login::v5("x").open(&broker);
    let properties = client.connack_properties();
    for wanted in [
        Property::ReceiveMaximum(100),
        Property::TopicAliasMaximum(65_535),
        Property::MaximumPacketSize(1 << 20),
    ] {
        assert!(properties.contains(&wanted), "{wanted:?} in {properties:?}");
    }
    for property in properties {
        let default_only = match property {
            Property::MaximumQos(_) | Property::ServerKeepAlive(_) | Property::ResponseInformation(_) => {
                false
            }
            Property::AssignedClientId(_) | Property::AuthMethod(_) => false,
            Property::RetainAvailable(v) | Property::WildcardAvailable(v) => *v == 1,
            Property::SubscriptionIdsAvailable(v) | Property::SharedAvailable(v) => *v == 1,
            _ => true,
        };
        assert!(default_only, "{property:?}");
    }
}

#[test]
fn connack_says_what_configuration_forbids() {
    let broker = Broker::with(
        1,
        &[
            "mqtt.max_awaiting_rel=7",
            "mqtt.max_topic_alias=3",
            "mqtt.max_packet_size=2KB",
            "mqtt.max_qos_allowed=1",
            "mqtt.retain_available=false",
            "mqtt.wildcard_subscription=false",
            "mqtt.shared_subscription=false",
            "mqtt.server_keepalive=77",
            "mqtt.max_session_expiry_interval=10s",
            "mqtt.response_information=answers/",
        ],
    );
    let client = Login::v5("x")
        .with(Property::SessionExpiry(11))
        .with(Property::RequestResponseInformation(1))
        .open(&broker);
    for wanted in [
        Property::ReceiveMaximum(7),
        Property::TopicAliasMaximum(3),
        Property::MaximumPacketSize(2048),
        Property::MaximumQos(1),
        Property::RetainAvailable(0),
        Property::WildcardAvailable(0),
        Property::SharedAvailable(0),
        Property::ServerKeepAlive(77),
        Property::SessionExpiry(10),
        Property::ResponseInformation("answers/".into()),
    ] {
        assert!(
            client.connack_properties().contains(&wanted),
            "{wanted:?} in {:?}",
            client.connack_properties()
        );
    }
    for login in [Login::v5("y"), Login::v5("y").with(Property::RequestResponseInformation(0))] {
        let client = login.open(&broker);
        let told = client.connack_properties().iter().any(|p| matches!(p, Property::ResponseInformation(_)));
        assert!(!told, "response information was not requested [MQTT-3.1.2-28]");
    }
}

#[test]
fn granted_session_expiry_is_not_repeated() {
    let broker = Broker::with(1, &["mqtt.max_session_expiry_interval=10s"]);
    let client = Login::v5("x").with(Property::SessionExpiry(9)).open(&broker);
    let told =
        client.connack_properties().iter().find(|property| matches!(property, Property::SessionExpiry(_)));
    assert!(told.is_none() || told == Some(&Property::SessionExpiry(9)), "{told:?}");
}

#[test]
fn user_properties_of_connect_are_accepted() {
    let broker = Broker::start(1);
    let login =
        (0..20).fold(Login::v5("x"), |login, i| login.with(Property::user("name", &format!("value {i}"))));
    login.open(&broker).ping();
}
