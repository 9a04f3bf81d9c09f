//! The built-in database: rules for one client, for one user, and for all, in a file of the data directory.
//!
//! The file is never written by two at once; whoever holds the data directory's lock may write it.

use super::rule::{Rule, Topics};
use super::rule_set::RuleSetBuilder;
use super::template::{TemplateError, TopicTemplate};
use super::who::Who;
use super::wording::Wording;
use crate::json_lines::{JsonLines, LineError, ReadError};
use ringmq_core::authorization::{Actions, Permission, QosSet};
use ringmq_core::codec::QoS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Rules of one holder.
pub const RULES_PER_RECORD_MAX: usize = 100;
/// Holders of rules.
pub const RECORDS_MAX: usize = 1_000_000;

/// Whom rules are for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The client with this identifier.
    Client(Box<str>),
    /// Clients with this user name.
    User(Box<str>),
    /// Every client.
    All,
}

/// A rule as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRule {
    /// A topic filter with `${…}` placeholders; `eq ` before it compares it as a text.
    pub topic: String,
    /// What the rule says.
    pub permission: PlainPermission,
    /// Of what.
    pub action: PlainAction,
    /// At which levels; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Vec<u8>>,
    /// Only messages that ask to be retained, or only others; none for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<bool>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainPermission {
    /// They may.
    Allow,
    /// They may not.
    Deny,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainAction {
    /// Publishing.
    Publish,
    /// Subscribing.
    Subscribe,
    /// Both.
    All,
}

/// Why rules are refused.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read or written.
    #[error("cannot use the built-in access rules in {path}: {source}; correct its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{path}:{line}: {reason}; correct the line, or restore the file from a copy")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: LineFault,
    },
    /// A rule is wrong.
    #[error("{0}")]
    Rule(#[from] LineFault),
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// Not what was expected.
    #[error("not a record of access rules: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a line of this file.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Whom the rules are for is not said once.
    #[error("a record has one of \"client\", \"user\" and \"all\": true")]
    Holder,
    /// Two records for the same holder.
    #[error("there is a record for {0} already")]
    Twice(Holder),
    /// Too many rules for one holder.
    #[error("{0} has {1} rules, at most {RULES_PER_RECORD_MAX} are allowed; use placeholders or wildcards")]
    TooManyRules(Holder, usize),
    /// Too many holders.
    #[error("there are {RECORDS_MAX} records already; use placeholders, or an external source")]
    TooManyRecords,
    /// A topic is wrong.
    #[error("topic {topic:?}: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// A level does not exist.
    #[error("qos {0} is not 0, 1 or 2")]
    Qos(u8),
}

const FILE: JsonLines =
    JsonLines { header: r#"{"format":"ringmq-authorization","version":1}"#, line_bytes_max: 16 << 20 };

/// All records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltInRules {
    records: BTreeMap<Holder, Vec<PlainRule>>,
}

impl BuiltInRules {
    /// Name of the file in the data directory.
    pub const FILE_NAME: &'static str = "authorization.jsonl";

    /// Reads the file in a data directory; without one there are no rules.
    ///
    /// # Errors
    /// It cannot be read, or the first line that is wrong.
    pub fn load(data_dir: &Path) -> Result<BuiltInRules, RecordError> {
        let path = data_dir.join(BuiltInRules::FILE_NAME);
        let mut rules = BuiltInRules::default();
        match FILE.read(&path, |record| rules.take_record(record)) {
            Ok(()) => Ok(rules),
            Err(ReadError::Io(source)) => Err(RecordError::Io { path, source }),
            Err(ReadError::Line(line, reason)) => Err(RecordError::Line { path, line, reason }),
        }
    }

    /// Replaces the file in a data directory.
    ///
    /// # Errors
    /// It cannot be written; the old one is then still there.
    pub fn save(&self, data_dir: &Path) -> Result<(), RecordError> {
        let path = data_dir.join(BuiltInRules::FILE_NAME);
        let records = self.records.iter().map(|(holder, rules)| Record::of(holder, rules));
        FILE.write(&path, records).map_err(|source| RecordError::Io { path, source })
    }

    /// Replaces the rules of a holder; no rules are no record.
    ///
    /// # Errors
    /// The first rule that is wrong, or too many of them; nothing has changed then.
    pub fn set(&mut self, holder: Holder, rules: Vec<PlainRule>) -> Result<(), LineFault> {
        if rules.len() > RULES_PER_RECORD_MAX {
            return Err(LineFault::TooManyRules(holder, rules.len()));
        }
        for rule in &rules {
            rule.template()?;
            rule.actions()?;
        }
        if rules.is_empty() {
            self.records.remove(&holder);
            return Ok(());
        }
        if self.records.len() == RECORDS_MAX && !self.records.contains_key(&holder) {
            return Err(LineFault::TooManyRecords);
        }
        self.records.insert(holder, rules);
        Ok(())
    }

    /// The rules of a holder.
    pub fn of(&self, holder: &Holder) -> &[PlainRule] {
        self.records.get(holder).map_or(&[], Vec::as_slice)
    }

    /// Every record: clients, then users, then all.
    pub fn records(&self) -> impl Iterator<Item = (&Holder, &[PlainRule])> {
        self.records.iter().map(|(holder, rules)| (holder, rules.as_slice()))
    }

    /// Adds all rules: those for the client come before those for its user, and those before the ones for all.
    pub fn add_to(&self, builder: &mut RuleSetBuilder) {
        for (holder, rules) in &self.records {
            for rule in rules {
                // Both were checked when the rule came in.
                if let (Ok(topic), Ok(actions)) = (rule.template(), rule.actions()) {
                    builder.push(Rule {
                        permission: rule.permission.into(),
                        who: holder.who(),
                        actions,
                        topics: Topics::List([topic].into()),
                    });
                }
            }
        }
    }

    fn take_record(&mut self, text: &[u8]) -> Result<(), LineFault> {
        let record: Record<'_> = serde_json::from_slice(text)?;
        let holder = record.holder()?;
        if self.records.contains_key(&holder) {
            return Err(LineFault::Twice(holder));
        }
        self.set(holder, record.rules.into_owned())
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    rules: std::borrow::Cow<'a, [PlainRule]>,
}

impl<'a> Record<'a> {
    fn of(holder: &Holder, rules: &'a [PlainRule]) -> Record<'a> {
        let (client, user, all) = match holder {
            Holder::Client(id) => (Some(id.clone()), None, None),
            Holder::User(name) => (None, Some(name.clone()), None),
            Holder::All => (None, None, Some(true)),
        };
        Record { client, user, all, rules: rules.into() }
    }

    fn holder(&self) -> Result<Holder, LineFault> {
        match (&self.client, &self.user, self.all) {
            (Some(id), None, None) => Ok(Holder::Client(id.clone())),
            (None, Some(name), None) => Ok(Holder::User(name.clone())),
            (None, None, Some(true)) => Ok(Holder::All),
            _ => Err(LineFault::Holder),
        }
    }
}

impl Holder {
    fn who(&self) -> Who {
        match self {
            Holder::Client(id) => Who::Client(Wording::Exact(id.clone())),
            Holder::User(name) => Who::User(Wording::Exact(name.clone())),
            Holder::All => Who::All,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Client(id) => write!(f, "client {id:?}"),
            Holder::User(name) => write!(f, "user {name:?}"),
            Holder::All => f.write_str("all"),
        }
    }
}

impl PlainRule {
    fn template(&self) -> Result<TopicTemplate, LineFault> {
        let (text, is_exact) = match self.topic.strip_prefix("eq ") {
            Some(text) => (text, true),
            None => (&*self.topic, false),
        };
        TopicTemplate::parse(text, is_exact)
            .map_err(|source| LineFault::Topic { topic: self.topic.clone(), source })
    }

    fn actions(&self) -> Result<Actions, LineFault> {
        let mut actions = match self.action {
            PlainAction::Publish => Actions::PUBLISH,
            PlainAction::Subscribe => Actions::SUBSCRIBE,
            PlainAction::All => Actions::ALL,
        };
        if let Some(levels) = &self.qos {
            let mut set = QosSet::NONE;
            for level in levels {
                set = set.with(QoS::from_u8(*level).ok_or(LineFault::Qos(*level))?);
            }
            actions = actions.at(set);
        }
        Ok(match self.retain {
            Some(retain) => actions.with_retain(retain),
            None => actions,
        })
    }
}

impl From<PlainPermission> for Permission {
    fn from(permission: PlainPermission) -> Permission {
        match permission {
            PlainPermission::Allow => Permission::Allow,
            PlainPermission::Deny => Permission::Deny,
        }
    }
}
