//! Chains as the configuration makes them, and what goes wrong on the way.

use super::*;
use crate::authentication::password::HashAlgorithm;
use crate::authentication::scram::{ScramKeys, ScramMechanism};
use crate::authentication::users::{Row, UserFile, load};
use bytes::Bytes;
use crossbeam_channel::unbounded;
use ringmq_core::authentication::Step;
use ringmq_core::authorization::Subject;
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Access, Entry, Grant, Reply, Verdict};
use ringmq_shards::mesh::{Signal, build_mesh};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn chain(elements: Value) -> AuthenticationConfig {
    let chain = serde_json::from_value(elements).unwrap();
    AuthenticationConfig { chain, ..AuthenticationConfig::default() }
}

fn gate(config: &AuthenticationConfig, data_dir: &Path) -> Gate {
    let chains = open(config, data_dir).unwrap();
    Gate::new(chains, Workers::start().unwrap(), Arc::new(Unrestricted), Arc::default())
}

fn entry(user_name: &str, password: &str) -> Entry {
    let subject = Subject {
        user_name: Some(user_name.into()),
        ..Subject::new("client", "192.0.2.1:5".parse().unwrap())
    };
    let password = Some(Bytes::copy_from_slice(password.as_bytes()));
    Entry { subject, password, version: ProtocolVersion::V5 }
}

fn verdict(gate: &Gate, entry: Entry) -> Verdict {
    verdict_by(|reply| gate.admit(entry, reply))
}

fn verdict_by(ask: impl FnOnce(Reply<Verdict>) -> Option<Verdict>) -> Verdict {
    let meshes = build_mesh::<()>(1, 64, Signal::Event).unwrap();
    let (sender, answers) = unbounded();
    let verdict = ask(Reply::new(1, sender, meshes[0].bell()));
    verdict.unwrap_or_else(|| answers.recv_timeout(PATIENCE).unwrap().content)
}

#[test]
fn bootstrapped_users_enter_and_changes_are_taken_up_by_a_new_gate() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("first.csv"), "user_id,password,is_superuser\nroot,pw,true\n").unwrap();
    let config = chain(json!([{
        "mechanism": "password_based", "backend": "built_in_database",
        "password_hash_algorithm": {"name": "sha256", "salt_position": "suffix"},
        "bootstrap_file": folder.path().join("first.csv"), "bootstrap_type": "plain",
    }]));
    let before = gate(&config, folder.path());
    let superuser = Verdict::Admit(Grant { is_superuser: true, ..Grant::default() });
    let refused = Verdict::Refuse(ReasonCode::BadUserNameOrPassword);
    assert_eq!(verdict(&before, entry("root", "pw")), superuser);
    assert_eq!(verdict(&before, entry("root", "wrong")), refused);
    assert_eq!(verdict(&before, entry("nobody", "pw")), refused);

    let path = folder.path().join(USERS_FILE);
    let mut file = UserFile::open(&path).unwrap();
    let password = Some(HashAlgorithm::named("sha512").unwrap().hash(b"new").unwrap());
    file.put(&Row { user_id: "root".into(), is_superuser: false, password, scram: Vec::new() }).unwrap();
    file.save().unwrap();
    drop(file);
    assert_eq!(verdict(&before, entry("root", "pw")), superuser, "what is in force stays");
    let after = gate(&config, folder.path());
    assert_eq!(verdict(&after, entry("root", "new")), Verdict::Admit(Grant::default()));
    assert_eq!(verdict(&after, entry("root", "pw")), refused, "bootstrapping changes no user that is there");
    assert_eq!(load(&path).unwrap().len(), 1);
}

#[test]
fn scram_is_offered_by_name_and_refuses_whoever_comes_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = UserFile::open(&folder.path().join(USERS_FILE)).unwrap();
    let scram = vec![ScramKeys::derive(ScramMechanism::Sha512, 4096, "pw").unwrap()];
    file.put(&Row { user_id: "root".into(), is_superuser: true, password: None, scram }).unwrap();
    file.save().unwrap();
    let gate = gate(&chain(json!([{"mechanism": "scram", "algorithm": "sha512"}])), folder.path());
    let mut known = entry("root", "");
    assert!(gate.begin_method("SCRAM-SHA-256", &known.subject).is_none());
    let mut method = gate.begin_method("SCRAM-SHA-512", &known.subject).unwrap();
    assert!(matches!(method.handle_data(Some(b"n,,n=root,r=abc")), Step::Continue(_)));
    let is_superuser = |known: &Entry| {
        let verdict = verdict_by(|reply| gate.admit_known(known.clone(), reply));
        matches!(verdict, Verdict::Admit(grant) if grant.is_superuser)
    };
    assert!(is_superuser(&known));
    known.subject.user_name = None;
    assert!(!is_superuser(&known));
    assert_eq!(verdict(&gate, entry("root", "pw")), Verdict::Refuse(ReasonCode::NotAuthorized));
}

#[test]
fn elements_are_asked_in_order_and_disabled_ones_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ids"), "cli*\n").unwrap();
    let config = chain(json!([
        {"mechanism": "jwt", "secret": "a secret of enough bytes", "verify_claims": {"sub": "${username}"}},
        {"mechanism": "device_secret", "enable": false, "file": "absent"},
        {"mechanism": "client_ids", "file": folder.path().join("ids"), "no_match": "deny"},
    ]));
    let chains = open(&config, folder.path()).unwrap();
    assert_eq!(format!("{:?}", chains.global.elements()), "[jwt, client_ids]");
    let mut config = config;
    config.listeners.insert("ssl:open".to_owned(), Vec::new());
    let chains = open(&config, folder.path()).unwrap();
    assert!(chains.listeners["ssl:open"].is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_key_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.db"), "nonsense").unwrap();
    let built_in = |more: Value| {
        let mut element = json!({"mechanism": "password_based", "backend": "built_in_database"});
        element.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        element
    };
    let cases = [
        (
            json!([{"mechanism": "jwt", "secret": "short-word"}]),
            "authentication[0]: secret: secret must have",
        ),
        (
            json!([{"mechanism": "jwt", "algorithm": "public-key", "public_key": "absent.pem"}]),
            "authentication[0]: ",
        ),
        (json!([built_in(json!({"file": "bad.db"}))]), "authentication[0]: "),
        (
            json!([built_in(json!({"password_hash_algorithm": {"name": "bcrypt", "salt_rounds": 40}}))]),
            "authentication[0]: password_hash_algorithm: the bcrypt hash has a cost",
        ),
        (
            json!([{"mechanism": "scram"}, {"mechanism": "scram", "iteration_count": 1}]),
            "authentication[1]: iteration_count = 1: must be a whole number from 4096",
        ),
        (json!([built_in(json!({"bootstrap_file": "absent.csv"}))]), "authentication[0]: bootstrap_file: "),
        (Value::Array(vec![json!({"mechanism": "scram"}); 17]), "authentication: has 17 elements"),
    ];
    for (elements, expected) in cases {
        let error = open(&chain(elements.clone()), folder.path()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{elements}: {error}");
        assert!(!error.contains("short-word"), "{error}");
    }
    let shown = format!("{:?}", chain(json!([{"mechanism": "jwt", "secret": "short-word"}])));
    assert!(!shown.contains("short-word"), "{shown}");
    let unknown = [
        json!({"mechanism": "password_based", "backend": "built_in_database", "user": 1}),
        json!({"mechanism": "jwt", "secrets": "x"}),
        json!({"mechanism": "client_ids"}),
        json!({"mechanism": "password_based", "backend": "abacus"}),
        json!({"mechanism": "magic"}),
        json!({}),
    ];
    for element in unknown {
        assert!(serde_json::from_value::<ElementConfig>(element.clone()).is_err(), "{element}");
    }
}
