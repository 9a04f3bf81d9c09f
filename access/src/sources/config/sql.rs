//! PostgreSQL and MySQL.

use super::{AnswerCacheConfig, SslConfig, default_pool_size, default_timeout, yes};
use crate::authentication::Secret;
use crate::authentication::password::HashAlgorithm;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};

/// A database and who asks it.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlServer<'a> {
    /// Host and port.
    pub server: &'a str,
    /// The database.
    pub database: &'a str,
    /// The broker's user there.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// The most connections.
    pub pool_size: usize,
    /// The longest a query may take, waiting for a connection included.
    pub query_timeout: Duration,
    /// TLS.
    pub ssl: &'a SslConfig,
}

/// The elements `password_based:postgresql` and `password_based:mysql`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// Host and port.
    pub server: String,
    /// The database.
    pub database: String,
    /// The broker's user there.
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a query may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// The query. Its placeholders become parameters of a prepared statement.
    #[serde(default = "user_query")]
    pub query: String,
    /// How hashes were made that do not say it themselves.
    #[serde(default = "default_algorithm")]
    pub password_hash_algorithm: HashAlgorithm,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
    /// Answers that are remembered.
    #[serde(default)]
    pub cache: AnswerCacheConfig,
}

/// The sources of rules `postgresql` and `mysql`, asked once for each client that enters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRulesConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// Host and port.
    pub server: String,
    /// The database.
    pub database: String,
    /// The broker's user there.
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a query may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// The query. Its placeholders become parameters of a prepared statement.
    #[serde(default = "rules_query")]
    pub query: String,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
}

impl SqlConfig {
    /// The database.
    pub fn server(&self) -> SqlServer<'_> {
        SqlServer {
            server: &self.server,
            database: &self.database,
            username: &self.username,
            password: &self.password,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

impl SqlRulesConfig {
    /// The database.
    pub fn server(&self) -> SqlServer<'_> {
        SqlServer {
            server: &self.server,
            database: &self.database,
            username: &self.username,
            password: &self.password,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

/// What databases that were made for MQTT brokers mostly hold.
pub(super) fn default_algorithm() -> HashAlgorithm {
    HashAlgorithm::Sha256 { salt_position: Default::default() }
}

fn user_query() -> String {
    "SELECT password_hash, salt, is_superuser FROM mqtt_user WHERE username = ${username} LIMIT 1".to_owned()
}

fn rules_query() -> String {
    "SELECT action, permission, topic, ipaddress, qos, retain FROM mqtt_acl WHERE username = ${username}"
        .to_owned()
}
