//! One encoding for many receivers.

use super::template::packet;
use super::*;

/// What a receiver is sent from the cache, and what it would be sent without one.
fn assert_as_if_alone(
    cache: &mut TemplateCache,
    version: ProtocolVersion,
    qos: QoS,
    retain: bool,
    subscription_ids: &[u32],
) {
    let view = message("topic", "payload");
    let now = Timestamp::ZERO;
    let mut alone = Vec::new();
    packet(view, qos, retain, subscription_ids, now).encode(version, &mut alone).expect("encodable");
    assert_eq!(cache.encoded(view, version, qos, retain, subscription_ids, now), alone);
}

#[test]
fn receivers_that_differ_are_sent_what_each_would_be_sent_alone() {
    let mut cache = TemplateCache::default();
    for _ in 0..2 {
        for version in ALL {
            for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
                for retain in [false, true] {
                    for ids in [&[][..], &[1], &[1, 2, 300]] {
                        assert_as_if_alone(&mut cache, version, qos, retain, ids);
                        assert_as_if_alone(&mut cache, version, qos, retain, ids);
                    }
                }
            }
        }
    }
}

#[test]
fn another_message_begins_with_an_empty_cache() {
    let mut cache = TemplateCache::default();
    let encode = |cache: &mut TemplateCache, payload| {
        cache.clear();
        cache.encoded(message("t", payload), V311, AtMostOnce, false, &[], Timestamp::ZERO).to_vec()
    };
    assert_ne!(encode(&mut cache, "a"), encode(&mut cache, "b"));
}

#[test]
fn identifiers_are_written_behind_topics_of_any_length() {
    for topic_bytes in [1, 100, 200, 20_000, 65_535] {
        let topic = "x".repeat(topic_bytes);
        let mut rig = Rig::connected(V5);
        rig.deliver_with(&topic, AtLeastOnce, "a", |_| ());
        rig.deliver_with(&topic, ExactlyOnce, "b", |_| ());
        assert_eq!(rig.sent(), [format!("PUBLISH q1 #1 {topic}=a"), format!("PUBLISH q2 #2 {topic}=b")]);
    }
}
