//! The sources of settings: a TOML file, the environment, `--set`. Knows no key and judges no value.

use super::error::ConfigError;
use super::setting::{KeyPath, Origin, Setting};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

const PREFIX: &str = "RINGMQ_";
/// Names the configuration file; the one variable that is no key.
const FILE_VARIABLE: &str = "RINGMQ_CONFIG";

/// What was typed, before anything of it is understood.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// All environment variables of the process, or none.
    pub environment: Vec<(OsString, OsString)>,
    /// Each `--set`, in order.
    pub set: Vec<String>,
}

impl Sources {
    /// The file that is read: `--config`, else `RINGMQ_CONFIG`, else none.
    pub fn file(&self) -> Option<PathBuf> {
        let variable = || self.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        self.file.clone().or_else(|| variable().map(|(_, value)| PathBuf::from(value)))
    }

    /// All settings, those that win last.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML, or a `--set` is not `key=value`.
    pub fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let mut settings = Vec::new();
        if let Some(path) = self.file() {
            let text = std::fs::read_to_string(&path)
                .map_err(|source| ConfigError::File { path: path.clone(), source })?;
            read_toml(&path, &text, &mut settings)?;
        }
        for (name, value) in &self.environment {
            read_variable(name, value, &mut settings)?;
        }
        for text in &self.set {
            read_set(text, &mut settings)?;
        }
        Ok(settings)
    }
}

/// Appends every key of a TOML text.
pub fn read_toml(path: &Path, text: &str, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let lines = Lines { path, text };
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        origin: lines.origin(error.span().unwrap_or(0..0)),
        reason: error.message().to_owned(),
    };
    let values: Table = text.parse().map_err(syntax)?;
    let spans = DeTable::parse(text).map_err(syntax)?;
    flatten_file(&KeyPath::new(Vec::new()), &values, spans.get_ref(), &lines, settings);
    Ok(())
}

/// A text whose positions are told as lines.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Lines<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Origin::File { path: self.path.to_owned(), line }
    }
}

fn flatten_file(
    path: &KeyPath,
    values: &Table,
    spans: &DeTable<'_>,
    lines: &Lines<'_>,
    settings: &mut Vec<Setting>,
) {
    for (key, span) in spans {
        let Some(value) = values.get(key.get_ref().as_ref()) else { continue };
        let path = path.child(key.get_ref());
        match (value, span.get_ref()) {
            (Value::Table(inner), DeValue::Table(inner_spans)) if !inner.is_empty() => {
                flatten_file(&path, inner, inner_spans, lines, settings);
            }
            _ => {
                let origin = lines.origin(Spanned::span(key));
                settings.push(Setting { path, value: value.clone(), text: None, origin });
            }
        }
    }
}

fn read_variable(name: &OsStr, value: &OsStr, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let name = name.to_string_lossy();
    let Some(key) = name.strip_prefix(PREFIX) else { return Ok(()) };
    if name == FILE_VARIABLE || is_service_link(key) {
        return Ok(());
    }
    let origin = Origin::Environment { name: name.clone().into_owned() };
    let path = KeyPath::new(key.to_ascii_lowercase().split("__").map(str::to_owned).collect());
    let Some(text) = value.to_str() else {
        return Err(ConfigError::Syntax { origin, reason: "the value is not UTF-8".to_owned() });
    };
    push_literal(path, text, &origin, settings);
    Ok(())
}

/// Kubernetes sets such variables in every container beside a Service called `ringmq` or `ringmq-something`. They are
/// not the operator's, so they must not keep the broker from starting.
fn is_service_link(key: &str) -> bool {
    let port = key.strip_prefix("PORT").or_else(|| key.split_once("_PORT").map(|(_, rest)| rest));
    let link =
        port.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_').is_some_and(starts_with_digit));
    !key.contains("__")
        && (link || key == "SERVICE_HOST" || key.ends_with("_SERVICE_HOST") || key.contains("SERVICE_PORT"))
}

fn starts_with_digit(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
}

fn read_set(text: &str, settings: &mut Vec<Setting>) -> Result<(), ConfigError> {
    let fail = || ConfigError::SetSyntax { text: text.to_owned() };
    let (key, value) = text.split_once('=').ok_or_else(fail)?;
    let key = key.trim();
    if key.is_empty() || key.contains('\n') {
        return Err(fail());
    }
    // TOML's own rules for keys, so that a segment with dots or colons can be quoted.
    let table: Table = format!("{key} = 0").parse().map_err(|_| fail())?;
    push_literal(only_path(&table), value, &Origin::CommandLine, settings);
    Ok(())
}

/// The path to the only value of a table.
fn only_path(table: &Table) -> KeyPath {
    let mut segments = Vec::new();
    let mut table = Some(table);
    while let Some((key, value)) = table.and_then(|table| table.iter().next()) {
        segments.push(key.clone());
        table = value.as_table();
    }
    KeyPath::new(segments)
}

/// Appends a value typed outside a file: TOML where it reads as TOML, else a string.
fn push_literal(path: KeyPath, text: &str, origin: &Origin, settings: &mut Vec<Setting>) {
    let parsed = || format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let value = parsed().and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
    flatten_literal(path, value, text, origin, settings);
}

fn flatten_literal(path: KeyPath, value: Value, text: &str, origin: &Origin, settings: &mut Vec<Setting>) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let text = value.to_string();
                flatten_literal(path.child(&key), value, &text, origin, settings);
            }
        }
        value => settings.push(Setting { path, value, text: Some(text.to_owned()), origin: origin.clone() }),
    }
}
