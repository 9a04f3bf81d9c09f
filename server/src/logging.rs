//! Log lines: to standard error, as text or JSON, with a level per target that can change while the process runs.

use crate::config::{Formatter, LogConfig};
use std::io::{self, IsTerminal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Added to the configured filter, and wins over it.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Changes what is logged.
#[derive(Debug)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Why a filter does not hold.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// RUST_LOG, as far as the rest is checked on loading.
    #[error("RUST_LOG: {0}; correct or unset it")]
    Directives(#[from] tracing_subscriber::filter::ParseError),
    /// The log is gone.
    #[error("the log cannot be changed: {0}")]
    Reload(#[from] reload::Error),
}

/// Begins to log.
///
/// # Errors
/// [`LogError::Directives`].
pub fn install(config: &LogConfig) -> Result<LogControl, LogError> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(io::stderr);
    // Fails only where a log is installed already, and then that one stays.
    let _ = match config.formatter {
        Formatter::Text => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
        Formatter::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    Ok(LogControl { filter: handle })
}

impl LogControl {
    /// Takes `log.level` and `log.targets` from this; on an error the log stays as it is.
    pub fn change(&self, config: &LogConfig) {
        if let Err(error) = filter(config).and_then(|filter| Ok(self.filter.reload(filter)?)) {
            tracing::error!("log levels stay as they are: {error}");
        }
    }
}

fn filter(config: &LogConfig) -> Result<EnvFilter, LogError> {
    let mut directives = config.directives();
    if let Ok(more) = std::env::var(FILTER_VARIABLE)
        && !more.trim().is_empty()
    {
        directives = format!("{directives},{more}");
    }
    Ok(EnvFilter::try_new(directives)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_levels_make_a_filter() {
        let text = "level = 'warn'\n[targets]\n'ringmq_core::session' = 'trace'\nringmq_shards = 'off'\n";
        let config: LogConfig = toml::from_str(text).unwrap();
        let text = filter(&config).unwrap().to_string();
        for part in ["warn", "ringmq_core::session=trace", "ringmq_shards=off"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
