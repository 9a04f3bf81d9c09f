//! One key that someone set: its path, its value, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use toml::Value;

/// The path of a key, for example `mqtt.max_inflight`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// A path of these segments.
    pub fn new(segments: Vec<String>) -> KeyPath {
        KeyPath(segments)
    }

    /// A path written with dots; no segment may contain one.
    pub fn dotted(path: &str) -> KeyPath {
        KeyPath(path.split('.').map(str::to_owned).collect())
    }

    /// Its segments, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The path one level down.
    pub fn child(&self, segment: &str) -> KeyPath {
        KeyPath(self.0.iter().cloned().chain([segment.to_owned()]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let bare = !segment.is_empty()
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'*'));
            if bare { write!(f, "{dot}{segment}")? } else { write!(f, "{dot}{segment:?}")? }
        }
        Ok(())
    }
}

/// Where a setting came from, as an operator can find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// `--set`.
    CommandLine,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment { name } => write!(f, "environment variable {name}"),
            Origin::CommandLine => f.write_str("--set"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A key with the value someone gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key.
    pub path: KeyPath,
    /// The value as TOML; an empty table where a section was opened and nothing set in it.
    pub value: Value,
    /// The text it was read from, where that was not TOML: a name may look like a number.
    pub text: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl Setting {
    /// Whether a section was opened and nothing set in it.
    pub fn is_empty_table(&self) -> bool {
        self.value.as_table().is_some_and(|table| table.is_empty())
    }
}

/// Where each key that is not at its default came from.
#[derive(Debug, Default)]
pub struct Origins(BTreeMap<KeyPath, Origin>);

impl Origins {
    /// Notes that a key was set; a later source replaces an earlier one.
    pub fn record(&mut self, path: KeyPath, origin: Origin) {
        self.0.insert(path, origin);
    }

    /// Where a key came from.
    pub fn of(&self, path: &KeyPath) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }
}
