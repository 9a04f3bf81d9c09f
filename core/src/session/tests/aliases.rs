//! Topic aliases, both ways.

use super::*;
use std::num::NonZeroU16;

fn aliased(topic: &'static str, alias: u16) -> Publish<'static> {
    let mut publish = publish(AtMostOnce, 0);
    publish.topic = topic;
    publish.properties.topic_alias = NonZeroU16::new(alias);
    publish
}

fn route(topic: &str) -> Result<Inbound, Violation> {
    Ok(Inbound::Route { aliased: Some(topic.into()), mounted: None })
}

fn reason(outcome: Result<Inbound, Violation>) -> Option<ReasonCode> {
    outcome.err().map(|violation| violation.reason)
}

// [MQTT-3.3.2-8 to -10]
#[test]
fn topics_get_aliases_until_the_clients_maximum_is_reached() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.connect(&connect_with(|properties| properties.topic_alias_maximum = 1));
    for topic in ["long/topic", "long/topic", "other/topic", "long/topic"] {
        rig.deliver_with(topic, AtLeastOnce, "x", |_| ());
    }
    let seen = [
        "PUBLISH q1 #1 long/topic=x alias 1",
        "PUBLISH q1 #2 =x alias 1",
        "PUBLISH q1 #3 other/topic=x",
        "PUBLISH q1 #4 =x alias 1",
    ];
    assert_eq!(rig.sent(), seen);
}

// [MQTT-3.3.2-7]
#[test]
fn aliases_end_with_the_connection() {
    let mut rig = Rig::offline(MqttConfig::default());
    let connect = connect_with(|properties| properties.topic_alias_maximum = 5);
    rig.connect(&connect);
    assert_eq!(rig.publish(&aliased("a", 1)), route("a"));
    rig.deliver_with("long/topic", AtLeastOnce, "x", |_| ());
    rig.reconnect(&connect);
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 DUP long/topic=x"]);
    rig.deliver_with("long/topic", AtLeastOnce, "y", |_| ());
    assert_eq!(rig.sent(), ["PUBLISH q1 #2 long/topic=y alias 1"]);
    assert_eq!(reason(rig.publish(&aliased("", 1))), Some(ReasonCode::ProtocolError));
}

#[test]
fn an_alias_whose_first_packet_was_too_large_is_not_used() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.connect(&connect_with(|properties| {
        properties.topic_alias_maximum = 5;
        properties.maximum_packet_size = Some(30);
    }));
    let delivered = rig.deliver_with("long/topic", AtLeastOnce, "a payload that is much too long", |_| ());
    assert_eq!(delivered, Delivered::Dropped(DropReason::TooLarge));
    rig.deliver_with("long/topic", AtLeastOnce, "x", |_| ());
    rig.deliver_with("other/topic", AtLeastOnce, "y", |_| ());
    let seen: Vec<String> =
        rig.sent().into_iter().map(|line| line.split_once(' ').unwrap().1.into()).collect();
    let tail: Vec<&str> = seen.iter().map(|line| line.rsplit_once("#").unwrap().1).collect();
    assert!(
        tail[0].ends_with("long/topic=x alias 1") && tail[1].ends_with("other/topic=y alias 2"),
        "{tail:?}"
    );
}

// [MQTT-3.1.2-25]
#[test]
fn a_message_that_fits_only_without_an_alias_is_sent_without() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.connect(&connect_with(|properties| {
        properties.topic_alias_maximum = 5;
        properties.maximum_packet_size = Some(2 + 2 + 4 + 2 + 1 + 10);
    }));
    rig.deliver_with("abcd", AtLeastOnce, "0123456789", |_| ());
    rig.deliver_with("abcd", AtLeastOnce, "x", |_| ());
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 abcd=0123456789", "PUBLISH q1 #2 abcd=x alias 1"]);
}

#[test]
fn queued_messages_use_aliases_too() {
    let mut rig = Rig::offline(MqttConfig::default());
    rig.deliver_with("long/topic", AtLeastOnce, "a", |_| ());
    rig.deliver_with("long/topic", AtMostOnce, "b", |_| ());
    rig.connect(&connect_with(|properties| properties.topic_alias_maximum = 5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 long/topic=a alias 1", "PUBLISH q0 =b alias 1"]);
}

// [MQTT-3.3.2-12]
#[test]
fn clients_set_up_follow_and_replace_aliases() {
    let mut rig = Rig::connected(V5);
    assert_eq!(rig.publish(&aliased("a", 1)), route("a"));
    assert_eq!(rig.publish(&aliased("", 1)), route("a"));
    assert_eq!(rig.publish(&aliased("b", 1)), route("b"));
    assert_eq!(rig.publish(&aliased("", 1)), route("b"));
    assert_eq!(reason(rig.publish(&aliased("", 2))), Some(ReasonCode::ProtocolError));
}

// [MQTT-3.3.2-9]
#[test]
fn an_alias_beyond_the_maximum_is_refused() {
    let mut rig = Rig::offline(MqttConfig { max_topic_alias: 3, ..MqttConfig::default() });
    rig.connect(&connect(V5));
    assert_eq!(rig.publish(&aliased("a", 3)), route("a"));
    assert_eq!(reason(rig.publish(&aliased("a", 4))), Some(ReasonCode::TopicAliasInvalid));
}

#[test]
fn the_topics_behind_a_clients_aliases_are_bounded_in_bytes() {
    let topic: &'static str = "x".repeat(65_535).leak();
    let mut rig = Rig::connected(V5);
    let refused = (1..=1000).map_while(|alias| match rig.publish(&aliased(topic, alias)) {
        Ok(_) => Some(None),
        Err(violation) => Some(Some(violation.reason)),
    });
    assert_eq!(refused.flatten().next(), Some(ReasonCode::QuotaExceeded));
    let mut rig = Rig::connected(V5);
    for _ in 0..1000 {
        assert_eq!(rig.publish(&aliased(topic, 1)), route(topic), "replacing costs nothing");
    }
}
