//! From the configuration to chains: files are read, keys parsed, and everything that is wrong is named with its key. It takes
//! as long as it takes and must not run on a shard; a failure leaves nothing behind, so that what was in force stays.

use super::chain::{Chain, Chains, Element};
use super::client_ids::ClientIds;
use super::config::{
    AuthenticationConfig, BuiltInDatabaseConfig, ELEMENTS_MAX, ElementConfig, JwtAlgorithm, JwtConfig,
    OnOther, PasswordBasedConfig, ScramConfig,
};
use super::device_secret::DeviceSecrets;
use super::element_file::{ElementFileError, read_text};
use super::jwt::{ClaimError, Jwt, JwtRules, KeyError, KeySet, KeySlot};
use super::password::HashError;
use super::scram::{self, ScramUsers};
use super::users::{
    BuiltInDatabase, ImportError, ImportFormat, ImportRules, UserFile, UserFileError, UserTable, import, load,
};
use crate::sources::config::JwksConfig;
use crate::sources::{SetupError, element_of, jwks_of};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wrong with an element.
#[derive(Debug, thiserror::Error)]
pub enum ElementError {
    /// A file of users.
    #[error(transparent)]
    Users(#[from] UserFileError),
    /// `bootstrap_file`.
    #[error("bootstrap_file: {0}")]
    Bootstrap(#[from] ImportError),
    /// `password_hash_algorithm`.
    #[error("password_hash_algorithm: {0}")]
    Algorithm(#[from] HashError),
    /// Another file.
    #[error(transparent)]
    File(#[from] ElementFileError),
    /// A key of tokens.
    #[error("{key}: {source}")]
    Key {
        /// Where it stands.
        key: &'static str,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// `verify_claims`.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// `iteration_count`.
    #[error(
        "iteration_count = {0}: must be a whole number from {min} to {max}",
        min = scram::ITERATIONS_MIN,
        max = scram::ITERATIONS_MAX
    )]
    Iterations(u32),
    /// A source on another host.
    #[error(transparent)]
    Source(#[from] SetupError),
    /// Too many elements.
    #[error("has {0} elements; at most {ELEMENTS_MAX} are allowed")]
    Elements(usize),
}

/// Why chains cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {source}")]
pub struct OpenError {
    /// The key of the element, numbered from 0.
    pub key: String,
    /// What is wrong.
    #[source]
    pub source: ElementError,
}

/// Makes all chains anew. Files of users that are named relatively lie in `data_dir`, what the operator wrote where the broker
/// was started.
///
/// # Errors
/// The first element that cannot be made.
pub fn open(config: &AuthenticationConfig, data_dir: &Path) -> Result<Chains, OpenError> {
    let mut opening = Opening { data_dir, tables: BTreeMap::new() };
    let global = Arc::new(opening.chain("authentication", &config.chain)?);
    let mut listeners = BTreeMap::new();
    for (listener, elements) in &config.listeners {
        let key = format!("listeners.{}.authentication", listener.replace(':', "."));
        listeners.insert(listener.as_str().into(), Arc::new(opening.chain(&key, elements)?));
    }
    Ok(Chains { global, listeners, anonymous: config.anonymous })
}

struct Opening<'a> {
    data_dir: &'a Path,
    /// Files that were read already: elements share them.
    tables: BTreeMap<PathBuf, Arc<UserTable>>,
}

impl Opening<'_> {
    fn chain(&mut self, key: &str, configs: &[ElementConfig]) -> Result<Chain, OpenError> {
        if configs.len() > ELEMENTS_MAX {
            let source = ElementError::Elements(configs.len());
            return Err(OpenError { key: key.to_owned(), source });
        }
        let mut chain = Chain::default();
        for (number, config) in configs.iter().enumerate().filter(|(_, config)| config.is_enabled()) {
            let failed = |source| OpenError { key: format!("{key}[{number}]"), source };
            self.add(config, &mut chain).map_err(failed)?;
        }
        Ok(chain)
    }

    fn add(&mut self, config: &ElementConfig, chain: &mut Chain) -> Result<(), ElementError> {
        match config {
            ElementConfig::PasswordBased(config) => chain.add(match &**config {
                PasswordBasedConfig::BuiltInDatabase(config) => {
                    Element::Local(Box::new(self.built_in_database(config)?))
                }
                other => Element::Remote(element_of(other)?),
            }),
            ElementConfig::Jwt(config) => self.add_jwt(config, chain)?,
            ElementConfig::Scram(config) => chain.add_scram(self.scram(config)?),
            ElementConfig::ClientIds(config) => {
                let ids = ClientIds::load(&config.file, config.no_match == OnOther::Deny)?;
                chain.add(Element::Local(Box::new(ids)));
            }
            ElementConfig::DeviceSecret(config) => {
                let devices = DeviceSecrets::load(&config.file)?;
                chain.add(Element::Local(Box::new(devices)));
            }
        }
        Ok(())
    }

    fn built_in_database(&mut self, config: &BuiltInDatabaseConfig) -> Result<BuiltInDatabase, ElementError> {
        config.password_hash_algorithm.check()?;
        let path = self.data_dir.join(&config.file);
        if let Some(bootstrap) = &config.bootstrap_file {
            let table = self.bootstrap(&path, bootstrap, config)?;
            self.tables.insert(path.clone(), Arc::new(table));
        }
        let table = self.table(&path)?;
        Ok(BuiltInDatabase::new(table, config.user_id_type, config.password_hash_algorithm.clone()))
    }

    /// Adds the users of a file that are not there yet.
    fn bootstrap(
        &self,
        path: &Path,
        bootstrap: &Path,
        config: &BuiltInDatabaseConfig,
    ) -> Result<UserTable, ElementError> {
        let mut file = UserFile::open(path)?;
        let rules = ImportRules { algorithm: &config.password_hash_algorithm, keeps_existing: true };
        let format = ImportFormat::of(bootstrap);
        let imported = import(&mut file.table, bootstrap, format, config.bootstrap_type, rules)?;
        if imported.added > 0 {
            file.save()?;
            tracing::info!(users = imported.added, file = %path.display(), "users added from bootstrap_file");
        }
        Ok(file.table)
    }

    fn table(&mut self, path: &Path) -> Result<Arc<UserTable>, UserFileError> {
        if let Some(table) = self.tables.get(path) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(load(path)?);
        self.tables.insert(path.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    fn scram(&mut self, config: &ScramConfig) -> Result<ScramUsers, ElementError> {
        let iterations = config.iteration_count;
        if !(scram::ITERATIONS_MIN..=scram::ITERATIONS_MAX).contains(&iterations) {
            return Err(ElementError::Iterations(iterations));
        }
        let table = self.table(&self.data_dir.join(&config.file))?;
        Ok(ScramUsers { table, mechanism: config.algorithm, iterations })
    }

    /// Keys that are fetched have an element of their own, before the one that uses them.
    fn add_jwt(&self, config: &JwtConfig, chain: &mut Chain) -> Result<(), ElementError> {
        let is_fetched = config.use_jwks;
        if is_fetched && config.algorithm == JwtAlgorithm::HmacBased {
            let fault = "a set of keys has no secrets; set algorithm = \"public-key\"";
            return Err(SetupError::key("use_jwks", fault).into());
        }
        let keys = if is_fetched { KeySet::empty() } else { self.keys(config)? };
        let keys = Arc::new(KeySlot::new(keys));
        if is_fetched {
            let terms = JwksConfig {
                endpoint: config.endpoint.clone(),
                refresh_interval: config.refresh_interval,
                ssl: config.ssl.clone(),
            };
            chain.add(Element::Remote(jwks_of(&terms, Arc::clone(&keys))?));
        }
        let rules = JwtRules::new(
            config.from,
            &config.acl_claim_name,
            config.disconnect_after_expire,
            config.verify_claims.iter(),
        )?;
        chain.add(Element::Local(Box::new(Jwt::new(keys, rules))));
        Ok(())
    }

    fn keys(&self, config: &JwtConfig) -> Result<KeySet, ElementError> {
        Ok(match config.algorithm {
            JwtAlgorithm::HmacBased => {
                KeySet::from_secret(config.secret.reveal(), config.secret_base64_encoded)
                    .map_err(|source| ElementError::Key { key: "secret", source })?
            }
            JwtAlgorithm::PublicKey => {
                let text = match config.public_key.contains("-----BEGIN") {
                    true => config.public_key.clone(),
                    false => read_text(Path::new(&config.public_key))?,
                };
                KeySet::from_public_key(&text)
                    .map_err(|source| ElementError::Key { key: "public_key", source })?
            }
        })
    }
}
