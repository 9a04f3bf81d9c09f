//! Clients whose topics stand behind a mountpoint.

use super::*;
use crate::authorization::Subject;
use crate::topic::{MountTemplate, Mountpoint};
use std::num::NonZeroU16;

fn mountpoint(text: &str) -> Option<Box<Mountpoint>> {
    let template: MountTemplate = text.parse().expect("a mountpoint");
    let subject = Subject::new("client", "192.0.2.1:7".parse().expect("an address"));
    template.fill_in(&subject).expect("filled in").map(Box::new)
}

impl Rig {
    fn mounted(text: &str, connect: &Connect) -> Rig {
        let mut rig = Rig::offline(MqttConfig::default());
        rig.session.mount(mountpoint(text));
        rig.connect(connect);
        rig
    }

    fn reconnect_at(&mut self, text: &str, connect: &Connect) {
        self.session.handle_closed(CloseCause::Lost);
        self.session.mount(mountpoint(text));
        self.connect(connect);
    }
}

fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

#[test]
fn what_a_client_publishes_is_routed_behind_the_mountpoint() {
    let mut rig = Rig::mounted("m/${clientid}/", &connect(V5));
    let routed = |aliased: Option<&str>, mounted: &str| {
        Ok(Inbound::Route { aliased: aliased.map(Into::into), mounted: Some(mounted.into()) })
    };
    let aliased = |topic, alias| {
        let mut publish = publish(AtLeastOnce, 2);
        publish.topic = topic;
        publish.properties.topic_alias = NonZeroU16::new(alias);
        publish
    };
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), routed(None, "m/client/t"));
    assert_eq!(rig.publish(&publish(ExactlyOnce, 1)), Ok(Inbound::Answer(Routed::Matched)));
    assert_eq!(rig.publish(&aliased("a", 3)), routed(Some("a"), "m/client/a"));
    assert_eq!(rig.publish(&aliased("", 3)), routed(Some("a"), "m/client/a"));
    assert_eq!(rig.session.topic_of(&aliased("", 3)).as_deref(), Some("m/client/a"));
    assert_eq!(rig.session.topic_of(&publish(AtMostOnce, 0)).as_deref(), Some("m/client/t"));
    let longest = "x".repeat(65_535 - "m/client/".len());
    let too_long = format!("{longest}x");
    let with_topic = |topic| Publish { topic, ..publish(AtMostOnce, 0) };
    assert!(rig.publish(&with_topic(&longest)).is_ok());
    let violation = rig.publish(&with_topic(&too_long)).expect_err("a violation");
    assert_eq!(violation.reason, ReasonCode::TopicNameInvalid);
}

#[test]
fn subscriptions_are_entered_behind_the_mountpoint_and_the_share_prefix() {
    let mut rig = Rig::mounted("m/", &connect(V5));
    let long = "x".repeat(65_534);
    let asked = ["a/#", "$share/g/+", "$queue/b", "$SYS/#", "a#", &long];
    let asked: Vec<_> = asked.iter().map(|filter| (*filter, options(AtLeastOnce))).collect();
    let verdicts = rig.subscribe(&asked).expect("no violation");
    let granted: Vec<&str> =
        verdicts.iter().filter(|verdict| verdict.granted.is_some()).map(|verdict| &*verdict.filter).collect();
    assert_eq!(granted, ["m/a/#", "$share/g/m/+", "$queue/m/b", "m/$SYS/#"]);
    assert!(verdicts[4..].iter().all(|verdict| verdict.reason == ReasonCode::TopicFilterInvalid));
    for (own, mounted) in [("a/#", "m/a/#"), ("$share/g/+", "$share/g/m/+"), ("a#", "a#")] {
        assert_eq!(rig.session.mounted_filter(own), mounted);
    }
    for (mounted, own) in [("m/a/#", "a/#"), ("$share/g/m/+", "+"), ("other/#", "other/#")] {
        assert_eq!(rig.session.own_filter(mounted), own);
    }
}

#[test]
fn deliveries_come_without_the_mountpoint_in_every_way_they_come() {
    for alias_max in [0, 5] {
        let connect = connect_with(|properties| {
            properties.topic_alias_maximum = alias_max;
            properties.receive_maximum = Some(2);
        });
        let mut rig = Rig::mounted("m/", &connect);
        let sent = |line: &str, aliased: &str| (if alias_max > 0 { aliased } else { line }).to_owned();
        for (qos, payload) in [(AtMostOnce, "a"), (AtLeastOnce, "b"), (ExactlyOnce, "c"), (AtLeastOnce, "d")]
        {
            rig.deliver_with("m/t", qos, payload, |_| ());
        }
        let first = [
            sent("PUBLISH q0 t=a", "PUBLISH q0 t=a alias 1"),
            sent("PUBLISH q1 #1 t=b", "PUBLISH q1 #1 =b alias 1"),
            sent("PUBLISH q2 #2 t=c", "PUBLISH q2 #2 =c alias 1"),
        ];
        assert_eq!(rig.sent(), first);
        rig.ack(AckKind::Puback, 1);
        assert_eq!(rig.sent(), [sent("PUBLISH q1 #3 t=d", "PUBLISH q1 #3 =d alias 1")], "from the queue");
        rig.reconnect(&connect);
        assert_eq!(rig.sent(), ["PUBLISH q2 #2 DUP t=c", "PUBLISH q1 #3 DUP t=d"]);
    }
}

#[test]
fn what_is_not_behind_the_mountpoint_is_dropped_and_counted() {
    let mut rig = Rig::mounted("m/", &connect(V5));
    for topic in ["m", "m/", "other/t", "mm/t"] {
        assert_eq!(
            rig.deliver_with(topic, AtLeastOnce, "x", |_| ()),
            Delivered::Dropped(DropReason::Mountpoint)
        );
    }
    rig.deliver_with("m/t", ExactlyOnce, "sent", |_| ());
    rig.session.handle_closed(CloseCause::Lost);
    for topic in ["m/t", "n/t"] {
        assert_eq!(rig.deliver_with(topic, AtLeastOnce, topic, |_| ()), Delivered::Queued);
    }
    assert_eq!(rig.sent(), ["PUBLISH q2 #1 t=sent"]);
    rig.session.mount(mountpoint("n/"));
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #2 t=n/t"]);
    assert_eq!((rig.count(Metric::DeliveryDroppedMountpoint), rig.session.inflight()), (6, 1));
    rig.reconnect_at("", &connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #2 DUP n/t=n/t"]);
}

// [MQTT-4.7.2-1]
#[test]
fn topics_that_begin_with_a_dollar_sign_are_hidden_from_wildcards_behind_the_mountpoint_too() {
    let mut rig = Rig::mounted("m/", &connect(V5));
    rig.subscribe(&[("#", options(AtLeastOnce)), ("$share/g/+/x", options(AtLeastOnce))])
        .expect("no violation");
    assert_eq!(rig.session.own_topic("m/$a/x"), None);
    assert_eq!((rig.session.own_topic("m/a/$x"), rig.session.own_topic("m/a")), (Some("a/$x"), Some("a")));
    rig.session.handle_closed(CloseCause::Lost);
    rig.deliver_with("m/$a/x", AtLeastOnce, "hidden", |_| ());
    rig.connect(&connect(V5));
    assert_eq!(rig.sent(), [""; 0]);
    rig.subscribe(&[("$a/#", options(AtLeastOnce))]).expect("no violation");
    assert_eq!(rig.session.own_topic("m/$a/x"), Some("$a/x"));
}
