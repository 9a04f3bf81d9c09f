//! MongoDB: one server, a replica set, or a sharded cluster.

use super::sql::default_algorithm;
use super::{AnswerCacheConfig, SslConfig, default_pool_size, default_timeout, yes};
use crate::authentication::Secret;
use crate::authentication::password::HashAlgorithm;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How servers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MongoType {
    /// One server.
    #[default]
    Single,
    /// A replica set.
    Rs,
    /// Routers of a sharded cluster.
    Sharded,
}

/// Servers and who asks them.
#[derive(Debug, Clone, PartialEq)]
pub struct MongoServers<'a> {
    /// How they belong together.
    pub mongo_type: MongoType,
    /// Host and port of one, or of several with commas between them.
    pub servers: &'a str,
    /// The name of the replica set.
    pub replica_set_name: &'a str,
    /// The database.
    pub database: &'a str,
    /// The broker's user there.
    pub username: &'a str,
    /// Its password.
    pub password: &'a Secret,
    /// The database that knows the broker's user.
    pub auth_source: &'a str,
    /// The most connections to one server.
    pub pool_size: usize,
    /// The longest a question may take.
    pub query_timeout: Duration,
    /// TLS.
    pub ssl: &'a SslConfig,
}

/// The element `password_based:mongodb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MongodbConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How the servers belong together.
    #[serde(default)]
    pub mongo_type: MongoType,
    /// Host and port of the server.
    #[serde(default)]
    pub server: String,
    /// Hosts and ports, with commas, of a replica set or of routers.
    #[serde(default)]
    pub servers: String,
    /// The name of the replica set.
    #[serde(default)]
    pub replica_set_name: String,
    /// The database.
    pub database: String,
    /// The broker's user there.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The database that knows the broker's user.
    #[serde(default = "default_auth_source")]
    pub auth_source: String,
    /// The collection of users.
    pub collection: String,
    /// Which of them is meant: fields, each with the text it must have, with placeholders.
    #[serde(default = "user_filter")]
    pub filter: BTreeMap<String, String>,
    /// The field with the hash.
    #[serde(default = "hash_field")]
    pub password_hash_field: String,
    /// The field with the salt.
    #[serde(default = "salt_field")]
    pub salt_field: String,
    /// The field that makes a superuser.
    #[serde(default = "superuser_field")]
    pub is_superuser_field: String,
    /// How hashes were made that do not say it themselves.
    #[serde(default = "default_algorithm")]
    pub password_hash_algorithm: HashAlgorithm,
    /// The most connections to one server.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
    /// Answers that are remembered.
    #[serde(default)]
    pub cache: AnswerCacheConfig,
}

/// The source of rules `mongodb`, asked once for each client that enters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MongodbRulesConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// How the servers belong together.
    #[serde(default)]
    pub mongo_type: MongoType,
    /// Host and port of the server.
    #[serde(default)]
    pub server: String,
    /// Hosts and ports, with commas.
    #[serde(default)]
    pub servers: String,
    /// The name of the replica set.
    #[serde(default)]
    pub replica_set_name: String,
    /// The database.
    pub database: String,
    /// The broker's user there.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The database that knows the broker's user.
    #[serde(default = "default_auth_source")]
    pub auth_source: String,
    /// The collection of rules: `permission`, `action`, and `topic` or `topics`.
    pub collection: String,
    /// Which of them are meant, with placeholders.
    #[serde(default = "user_filter")]
    pub filter: BTreeMap<String, String>,
    /// The most connections to one server.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// TLS.
    #[serde(default)]
    pub ssl: SslConfig,
}

impl MongodbConfig {
    /// The servers.
    pub fn servers(&self) -> MongoServers<'_> {
        MongoServers {
            mongo_type: self.mongo_type,
            servers: if self.servers.is_empty() { &self.server } else { &self.servers },
            replica_set_name: &self.replica_set_name,
            database: &self.database,
            username: &self.username,
            password: &self.password,
            auth_source: &self.auth_source,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

impl MongodbRulesConfig {
    /// The servers.
    pub fn servers(&self) -> MongoServers<'_> {
        MongoServers {
            mongo_type: self.mongo_type,
            servers: if self.servers.is_empty() { &self.server } else { &self.servers },
            replica_set_name: &self.replica_set_name,
            database: &self.database,
            username: &self.username,
            password: &self.password,
            auth_source: &self.auth_source,
            pool_size: self.pool_size,
            query_timeout: self.query_timeout,
            ssl: &self.ssl,
        }
    }
}

fn default_auth_source() -> String {
    "admin".to_owned()
}

fn user_filter() -> BTreeMap<String, String> {
    [("username".to_owned(), "${username}".to_owned())].into()
}

fn hash_field() -> String {
    "password_hash".to_owned()
}

fn salt_field() -> String {
    "salt".to_owned()
}

fn superuser_field() -> String {
    "is_superuser".to_owned()
}
