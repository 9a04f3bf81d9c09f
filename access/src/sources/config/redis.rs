//! Redis: one server, servers with sentinels, or a cluster.

use super::sql::default_algorithm;
use super::{AnswerCacheConfig, SslConfig, default_pool_size, default_timeout, yes};
use crate::authentication::Secret;
use crate::authentication::password::HashAlgorithm;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};

/// How servers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisType {
    /// One server.
    #[default]
    Single,
    /// Sentinels know which server is the master.
    Sentinel,
    /// Servers share the keys.
    Cluster,
}

/// Servers and who asks them.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisServers<'a> {
    /// How they belong together.
    pub redis_type: RedisType,
    /// Host and port of one, or of several with commas between them.
    pub servers: &'a str,
    /// The name that sentinels know the servers by.
    pub sentinel: &'a str,
    /// The broker's user there; servers before Redis 6 know only the password.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// The number of the database.
    pub database: u32,
    /// The most connections to one server.
    pub pool_size: usize,
    /// The longest a question may take.
    pub query_timeout: Duration,
    /// TLS.
    pub ssl: &'a SslConfig,
}

/// The element `password_based:redis`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How the servers belong together.
    #[serde(default)]
    pub redis_type: RedisType,
    /// Host and port of the server.
    #[serde(default)]
    pub server: String,
    /// Hosts and ports, with commas, of sentinels or of a cluster.
    #[serde(default)]
    pub servers: String,
    /// The name that sentinels know the servers by.
    #[serde(default = "default_sentinel")]
    pub sentinel: String,
    /// The broker's user there.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The number of the database.
    #[serde(default)]
    pub database: u32,
    /// The most connections to one server.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// `HMGET key field…`, `HGET key field` or `HGETALL key`, with placeholders.
    #[serde(default = "user_command")]
    pub cmd: String,
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

/// The source of rules `redis`, asked once for each client that enters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisRulesConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How the servers belong together.
    #[serde(default)]
    pub redis_type: RedisType,
    /// Host and port of the server.
    #[serde(default)]
    pub server: String,
    /// Hosts and ports, with commas, of sentinels or of a cluster.
    #[serde(default)]
    pub servers: String,
    /// The name that sentinels know the servers by.
    #[serde(default = "default_sentinel")]
    pub sentinel: String,
    /// The broker's user there.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The number of the database.
    #[serde(default)]
    pub database: u32,
    /// The most connections to one server.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// `HGETALL key`, with placeholders: topics, each with what is allowed there.
    #[serde(default = "rules_command")]
    pub cmd: String,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
}

impl RedisConfig {
    /// The servers.
    pub fn servers(&self) -> RedisServers<'_> {
        RedisServers {
            redis_type: self.redis_type,
            servers: either(&self.servers, &self.server),
            sentinel: &self.sentinel,
            username: &self.username,
            password: &self.password,
            database: self.database,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

impl RedisRulesConfig {
    /// The servers.
    pub fn servers(&self) -> RedisServers<'_> {
        RedisServers {
            redis_type: self.redis_type,
            servers: either(&self.servers, &self.server),
            sentinel: &self.sentinel,
            username: &self.username,
            password: &self.password,
            database: self.database,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

fn either<'a>(servers: &'a str, server: &'a str) -> &'a str {
    if servers.is_empty() { server } else { servers }
}

fn default_sentinel() -> String {
    "mymaster".to_owned()
}

fn user_command() -> String {
    "HMGET mqtt:${username} password_hash salt is_superuser".to_owned()
}

fn rules_command() -> String {
    "HGETALL mqtt_acl:${username}".to_owned()
}
