//! A client that elements are asked about, and what they may answer, compared as the hashing pool would.

use super::server::Server;
use bytes::Bytes;
use ringmq_access::authentication::{Decision, RemoteAuthenticator};
use ringmq_access::sources::lookup::RuleSource;
use ringmq_core::authorization::{ClientRule, Subject};
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The longest anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of asking.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Allow(Grant),
    Deny(ReasonCode),
    Ignore,
    Unknown,
    WrongPassword,
}

/// A client.
pub fn entry(client_id: &str, user_name: Option<&str>, password: Option<&str>) -> Entry {
    let subject = Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new(client_id, "192.0.2.7:1234".parse().unwrap())
    };
    let password = password.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Entry { subject, password, version: ProtocolVersion::V5 }
}

/// The runtime that elements are asked on: one thread, as in the broker.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs within bounds.
pub fn run<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it hangs") })
}

/// Asks an element.
pub async fn ask(element: &dyn RemoteAuthenticator, entry: &Entry) -> Outcome {
    match element.decide(entry).await {
        Decision::Allow(grant) => Outcome::Allow(grant),
        Decision::Deny(reason) => Outcome::Deny(reason),
        Decision::Ignore => Outcome::Ignore,
        Decision::Unknown => Outcome::Unknown,
        Decision::Compare(comparison) => {
            let is_same = comparison.stored.matches(entry.password.as_deref().unwrap_or_default());
            match comparison.granted {
                Some(grant) if is_same => Outcome::Allow(grant),
                Some(_) => Outcome::WrongPassword,
                None => Outcome::Unknown,
            }
        }
    }
}

/// Asks for the rules of a client.
pub async fn rules(source: &dyn RuleSource, entry: &Entry) -> Vec<ClientRule> {
    source.rules(entry).await
}

/// Asks again and again until this comes of it.
pub async fn ask_until(element: &dyn RemoteAuthenticator, entry: &Entry, expected: &Outcome) {
    while ask(element, entry).await != *expected {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody with no more rights than others.
pub fn allowed() -> Outcome {
    Outcome::Allow(Grant::default())
}

/// Somebody who may do everything.
pub fn superuser() -> Outcome {
    Outcome::Allow(Grant { is_superuser: true, ..Grant::default() })
}

/// A configuration from TOML.
pub fn config<C: serde::de::DeserializeOwned>(text: &str) -> C {
    toml::from_str(text).unwrap()
}

/// Checks what an element says of users with these names and passwords.
pub fn check_answers(
    element: &dyn RemoteAuthenticator,
    cases: impl IntoIterator<Item = (Option<&'static str>, &'static str, Outcome)>,
) {
    let runtime = runtime();
    for (user, password, expected) in cases {
        let client = entry("c", user, Some(password));
        assert_eq!(run(&runtime, ask(element, &client)), expected, "{user:?} {password}");
    }
}

/// Checks that elements pass over a server that hangs or dies, and find it again.
pub fn check_return(server: &mut Server, command: &mut Command, elements: &[Box<dyn RemoteAuthenticator>]) {
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    let all_say = |outcome: Outcome| {
        for element in elements {
            assert_eq!(run(&runtime, ask(&**element, &client)), outcome);
        }
    };
    let all_find =
        || elements.iter().for_each(|element| run(&runtime, ask_until(&**element, &client, &allowed())));
    all_say(allowed());
    server.freeze(true);
    (0..3).for_each(|_| all_say(Outcome::Ignore));
    server.freeze(false);
    all_find();
    server.kill();
    (0..100).for_each(|_| all_say(Outcome::Ignore));
    server.restart(command);
    all_find();
}

/// Checks that a server that speaks TLS is only believed where its certificate is good, or where nobody cares.
pub fn check_tls(authority: &Path, element_of: impl Fn(&str) -> Box<dyn RemoteAuthenticator>) {
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    for (ssl, expected) in [
        (format!("cacertfile = \"{}\"", authority.display()), allowed()),
        ("verify = \"verify_none\"".to_owned(), allowed()),
        ("cacertfile = \"/etc/ssl/certs/ca-certificates.crt\"".to_owned(), Outcome::Ignore),
    ] {
        let element = element_of(&format!("password = \"pw\"\nssl = {{ enable = true, {ssl} }}"));
        assert_eq!(run(&runtime, ask(&*element, &client)), expected, "{ssl}");
    }
}
