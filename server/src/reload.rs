//! SIGHUP: the configuration is read again; what can change while the broker runs changes, the rest is named.

use crate::access::AccessControl;
use crate::config::{Config, Sources};
use crate::logging::LogControl;
use ringmq_access::authentication::ElementConfig;
use ringmq_access::authorization::SourceConfig;
use ringmq_shards::DataPlane;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// Keys that take effect at once. A `*` stands for one name, a `**` at the end for everything below.
const RELOADABLE: [&str; 18] = [
    "log.level",
    "log.targets.**",
    "listeners.*.*.access_rules",
    "listeners.*.*.mountpoint",
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
    "listeners.*.*.authentication",
    "listeners.*.*.authentication.**",
];
/// Sections whose values may hold secrets, and are not shown.
const SECRET: [&str; 2] = ["authentication", "authorization"];

/// A key whose value differs between two configurations.
#[derive(Debug, PartialEq)]
struct Change {
    key: String,
    /// None where there was no such key.
    before: Option<Value>,
    /// None where there is none any more.
    after: Option<Value>,
    /// Only a secret in it differs.
    is_hidden: bool,
}

impl Change {
    fn is_reloadable(&self) -> bool {
        RELOADABLE.iter().any(|pattern| fits(pattern, &self.key))
    }

    fn has_secret(&self) -> bool {
        self.key.split('.').any(|part| SECRET.contains(&unnumbered(part)))
    }

    /// Whether it is made with access control, or not at all.
    fn is_of_access(&self) -> bool {
        self.has_secret()
            || ["anonymous", "flapping_detect"].iter().any(|section| self.key.starts_with(section))
    }

    /// Whether it is made with the listeners, or not at all.
    fn is_of_listeners(&self) -> bool {
        self.key.starts_with("listeners.") && !self.is_of_access()
    }

    /// Says in the log what became of it.
    fn tell(&self) {
        let shown = |value: &Option<Value>| match value {
            None => "none".to_owned(),
            Some(_) if self.has_secret() => "(not shown)".to_owned(),
            Some(value) => value.to_string(),
        };
        let (key, before, after) = (&self.key, shown(&self.before), shown(&self.after));
        if self.is_hidden {
            tracing::info!(key, "changed: a secret, which is not shown");
        } else if self.is_reloadable() {
            tracing::info!(key, before, after, "changed");
        } else {
            tracing::warn!(key, before, after, "not changed: it needs a restart");
        }
    }

    /// Makes it in `running`.
    fn take(self, running: &mut Table) {
        match self.after {
            _ if self.is_hidden => None,
            Some(value) => running.insert(self.key, value),
            None => running.remove(&self.key),
        };
    }
}

/// The configuration in force, and where it is read again from.
pub struct Reloader {
    sources: Sources,
    /// Every key in force with its value.
    running: Table,
    /// What holds secrets, which `running` does not show.
    holders: Holders,
    log: LogControl,
    access: AccessControl,
}

impl Reloader {
    /// The broker runs with `config`, which was read from `sources`.
    pub fn new(sources: Sources, config: &Config, log: LogControl, access: AccessControl) -> Reloader {
        Reloader { sources, running: flat(config), holders: holders(config), log, access }
    }

    /// Reads everything again. On any error, all that it concerns stays as it is.
    pub fn reload(&mut self, plane: &DataPlane) {
        let config = match Config::load(&self.sources) {
            Ok(config) => config,
            Err(error) => return tracing::error!("the configuration stays as it is: {error}"),
        };
        self.log.change(&config.log);
        let mut changes = changes(&self.running, &flat(&config));
        let holders = holders(&config);
        note_secrets(&self.holders, &holders, &mut changes);
        if let Err(error) = plane.change_listeners(&config.listeners) {
            tracing::error!("listeners stay as they are: {error}");
            changes.retain(|change| !change.is_of_listeners());
        }
        match self.access.load(&config) {
            Ok(access) => {
                plane.change_access(&access);
                self.holders = holders;
            }
            Err(error) => {
                tracing::error!("access control stays as it is: {error}");
                changes.retain(|change| !change.is_of_access());
            }
        }
        let count = changes.len();
        for change in changes {
            change.tell();
            // What needs a restart differs from what runs, and is named again next time.
            if change.is_reloadable() {
                change.take(&mut self.running);
            }
        }
        tracing::info!(changes = count, "configuration and files were read again");
    }
}

/// The keys in which two flat configurations differ, by name.
fn changes(before: &Table, after: &Table) -> Vec<Change> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let change = |key: &String| Change {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
        is_hidden: false,
    };
    differ.map(change).collect()
}

/// Every key with its value.
fn flat(config: &Config) -> Table {
    let mut flat = Table::new();
    // A configuration that was loaded can be written.
    if let Ok(table) = Table::try_from(config) {
        flatten("", table, &mut flat);
    }
    for (listener, chain) in &config.listener_authentication {
        if let Ok(chain) = Value::try_from(chain) {
            flatten_value(chain_of(listener), chain, &mut flat);
        }
    }
    flat
}

fn flatten(prefix: &str, table: Table, flat: &mut Table) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        flatten_value(key, value, flat);
    }
}

/// The tables of a list are numbered, so that what differs in one of them is named.
fn flatten_value(key: String, value: Value, flat: &mut Table) {
    match value {
        Value::Table(table) => flatten(&key, table, flat),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_table) => {
            for (number, item) in items.into_iter().enumerate() {
                flatten_value(format!("{key}[{number}]"), item, flat);
            }
        }
        value => {
            flat.insert(key, value);
        }
    }
}

/// The key of a listener's own chain; the listener by kind and name, as `tcp:lan`.
fn chain_of(listener: &str) -> String {
    format!("listeners.{}.authentication", listener.replacen(':', ".", 1))
}

/// What may hold secrets, by key: those are equal when written, so what was read is compared.
type Holders = BTreeMap<String, Holder>;

#[derive(Debug, PartialEq)]
enum Holder {
    Element(Box<ElementConfig>),
    Source(Box<SourceConfig>),
}

fn holders(config: &Config) -> Holders {
    let mut holders = Holders::new();
    let own = config.listener_authentication.iter().map(|(listener, chain)| (chain_of(listener), chain));
    for (key, chain) in own.chain([("authentication".to_owned(), &config.authentication)]) {
        let elements = chain.iter().enumerate();
        holders.extend(elements.map(|(number, element)| {
            (format!("{key}[{number}]"), Holder::Element(Box::new(element.clone())))
        }));
    }
    let sources = config.authorization.sources.iter().enumerate();
    holders.extend(sources.map(|(number, source)| {
        (format!("authorization.sources[{number}]"), Holder::Source(Box::new(source.clone())))
    }));
    holders
}

/// Adds those that differ although nothing that can be written of them does.
fn note_secrets(before: &Holders, after: &Holders, changes: &mut Vec<Change>) {
    for (key, holder) in after {
        let inner = format!("{key}.");
        let is_named = changes.iter().any(|change| change.key.starts_with(&inner));
        if !is_named && before.get(key).is_some_and(|was| was != holder) {
            changes.push(Change { key: key.clone(), before: None, after: None, is_hidden: true });
        }
    }
}

/// A part of a key without the number of a list's item.
fn unnumbered(part: &str) -> &str {
    part.split_once('[').map_or(part, |(name, _)| name)
}

fn fits(pattern: &str, key: &str) -> bool {
    let mut parts = key.split('.');
    for wanted in pattern.split('.') {
        match (wanted, parts.next()) {
            ("**", Some(_)) => return true,
            (_, None) => return false,
            ("*", Some(_)) => {}
            (wanted, Some(part)) if wanted == unnumbered(part) => {}
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
        let found = changes(&flat(&before), &flat(&after));
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
        assert_eq!(found[3].before, Some(Value::Integer(before.mqtt.max_inflight.into())));
        assert!(changes(&flat(&before), &flat(&before)).is_empty());
    }

    #[test]
    fn elements_of_chains_are_named_and_their_secrets_are_not_shown() {
        let chain = |secret: &str, algorithm: &str| -> Vec<ElementConfig> {
            let text = format!("[{{mechanism = 'jwt', secret = '{secret}', algorithm = '{algorithm}'}}]");
            toml::from_str::<Table>(&format!("chain = {text}")).unwrap()["chain"].clone().try_into().unwrap()
        };
        let config = |own: &str, global: &str, algorithm: &str| {
            let mut config = Config { authentication: chain(global, algorithm), ..Config::default() };
            config.listener_authentication.insert("tcp:lan".to_owned(), chain(own, algorithm));
            config
        };
        let told = |before: &Config, after: &Config| {
            let mut found = changes(&flat(before), &flat(after));
            note_secrets(&holders(before), &holders(after), &mut found);
            assert!(found.iter().all(|change| change.is_reloadable() && change.has_secret()));
            assert!(!format!("{found:?}").contains("hush"), "{found:?}");
            found.into_iter().map(|change| (change.key, change.is_hidden)).collect::<Vec<_>>()
        };
        let before = config("hush-1", "hush-2", "hmac-based");
        let own = "listeners.tcp.lan.authentication[0]".to_owned();
        assert_eq!(told(&before, &before), []);
        assert_eq!(told(&before, &config("hush-3", "hush-2", "hmac-based")), [(own.clone(), true)]);
        assert_eq!(
            told(&before, &config("hush-1", "hush-3", "hmac-based")),
            [("authentication[0]".to_owned(), true)]
        );
        let named = [("authentication[0].algorithm".to_owned(), false), (format!("{own}.algorithm"), false)];
        assert_eq!(told(&before, &config("hush-1", "hush-2", "public-key")), named);
        let mut none = before.clone();
        none.listener_authentication.clear();
        assert!(told(&before, &none).iter().all(|(key, is_hidden)| key.starts_with(&own) && !is_hidden));
    }

    #[test]
    fn what_failed_together_is_told_from_the_rest() {
        for (key, of_access, of_listeners) in [
            ("authorization.no_match", true, false),
            ("authentication[0].file", true, false),
            ("anonymous", true, false),
            ("listeners.tcp.lan.authentication[1].secret", true, false),
            ("listeners.ssl.lan.ssl_options.certfile", false, true),
            ("log.level", false, false),
        ] {
            let change = Change { key: key.to_owned(), before: None, after: None, is_hidden: false };
            assert_eq!((change.is_of_access(), change.is_of_listeners()), (of_access, of_listeners), "{key}");
        }
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
            ("authentication.**", "authentication[3].file", true),
            ("listeners.*.*.authentication.**", "listeners.tcp.lan.authentication[0].file", true),
            ("authorization.**", "authorization.sources[1].path", true),
        ] {
            assert_eq!(fits(pattern, key), fits_it, "{pattern} {key}");
        }
    }
}
