//! `[zones.NAME.mqtt]`: what differs from `[mqtt]` for the clients of listeners of a zone. Knows no listener.

use super::Config;
use super::error::ConfigError;
use super::known::PRIORITIES;
use super::setting::{KeyPath, Origins};
use ringmq_core::config::{MqttConfig, Zones};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Entries of `mqueue_priorities`, all of which a queued message may be compared with.
const PRIORITIES_MAX: usize = 256;

/// A zone. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZoneConfig {
    /// The keys that differ. Each has passed the rule of the key of `[mqtt]`.
    pub mqtt: Table,
}

impl ZoneConfig {
    /// What holds in the zone. `mqueue_priorities` is replaced as a whole.
    ///
    /// # Errors
    /// [`ConfigError::Defaults`]: a rule does not fit its field.
    fn settings(&self, general: &MqttConfig) -> Result<MqttConfig, ConfigError> {
        let fail = |reason: String| ConfigError::Defaults { reason };
        let mut table = Table::try_from(general).map_err(|source| fail(source.to_string()))?;
        table.extend(self.mqtt.clone());
        MqttConfig::deserialize(table).map_err(|source| fail(source.to_string()))
    }
}

/// The settings of all zones. What cannot be resolved, which [`check_zones`] has refused, is as in `[mqtt]`.
pub fn zones_of(config: &Config) -> Zones {
    let settings = |zone: &ZoneConfig| zone.settings(&config.mqtt).unwrap_or_else(|_| config.mqtt.clone());
    let default = config.zones.get(Zones::DEFAULT_NAME).map_or_else(|| config.mqtt.clone(), settings);
    let others = config.zones.iter().filter(|(name, _)| *name != Zones::DEFAULT_NAME);
    Zones::new(default, others.map(|(name, zone)| (name.clone(), settings(zone))))
}

/// Refuses settings that contradict each other, in any zone, and listeners of a zone that is not there.
///
/// # Errors
/// The first that is found.
pub fn check_zones(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let entries = config.zones.len();
    if entries > Zones::ZONES_MAX {
        let (section, entries_max, remedy) = ("zones", Zones::ZONES_MAX, "have listeners share them");
        return Err(ConfigError::Entries { section: section.to_owned(), entries, entries_max, remedy });
    }
    check_settings(&config.mqtt, None, origins)?;
    for (name, zone) in &config.zones {
        check_settings(&zone.settings(&config.mqtt)?, Some((name, &zone.mqtt)), origins)?;
    }
    let zones = zones_of(config);
    for (kind, name, listener) in config.listeners.all() {
        if zones.find(&listener.zone).is_none() {
            let key = KeyPath::dotted("listeners").child(kind.name()).child(name).child("zone");
            let origin = origins.of(&key).clone();
            return Err(ConfigError::NoZone { key, origin, zone: listener.zone.clone() });
        }
    }
    Ok(())
}

fn check_settings(
    settings: &MqttConfig,
    zone: Option<(&String, &Table)>,
    origins: &Origins,
) -> Result<(), ConfigError> {
    let key = |name: &str| {
        let general = KeyPath::dotted("mqtt").child(name);
        let of_zone = zone
            .filter(|(_, table)| table.contains_key(name))
            .map(|(zone, _)| KeyPath::dotted("zones").child(zone).child("mqtt").child(name));
        of_zone.unwrap_or(general)
    };
    let entries = settings.mqueue_priorities.len();
    if entries > PRIORITIES_MAX {
        let (_, name) = PRIORITIES.split_once('.').unwrap_or_default();
        let (section, remedy) = (key(name).to_string(), "use filters with wildcards");
        return Err(ConfigError::Entries { section, entries, entries_max: PRIORITIES_MAX, remedy });
    }
    let (least, greatest) = (settings.min_keepalive, settings.max_keepalive);
    if greatest > 0 && least > greatest {
        let placed = |name: &str, value: u16| {
            let key = key(name);
            format!("{key} = {value} ({})", origins.of(&key))
        };
        return Err(ConfigError::Conflict {
            first: placed("min_keepalive", least),
            second: placed("max_keepalive", greatest),
            conflict:
                "leave no keep alive that is allowed; lower the first, raise the second, or set one to 0"
                    .to_owned(),
        });
    }
    Ok(())
}

/// Whether a path is a section of a zone, which exists as soon as it is mentioned, with or without keys in it.
pub fn opens_zone(path: &KeyPath) -> bool {
    path.segments().first().is_some_and(|section| section == "zones")
}

/// The path of the same key in `[mqtt]`, for a key of a zone.
pub fn general_key(path: &KeyPath) -> Option<KeyPath> {
    match path.segments() {
        [section, _, key @ ..] if section == "zones" && !key.is_empty() => Some(KeyPath::new(key.to_vec())),
        _ => None,
    }
}

/// An empty section of a zone, as a value.
pub fn empty_section() -> Value {
    Value::Table(Table::new())
}
