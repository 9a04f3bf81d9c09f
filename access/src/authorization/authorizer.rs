//! The rules in force, made of all sources at once. A changed configuration or file is a new authorizer; until that has
//! loaded, the old one stays in force.

use super::built_in::{BuiltInRules, RecordError};
use super::config::{AuthorizationConfig, SourceConfig, SourceKind};
use super::files::{self, DEFAULT_RULES, FileError, Format};
use super::rule_set::{RuleSet, RuleSetBuilder};
use super::wording::Wordings;
use ringmq_core::authorization::{ClientRule, Policy, Subject};
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
        for (index, source) in config.sources.iter().enumerate().filter(|(_, source)| source.enable) {
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
    match (source.kind, &source.path) {
        (SourceKind::File, Some(path)) => rules.extend(files::read(path, Format::AclConf, wordings)?),
        (SourceKind::File, None) => {
            let defaults = files::parse(DEFAULT_RULES, Format::AclConf, wordings);
            rules.extend(defaults.expect("the rules that are built in are tested"));
        }
        (SourceKind::MosquittoAclFile, Some(path)) => {
            rules.extend(files::read(path, Format::Mosquitto, wordings)?);
        }
        (SourceKind::MosquittoAclFile, None) => {
            return Err(LoadError::NoPath { index, kind: "mosquitto_acl_file" });
        }
        (SourceKind::BuiltInDatabase, None) => BuiltInRules::load(data_dir)?.add_to(rules),
        (SourceKind::BuiltInDatabase, Some(path)) => {
            return Err(LoadError::Path { index, path: path.clone() });
        }
    }
    Ok(())
}
