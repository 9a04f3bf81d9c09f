//! MongoDB, by its own library and a server that is played: users and rules in collections; gone, still and back; with TLS.

use super::asking::{
    Outcome, PATIENCE, allowed, ask, ask_until, check_answers, check_tls, config, entry, rules, run, runtime,
    superuser,
};
use super::certificates;
use super::mongod::{Contents, Mongod};
use super::server::folder;
use ::mongodb::bson::{Bson, Document, doc};
use ringmq_access::authentication::RemoteAuthenticator;
use ringmq_access::sources::config::{MongodbConfig, MongodbRulesConfig};
use ringmq_access::sources::mongodb;
use ringmq_core::authorization::{Actions, Permission, QosSet, TopicMatch};
use ringmq_core::codec::QoS;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio_rustls::TlsAcceptor;

/// SHA-256 over the salt `ab` and `pass1`.
const HASH: &str = "5bccf96a4f6445a83b9485e66a5c9f994ec537ef0b3942e386991fb2cb6077a8";

fn contents() -> Contents {
    let user = |name: &str, superuser: Bson| doc! { "username": name, "password_hash": HASH, "salt": "ab", "is_superuser": superuser };
    let users = vec![
        user("known", false.into()),
        user("root", true.into()),
        user("o'brien", Bson::Null),
        user("shell", 1.0.into()),
        doc! { "username": "bare" },
        doc! { "username": "own", "hash": HASH, "grains": "ab", "chief": true },
    ];
    let rule = |user: &str, number: i32| {
        let topic = format!("t/{number}");
        doc! { "username": user, "permission": "allow", "action": "publish", "topic": topic }
    };
    let mut acl = vec![
        doc! { "username": "known", "permission": "deny", "action": "publish", "topic": "a/secret" },
        doc! {
            "username": "known", "permission": "allow", "action": "all", "topics": ["a/#", "eq b/+"],
            "qos": [1, 2_i64], "ipaddress": Bson::Null,
        },
        doc! { "username": "known", "permission": "allow", "action": "all", "topic": "c", "ipaddress": "10.0.0.0/8" },
        doc! { "username": "broken", "permission": "perhaps", "action": "all", "topic": "#" },
    ];
    acl.extend((0..500).map(|number| rule("many", number)));
    acl.extend((0..1_200).map(|number| rule("too many", number)));
    let collections = HashMap::from([("mqtt_user", users), ("mqtt_acl", acl)]);
    Contents { collections, login: Some(("broker", "pw")), ..Contents::default() }
}

fn text(server: &Mongod, collection: &str, more: &str) -> String {
    let place =
        format!("server = \"127.0.0.1:{}\"\nquery_timeout = \"2s\"\ndatabase = \"mqtt\"", server.port);
    format!("{place}\ncollection = \"{collection}\"\nusername = \"broker\"\n{more}")
}

fn users(server: &Mongod, more: &str) -> Box<dyn RemoteAuthenticator> {
    Box::new(mongodb::users(&config::<MongodbConfig>(&text(server, "mqtt_user", more))).unwrap())
}

#[test]
fn users_are_found() {
    let server = Mongod::start(contents(), None);
    let cases = [
        (Some("known"), "pass1", allowed()),
        (Some("root"), "pass1", superuser()),
        (Some("shell"), "pass1", superuser()),
        (Some("o'brien"), "pass1", allowed()),
        (Some("known"), "pass2", Outcome::WrongPassword),
        (Some("bare"), "pass1", Outcome::Unknown),
        (Some("nobody"), "pass1", Outcome::Unknown),
        (None, "pass1", Outcome::Ignore),
    ];
    check_answers(&*users(&server, "password = \"pw\""), cases);
    let named = "password_hash_field = \"hash\"\nsalt_field = \"grains\"\nis_superuser_field = \"chief\"";
    let element = users(&server, &format!("password = \"pw\"\n{named}"));
    check_answers(
        &*element,
        [(Some("own"), "pass1", superuser()), (Some("known"), "pass1", Outcome::Unknown)],
    );
}

#[test]
fn a_replica_set_is_asked_where_its_primary_is() {
    let server = Mongod::start(Contents { replica_set: Some("rs0"), ..contents() }, None);
    let set = |name: &str| format!("password = \"pw\"\nmongo_type = \"rs\"\nreplica_set_name = \"{name}\"");
    check_answers(&*users(&server, &set("rs0")), [(Some("known"), "pass1", allowed())]);
    check_answers(&*users(&server, &set("rs1")), [(Some("known"), "pass1", Outcome::Ignore)]);
}

#[test]
fn what_a_client_says_of_itself_is_a_text() {
    let server = Mongod::start(contents(), None);
    let more = "password = \"pw\"\nfilter = { username = \"${username}\", clientid = \"${clientid}\" }";
    let element = users(&server, more);
    let runtime = runtime();
    let bent = ["{\"$ne\": null}", "$ne", "{ $gt: '' }", "known' || '1'=='1", ".*"];
    for user in bent {
        for client_id in ["c", "{\"$exists\": false}"] {
            let client = entry(client_id, Some(user), Some("pass1"));
            assert_eq!(run(&runtime, ask(&*element, &client)), Outcome::Unknown, "{user} {client_id}");
        }
    }
    let filters: Vec<Document> = server.contents.filters.lock().unwrap().clone();
    assert_eq!(filters.len(), 2 * bent.len());
    for (filter, user) in filters.iter().zip(bent.iter().flat_map(|user| [user, user])) {
        assert_eq!(filter.keys().collect::<Vec<_>>(), ["clientid", "username"]);
        assert_eq!(filter.get("username"), Some(&Bson::String((*user).to_owned())));
        assert!(matches!(filter.get("clientid"), Some(Bson::String(_))));
    }
    for filter in ["{ \"$where\" = \"${username}\" }", "{ username = \"known\" }", "{}"] {
        let text = text(&server, "mqtt_user", &format!("filter = {filter}"));
        let error = mongodb::users(&config::<MongodbConfig>(&text)).unwrap_err().to_string();
        assert!(error.starts_with("filter: "), "{filter}: {error}");
    }
}

#[test]
fn rules_are_found() {
    let server = Mongod::start(contents(), None);
    let source = config::<MongodbRulesConfig>(&text(&server, "mqtt_acl", "password = \"pw\""));
    let source = mongodb::rules(&source).unwrap();
    let runtime = runtime();
    let rules_of = |user: &str| run(&runtime, rules(&source, &entry("c", Some(user), None)));
    let found = rules_of("known");
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].permission, found[0].actions), (Permission::Deny, Actions::PUBLISH));
    let high = QosSet::NONE.with(QoS::AtLeastOnce).with(QoS::ExactlyOnce);
    assert_eq!((found[1].permission, found[1].actions), (Permission::Allow, Actions::ALL.at(high)));
    assert_eq!(found[1].topic, TopicMatch::Filter("a/#".into()));
    assert!(rules_of("nobody").is_empty());
    assert_eq!(rules_of("many").len(), 500, "in more than one batch");
    for user in ["broken", "too many"] {
        let found = rules_of(user);
        assert_eq!(found.len(), 1, "{user}");
        assert_eq!((found[0].permission, &found[0].topic), (Permission::Deny, &TopicMatch::Any), "{user}");
    }
}

#[test]
fn a_broker_that_may_not_ask_is_told_nothing() {
    let server = Mongod::start(contents(), None);
    let client = entry("c", Some("known"), Some("pass1"));
    for wrong in ["password = \"no\"", ""] {
        let element = users(&server, wrong);
        let runtime = runtime();
        for _ in 0..2 {
            assert_eq!(run(&runtime, ask(&*element, &client)), Outcome::Ignore, "{wrong}");
        }
    }
    let text = text(&server, "mqtt_user", "").replace("username = \"broker\"", "");
    let unnamed = mongodb::users(&config::<MongodbConfig>(&text)).unwrap();
    assert_eq!(run(&runtime(), ask(&unnamed, &client)), Outcome::Ignore, "no login");
    assert!(server.contents.filters.lock().unwrap().is_empty());
    let open = Mongod::start(Contents { login: None, ..contents() }, None);
    let text = text.replace(&server.port.to_string(), &open.port.to_string());
    let unnamed = mongodb::users(&config::<MongodbConfig>(&text)).unwrap();
    assert_eq!(run(&runtime(), ask(&unnamed, &client)), allowed(), "none is asked for");
}

#[test]
fn a_server_that_dies_or_hangs_is_passed_over_and_found_again() {
    let mut server = Mongod::start(contents(), None);
    let element = users(&server, "password = \"pw\"\npool_size = 2");
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    let all_say = |count: usize, outcome: Outcome| {
        (0..count).for_each(|_| assert_eq!(run(&runtime, ask(&*element, &client)), outcome));
    };
    all_say(3, allowed());
    let contents = Arc::clone(&server.contents);
    let still = contents.stillness.lock().unwrap();
    all_say(3, Outcome::Ignore);
    drop(still);
    run(&runtime, ask_until(&*element, &client, &allowed()));
    server.kill();
    // Were each to wait for its time, 100 would take 180 s.
    let begin = Instant::now();
    all_say(100, Outcome::Ignore);
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    server.listen();
    run(&runtime, ask_until(&*element, &client, &allowed()));
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let folder = folder();
    let files = certificates::make(folder.path());
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let terms = builder.with_single_cert(chain, key).unwrap();
    let server = Mongod::start(contents(), Some(TlsAcceptor::from(Arc::new(terms))));
    check_tls(&files.authority, |more| users(&server, more));
    let without = users(&server, "password = \"pw\"\nssl = { enable = false }");
    let client = entry("c", Some("known"), Some("pass1"));
    assert_eq!(run(&runtime(), ask(&*without, &client)), Outcome::Ignore);
}
