//! The end of a connection: will and session.

use super::*;
use CloseCause::*;

fn will(delay_interval_s: u32) -> Box<Will> {
    Box::new(Will {
        topic: "will".into(),
        payload: "gone".into(),
        qos: AtLeastOnce,
        retain: false,
        delay_interval_s,
        message_expiry_interval_s: None,
        forward: Box::default(),
    })
}

/// How a connection with a will ends: the will's delay, the session's expiry, the cause.
fn part(
    version: ProtocolVersion,
    delay_s: u32,
    expiry_s: u32,
    cause: CloseCause,
) -> (WillTiming, Option<u32>) {
    let mut rig = Rig::offline(MqttConfig {
        session_expiry_interval: Duration::from_s(u64::from(expiry_s)),
        ..MqttConfig::default()
    });
    let mut connect = connect(version);
    if version == V5 {
        connect.properties.session_expiry_interval_s = Some(expiry_s);
    } else {
        connect.clean_start = expiry_s == 0;
    }
    connect.will = Some(will(delay_s));
    rig.connect(&connect);
    let parting = rig.session.handle_closed(cause);
    let kept = rig.session.take_will();
    assert_eq!(kept.is_some(), parting.will != WillTiming::None, "the will is there to be published");
    (parting.will, parting.keep_s)
}

// [MQTT-3.1.2-8, -10] [MQTT-3.1.3-9] [MQTT-3.14.4-3]
#[test]
fn the_will_follows_the_cause_the_delay_and_the_sessions_end() {
    let after = WillTiming::After;
    let (none, now) = (WillTiming::None, WillTiming::Now);
    for (delay_s, expiry_s, cause, expected) in [
        (0, 0, Normal, (none, None)),
        (5, 60, Normal, (none, Some(60))),
        (0, 60, WithWill, (now, Some(60))),
        (5, 60, WithWill, (after(5), Some(60))),
        (0, 60, Lost, (now, Some(60))),
        (5, 60, Lost, (after(5), Some(60))),
        (5, 0, Lost, (now, None)),
        (90, 60, Lost, (after(60), Some(60))),
        (5, u32::MAX, KeepAlive, (after(5), Some(u32::MAX))),
        (0, 60, Server(ReasonCode::ProtocolError), (now, Some(60))),
        (5, 60, Server(ReasonCode::ProtocolError), (after(5), Some(60))),
        // Section 3.1.4: without delay the will of the old connection is sent, with delay the client is back in time.
        (0, 60, TakenOver, (now, Some(60))),
        (5, 60, TakenOver, (none, Some(60))),
        (5, 0, TakenOver, (now, None)),
        (5, 60, Discarded, (now, None)),
        (0, 60, Discarded, (now, None)),
    ] {
        assert_eq!(part(V5, delay_s, expiry_s, cause), expected, "{delay_s} {expiry_s} {cause:?}");
    }
}

// [MQTT-3.1.2-8, -10] and [MQTT-3.14.4-3] of 3.1.1
#[test]
fn the_will_of_3_x_is_sent_unless_the_client_said_goodbye() {
    for version in [V31, V311] {
        for cause in [Lost, KeepAlive, TakenOver, Server(ReasonCode::ProtocolError)] {
            assert_eq!(part(version, 0, 7200, cause), (WillTiming::Now, Some(7200)));
            assert_eq!(part(version, 0, 0, cause), (WillTiming::Now, None));
        }
        assert_eq!(part(version, 0, 7200, Normal), (WillTiming::None, Some(7200)));
        assert_eq!(part(version, 0, 7200, Discarded), (WillTiming::Now, None));
    }
}

// [MQTT-3.1.3-9]
#[test]
fn a_new_connection_replaces_the_will_that_waits() {
    let mut rig = Rig::offline(MqttConfig::default());
    let mut connect = connect(V5);
    connect.will = Some(will(5));
    rig.connect(&connect);
    assert_eq!(rig.session.handle_closed(Lost).will, WillTiming::After(5));
    connect.will = None;
    rig.connect(&connect);
    assert_eq!(rig.session.take_will(), None);
}

// [MQTT-3.1.2-8]: only reason 0x00 deletes the will.
#[test]
fn every_disconnect_but_the_normal_one_keeps_the_will() {
    let mut rig = Rig::connected(V5);
    for (reason, cause) in [
        (ReasonCode::Success, Normal),
        (ReasonCode::DisconnectWithWill, WithWill),
        (ReasonCode::UnspecifiedError, WithWill),
        (ReasonCode::ImplementationSpecificError, WithWill),
    ] {
        assert_eq!(rig.disconnect(&Disconnect::new(reason)), Ok(cause));
    }
}

// [MQTT-3.14.2-2] and section 3.14.2.2.2
#[test]
fn disconnect_may_change_the_expiry_but_not_give_one_to_a_session_without() {
    let expiry = |interval_s| Disconnect {
        session_expiry_interval_s: Some(interval_s),
        ..Disconnect::new(ReasonCode::Success)
    };
    let mut rig = Rig::offline(MqttConfig {
        max_session_expiry_interval: Duration::from_s(7200),
        ..MqttConfig::default()
    });
    for (asked_s, kept) in [(10, Some(10)), (0, None), (u32::MAX, Some(7200))] {
        rig.connect(&connect(V5));
        assert_eq!(rig.disconnect(&expiry(asked_s)), Ok(Normal));
        assert_eq!(rig.session.handle_closed(Normal).keep_s, kept);
    }
    rig.connect(&connect_with(|properties| properties.session_expiry_interval_s = None));
    let violation = rig.disconnect(&expiry(10)).expect_err("a protocol error");
    assert_eq!(violation.reason, ReasonCode::ProtocolError);
    assert_eq!(rig.disconnect(&expiry(0)), Ok(Normal));
    assert_eq!(rig.session.handle_closed(Normal).keep_s, None);
}

#[test]
fn a_server_reference_from_a_client_is_a_protocol_error() {
    let mut rig = Rig::connected(V5);
    let disconnect =
        Disconnect { server_reference: Some("elsewhere".into()), ..Disconnect::new(ReasonCode::Success) };
    let violation = rig.disconnect(&disconnect).expect_err("a protocol error");
    assert_eq!(violation.reason, ReasonCode::ProtocolError);
}

// [MQTT-3.14.2-1]
#[test]
fn every_violation_has_a_reason_that_disconnect_may_carry() {
    let errors = [
        DecodeError::Malformed(""),
        DecodeError::Protocol(""),
        DecodeError::TooLarge { bytes: 2, bytes_max: 1 },
        // Of a second CONNECT; the first is answered by CONNACK.
        DecodeError::UnsupportedVersion,
        DecodeError::TopicNameInvalid,
        DecodeError::TopicFilterInvalid,
        DecodeError::TopicAliasInvalid,
        DecodeError::PayloadFormatInvalid,
    ];
    let others = [
        ReasonCode::QosNotSupported,
        ReasonCode::RetainNotSupported,
        ReasonCode::ReceiveMaximumExceeded,
        ReasonCode::QuotaExceeded,
        ReasonCode::ServerShuttingDown,
        ReasonCode::SessionTakenOver,
        ReasonCode::KeepAliveTimeout,
        ReasonCode::PacketTooLarge,
    ];
    let reasons = errors.into_iter().map(|error| Violation::from(error).reason).chain(others);
    for reason in reasons {
        let mut bytes = Vec::new();
        let disconnect = Disconnect::new(reason);
        disconnect.encode(V5, &mut bytes).expect("encodable");
        let frame = decode_frame(&bytes, u32::MAX).expect("a frame").expect("whole");
        assert_eq!(decode_packet(frame, V5), Ok(Packet::Disconnect(disconnect)), "{reason:?}");
    }
    assert_eq!(Violation::from(DecodeError::UnsupportedVersion).reason, ReasonCode::ProtocolError);
}

#[test]
fn the_wills_message_expires_counted_from_its_publication() {
    let mut rig = Rig::connected(V5);
    let cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: &mut Forgetful };
    let will = Will { message_expiry_interval_s: Some(3), ..*will(0) };
    let view = Session::will_publication(&will, NOBODY, &cx);
    assert_eq!((view.topic, view.payload, view.qos), ("will", &b"gone"[..], AtLeastOnce));
    assert_eq!(view.expires_at, cx.now.after_s(3));
}
