//! What an operator writes about sources: `[[authentication]]` with another backend than the built-in database, and
//! `[[authorization.sources]]` of another type than a file.
//!
//! The sections exist in every build; setting up one whose library was left out says so.

mod http;
mod ldap;
mod mongodb;
mod redis;
mod sql;

pub use http::{BodyConfig, HttpConfig, HttpMethod, HttpRulesConfig, JwksConfig};
pub use ldap::{LdapConfig, LdapMethod, LdapRulesConfig};
pub use mongodb::{MongoServers, MongoType, MongodbConfig, MongodbRulesConfig};
pub use redis::{RedisConfig, RedisRulesConfig, RedisServers, RedisType};
pub use sql::{SqlConfig, SqlRulesConfig, SqlServer};

use super::error::SetupError;
use super::net::PoolTerms;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The most connections of one pool.
pub const POOL_SIZE_MAX: usize = 1024;
/// The longest a question may take: a little less than a chain waits for one element.
pub const TIMEOUT_MAX: Duration = Duration::from_s(5);
/// The most answers of one cache.
pub const CACHE_SIZE_MAX: usize = 1_000_000;

/// Whether the certificate of a server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// It must come from a known authority and carry the server's name.
    #[default]
    VerifyPeer,
    /// Any will do. Whoever is in between can read and answer everything.
    VerifyNone,
}

/// TLS towards a server: `ssl`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SslConfig {
    /// Whether it is used.
    pub enable: bool,
    /// The authorities that may vouch for the server; those of the system where none are named.
    pub cacertfile: Option<PathBuf>,
    /// Whether the server's certificate is checked.
    pub verify: Verify,
    /// A certificate of the broker's own, for servers that ask for one.
    pub certfile: Option<PathBuf>,
    /// Its key.
    pub keyfile: Option<PathBuf>,
    /// The name to ask for and to check, where it is not the host's.
    pub server_name_indication: Option<String>,
}

/// Answers that an element remembers: `cache`. Off by default, because a password that is changed and a user that is removed
/// count until the answer is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerCacheConfig {
    /// Whether any are.
    pub enable: bool,
    /// How many. 1 to 1,000,000.
    pub max_size: usize,
    /// For how long.
    pub ttl: Duration,
}

impl Default for AnswerCacheConfig {
    fn default() -> AnswerCacheConfig {
        AnswerCacheConfig { enable: false, max_size: 10_000, ttl: Duration::from_s(60) }
    }
}

impl AnswerCacheConfig {
    /// Sees that it is within its bounds.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> Result<(), SetupError> {
        if !(1..=CACHE_SIZE_MAX).contains(&self.max_size) {
            let fault = format!("{} is not a whole number from 1 to {CACHE_SIZE_MAX}", self.max_size);
            return Err(SetupError::key("cache.max_size", fault));
        }
        Ok(())
    }
}

/// The bounds of a pool, from its keys.
///
/// # Errors
/// One is out of its range.
pub fn pool_terms(
    size: usize,
    timeout_key: &'static str,
    timeout: Duration,
) -> Result<PoolTerms, SetupError> {
    if !(1..=POOL_SIZE_MAX).contains(&size) {
        let fault = format!("{size} is not a whole number from 1 to {POOL_SIZE_MAX}");
        return Err(SetupError::key("pool_size", fault));
    }
    if timeout < Duration::from_ms(10) || timeout > TIMEOUT_MAX {
        let fault = format!("{timeout} is not a duration from 10ms to {TIMEOUT_MAX}");
        return Err(SetupError::key(timeout_key, fault));
    }
    Ok(PoolTerms { size, timeout: std::time::Duration::from_millis(timeout.as_ms()) })
}

fn yes() -> bool {
    true
}

fn default_pool_size() -> usize {
    8
}

fn default_timeout() -> Duration {
    Duration::from_s(5)
}
