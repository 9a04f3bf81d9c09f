//! SUBSCRIBE and UNSUBSCRIBE.

use super::*;

fn at(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

fn no_local(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { no_local: true, ..at(qos) }
}

fn reasons(verdicts: &[FilterVerdict]) -> Vec<ReasonCode> {
    verdicts.iter().map(|verdict| verdict.reason).collect()
}

// [MQTT-3.8.4-3, -5, -6, -8]
#[test]
fn each_filter_has_its_verdict_and_an_equal_one_is_replaced() {
    let mut rig = Rig::connected(V5);
    let verdicts = rig.subscribe(&[("a", at(AtMostOnce)), ("b/#", at(ExactlyOnce)), ("a", at(AtLeastOnce))]);
    let verdicts = verdicts.expect("no violation");
    let granted = [ReasonCode::Success, ReasonCode::GrantedQos2, ReasonCode::GrantedQos1];
    assert_eq!(reasons(&verdicts), granted);
    let changes: Vec<Change> =
        verdicts.into_iter().map(|verdict| verdict.granted.expect("granted").1).collect();
    assert_eq!(changes, [Change::Added, Change::Added, Change::Replaced]);
    assert_eq!(rig.session.subscription_count(), 2);
    assert_eq!(rig.session.unsubscribe("a").map(|subscription| subscription.options.qos), Some(AtLeastOnce));
    assert_eq!(rig.session.unsubscribe("a"), None);
}

// [MQTT-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription_is_refused_and_nothing_is_granted() {
    for shared in ["$share/g/a", "$queue/a"] {
        let mut rig = Rig::connected(V5);
        let violation =
            rig.subscribe(&[("a", at(AtMostOnce)), (shared, no_local(AtMostOnce))]).expect_err("a violation");
        assert_eq!(violation.reason, ReasonCode::ProtocolError);
        assert_eq!(rig.session.subscription_count(), 0, "or the index would lack what the session has");
    }
}

#[test]
fn filters_the_broker_does_not_offer_are_refused_one_by_one() {
    let mut rig = Rig::offline(MqttConfig {
        wildcard_subscription: false,
        shared_subscription: false,
        max_topic_levels: 2,
        max_subscriptions: Limit(1),
        max_qos_allowed: 1,
        ..MqttConfig::default()
    });
    rig.connect(&connect(V5));
    let verdicts = rig.subscribe(&[
        ("a", at(ExactlyOnce)),
        ("b", at(AtMostOnce)),
        ("a/+", at(AtMostOnce)),
        ("$share/g/a", at(AtMostOnce)),
        ("a/b/c", at(AtMostOnce)),
        ("a", at(AtMostOnce)),
    ]);
    let expected = [
        ReasonCode::GrantedQos1,
        ReasonCode::QuotaExceeded,
        ReasonCode::WildcardSubscriptionsNotSupported,
        ReasonCode::SharedSubscriptionsNotSupported,
        ReasonCode::TopicFilterInvalid,
        ReasonCode::Success,
    ];
    assert_eq!(reasons(&verdicts.expect("no violation")), expected);
}

#[test]
fn bridges_and_loop_protection_set_options_the_client_cannot() {
    let options = |bridge, ignore_loop_deliver, filter| {
        let mut rig = Rig::offline(MqttConfig { ignore_loop_deliver, ..MqttConfig::default() });
        rig.connect(&Connect { bridge, ..connect(V311) });
        let verdicts = rig.subscribe(&[(filter, at(AtMostOnce))]).expect("no violation");
        let options = verdicts[0].granted.as_ref().expect("granted").0.options;
        (options.no_local, options.retain_as_published)
    };
    assert_eq!(options(false, false, "a"), (false, false));
    assert_eq!(options(true, false, "a"), (true, true));
    assert_eq!(options(true, false, "$share/g/a"), (false, true));
    assert_eq!(options(false, true, "a"), (true, false));
}

#[test]
fn few_and_many_subscriptions_are_found_replaced_and_removed() {
    let mut rig = Rig::connected(V5);
    let name = |n: usize| format!("filter/{n}");
    let options = |qos| SubscriptionOptions { qos, ..SubscriptionOptions::default() };
    for count in 1..=20 {
        let change = |rig: &mut Rig, qos| {
            let verdicts = rig.subscribe(&[(&name(count), options(qos))]).unwrap();
            verdicts[0].granted.clone().map(|(_, change)| change)
        };
        assert_eq!(change(&mut rig, AtMostOnce), Some(Change::Added));
        assert_eq!(change(&mut rig, AtLeastOnce), Some(Change::Replaced));
        assert_eq!(rig.session.subscription_count(), count);
    }
    let mut filters: Vec<&str> = rig.session.subscriptions().map(|(filter, _)| filter).collect();
    filters.sort_unstable();
    let mut expected: Vec<String> = (1..=20).map(name).collect();
    expected.sort_unstable();
    assert_eq!(filters, expected);
    for left in (0..20).rev() {
        let removed = rig.session.unsubscribe(&name(left + 1));
        assert_eq!(removed.map(|subscription| subscription.options.qos), Some(AtLeastOnce));
        assert_eq!(rig.session.unsubscribe(&name(left + 1)), None);
        assert_eq!(rig.session.subscription_count(), left);
        assert_eq!(rig.session.subscriptions().count(), left);
    }
}
