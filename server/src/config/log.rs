//! The `[log]` section.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The words of [`Level`].
pub const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
/// The words of [`Formatter`].
pub const FORMATTERS: &[&str] = &["text", "json"];

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LEVELS[*self as usize])
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formatter {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Log lines, written to standard error. `level` and `targets` are read again on SIGHUP; `formatter` needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least serious level that is logged, for targets not named below.
    pub level: Level,
    /// The form of a line.
    pub formatter: Formatter,
    /// Levels of single targets: `ringmq_shards`, `ringmq_control`, `ringmq`.
    pub targets: BTreeMap<String, Level>,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { level: Level::Info, formatter: Formatter::Text, targets: BTreeMap::new() }
    }
}

impl LogConfig {
    /// The filter in the notation of RUST_LOG, for example `info,ringmq_shards=debug`.
    pub fn directives(&self) -> String {
        let targets = self.targets.iter().map(|(target, level)| format!(",{target}={level}"));
        [self.level.to_string()].into_iter().chain(targets).collect()
    }
}
