//! Policies: what decides, what may be left out, and the comparisons of filters against every topic of a small world.

use super::*;
use crate::codec::QoS;
use crate::config::Duration;
use crate::time::Timestamp;
use crate::topic::filter_matches;
use proptest::prelude::*;

const PUBLISH: Action = Action::Publish { qos: QoS::AtLeastOnce, retain: false };
const SUBSCRIBE: Action = Action::Subscribe { qos: QoS::AtMostOnce };

fn builder(no_match: Permission) -> PolicyBuilder {
    Policy::builder(no_match, DenyAction::Ignore)
}

/// What is left of the default rules for a client from elsewhere.
fn usual() -> Policy {
    let mut rules = builder(Permission::Deny);
    rules.filter(Permission::Deny, Actions::SUBSCRIBE, "$SYS/#");
    rules.exact(Permission::Deny, Actions::SUBSCRIBE, "#");
    rules.exact(Permission::Deny, Actions::SUBSCRIBE, "+/#");
    rules.any(Permission::Allow, Actions::ALL);
    rules.build()
}

#[test]
fn default_rules_deny_broad_subscriptions_and_check_no_delivery() {
    let policy = usual();
    assert!(policy.publishes_freely() && policy.delivers_freely() && !policy.subscribes_freely());
    for (filter, decision) in [
        ("#", Decision::Deny),
        ("+/#", Decision::Deny),
        ("$SYS/#", Decision::Deny),
        ("$SYS/brokers/+", Decision::Deny),
        ("$SYS", Decision::Deny),
        ("+", Decision::Allow),
        ("a/#", Decision::Allow),
        ("$SYSTEM/a", Decision::Allow),
    ] {
        assert_eq!(policy.verdict(SUBSCRIBE, filter), decision, "{filter}");
    }
    assert_eq!(policy.verdict(PUBLISH, "$SYS/a"), Decision::Allow);
    assert!(!policy.may_receive("$SYS/a") && policy.may_receive("a"));
    for (filter, is_safe) in [("a/#", true), ("#", true), ("+/+", true), ("$SYS/x", false)] {
        assert_eq!(policy.filter_is_safe(filter), is_safe, "{filter}");
    }
}

#[test]
fn nothing_to_say_is_free() {
    let policy = Policy::unrestricted();
    assert!(policy.publishes_freely() && policy.subscribes_freely() && policy.delivers_freely());
    assert!(policy.is_empty());
    let mut rules = builder(Permission::Deny);
    rules.filter(Permission::Allow, Actions::PUBLISH, "a/#").any(Permission::Allow, Actions::ALL);
    rules.filter(Permission::Deny, Actions::ALL, "a/#");
    let policy = rules.build();
    assert!(policy.publishes_freely() && policy.subscribes_freely() && policy.delivers_freely());
    assert_eq!(policy.len(), 2);
}

#[test]
fn messages_under_a_denied_topic_do_not_come_through_a_broader_filter() {
    let mut rules = builder(Permission::Allow);
    rules.filter(Permission::Allow, Actions::SUBSCRIBE, "secret/public");
    rules.filter(Permission::Deny, Actions::SUBSCRIBE, "secret/#");
    let policy = rules.build();
    assert!(!policy.delivers_freely() && !policy.subscribes_freely() && policy.publishes_freely());
    assert_eq!(policy.verdict(SUBSCRIBE, "+/a"), Decision::Allow);
    assert!(!policy.filter_is_safe("+/a") && !policy.filter_is_safe("#"));
    assert!(policy.filter_is_safe("a/#") && policy.filter_is_safe("secret/public"));
    assert!(
        !policy.may_receive("secret/a") && policy.may_receive("secret/public") && policy.may_receive("a")
    );
}

#[test]
fn a_filter_allowed_by_its_text_lets_its_messages_in() {
    let mut rules = builder(Permission::Deny);
    rules.exact(Permission::Allow, Actions::SUBSCRIBE, "a/#");
    let policy = rules.build();
    assert_eq!(policy.verdict(SUBSCRIBE, "a/#"), Decision::Allow);
    assert_eq!(policy.verdict(SUBSCRIBE, "a/b"), Decision::Deny);
    assert!(policy.filter_is_safe("a/#") && policy.may_receive("a/b") && !policy.may_receive("b"));
}

#[test]
fn rules_that_sift_messages_let_every_subscription_in() {
    let mut rules = builder(Permission::Deny);
    rules.filter(Permission::Allow, Actions::RECEIVE, "a/+").any(Permission::Deny, Actions::RECEIVE);
    rules.any(Permission::Allow, Actions::SUBSCRIBE);
    let policy = rules.build();
    assert!(policy.subscribes_freely() && !policy.delivers_freely());
    assert!(!policy.filter_is_safe("#") && policy.filter_is_safe("a/b"));
    assert!(policy.may_receive("a/b") && !policy.may_receive("b"));
}

#[test]
fn conditions_pick_levels_and_retain() {
    let high = QosSet::NONE.with(QoS::AtLeastOnce).with(QoS::ExactlyOnce);
    let mut rules = builder(Permission::Allow);
    rules.any(Permission::Deny, Actions::ALL.at(high).with_retain(true));
    let policy = rules.build();
    for (qos, retain, decision) in [
        (QoS::AtMostOnce, true, Decision::Allow),
        (QoS::AtLeastOnce, true, Decision::Deny),
        (QoS::ExactlyOnce, true, Decision::Deny),
        (QoS::ExactlyOnce, false, Decision::Allow),
    ] {
        assert_eq!(policy.verdict(Action::Publish { qos, retain }, "a"), decision, "{qos:?} {retain}");
    }
    assert_eq!(policy.verdict(SUBSCRIBE, "a"), Decision::Allow);
    assert_eq!(policy.verdict(Action::Subscribe { qos: QoS::ExactlyOnce }, "a"), Decision::Deny);
}

#[test]
fn an_external_source_stands_in_the_order_of_rules() {
    let mut rules = builder(Permission::Deny);
    rules.filter(Permission::Allow, Actions::ALL, "a").ask(SourceIndex(0));
    rules.filter(Permission::Allow, Actions::ALL, "b").ask(SourceIndex(1));
    rules.filter(Permission::Allow, Actions::ALL, "c");
    let policy = rules.build();
    let verdicts = |topic| {
        let asked = [None, Some(SourceIndex(0)), Some(SourceIndex(1))];
        asked.map(|asked| match asked {
            None => policy.verdict(PUBLISH, topic),
            Some(source) => policy.verdict_after(source, PUBLISH, topic),
        })
    };
    let (first, second) = (Decision::Ask(SourceIndex(0)), Decision::Ask(SourceIndex(1)));
    assert_eq!(verdicts("a"), [Decision::Allow, second, Decision::Deny]);
    assert_eq!(verdicts("b"), [first, Decision::Allow, Decision::Deny]);
    assert_eq!(verdicts("c"), [first, second, Decision::Allow]);
    assert!(policy.may_receive("z") && policy.delivers_freely() && !policy.publishes_freely());
}

#[test]
fn a_cache_holds_the_latest_answers_for_a_while() {
    let terms = CacheTerms { answers_max: 3, ttl: Duration::from_s(60) };
    let mut cache = DecisionCache::default();
    let (now, later) = (Timestamp::ZERO, Timestamp::from_ms(60_000));
    for topic in ["a", "b", "c", "d"] {
        cache.keep(PUBLISH, topic, Permission::Allow, now, terms);
    }
    cache.keep(PUBLISH, "d", Permission::Deny, now, terms);
    cache.keep(SUBSCRIBE, &"x".repeat(CACHED_TOPIC_BYTES_MAX + 1), Permission::Deny, now, terms);
    assert_eq!(cache.find(PUBLISH, "a", now), None);
    assert_eq!(cache.find(PUBLISH, "b", now), Some(Permission::Allow));
    assert_eq!(cache.find(PUBLISH, "d", now), Some(Permission::Deny));
    assert_eq!(cache.find(SUBSCRIBE, "b", now), None);
    assert_eq!(cache.find(PUBLISH, "b", later), None);
    cache.keep(PUBLISH, "b", Permission::Deny, later, terms);
    assert_eq!(cache.find(PUBLISH, "b", later), Some(Permission::Deny));
    cache.keep(PUBLISH, "e", Permission::Deny, later, CacheTerms { answers_max: 0, ..terms });
    assert_eq!(cache.find(PUBLISH, "e", later), None);
    cache.clear();
    assert_eq!(cache.find(PUBLISH, "b", later), None);
}

#[test]
fn a_large_policy_is_asked_behind_a_source_too() {
    let mut rules = builder(Permission::Deny);
    for number in 0..50 {
        rules.filter(Permission::Deny, Actions::ALL, &format!("a/{number}/#"));
    }
    rules.ask(SourceIndex(0));
    for number in 0..100 {
        rules.filter(Permission::Allow, Actions::ALL, &format!("a/{number}/+"));
    }
    let policy = rules.build();
    for (topic, before, behind) in [
        ("a/7/x", Decision::Deny, Decision::Allow),
        ("a/70/x", Decision::Ask(SourceIndex(0)), Decision::Allow),
        ("a/70", Decision::Ask(SourceIndex(0)), Decision::Deny),
    ] {
        assert_eq!(policy.verdict(PUBLISH, topic), before, "{topic}");
        assert_eq!(policy.verdict_after(SourceIndex(0), PUBLISH, topic), behind, "{topic}");
    }
}

/// All topics of up to four of these levels.
fn world() -> Vec<String> {
    let mut topics: Vec<String> = ["a", "b", "c", "$s", "$t", ""].map(str::to_owned).to_vec();
    let mut last = topics.clone();
    for _ in 1..4 {
        last = last
            .iter()
            .flat_map(|topic| ["a", "b", "c", ""].map(|level| format!("{topic}/{level}")))
            .collect();
        topics.extend(last.iter().cloned());
    }
    topics
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "+", "", "$s"]);
    (prop::collection::vec(level, 0..4), any::<bool>()).prop_map(|(mut levels, is_open)| {
        if is_open || levels.is_empty() {
            levels.push("#");
        }
        levels.join("/")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn filters_compare_as_their_sets_of_topics_do(left in filter(), right in filter()) {
        // `$s` stands for a hidden topic only as the first level.
        let inner = |text: &str| text.split('/').skip(1).any(|level| level == "$s");
        prop_assume!(!inner(&left) && !inner(&right));
        let mut has_common = false;
        let mut has_outside = false;
        for topic in world() {
            let (in_left, in_right) = (filter_matches(&left, &topic), filter_matches(&right, &topic));
            has_common |= in_left && in_right;
            has_outside |= in_right && !in_left;
            prop_assert_eq!(covers(&left, &topic), in_left, "{} {}", left, topic);
        }
        prop_assert_eq!(covers(&left, &right), !has_outside, "{} covers {}", left, right);
        prop_assert_eq!(intersects(&left, &right), has_common, "{} intersects {}", left, right);
    }

    #[test]
    fn any_two_texts_can_be_compared(left in "[a/#+$é]{0,8}", right in "[a/#+$é]{0,8}") {
        covers(&left, &right);
        prop_assert_eq!(intersects(&left, &right), intersects(&right, &left));
    }
}
