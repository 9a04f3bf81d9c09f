//! What rows come to: users and their decoys, rules and whom they are about, and what is remembered.

use super::*;
use crate::authentication::password::{HashAlgorithm, SaltPosition};
use crate::authentication::{Decision, RemoteAuthenticator};
use crate::sources::config::AnswerCacheConfig;
use crate::sources::error::SourceError;
use bytes::Bytes;
use ringmq_core::authorization::{Actions, ClientRule, Permission, QosSet, Subject, TopicMatch};
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_shards::access::Entry;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A client that asks to be let in.
pub fn entry(client_id: &str, user_name: Option<&str>, password: Option<&[u8]>) -> Entry {
    let subject = Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new(client_id, "192.0.2.7:1234".parse().unwrap())
    };
    Entry { subject, password: password.map(Bytes::copy_from_slice), version: ProtocolVersion::V5 }
}

fn row(value: Value) -> Row {
    value.as_object().unwrap().clone()
}

/// Knows `known` and is not there for `gone`.
#[derive(Default)]
struct Fake {
    asked: AtomicUsize,
}

impl Table for Fake {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        Some(vec![entry.subject.user_name.as_deref()?.to_owned()])
    }

    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match values[0].as_str() {
            "known" => Ok(vec![row(json!({
                "password_hash": "5bccf96a4f6445a83b9485e66a5c9f994ec537ef0b3942e386991fb2cb6077a8",
                "salt": "ab", "is_superuser": 1
            }))]),
            "broken" => Ok(vec![row(json!({"password_hash": "zz"}))]),
            "gone" => Err(SourceError::Waiting),
            _ => Ok(Vec::new()),
        }
    }
}

fn users(cache: AnswerCacheConfig) -> Users<Fake> {
    let algorithm = HashAlgorithm::Sha256 { salt_position: SaltPosition::Prefix };
    Users::new("fake", Fake::default(), UserColumns::default(), algorithm, cache).unwrap()
}

fn decide(users: &Users<Fake>, user: Option<&str>, password: Option<&[u8]>) -> Decision {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(users.decide(&entry("c", user, password)))
}

#[test]
fn users_are_compared_and_those_who_do_not_exist_with_a_decoy_of_the_same_cost() {
    let users = users(AnswerCacheConfig::default());
    let Decision::Compare(known) = decide(&users, Some("known"), Some(b"pass1")) else {
        panic!("no comparison")
    };
    assert!(known.stored.matches(b"pass1") && !known.stored.matches(b"pass2"));
    assert!(known.granted.unwrap().is_superuser);
    for user in ["unknown", "broken"] {
        let Decision::Compare(decoy) = decide(&users, Some(user), Some(b"pass1")) else { panic!("no decoy") };
        assert!(decoy.granted.is_none() && decoy.stored.kind() == "sha256", "{user}");
    }
    assert!(matches!(decide(&users, Some("gone"), Some(b"pw")), Decision::Ignore));
    assert!(matches!(decide(&users, None, Some(b"pw")), Decision::Ignore));
    assert!(matches!(decide(&users, Some("known"), None), Decision::Unknown));
}

#[test]
fn answers_are_remembered_only_where_that_is_asked_for() {
    let off = users(AnswerCacheConfig::default());
    let on = users(AnswerCacheConfig { enable: true, ..AnswerCacheConfig::default() });
    for (users, expected) in [(&off, 6), (&on, 4)] {
        for user in ["known", "unknown", "gone"] {
            decide(users, Some(user), Some(b"pw"));
            decide(users, Some(user), Some(b"another"));
        }
        let asked = users.table().asked.load(Ordering::Relaxed);
        assert_eq!(asked, expected, "a failure is never remembered");
    }
}

#[test]
fn a_cache_is_bounded_and_forgets() {
    let second = Duration::from_secs(1);
    let terms =
        AnswerCacheConfig { enable: true, max_size: 3, ttl: ringmq_core::config::Duration::from_s(10) };
    let cache = AnswerCache::new(terms).unwrap();
    let key = |text: &'static str| cache.key([text.as_bytes()].into_iter());
    let begin = Instant::now();
    for (number, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        cache.keep(key(name), number, begin + second * number as u32);
    }
    let find = |name, at| cache.find(key(name).as_ref(), begin + second * at);
    assert_eq!(cache.count(), 3);
    assert_eq!([find("a", 4), find("b", 4), find("d", 4)], [None, Some(1), Some(3)]);
    assert_eq!([find("b", 11), find("d", 11)], [None, Some(3)]);
    cache.keep(key("b"), 7, begin + second * 20);
    assert_eq!(cache.count(), 1, "what is old goes first");
    cache.keep(key("b"), 8, begin + second * 21);
    cache.keep(key("x"), 9, begin + second * 30);
    assert_eq!(find("b", 30), Some(8), "a newer answer to the same question outlives the older");
    assert_ne!(cache.key([&b"ab"[..], b"c"].into_iter()), cache.key([&b"a"[..], b"bc"].into_iter()));
}

fn rule(permission: Permission, actions: Actions, topic: &str) -> ClientRule {
    ClientRule { permission, actions, topic: TopicMatch::Filter(topic.into()) }
}

#[test]
fn rows_are_rules_for_those_they_are_about() {
    let rows = [
        json!({"permission": "allow", "action": "publish", "topic": "a/#", "qos": null, "retain": "", "ipaddress": ""}),
        json!({"permission": "DENY", "action": "Subscribe", "topic": "eq #", "qos": "0,1", "retain": 1}),
        json!({"permission": "allow", "action": "all", "topic": "b", "ipaddress": "192.0.2.0/24"}),
        json!({"permission": "allow", "action": "all", "topic": "no", "ipaddress": "10.0.0.1"}),
        json!({"permission": "allow", "action": "all", "topic": "no", "username_re": "^v"}),
        json!({"permission": "allow", "action": "all", "topic": "c", "username_re": "^u", "clientid_re": "c$"}),
        json!({"permission": "deny", "action": "all", "topics": ["d", "e"], "qos": 2, "retain": 0}),
    ];
    let low = QosSet::NONE.with(QoS::AtMostOnce).with(QoS::AtLeastOnce);
    let high = Actions::ALL.at(QosSet::NONE.with(QoS::ExactlyOnce)).with_retain(false);
    let rules = rules_of(rows.map(row).into(), &entry("c", Some("u"), None), |fault| panic!("{fault}"));
    assert_eq!(
        rules,
        [
            rule(Permission::Allow, Actions::PUBLISH, "a/#"),
            ClientRule {
                permission: Permission::Deny,
                actions: Actions::SUBSCRIBE.at(low).with_retain(true),
                topic: TopicMatch::Exact("#".into()),
            },
            rule(Permission::Allow, Actions::ALL, "b"),
            rule(Permission::Allow, Actions::ALL, "c"),
            rule(Permission::Deny, high, "d"),
            rule(Permission::Deny, high, "e"),
        ]
    );
}

#[test]
fn behind_a_row_that_cannot_be_understood_everything_is_denied() {
    let good = json!({"permission": "allow", "action": "all", "topic": "a"});
    let bad = [
        json!({"permission": "maybe", "action": "all", "topic": "a"}),
        json!({"permission": "allow", "topic": "a"}),
        json!({"permission": "allow", "action": "all"}),
        json!({"permission": "allow", "action": "all", "topic": "a", "qos": "3"}),
        json!({"permission": "allow", "action": "all", "topic": "a", "ipaddress": "here"}),
        json!({"permission": "allow", "action": "all", "topic": "a", "username_re": "("}),
        json!({"permission": "allow", "action": "all", "topic": "a", "clientid_re": 1}),
        json!({}),
    ];
    for bad in bad {
        let mut faults = 0;
        let rows = [&good, &bad, &good].map(|one| row(one.clone()));
        let rules = rules_of(rows.into(), &entry("c", Some("u"), None), |_| faults += 1);
        assert_eq!((rules.len(), faults), (2, 1), "{bad}");
        assert_eq!(rules[1].permission, Permission::Deny);
        assert_eq!(rules[1].topic, TopicMatch::Any);
    }
    let rows = vec![row(good); ROWS_MAX + 1];
    let rules = rules_of(rows, &entry("c", None, None), |_| {});
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].permission, Permission::Deny);
}
