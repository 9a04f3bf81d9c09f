//! What CONNECT and configuration agree on.

use super::*;

#[test]
fn versions_3_x_expire_as_configured_and_version_5_as_asked_within_the_cap() {
    let config = MqttConfig {
        session_expiry_interval: Duration::from_s(100),
        max_session_expiry_interval: Duration::from_s(50),
        ..MqttConfig::default()
    };
    let interval_s = |connect: &Connect| Terms::negotiate(connect, &config).session_expiry_interval_s;
    assert_eq!(interval_s(&connect(V311)), 100);
    assert_eq!(interval_s(&Connect { clean_start: true, ..connect(V311) }), 0);
    for (asked, granted) in [(None, 0), (Some(0), 0), (Some(20), 20), (Some(u32::MAX), 50)] {
        assert_eq!(interval_s(&connect_with(|p| p.session_expiry_interval_s = asked)), granted);
    }
    let forever = connect_with(|p| p.session_expiry_interval_s = Some(u32::MAX));
    assert_eq!(Terms::negotiate(&forever, &MqttConfig::default()).session_expiry_interval_s, u32::MAX);
}

#[test]
fn connack_says_what_differs_from_what_was_asked() {
    let config = MqttConfig {
        max_session_expiry_interval: Duration::from_s(50),
        server_keepalive: 30,
        max_qos_allowed: 1,
        max_awaiting_rel: 7,
        max_topic_alias: 9,
        retain_available: false,
        response_information: "here".into(),
        ..MqttConfig::default()
    };
    let asking = connect_with(|properties| properties.request_response_information = true);
    let connack = Terms::negotiate(&asking, &config).accept(&asking, &config, true, Some("assigned"));
    let properties = connack.properties;
    assert!(connack.session_present);
    assert_eq!(properties.session_expiry_interval_s, Some(50));
    assert_eq!(properties.server_keep_alive_s, Some(30));
    assert_eq!(properties.maximum_qos, Some(AtLeastOnce));
    assert_eq!((properties.receive_maximum, properties.topic_alias_maximum), (Some(7), 9));
    assert!(properties.retain_unavailable);
    assert_eq!(properties.assigned_client_id.as_deref(), Some("assigned"));
    assert_eq!(properties.response_information.as_deref(), Some("here"));

    let plain = connect(V5);
    let config = MqttConfig::default();
    let properties = Terms::negotiate(&plain, &config).accept(&plain, &config, false, None).properties;
    assert_eq!((properties.session_expiry_interval_s, properties.server_keep_alive_s), (None, None));
    assert_eq!((properties.maximum_qos, properties.response_information), (None, None));
    let old = connect(V311);
    let connack = Terms::negotiate(&old, &config).accept(&old, &config, false, None);
    assert_eq!(connack.properties, ConnackProperties::default());
}

// [MQTT-3.1.2-22]
#[test]
fn silence_is_one_and_a_half_times_keep_alive() {
    let config = MqttConfig::default();
    let silence = |keep_alive_s| {
        Terms::negotiate(&Connect { keep_alive_s, ..connect(V311) }, &config).silence_ms_max(&config)
    };
    assert_eq!((silence(0), silence(1), silence(60)), (None, Some(1500), Some(90_000)));
}

// [MQTT-3.1.3-8] of 3.1.1, [MQTT-3.1.3-6] of 5.0
#[test]
fn an_empty_client_id_needs_a_version_that_can_do_without() {
    let refused = |version, clean_start| {
        let connect = Connect { client_id: "".into(), clean_start, ..connect(version) };
        refusal(&connect, &MqttConfig::default())
    };
    let invalid = Some(ReasonCode::ClientIdentifierNotValid);
    assert_eq!((refused(V31, true), refused(V31, false)), (invalid, invalid));
    assert_eq!((refused(V311, true), refused(V311, false)), (None, invalid));
    assert_eq!((refused(V5, true), refused(V5, false)), (None, None));
}

// [MQTT-3.2.2-11, -13]
#[test]
fn what_a_will_may_not_be_refuses_the_connection() {
    let config = MqttConfig {
        max_qos_allowed: 0,
        retain_available: false,
        max_clientid_len: 6,
        max_topic_levels: 2,
        ..MqttConfig::default()
    };
    let refused = |qos, retain, topic: &str| {
        let will = Will {
            topic: topic.into(),
            payload: "".into(),
            qos,
            retain,
            delay_interval_s: 0,
            message_expiry_interval_s: None,
            forward: Box::default(),
        };
        refusal(&Connect { will: Some(Box::new(will)), ..connect(V5) }, &config)
    };
    assert_eq!(refused(AtMostOnce, false, "a/b"), None);
    assert_eq!(refused(AtLeastOnce, false, "a"), Some(ReasonCode::QosNotSupported));
    assert_eq!(refused(AtMostOnce, true, "a"), Some(ReasonCode::RetainNotSupported));
    assert_eq!(refused(AtMostOnce, false, "a/b/c"), Some(ReasonCode::TopicNameInvalid));
    let long = Connect { client_id: "1234567".into(), ..connect(V5) };
    assert_eq!(refusal(&long, &config), Some(ReasonCode::ClientIdentifierNotValid));
}

#[test]
fn a_keep_alive_out_of_bounds_is_replaced_for_version_5_and_refused_to_3_x() {
    let with =
        |min_keepalive, max_keepalive| MqttConfig { min_keepalive, max_keepalive, ..MqttConfig::default() };
    let cases = [
        (with(0, 0), [(0, 0), (1, 1), (65_535, 65_535)]),
        (with(30, 0), [(0, 0), (29, 30), (65_535, 65_535)]),
        (with(30, 1200), [(0, 1200), (29, 30), (1201, 1200)]),
        (with(0, 1200), [(0, 1200), (1, 1), (1200, 1200)]),
        (with(60, 60), [(0, 60), (1, 60), (60, 60)]),
        (MqttConfig { server_keepalive: 9, ..with(30, 60) }, [(0, 9), (30, 9), (9, 9)]),
    ];
    for (config, asked) in cases {
        for (keep_alive_s, granted_s) in asked {
            let new = Connect { keep_alive_s, ..connect(V5) };
            let terms = Terms::negotiate(&new, &config);
            let told = (granted_s != keep_alive_s).then_some(granted_s);
            assert_eq!((terms.keep_alive_s, refusal(&new, &config)), (granted_s, None));
            assert_eq!(terms.accept(&new, &config, false, None).properties.server_keep_alive_s, told);
            let is_imposed = config.server_keepalive > 0;
            let refused = told.filter(|_| !is_imposed).map(|_| ReasonCode::ImplementationSpecificError);
            for version in [V31, V311] {
                assert_eq!(refusal(&Connect { version, ..new.clone() }, &config), refused);
            }
        }
    }
}
