//! The section `[authorization]`.

use ringmq_core::authorization::{DenyAction, Permission};
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
            sources: vec![SourceConfig { kind: SourceKind::File, enable: true, path: None }],
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SourceKind,
    /// Whether it is used.
    #[serde(default = "enabled")]
    pub enable: bool,
    /// The file, for kinds that have one. Without it, `file` holds the default rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// An `acl.conf`.
    File,
    /// Mosquitto's `acl_file`.
    MosquittoAclFile,
    /// `authorization.jsonl` in the data directory.
    BuiltInDatabase,
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
