//! The configuration of the process: every section, and how what was typed becomes what is meant.
//!
//! Defaults, then the file, then the environment, then `--set`; a later source wins key by key. Nothing here looks at
//! the host: a configuration that loads may still name a port that is in use.

mod alias;
mod chain;
mod consistency;
mod error;
mod item;
mod known;
mod log;
mod rule;
mod setting;
mod source;
mod zone;

pub use error::ConfigError;
pub use log::{Formatter, LogConfig};
pub use source::Sources;
pub use zone::ZoneConfig;

use alias::replace_aliases;
use chain::{check_chain, listener_of_chain};
use consistency::{check_consistency, enabled_addresses};
use known::{KeyKind, KnownKeys, check_names};
use ringmq_access::authentication::{Anonymous, AuthenticationConfig, ElementConfig};
use ringmq_access::authorization::AuthorizationConfig;
use ringmq_access::bans::FlappingConfig;
use ringmq_control::DashboardConfig;
use ringmq_core::config::{MqttConfig, RetainerConfig, Zones};
use ringmq_shards::config::{
    DataPlaneConfig, ListenersConfig, MeshConfig, NodeConfig, OverloadConfig, QuotaConfig,
};
use ringmq_shards::durability::{DurabilityConfig, PersistenceConfig, SessionsConfig};
use rule::{Rule, rule_of};
use serde::{Deserialize, Serialize};
use setting::{KeyPath, Origins, Setting};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use toml::{Table, Value};
use zone::{empty_section, opens_zone, zones_of};

/// The shipped file: every key at its default, with its meaning.
pub const DEFAULT_FILE: &str = include_str!("../../ringmq.toml");

/// All sections. Only `[log]` can change while the process runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who may enter where no chain is configured.
    pub anonymous: Anonymous,
    /// How clients prove who they are.
    pub authentication: Vec<ElementConfig>,
    /// The chains of listeners that have one of their own, by kind and name. Not part of their sections, because the
    /// data plane knows nothing of chains.
    #[serde(skip)]
    pub listener_authentication: BTreeMap<String, Vec<ElementConfig>>,
    /// The process.
    pub node: NodeConfig,
    /// The lanes between shards.
    pub mesh: MeshConfig,
    /// Where MQTT is served.
    pub listeners: ListenersConfig,
    /// Rushes of new clients.
    pub overload_protection: OverloadConfig,
    /// How much may be published.
    pub quota: QuotaConfig,
    /// Protocol behaviour.
    pub mqtt: MqttConfig,
    /// What of that differs for the clients of some listeners.
    pub zones: BTreeMap<String, ZoneConfig>,
    /// Retained messages.
    pub retainer: RetainerConfig,
    /// Whether sessions outlive the process.
    pub sessions: SessionsConfig,
    /// When publications are acknowledged.
    pub durability: DurabilityConfig,
    /// The store.
    pub persistence: PersistenceConfig,
    /// What clients may do.
    pub authorization: AuthorizationConfig,
    /// Clients that come and go too often.
    pub flapping_detect: FlappingConfig,
    /// The management plane.
    pub dashboard: DashboardConfig,
    /// Log lines.
    pub log: LogConfig,
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// The first key that is unknown, has a wrong value, or contradicts another one.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        Config::from_settings(sources.settings()?)
    }

    /// What the data plane needs to know.
    pub fn data_plane(&self) -> DataPlaneConfig {
        DataPlaneConfig {
            node: self.node.clone(),
            mesh: self.mesh.clone(),
            listeners: self.listeners.clone(),
            overload_protection: self.overload_protection.clone(),
            quota: self.quota.clone(),
            zones: self.resolved_zones(),
            retainer: self.retainer.clone(),
            sessions: self.sessions.clone(),
            durability: self.durability.clone(),
            persistence: self.persistence.clone(),
        }
    }

    /// What holds in each zone.
    pub fn resolved_zones(&self) -> Zones {
        zones_of(self)
    }

    /// Every chain of authentication.
    pub fn authentication(&self) -> AuthenticationConfig {
        AuthenticationConfig {
            anonymous: self.anonymous,
            chain: self.authentication.clone(),
            listeners: self.listener_authentication.clone(),
        }
    }

    /// The key and address of every listener that is opened, MQTT first.
    pub fn enabled_addresses(&self) -> Vec<(String, SocketAddr)> {
        enabled_addresses(self).into_iter().map(|(key, address)| (key.to_string(), address)).collect()
    }

    /// The defaults as a table; the source of all known keys.
    fn default_table() -> Result<Table, ConfigError> {
        Table::try_from(Config::default())
            .map_err(|source| ConfigError::Defaults { reason: source.to_string() })
    }

    fn from_settings(settings: Vec<Setting>) -> Result<Config, ConfigError> {
        let mut table = Config::default_table()?;
        let defaults = table.clone();
        let known = KnownKeys::of(&table);
        let mut origins = Origins::default();
        let mut listener_authentication = BTreeMap::new();
        for mut setting in replace_aliases(settings)? {
            if let Some((listener, entry)) = listener_of_chain(&setting, &known) {
                listener_authentication.insert(listener, check_chain(&setting)?);
                // The listener itself exists at its defaults, as if its section were empty.
                setting.path = entry;
                setting.value = Value::Table(Table::new());
            }
            let value = accept(&known, &setting)?;
            if let Some(value) = value {
                open_listener(&mut table, &defaults, &setting.path);
                insert(&mut table, &setting.path, value);
            }
            origins.record(setting.path, setting.origin);
        }
        // Every value has passed its rule, so what fails here is a rule that does not fit its field.
        let mut config = Config::deserialize(table)
            .map_err(|source| ConfigError::Defaults { reason: source.to_string() })?;
        config.listener_authentication = listener_authentication;
        check_consistency(&config, &origins)?;
        Ok(config)
    }
}

/// The value to store for a setting; none where it only mentions a section that exists anyway.
fn accept(known: &KnownKeys, setting: &Setting) -> Result<Option<Value>, ConfigError> {
    check_names(setting)?;
    match known.kind(&setting.path) {
        KeyKind::Unknown => Err(ConfigError::unknown(setting, known)),
        KeyKind::Section if setting.is_empty_table() => Ok(opens_zone(&setting.path).then(empty_section)),
        KeyKind::Entry if setting.is_empty_table() => Ok(Some(Value::Table(Table::new()))),
        KeyKind::Section | KeyKind::Entry => Err(ConfigError::section(setting)),
        KeyKind::Key => {
            let rule = rule_of(&setting.path).ok_or_else(|| ConfigError::unknown(setting, known))?;
            if rule == Rule::Chain {
                check_chain(setting)?;
            }
            let value = rule.accept(setting).ok_or_else(|| ConfigError::value(setting, &rule))?;
            Ok(Some(value))
        }
    }
}

/// A listener that is named for the first time has what the `default` of its kind has, and is enabled.
fn open_listener(table: &mut Table, defaults: &Table, path: &KeyPath) {
    let [section, kind, name, ..] = path.segments() else { return };
    let listeners = |table: &Table| Some(table.get(section)?.get(kind)?.as_table()?.get("default")?.clone());
    let Some(Value::Table(mut listener)) = (section == "listeners").then(|| listeners(defaults)).flatten()
    else {
        return;
    };
    let of_kind = table.get_mut(section).and_then(|listeners| listeners.get_mut(kind));
    if let Some(of_kind) = of_kind.and_then(Value::as_table_mut)
        && !of_kind.contains_key(name)
    {
        listener.insert("enable".to_owned(), Value::Boolean(true));
        of_kind.insert(name.clone(), Value::Table(listener));
    }
}

/// Stores `value`, making the tables on its way. An entry that exists already is not emptied.
fn insert(table: &mut Table, path: &KeyPath, value: Value) {
    let Some((last, parents)) = path.segments().split_last() else { return };
    let mut table = table;
    for segment in parents {
        let next = table.entry(segment.clone()).or_insert_with(|| Value::Table(Table::new()));
        match next {
            Value::Table(next) => table = next,
            // Known keys never lie below a value, so this path was refused before.
            _ => return,
        }
    }
    if value.is_table() {
        table.entry(last.clone()).or_insert(value);
    } else {
        table.insert(last.clone(), value);
    }
}

#[cfg(test)]
mod tests;
