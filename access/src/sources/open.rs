//! From the configuration to elements and sources. Nobody is connected to yet, but everything that can be wrong without asking
//! is found.

use super::config::{HttpRulesConfig, JwksConfig};
use super::error::SetupError;
use super::lookup::RuleSource;
use super::topics::TopicSource;
use crate::authentication::jwt::KeySlot;
use crate::authentication::{PasswordBasedConfig, RemoteAuthenticator};
use crate::authorization::SourceConfig;
use std::sync::Arc;

/// Why a source of rules cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("authorization.sources[{index}] ({kind}): {source}")]
pub struct RuleSourceError {
    /// Which, from 0.
    pub index: usize,
    /// Its type.
    pub kind: &'static str,
    /// What is wrong.
    #[source]
    pub source: SetupError,
}

/// The element that passwords of a configuration are looked up with.
///
/// # Errors
/// Something in the configuration that cannot be, or a source that this program was built without.
pub fn element_of(config: &PasswordBasedConfig) -> Result<Box<dyn RemoteAuthenticator>, SetupError> {
    match config {
        PasswordBasedConfig::BuiltInDatabase(_) => Err(SetupError::key("backend", "is not on another host")),
        #[cfg(feature = "http")]
        PasswordBasedConfig::Http(config) => Ok(Box::new(super::http::HttpAuthenticator::new(config)?)),
        #[cfg(feature = "postgresql")]
        PasswordBasedConfig::Postgresql(config) => Ok(Box::new(super::postgresql::users(config)?)),
        #[cfg(feature = "mysql")]
        PasswordBasedConfig::Mysql(config) => Ok(Box::new(super::mysql::users(config)?)),
        #[cfg(feature = "redis")]
        PasswordBasedConfig::Redis(config) => Ok(Box::new(super::redis::users(config)?)),
        #[cfg(feature = "ldap")]
        PasswordBasedConfig::Ldap(config) => match config.method {
            super::config::LdapMethod::Hash { .. } => Ok(Box::new(super::ldap::users(config)?)),
            super::config::LdapMethod::Bind { .. } => Ok(Box::new(super::ldap::LdapBinding::new(config)?)),
        },
        #[cfg(feature = "mongodb")]
        PasswordBasedConfig::Mongodb(config) => Ok(Box::new(super::mongodb::users(config)?)),
        #[cfg(not(all(
            feature = "http",
            feature = "ldap",
            feature = "mongodb",
            feature = "mysql",
            feature = "postgresql",
            feature = "redis"
        )))]
        other => Err(SetupError::Missing(other.backend())),
    }
}

/// The element that keeps the keys of tokens filled.
///
/// # Errors
/// Something in the configuration that cannot be, or a program that was built without HTTP.
pub fn jwks_of(config: &JwksConfig, keys: Arc<KeySlot>) -> Result<Box<dyn RemoteAuthenticator>, SetupError> {
    #[cfg(feature = "http")]
    return Ok(Box::new(super::http::Jwks::new(config, keys)?));
    #[cfg(not(feature = "http"))]
    {
        let _ = (config, keys);
        Err(SetupError::Missing("http"))
    }
}

/// The sources of rules that are asked when a client enters, in order.
///
/// # Errors
/// The first that cannot be set up.
pub fn rule_sources_of(configs: &[SourceConfig]) -> Result<Vec<Box<dyn RuleSource>>, RuleSourceError> {
    open_each(configs, rule_source_of)
}

/// What `open` makes of each source that is enabled, where it makes anything.
fn open_each<S>(
    configs: &[SourceConfig],
    open: impl Fn(&SourceConfig) -> Result<Option<S>, SetupError>,
) -> Result<Vec<S>, RuleSourceError> {
    let enabled = configs.iter().enumerate().filter(|(_, config)| config.is_enabled());
    let sources = enabled.map(|(index, config)| {
        open(config).map_err(|source| RuleSourceError { index, kind: config.kind(), source })
    });
    sources.filter_map(Result::transpose).collect()
}

fn rule_source_of(config: &SourceConfig) -> Result<Option<Box<dyn RuleSource>>, SetupError> {
    match config {
        SourceConfig::File(_)
        | SourceConfig::MosquittoAclFile(_)
        | SourceConfig::BuiltInDatabase(_)
        | SourceConfig::Http(_) => Ok(None),
        #[cfg(feature = "postgresql")]
        SourceConfig::Postgresql(config) => Ok(Some(Box::new(super::postgresql::rules(config)?))),
        #[cfg(feature = "mysql")]
        SourceConfig::Mysql(config) => Ok(Some(Box::new(super::mysql::rules(config)?))),
        #[cfg(feature = "redis")]
        SourceConfig::Redis(config) => Ok(Some(Box::new(super::redis::rules(config)?))),
        #[cfg(feature = "ldap")]
        SourceConfig::Ldap(config) => Ok(Some(Box::new(super::ldap::rules(config)?))),
        #[cfg(feature = "mongodb")]
        SourceConfig::Mongodb(config) => Ok(Some(Box::new(super::mongodb::rules(config)?))),
        #[cfg(not(all(
            feature = "ldap",
            feature = "mongodb",
            feature = "mysql",
            feature = "postgresql",
            feature = "redis"
        )))]
        other => Err(SetupError::Missing(other.kind())),
    }
}

/// The services that are asked for each topic, in the order of their places in policies.
///
/// # Errors
/// The first that cannot be set up.
pub fn topic_sources_of(configs: &[SourceConfig]) -> Result<Vec<Box<dyn TopicSource>>, RuleSourceError> {
    open_each(configs, |config| match config {
        SourceConfig::Http(http) => topic_source_of(http).map(Some),
        _ => Ok(None),
    })
}

fn topic_source_of(config: &HttpRulesConfig) -> Result<Box<dyn TopicSource>, SetupError> {
    #[cfg(feature = "http")]
    return Ok(Box::new(super::http::HttpTopics::new(config)?));
    #[cfg(not(feature = "http"))]
    {
        let _ = config;
        Err(SetupError::Missing("http"))
    }
}
