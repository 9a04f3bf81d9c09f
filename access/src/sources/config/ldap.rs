//! LDAP: a directory of users, by a hash it shows or by trying their password on it.

use super::sql::default_algorithm;
use super::{AnswerCacheConfig, SslConfig, default_pool_size, default_timeout, yes};
use crate::authentication::Secret;
use crate::authentication::password::HashAlgorithm;
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};

/// How a password is checked: `method`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LdapMethod {
    /// The directory shows the hash, and the broker compares.
    Hash {
        /// The attribute with the hash.
        #[serde(default = "user_password")]
        password_attribute: String,
        /// The attribute that makes a superuser.
        #[serde(default = "is_superuser")]
        is_superuser_attribute: String,
    },
    /// The broker logs in as the user.
    Bind {
        /// The attribute that makes a superuser.
        #[serde(default = "is_superuser")]
        is_superuser_attribute: String,
    },
}

impl Default for LdapMethod {
    fn default() -> LdapMethod {
        LdapMethod::Hash { password_attribute: user_password(), is_superuser_attribute: is_superuser() }
    }
}

/// The element `password_based:ldap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// Host and port.
    pub server: String,
    /// The broker's own entry there; nothing for an anonymous search.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// Below which entry users are looked for, with placeholders.
    pub base_dn: String,
    /// Which of the entries there is the user, with placeholders.
    #[serde(default = "user_filter")]
    pub filter: String,
    /// How its password is checked.
    #[serde(default)]
    pub method: LdapMethod,
    /// How hashes were made that do not say it themselves.
    #[serde(default = "default_algorithm")]
    pub password_hash_algorithm: HashAlgorithm,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// TLS from the first byte (`ldaps`).
    #[serde(default)]
    pub ssl: SslConfig,
    /// Answers that are remembered; never those of `bind`.
    #[serde(default)]
    pub cache: AnswerCacheConfig,
}

/// The source of rules `ldap`, asked once for each client that enters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdapRulesConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// Host and port.
    pub server: String,
    /// The broker's own entry there.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// Below which entry users are looked for, with placeholders.
    pub base_dn: String,
    /// Which of the entries there is the user, with placeholders.
    #[serde(default = "user_filter")]
    pub filter: String,
    /// The attribute with topics the user may publish to.
    #[serde(default = "publish_attribute")]
    pub publish_attribute: String,
    /// The attribute with topics the user may subscribe to.
    #[serde(default = "subscribe_attribute")]
    pub subscribe_attribute: String,
    /// The attribute with topics for both.
    #[serde(default = "all_attribute")]
    pub all_attribute: String,
    /// The attribute with rules in JSON.
    #[serde(default = "rule_attribute")]
    pub acl_rule_attribute: String,
    /// The most connections.
    #[serde(default = "default_pool_size")]
    pub pool_size: usize,
    /// The longest a question may take.
    #[serde(default = "default_timeout")]
    pub query_timeout: Duration,
    /// TLS from the first byte (`ldaps`).
    #[serde(default)]
    pub ssl: SslConfig,
}

fn user_password() -> String {
    "userPassword".to_owned()
}

fn is_superuser() -> String {
    "isSuperuser".to_owned()
}

fn user_filter() -> String {
    "(&(objectClass=mqttUser)(uid=${username}))".to_owned()
}

fn publish_attribute() -> String {
    "mqttPublishTopic".to_owned()
}

fn subscribe_attribute() -> String {
    "mqttSubscriptionTopic".to_owned()
}

fn all_attribute() -> String {
    "mqttPubSubTopic".to_owned()
}

fn rule_attribute() -> String {
    "mqttAclRule".to_owned()
}
