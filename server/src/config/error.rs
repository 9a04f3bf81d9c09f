//! What can be wrong with a configuration. Every text names the key, where it was set, and the remedy.

use super::known::KnownKeys;
use super::rule::Rule;
use super::setting::{KeyPath, Origin, Setting};
use std::io;
use std::path::PathBuf;
use toml::Value;

/// Characters of a wrong value that are repeated to the operator.
const VALUE_CHARS_MAX: usize = 120;

/// Why a configuration does not load. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration file {path}: {source}; name a readable file with --config or RINGMQ_CONFIG"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A text is not TOML.
    #[error("{origin}: {reason}; see `ringmq config` for a file that is correct")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// A `--set` is not `key=value`.
    #[error("--set {text:?} is not key.path=value; write for example --set mqtt.max_inflight=64")]
    SetSyntax {
        /// What was typed.
        text: String,
    },
    /// No such key.
    #[error("unknown key {key} ({origin}){hint}")]
    UnknownKey {
        /// What was typed.
        key: KeyPath,
        /// Where.
        origin: Origin,
        /// The nearest key.
        hint: String,
    },
    /// A section was given a value.
    #[error(
        "{key} = {value} ({origin}): {key} is a section, not a key; set a key inside it, see `ringmq config`"
    )]
    Section {
        /// The section.
        key: KeyPath,
        /// What was typed.
        value: String,
        /// Where.
        origin: Origin,
    },
    /// The wrong type, or outside the bounds.
    #[error("{key} = {value} ({origin}): must be {expected}; correct it, or remove it to use the default")]
    BadValue {
        /// The key.
        key: KeyPath,
        /// What was typed.
        value: String,
        /// Where.
        origin: Origin,
        /// What it must be.
        expected: String,
    },
    /// An element of a chain. Its value is not shown: it may hold a secret.
    #[error("{element} ({origin}): {reason}; see docs/authentication.md for the keys of each element")]
    Element {
        /// The element, numbered from 0.
        element: String,
        /// Where its chain was set.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// A name the operator chose for a listener, a zone or a log target.
    #[error(
        "{section}.{name:?} ({origin}): the name must be 1 to {bytes_max} letters, digits, `_`, `-` or `:`; choose another"
    )]
    Name {
        /// The section the name stands in.
        section: &'static str,
        /// The name.
        name: String,
        /// Where.
        origin: Origin,
        /// The longest name.
        bytes_max: usize,
    },
    /// A name that should be a topic.
    #[error(
        "{section}.{topic:?} ({origin}): must be a topic or a topic filter, not a shared one; correct it"
    )]
    Topic {
        /// The section the topic stands in.
        section: &'static str,
        /// The name.
        topic: String,
        /// Where.
        origin: Origin,
    },
    /// More entries than a section may have.
    #[error("{section} has {entries} entries; at most {entries_max} are allowed, {remedy}")]
    Entries {
        /// The section.
        section: String,
        /// What it has.
        entries: usize,
        /// The bound.
        entries_max: usize,
        /// What helps.
        remedy: &'static str,
    },
    /// A listener of a zone that is not there.
    #[error(
        "{key} = {zone:?} ({origin}): there is no such zone; add a section [zones.{zone}.mqtt], or name one that is there, such as \"default\""
    )]
    NoZone {
        /// The key.
        key: KeyPath,
        /// Where it was set.
        origin: Origin,
        /// The name.
        zone: String,
    },
    /// Two keys that cannot both hold.
    #[error("{first} and {second} {conflict}")]
    Conflict {
        /// One key, and where it was set.
        first: String,
        /// The other key, and where it was set.
        second: String,
        /// What is wrong, and the remedy.
        conflict: String,
    },
    /// A rule does not fit its field.
    #[error(
        "the configuration does not fit its own rules: {reason}; this is a defect of RingMQ, please report it"
    )]
    Defaults {
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    /// An [`ConfigError::UnknownKey`] that names the nearest key.
    pub fn unknown(setting: &Setting, known: &KnownKeys) -> ConfigError {
        let hint = known.nearest(&setting.path).map(|nearest| match &setting.origin {
            Origin::Environment { .. } => {
                let variable = nearest.segments().join("__").to_ascii_uppercase();
                format!("; did you mean {nearest} (RINGMQ_{variable})?")
            }
            _ => format!("; did you mean {nearest}?"),
        });
        ConfigError::UnknownKey {
            key: setting.path.clone(),
            origin: setting.origin.clone(),
            hint: hint.unwrap_or_default(),
        }
    }

    /// A [`ConfigError::Section`].
    pub fn section(setting: &Setting) -> ConfigError {
        ConfigError::Section {
            key: setting.path.clone(),
            value: shown(&setting.value),
            origin: setting.origin.clone(),
        }
    }

    /// A [`ConfigError::BadValue`] in the words of the rule.
    pub fn value(setting: &Setting, rule: &Rule) -> ConfigError {
        let last = setting.path.segments().last();
        let is_crt =
            last.is_some_and(|key| key.starts_with("peer_cert_as_")) && setting.value.as_str() == Some("crt");
        let why =
            if is_crt { "; not crt: the certificate's DER is no text, which names must be" } else { "" };
        ConfigError::form(setting, &format!("{rule}{why}"))
    }

    /// A [`ConfigError::BadValue`].
    pub fn form(setting: &Setting, expected: &str) -> ConfigError {
        ConfigError::BadValue {
            key: setting.path.clone(),
            value: shown(&setting.value),
            origin: setting.origin.clone(),
            expected: expected.to_owned(),
        }
    }
}

/// A value on one line of bounded length.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("{text:?}"),
        value => value.to_string().replace('\n', " "),
    };
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
