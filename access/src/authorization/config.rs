//! The section `[authorization]`.

use crate::sources::config::{
    HttpRulesConfig, LdapRulesConfig, MongodbRulesConfig, RedisRulesConfig, SqlRulesConfig,
};
use ringmq_core::authorization::{CacheTerms, DenyAction, Permission};
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The `[authorization]` section. Read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationConfig {
    /// What holds where no rule matches.
    pub no_match: OnNoMatch,
    /// What follows when something is denied.
    pub deny_action: OnDeny,
    /// Where rules come from; the first that has a rule that matches decides.
    pub sources: Vec<SourceConfig>,
    /// What external sources answered, remembered per connection.
    pub cache: CacheConfig,
}

impl Default for AuthorizationConfig {
    fn default() -> AuthorizationConfig {
        AuthorizationConfig {
            no_match: OnNoMatch::Deny,
            deny_action: OnDeny::Ignore,
            sources: vec![SourceConfig::File(FileConfig::default())],
            cache: CacheConfig::default(),
        }
    }
}

/// What holds where no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoMatch {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
}

/// What follows when something is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeny {
    /// The client is told.
    Ignore,
    /// The client is disconnected.
    Disconnect,
}

/// A source of rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SourceConfig {
    /// An `acl.conf`.
    File(FileConfig),
    /// Mosquitto's `acl_file`.
    MosquittoAclFile(FileConfig),
    /// `authorization.jsonl` in the data directory.
    BuiltInDatabase(FileConfig),
    /// A service that is asked for each topic.
    Http(HttpRulesConfig),
    /// A table, asked when a client enters.
    Postgresql(SqlRulesConfig),
    /// A table, asked when a client enters.
    Mysql(SqlRulesConfig),
    /// Hashes, asked when a client enters.
    Redis(RedisRulesConfig),
    /// A directory, asked when a client enters.
    Ldap(LdapRulesConfig),
    /// A collection, asked when a client enters.
    Mongodb(MongodbRulesConfig),
}

/// A source that is a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Whether it is used.
    #[serde(default = "enabled")]
    pub enable: bool,
    /// The file, for types that have one. Without it, `file` holds the default rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl Default for FileConfig {
    fn default() -> FileConfig {
        FileConfig { enable: true, path: None }
    }
}

impl SourceConfig {
    /// Whether it is used.
    pub fn is_enabled(&self) -> bool {
        match self {
            SourceConfig::File(config)
            | SourceConfig::MosquittoAclFile(config)
            | SourceConfig::BuiltInDatabase(config) => config.enable,
            SourceConfig::Http(config) => config.enable,
            SourceConfig::Postgresql(config) | SourceConfig::Mysql(config) => config.enable,
            SourceConfig::Redis(config) => config.enable,
            SourceConfig::Ldap(config) => config.enable,
            SourceConfig::Mongodb(config) => config.enable,
        }
    }

    /// Its type, as it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            SourceConfig::File(_) => "file",
            SourceConfig::MosquittoAclFile(_) => "mosquitto_acl_file",
            SourceConfig::BuiltInDatabase(_) => "built_in_database",
            SourceConfig::Http(_) => "http",
            SourceConfig::Postgresql(_) => "postgresql",
            SourceConfig::Mysql(_) => "mysql",
            SourceConfig::Redis(_) => "redis",
            SourceConfig::Ldap(_) => "ldap",
            SourceConfig::Mongodb(_) => "mongodb",
        }
    }
}

fn enabled() -> bool {
    true
}

/// The answers of external sources that a connection remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Whether any are.
    pub enable: bool,
    /// How many. 1 to 1024.
    pub max_size: usize,
    /// For how long.
    pub ttl: Duration,
}

impl Default for CacheConfig {
    fn default() -> CacheConfig {
        CacheConfig { enable: true, max_size: 32, ttl: Duration::from_s(60) }
    }
}

impl From<CacheConfig> for CacheTerms {
    fn from(config: CacheConfig) -> CacheTerms {
        CacheTerms { answers_max: if config.enable { config.max_size } else { 0 }, ttl: config.ttl }
    }
}

impl From<OnNoMatch> for Permission {
    fn from(no_match: OnNoMatch) -> Permission {
        match no_match {
            OnNoMatch::Allow => Permission::Allow,
            OnNoMatch::Deny => Permission::Deny,
        }
    }
}

impl From<OnDeny> for DenyAction {
    fn from(deny: OnDeny) -> DenyAction {
        match deny {
            OnDeny::Ignore => DenyAction::Ignore,
            OnDeny::Disconnect => DenyAction::Disconnect,
        }
    }
}
