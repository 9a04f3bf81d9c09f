//! Tokens: signatures of every kind, keys that must not be mistaken for others, claims and what they grant.

use super::fixtures::*;
use super::*;
use crate::authentication::chain::{Authenticator, Decision};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use proptest::prelude::*;
use ringmq_core::authorization::{Actions, ClientRule, Permission, QosSet, Subject, TopicMatch};
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_shards::access::{Entry, Grant};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "a secret of enough bytes";
const NOW: Duration = Duration::from_secs(1_000_000);

fn hs256(secret: &str, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn entry(user_name: Option<&str>, password: Option<&str>) -> Entry {
    let subject = Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new("client", "192.0.2.1:5".parse().unwrap())
    };
    let password = password.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Entry { subject, password, version: ProtocolVersion::V5 }
}

fn element(keys: KeySet, from: TokenPlace, verify: &[(&str, &str)]) -> Jwt {
    let verify: BTreeMap<String, String> =
        verify.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Jwt::new(Arc::new(KeySlot::new(keys)), JwtRules::new(from, "acl", true, verify.iter()).unwrap())
}

#[test]
fn signatures_of_every_kind_are_verified() {
    let hmac = hs256(SECRET, &json!({"alg": "HS256"}), &json!({"sub": "device"}));
    let sets = [
        KeySet::from_secret(SECRET, false).unwrap(),
        KeySet::from_public_key(RSA).unwrap(),
        KeySet::from_public_key(P256).unwrap(),
        KeySet::from_public_key(P384).unwrap(),
        KeySet::from_public_key(ED25519).unwrap(),
        KeySet::from_public_key(JWKS).unwrap(),
    ];
    let tokens = [
        (&*hmac, vec![0]),
        (RS256_TOKEN, vec![1, 5]),
        (PS256_TOKEN, vec![1, 5]),
        (ES256_TOKEN, vec![2, 5]),
        (ES384_TOKEN, vec![3]),
        (EDDSA_TOKEN, vec![4]),
    ];
    for (token, verifiers) in tokens {
        for (number, set) in sets.iter().enumerate() {
            let claims = set.verify(token);
            assert_eq!(claims.is_some(), verifiers.contains(&number), "{token} {number}");
            let end = token.len() - 8;
            let changed = format!("{}AAAA{}", &token[..end], &token[end + 4..]);
            assert!(set.verify(&changed).is_none());
        }
    }
}

#[test]
fn a_public_key_is_no_secret_and_no_signature_is_none() {
    // The text of a public key as the secret of an HMAC: what careless verifiers accept.
    let forged = hs256(RSA, &json!({"alg": "HS256"}), &json!({"sub": "device"}));
    assert!(KeySet::from_public_key(RSA).unwrap().verify(&forged).is_none());
    assert!(KeySet::from_public_key(JWKS).unwrap().verify(&forged).is_none());
    // `oct` in a JWKS is a secret that everyone may read.
    let leaked = hs256("secret", &json!({"alg": "HS256", "kid": "r1"}), &json!({}));
    assert!(KeySet::from_public_key(JWKS).unwrap().verify(&leaked).is_none());
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for token in [
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode("{}")),
        format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode("{}")),
        "a.b.c".to_owned(),
        String::new(),
        "....".to_owned(),
    ] {
        assert!(KeySet::from_secret(SECRET, false).unwrap().verify(&token).is_none(), "{token}");
    }
    let other = hs256(SECRET, &json!({"alg": "HS256", "kid": "e1"}), &json!({}));
    assert!(KeySet::from_secret(SECRET, false).unwrap().verify(&other).is_some(), "the only key has no id");
}

#[test]
fn keys_that_are_none_are_refused() {
    assert_eq!(KeySet::from_secret("short", false).unwrap_err(), KeyError::Short);
    assert_eq!(KeySet::from_secret("***", true).unwrap_err(), KeyError::Base64);
    assert!(KeySet::from_secret("YSBzZWNyZXQgb2YgZW5vdWdoIGJ5dGVz", true).is_ok());
    assert_eq!(KeySet::from_public_key("secret").unwrap_err(), KeyError::PublicKey);
    assert_eq!(KeySet::from_public_key("{\"keys\":[]}").unwrap_err(), KeyError::Set);
    assert_eq!(KeySet::from_public_key("{}").unwrap_err(), KeyError::PublicKey);
    let shown = format!("{:?}", KeySet::from_secret(SECRET, false).unwrap());
    assert!(!shown.contains(SECRET));
}

#[test]
fn tokens_come_in_the_password_or_the_user_name() {
    let token = hs256(SECRET, &json!({"alg": "HS256"}), &json!({}));
    let keys = || KeySet::from_secret(SECRET, false).unwrap();
    let decide = |from, entry| element(keys(), from, &[]).decide(&entry);
    assert!(matches!(decide(TokenPlace::Password, entry(None, Some(&token))), Decision::Allow(_)));
    assert!(matches!(decide(TokenPlace::Password, entry(Some(&token), None)), Decision::Ignore));
    assert!(matches!(decide(TokenPlace::UserName, entry(Some(&token), None)), Decision::Allow(_)));
    assert!(matches!(decide(TokenPlace::UserName, entry(None, Some(&token))), Decision::Ignore));
    assert!(matches!(decide(TokenPlace::Password, entry(None, Some("password"))), Decision::Ignore));
}

#[test]
fn keys_may_be_replaced_while_in_use() {
    let slot = Arc::new(KeySlot::new(KeySet::empty()));
    let rules = JwtRules::new(TokenPlace::Password, "acl", true, std::iter::empty()).unwrap();
    let element = Jwt::new(Arc::clone(&slot), rules);
    let someone = entry(None, Some(ES256_TOKEN));
    assert!(matches!(element.decide(&someone), Decision::Ignore));
    slot.set(KeySet::from_jwks(JWKS).unwrap());
    assert!(matches!(element.decide(&someone), Decision::Allow(_)));
}

/// The grant for claims, none if they are refused.
fn judged(verify: &[(&str, &str)], claims: Value) -> Option<Grant> {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    let element = element(KeySet::empty(), TokenPlace::Password, verify);
    match element.judge(&entry(Some("user"), None), &claims, NOW) {
        Decision::Allow(grant) => Some(grant),
        Decision::Deny(_) => None,
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn times_are_kept_to() {
    let cases = [
        (json!({}), true),
        (json!({"exp": 1_000_001}), true),
        (json!({"exp": 1_000_000}), false),
        (json!({"exp": 1_000_000.5}), true),
        (json!({"exp": "1000001"}), true),
        (json!({"exp": "soon"}), false),
        (json!({"exp": null}), false),
        (json!({"nbf": 1_000_004}), true),
        (json!({"nbf": 1_000_006}), false),
        (json!({"nbf": -1}), false),
        (json!({"iat": 2_000_000}), true),
    ];
    for (claims, is_allowed) in cases {
        assert_eq!(judged(&[], claims.clone()).is_some(), is_allowed, "{claims}");
    }
    assert_eq!(judged(&[], json!({"exp": 1_000_009.9})).unwrap().expires_at_s, Some(1_000_009));
    assert_eq!(judged(&[], json!({})).unwrap().expires_at_s, None);
}

#[test]
fn claims_must_be_what_the_client_is() {
    let verify = [("sub", "${username}"), ("id", "c-${clientid}"), ("org", "acme")];
    let whole = json!({"sub": "user", "id": "c-client", "org": "acme", "more": 1});
    assert!(judged(&verify, whole.clone()).is_some());
    for (name, value) in [("sub", json!("other")), ("id", json!("client")), ("org", json!(["acme"]))] {
        let mut claims = whole.clone();
        claims[name] = value;
        assert!(judged(&verify, claims).is_none(), "{name}");
    }
    assert!(judged(&verify, json!({"sub": "user"})).is_none());
    assert!(judged(&[("n", "7")], json!({"n": 7})).is_some());
    assert!(judged(&[("cn", "${cert_common_name}")], json!({"cn": ""})).is_none(), "it has no certificate");
    let verify = BTreeMap::from([("sub".to_owned(), "${nobody}".to_owned())]);
    let error = JwtRules::new(TokenPlace::Password, "acl", true, verify.iter()).unwrap_err().to_string();
    assert!(error.starts_with("verify_claims.sub: no placeholder is called ${nobody}"), "{error}");
}

fn rule(permission: Permission, actions: Actions, topic: &str) -> ClientRule {
    ClientRule { permission, actions, topic: TopicMatch::Filter(topic.into()) }
}

#[test]
fn claims_grant_rules_attributes_and_superuser() {
    let grant = judged(
        &[],
        json!({
            "is_superuser": true,
            "client_attrs": {"group": "g1", "number": 3},
            "acl": [
                {"permission": "allow", "action": "publish", "topic": "a/${clientid}", "qos": [1, 2], "retain": false},
                {"permission": "deny", "action": "all", "topics": ["eq #", "b/+"]},
            ],
        }),
    )
    .unwrap();
    assert!(grant.is_superuser);
    assert_eq!(grant.attributes, [("group".into(), "g1".into())]);
    let qos = QosSet::NONE.with(QoS::AtLeastOnce).with(QoS::ExactlyOnce);
    let exact =
        ClientRule { topic: TopicMatch::Exact("#".into()), ..rule(Permission::Deny, Actions::ALL, "") };
    let expected = [
        rule(Permission::Allow, Actions::PUBLISH.at(qos).with_retain(false), "a/${clientid}"),
        exact,
        rule(Permission::Deny, Actions::ALL, "b/+"),
    ];
    assert_eq!(grant.rules, expected);
    let grant = judged(&[], json!({"acl": {"sub": ["x"], "pub": ["y"]}})).unwrap();
    let rest = ClientRule { permission: Permission::Deny, actions: Actions::ALL, topic: TopicMatch::Any };
    let allowed = |actions, topic| rule(Permission::Allow, actions, topic);
    assert_eq!(grant.rules, [allowed(Actions::PUBLISH, "y"), allowed(Actions::SUBSCRIBE, "x"), rest]);
}

#[test]
fn an_acl_that_cannot_be_followed_keeps_the_client_out() {
    let wrong = [
        json!("all"),
        json!([{"permission": "perhaps", "topic": "a"}]),
        json!([{"permission": "allow", "action": "fly", "topic": "a"}]),
        json!([{"permission": "allow"}]),
        json!([{"permission": "allow", "topic": 1}]),
        json!([{"permission": "allow", "topic": "a", "qos": 3}]),
        json!([{"permission": "allow", "topic": "a", "retain": "maybe"}]),
        json!({"publish": ["a"]}),
        json!({"pub": "a"}),
        json!({"pub": [1]}),
        Value::Array(vec![json!({"permission": "allow", "topic": "a"}); 1_001]),
    ];
    for acl in wrong {
        assert!(judged(&[], json!({"acl": acl.clone()})).is_none(), "{acl}");
    }
}

proptest! {
    #[test]
    fn no_token_panics_or_is_signed_by_chance(token in "[A-Za-z0-9_.-]{0,80}|\\PC{0,40}", header in "\\PC{0,20}") {
        for set in [KeySet::from_secret(SECRET, false).unwrap(), KeySet::from_jwks(JWKS).unwrap()] {
            prop_assert!(set.verify(&token).is_none());
            let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let token = format!("{}.{}.{}", encode(&header), encode("{}"), encode(&header));
            prop_assert!(set.verify(&token).is_none());
        }
    }
}
