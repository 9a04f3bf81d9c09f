//! A client that elements are asked about, and what they may answer, compared as the hashing pool would.

use bytes::Bytes;
use ringmq_access::authentication::{Decision, RemoteAuthenticator};
use ringmq_access::sources::lookup::RuleSource;
use ringmq_core::authorization::{ClientRule, Subject};
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use std::future::Future;
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
        client_id: client_id.into(),
        user_name: user_name.map(Into::into),
        peer: "192.0.2.7:1234".parse().unwrap(),
        listener: "tcp:default".into(),
        zone: "default".into(),
        common_name: None,
        distinguished_name: None,
        attributes: Vec::new(),
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
