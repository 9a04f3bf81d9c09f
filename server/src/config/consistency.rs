//! Rules about several keys at once. Single keys are judged in `rule.rs`.

use super::Config;
use super::error::ConfigError;
use super::setting::{KeyPath, Origins};
use super::zone::check_zones;
use std::net::SocketAddr;

/// Refuses keys that contradict each other.
pub fn check_consistency(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let mut taken: Vec<(KeyPath, SocketAddr)> = Vec::new();
    for (key, address) in enabled_addresses(config) {
        let clash = taken.iter().find(|(_, other)| overlap(*other, address));
        if let Some((first, first_address)) = clash {
            let placed = |key: &KeyPath| format!("{key} ({})", origins.of(key));
            return Err(ConfigError::Conflict {
                first: placed(first),
                second: placed(&key),
                conflict: format!(
                    "are the same address ({first_address} and {address}); give one another port, or set its enable = false"
                ),
            });
        }
        taken.push((key, address));
    }
    check_proxies(config, origins)?;
    check_zones(config, origins)
}

/// A header that nobody is believed for would do nothing, and the operator would not notice.
fn check_proxies(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    for (kind, name, listener) in config.listeners.enabled() {
        let Some(options) = &listener.websocket else { continue };
        if options.proxy_address_header.is_empty() || !options.trusted_proxies.is_empty() {
            continue;
        }
        let section = KeyPath::dotted("listeners").child(kind.name()).child(name).child("websocket");
        let header = section.child("proxy_address_header");
        return Err(ConfigError::Conflict {
            first: format!("{header} ({})", origins.of(&header)),
            second: section.child("trusted_proxies").to_string(),
            conflict:
                "do not go together: name the proxies whose header is believed, or set the header to \"\""
                    .to_owned(),
        });
    }
    Ok(())
}

/// The `bind` of every listener that is opened, MQTT first.
pub fn enabled_addresses(config: &Config) -> Vec<(KeyPath, SocketAddr)> {
    let mqtt = config.listeners.enabled().filter_map(|(kind, name, listener)| {
        let section = KeyPath::dotted("listeners").child(kind.name()).child(name);
        Some((section.child("bind"), listener.bind.address()?))
    });
    let http = &config.dashboard.listeners.http;
    let http = http.enable.then(|| (KeyPath::dotted("dashboard.listeners.http.bind"), http.bind));
    mqtt.chain(http).collect()
}

fn overlap(left: SocketAddr, right: SocketAddr) -> bool {
    let every =
        left.is_ipv4() == right.is_ipv4() && (left.ip().is_unspecified() || right.ip().is_unspecified());
    left.port() != 0 && left.port() == right.port() && (left.ip() == right.ip() || every)
}
