//! HTTP: who a client is, what it may do, and the keys that tokens are signed with.

use super::{AnswerCacheConfig, SslConfig, default_pool_size, default_timeout, yes};
use crate::authentication::Secret;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpMethod {
    /// With the values in a body.
    #[default]
    Post,
    /// With the values in the address.
    Get,
}

/// Names and texts with placeholders. The texts are never shown, since keys of services are among them.
pub type BodyConfig = BTreeMap<String, Secret>;

/// The element `password_based:http`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How it is asked.
    #[serde(default)]
    pub method: HttpMethod,
    /// Where. Placeholders may stand behind the host.
    pub url: String,
    /// Headers, with placeholders in their values. `content-type` chooses how the body is written.
    #[serde(default)]
    pub headers: BodyConfig,
    /// The values, as a JSON object or a form; with `get` in the address.
    #[serde(default = "credentials")]
    pub body: BodyConfig,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub request_timeout: Duration,
    /// TLS, for `https` addresses; `enable` need not be set.
    #[serde(default)]
    pub ssl: SslConfig,
    /// Answers that are remembered.
    #[serde(default)]
    pub cache: AnswerCacheConfig,
}

/// The source of rules `http`, asked for each topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRulesConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How it is asked.
    #[serde(default)]
    pub method: HttpMethod,
    /// Where. Placeholders may stand behind the host.
    pub url: String,
    /// Headers, with placeholders in their values.
    #[serde(default)]
    pub headers: BodyConfig,
    /// The values.
    #[serde(default = "question")]
    pub body: BodyConfig,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub request_timeout: Duration,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
}

/// Where the keys of `jwt` are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksConfig {
    /// The address of the key set.
    pub endpoint: String,
    /// How often it is fetched again.
    pub refresh_interval: Duration,
    /// TLS.
    pub ssl: SslConfig,
}

fn credentials() -> BodyConfig {
    [("username", "${username}"), ("password", "${password}")].map(owned).into()
}

fn question() -> BodyConfig {
    let names = ["clientid", "username", "peerhost", "action", "topic"];
    names.map(|name| (name.to_owned(), Secret::from(&*format!("${{{name}}}")))).into()
}

fn owned((name, value): (&str, &str)) -> (String, Secret) {
    (name.to_owned(), value.into())
}
