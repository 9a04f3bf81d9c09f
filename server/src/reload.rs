//! SIGHUP: the configuration is read again; what can change while the broker runs changes, the rest is named.

use crate::access::AccessControl;
use crate::config::{Config, Sources};
use crate::logging::LogControl;
use ringmq_shards::DataPlane;
use toml::{Table, Value};

/// Keys that take effect at once. A `*` stands for one name, a `**` at the end for everything below.
const RELOADABLE: [&str; 16] = [
    "log.level",
    "log.targets.**",
    "listeners.*.*.access_rules",
    "listeners.*.*.proxy_protocol_timeout",
    "listeners.*.*.ssl_options.**",
    "listeners.*.*.websocket.**",
    "listeners.*.*.messages_rate",
    "listeners.*.*.messages_burst",
    "listeners.*.*.bytes_rate",
    "listeners.*.*.bytes_burst",
    "anonymous",
    "authentication",
    "authentication.**",
    "authorization.**",
    "flapping_detect.**",
    "listener_authentication.**",
];
/// Sections whose values may hold secrets, and are not shown.
const SECRET: [&str; 2] = ["authentication", "authorization"];

/// A key whose value differs between two configurations.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    key: String,
    /// None where there was no such key.
    before: Option<String>,
    /// None where there is none any more.
    after: Option<String>,
}

impl Change {
    fn is_reloadable(&self) -> bool {
        RELOADABLE.iter().any(|pattern| fits(pattern, &self.key))
    }

    fn has_secret(&self) -> bool {
        self.key.split('.').any(|part| SECRET.contains(&part))
    }
}

/// The configuration in force, and where it is read again from.
pub struct Reloader {
    sources: Sources,
    config: Config,
    log: LogControl,
    access: AccessControl,
}

impl Reloader {
    /// The broker runs with `config`, which was read from `sources`.
    pub fn new(sources: Sources, config: Config, log: LogControl, access: AccessControl) -> Reloader {
        Reloader { sources, config, log, access }
    }

    /// Reads everything again. On any error, all that it concerns stays as it is.
    pub fn reload(&mut self, plane: &DataPlane) {
        let config = match Config::load(&self.sources) {
            Ok(config) => config,
            Err(error) => return tracing::error!("the configuration stays as it is: {error}"),
        };
        self.log.change(&config.log);
        if let Err(error) = plane.change_listeners(&config.listeners) {
            tracing::error!("listeners stay as they are: {error}");
        }
        match self.access.load(&config) {
            Ok(access) => plane.change_access(&access),
            Err(error) => tracing::error!("access control stays as it is: {error}"),
        }
        let changes = changes(&self.config, &config);
        for change in &changes {
            tell(change);
        }
        tracing::info!(changes = changes.len(), "configuration and files were read again");
        // What needs a restart differs from what runs, and is named again next time.
        let (reloadable, _): (Vec<_>, Vec<_>) = changes.into_iter().partition(Change::is_reloadable);
        if !reloadable.is_empty() {
            self.config.log.clone_from(&config.log);
            self.config.anonymous = config.anonymous;
            self.config.authentication.clone_from(&config.authentication);
            self.config.listener_authentication.clone_from(&config.listener_authentication);
            self.config.flapping_detect = config.flapping_detect;
            self.config.authorization.clone_from(&config.authorization);
            take_listeners(&mut self.config, config);
        }
    }
}

/// Takes the reloadable keys of the listeners over.
fn take_listeners(running: &mut Config, read: Config) {
    let mut kinds = [
        (&mut running.listeners.tcp, read.listeners.tcp),
        (&mut running.listeners.ssl, read.listeners.ssl),
        (&mut running.listeners.ws, read.listeners.ws),
        (&mut running.listeners.wss, read.listeners.wss),
        (&mut running.listeners.unix, read.listeners.unix),
    ];
    for (running, read) in &mut kinds {
        for (name, listener) in running.iter_mut() {
            let Some(read) = read.remove(name) else { continue };
            listener.access_rules = read.access_rules;
            listener.proxy_protocol_timeout = read.proxy_protocol_timeout;
            (listener.messages_rate, listener.messages_burst) = (read.messages_rate, read.messages_burst);
            (listener.bytes_rate, listener.bytes_burst) = (read.bytes_rate, read.bytes_burst);
            listener.ssl_options = read.ssl_options;
            listener.websocket = read.websocket;
        }
    }
}

fn tell(change: &Change) {
    let shown = |value: &Option<String>| match value {
        None => "none".to_owned(),
        Some(_) if change.has_secret() => "(not shown)".to_owned(),
        Some(value) => value.clone(),
    };
    let (key, before, after) = (&change.key, shown(&change.before), shown(&change.after));
    if change.is_reloadable() {
        tracing::info!(key, before, after, "changed");
    } else {
        tracing::warn!(key, before, after, "not changed: it needs a restart");
    }
}

/// The keys in which two configurations differ, by name.
fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (before, after) = (flat(before), flat(after));
    let removed = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let removed =
        removed.map(|(key, value)| Change { key: key.clone(), before: Some(value.to_string()), after: None });
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let changed = changed.map(|(key, value)| Change {
        key: key.clone(),
        before: before.get(key).map(ToString::to_string),
        after: Some(value.to_string()),
    });
    let mut all: Vec<Change> = removed.chain(changed).collect();
    all.sort_by(|left, right| left.key.cmp(&right.key));
    all
}

/// Every key with its value.
fn flat(config: &Config) -> Table {
    let mut flat = Table::new();
    // A configuration that was loaded can be written.
    if let Ok(table) = Table::try_from(config) {
        flatten("", table, &mut flat);
    }
    flat
}

fn flatten(prefix: &str, table: Table, flat: &mut Table) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&key, table, flat),
            value => {
                flat.insert(key, value);
            }
        }
    }
}

fn fits(pattern: &str, key: &str) -> bool {
    let mut parts = key.split('.');
    for wanted in pattern.split('.') {
        match (wanted, parts.next()) {
            ("**", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::config::Limit;

    #[test]
    fn only_what_differs_is_named_and_judged() {
        let before = Config::default();
        let mut after = before.clone();
        after.log = toml::from_str("level = 'debug'").unwrap();
        after.mqtt.max_inflight += 1;
        if let Some(listener) = after.listeners.ssl.get_mut("default") {
            listener.max_connections = Limit(5);
            if let Some(options) = &mut listener.ssl_options {
                options.certfile = "new.pem".to_owned();
            }
        }
        let found = changes(&before, &after);
        let judged: Vec<(&str, bool)> =
            found.iter().map(|change| (change.key.as_str(), change.is_reloadable())).collect();
        assert_eq!(
            judged,
            [
                ("listeners.ssl.default.max_connections", false),
                ("listeners.ssl.default.ssl_options.certfile", true),
                ("log.level", true),
                ("mqtt.max_inflight", false),
            ]
        );
        assert_eq!(found[3].before.as_deref(), Some(before.mqtt.max_inflight.to_string().as_str()));
        assert!(changes(&before, &before).is_empty());
    }

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, key, fits_it) in [
            ("log.level", "log.level", true),
            ("log.level", "log.levels", false),
            ("log.targets.**", "log.targets.a", true),
            ("log.targets.**", "log.targets", false),
            ("listeners.*.*.access_rules", "listeners.tcp.lan.access_rules", true),
            ("listeners.*.*.access_rules", "listeners.tcp.lan.bind", false),
        ] {
            assert_eq!(fits(pattern, key), fits_it, "{pattern} {key}");
        }
    }
}
