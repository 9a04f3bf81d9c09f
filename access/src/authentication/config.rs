//! `[[authentication]]`: the elements of a chain as an operator writes them.

use super::chain::Anonymous;
use super::jwt::TokenPlace;
use super::password::HashAlgorithm;
use super::scram::{ITERATIONS_DEFAULT, ScramMechanism};
use super::secret::Secret;
use super::users::{ImportKind, UserIdType};
use crate::sources::config::{HttpConfig, LdapConfig, MongodbConfig, RedisConfig, SqlConfig, SslConfig};
use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most elements of one chain.
pub const ELEMENTS_MAX: usize = 16;
/// Where users are unless an element names another file, in `node.data_dir`.
pub const USERS_FILE: &str = "users.db";

/// All chains.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthenticationConfig {
    /// Who may enter where a chain is empty.
    pub anonymous: Anonymous,
    /// The chain of the broker, in order.
    pub chain: Vec<ElementConfig>,
    /// The chains of listeners, by kind and name (`ssl:default`). An empty one asks nobody.
    pub listeners: BTreeMap<String, Vec<ElementConfig>>,
}

/// One element of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mechanism", rename_all = "snake_case")]
pub enum ElementConfig {
    /// A user and a password.
    PasswordBased(Box<PasswordBasedConfig>),
    /// A signed token.
    Jwt(Box<JwtConfig>),
    /// SCRAM, in AUTH packets of MQTT 5.0.
    Scram(ScramConfig),
    /// A list of client ids.
    ClientIds(ClientIdsConfig),
    /// Devices that sign with a secret of their own.
    DeviceSecret(DeviceSecretConfig),
}

/// Where passwords are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "snake_case")]
pub enum PasswordBasedConfig {
    /// In a file of the broker.
    BuiltInDatabase(BuiltInDatabaseConfig),
    /// A service that is asked.
    Http(HttpConfig),
    /// In a table.
    Postgresql(SqlConfig),
    /// In a table.
    Mysql(SqlConfig),
    /// In hashes.
    Redis(RedisConfig),
    /// In a directory.
    Ldap(LdapConfig),
    /// In a collection.
    Mongodb(MongodbConfig),
}

impl PasswordBasedConfig {
    /// Whether it is used.
    pub fn is_enabled(&self) -> bool {
        match self {
            PasswordBasedConfig::BuiltInDatabase(config) => config.enable,
            PasswordBasedConfig::Http(config) => config.enable,
            PasswordBasedConfig::Postgresql(config) | PasswordBasedConfig::Mysql(config) => config.enable,
            PasswordBasedConfig::Redis(config) => config.enable,
            PasswordBasedConfig::Ldap(config) => config.enable,
            PasswordBasedConfig::Mongodb(config) => config.enable,
        }
    }

    /// Where it looks, as it is written.
    pub fn backend(&self) -> &'static str {
        match self {
            PasswordBasedConfig::BuiltInDatabase(_) => "built_in_database",
            PasswordBasedConfig::Http(_) => "http",
            PasswordBasedConfig::Postgresql(_) => "postgresql",
            PasswordBasedConfig::Mysql(_) => "mysql",
            PasswordBasedConfig::Redis(_) => "redis",
            PasswordBasedConfig::Ldap(_) => "ldap",
            PasswordBasedConfig::Mongodb(_) => "mongodb",
        }
    }
}

/// The element `password_based:built_in_database`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuiltInDatabaseConfig {
    /// Whether it is used.
    pub enable: bool,
    /// What of a client is its user id.
    pub user_id_type: UserIdType,
    /// The file, in `node.data_dir` unless absolute.
    pub file: PathBuf,
    /// How passwords are hashed that are added, and how hashes were made that are imported without saying it.
    pub password_hash_algorithm: HashAlgorithm,
    /// Users that are added when the broker starts, as CSV; those that are there already stay as they are.
    pub bootstrap_file: Option<PathBuf>,
    /// What stands in that file for a password.
    pub bootstrap_type: ImportKind,
}

impl Default for BuiltInDatabaseConfig {
    fn default() -> BuiltInDatabaseConfig {
        BuiltInDatabaseConfig {
            enable: true,
            user_id_type: UserIdType::default(),
            file: USERS_FILE.into(),
            password_hash_algorithm: HashAlgorithm::default(),
            bootstrap_file: None,
            bootstrap_type: ImportKind::default(),
        }
    }
}

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JwtAlgorithm {
    /// With a secret that broker and issuer share: HS256, HS384, HS512.
    #[default]
    HmacBased,
    /// With a key of which the broker has the public half: RS, PS, ES, EdDSA.
    PublicKey,
}

/// The element `jwt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// Whether it is used.
    pub enable: bool,
    /// Where a client puts its token.
    pub from: TokenPlace,
    /// How tokens are signed.
    pub algorithm: JwtAlgorithm,
    /// The shared secret.
    pub secret: Secret,
    /// Whether `secret` is base64.
    pub secret_base64_encoded: bool,
    /// A file with a public key in PEM, or with a JWKS; or the PEM itself.
    pub public_key: String,
    /// Whether the keys are fetched from `endpoint`.
    pub use_jwks: bool,
    /// The address of a JWKS.
    pub endpoint: String,
    /// How often it is fetched again.
    pub refresh_interval: Duration,
    /// TLS towards `endpoint`.
    pub ssl: SslConfig,
    /// Claims that must be, each with the value this text has for the client.
    pub verify_claims: BTreeMap<String, String>,
    /// The claim with access rules.
    pub acl_claim_name: String,
    /// Whether a client is disconnected when its token expires.
    pub disconnect_after_expire: bool,
}

impl Default for JwtConfig {
    fn default() -> JwtConfig {
        JwtConfig {
            enable: true,
            from: TokenPlace::default(),
            algorithm: JwtAlgorithm::default(),
            secret: Secret::default(),
            secret_base64_encoded: false,
            public_key: String::new(),
            use_jwks: false,
            endpoint: String::new(),
            refresh_interval: Duration::from_s(300),
            ssl: SslConfig::default(),
            verify_claims: BTreeMap::new(),
            acl_claim_name: "acl".to_owned(),
            disconnect_after_expire: true,
        }
    }
}

/// Where the keys of SCRAM are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScramBackend {
    /// In a file of the broker.
    #[default]
    BuiltInDatabase,
}

/// The element `scram:built_in_database`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScramConfig {
    /// Whether it is used.
    pub enable: bool,
    /// Where the keys are.
    pub backend: ScramBackend,
    /// The mechanism.
    pub algorithm: ScramMechanism,
    /// Iterations of keys that are made, and those that are pretended of users that do not exist.
    pub iteration_count: u32,
    /// The file, in `node.data_dir` unless absolute.
    pub file: PathBuf,
}

impl Default for ScramConfig {
    fn default() -> ScramConfig {
        ScramConfig {
            enable: true,
            backend: ScramBackend::default(),
            algorithm: ScramMechanism::default(),
            iteration_count: ITERATIONS_DEFAULT,
            file: USERS_FILE.into(),
        }
    }
}

/// What becomes of a client that is not on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOther {
    /// The next element is asked.
    #[default]
    Ignore,
    /// It is kept out.
    Deny,
}

/// The element `client_ids`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientIdsConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// The list.
    pub file: PathBuf,
    /// What becomes of other clients.
    #[serde(default)]
    pub no_match: OnOther,
}

/// The element `device_secret`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSecretConfig {
    /// Whether it is used.
    #[serde(default = "yes")]
    pub enable: bool,
    /// The devices.
    pub file: PathBuf,
}

fn yes() -> bool {
    true
}

impl ElementConfig {
    /// Whether it is used.
    pub fn is_enabled(&self) -> bool {
        match self {
            ElementConfig::PasswordBased(config) => config.is_enabled(),
            ElementConfig::Jwt(config) => config.enable,
            ElementConfig::Scram(config) => config.enable,
            ElementConfig::ClientIds(config) => config.enable,
            ElementConfig::DeviceSecret(config) => config.enable,
        }
    }
}
