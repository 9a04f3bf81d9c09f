//! The rules in force, made of all sources at once. A changed configuration or file is a new authorizer; until that has
//! loaded, the old one stays in force.

use super::built_in::{BuiltInRules, RecordError};
use super::config::{AuthorizationConfig, FileConfig, SourceConfig};
use super::files::{self, DEFAULT_RULES, FileError, Format};
use super::rule_set::{RuleSet, RuleSetBuilder};
use super::wording::Wordings;
use ringmq_core::authorization::{ClientRule, Policy, SourceIndex, Subject};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the rules do not load. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The built-in database is wrong.
    #[error(transparent)]
    BuiltIn(#[from] RecordError),
    /// A source lacks its file.
    #[error("authorization.sources[{index}] ({kind}) names no file; set its path, or its enable = false")]
    NoPath {
        /// Which, from 0.
        index: usize,
        /// Its type.
        kind: &'static str,
    },
    /// A source was given a file it does not have.
    #[error(
        "authorization.sources[{index}] (built_in_database) has path = {path}; its file is {file} in node.data_dir, remove the path",
        file = BuiltInRules::FILE_NAME
    )]
    Path {
        /// Which, from 0.
        index: usize,
        /// What it was given.
        path: PathBuf,
    },
}

/// Says what each client may do.
#[derive(Debug)]
pub struct Authorizer {
    rules: RuleSet,
}

impl Authorizer {
    /// Reads every source that is enabled.
    ///
    /// # Errors
    /// The first thing that is wrong in any of them.
    pub fn load(config: &AuthorizationConfig, data_dir: &Path) -> Result<Authorizer, LoadError> {
        let mut rules = RuleSet::builder(config.no_match.into(), config.deny_action.into());
        let mut wordings = Wordings::default();
        let mut asked = 0;
        for (index, source) in config.sources.iter().enumerate().filter(|(_, source)| source.is_enabled()) {
            if matches!(source, SourceConfig::Http(_)) {
                rules.ask(SourceIndex(asked));
                asked = asked.saturating_add(1);
            }
            add_source(index, source, data_dir, &mut wordings, &mut rules)?;
        }
        Ok(Authorizer { rules: rules.build() })
    }

    /// An authorizer of these rules.
    pub fn new(rules: RuleSet) -> Authorizer {
        Authorizer { rules }
    }

    /// What a client may do. `own` are the rules that came with its credentials.
    pub fn policy(&self, subject: &Subject, is_superuser: bool, own: &[ClientRule]) -> Arc<Policy> {
        if is_superuser { self.rules.unrestricted() } else { self.rules.reduce(subject, own) }
    }

    /// The rules.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }
}

fn add_source(
    index: usize,
    source: &SourceConfig,
    data_dir: &Path,
    wordings: &mut Wordings,
    rules: &mut RuleSetBuilder,
) -> Result<(), LoadError> {
    match source {
        SourceConfig::File(FileConfig { path: Some(path), .. }) => {
            rules.extend(files::read(path, Format::AclConf, wordings)?);
        }
        SourceConfig::File(FileConfig { path: None, .. }) => {
            let defaults = files::parse(DEFAULT_RULES, Format::AclConf, wordings);
            rules.extend(defaults.expect("the rules that are built in are tested"));
        }
        SourceConfig::MosquittoAclFile(FileConfig { path: Some(path), .. }) => {
            rules.extend(files::read(path, Format::Mosquitto, wordings)?);
        }
        SourceConfig::MosquittoAclFile(FileConfig { path: None, .. }) => {
            return Err(LoadError::NoPath { index, kind: source.kind() });
        }
        SourceConfig::BuiltInDatabase(FileConfig { path: None, .. }) => {
            BuiltInRules::load(data_dir)?.add_to(rules);
        }
        SourceConfig::BuiltInDatabase(FileConfig { path: Some(path), .. }) => {
            return Err(LoadError::Path { index, path: path.clone() });
        }
        // Asked later, or come with what a client is granted.
        SourceConfig::Http(_)
        | SourceConfig::Postgresql(_)
        | SourceConfig::Mysql(_)
        | SourceConfig::Redis(_)
        | SourceConfig::Ldap(_)
        | SourceConfig::Mongodb(_) => {}
    }
    Ok(())
}
