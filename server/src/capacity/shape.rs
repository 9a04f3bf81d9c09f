//! The broker a plan is made for, as far as the model depends on its configuration, and where a figure comes from.

use crate::config::Config;
use crate::host;
use ringmq_core::config::Limit;
use serde::Serialize;
use std::path::PathBuf;

/// What of the configuration the model needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Shards it runs.
    pub shards: u64,
    /// Whether each shard has a descriptor table of its own.
    pub private_fd_tables: bool,
    /// Descriptors that are in use before the first client.
    pub reserved_descriptors: u64,
    /// Connections the kernel holds for one listening socket until they are accepted; net.core.somaxconn caps it.
    pub backlog: u64,
    /// Messages one lane holds.
    pub lane_capacity: u64,
    /// Where the bounds of these clients' sessions are set: `mqtt`, or the section of their zone.
    pub mqtt_section: String,
    /// QoS 1 and 2 messages on their way to one client at once.
    pub inflight_max: u64,
    /// Messages one session queues; none without bound.
    pub queue_max: Option<u64>,
    /// Where the log goes.
    pub data_dir: PathBuf,
}

impl Shape {
    /// The broker this configuration starts on this host, as it is for clients of a zone; none if there is no such zone.
    pub fn of(config: &Config, zone: &str) -> Option<Shape> {
        let zones = config.resolved_zones();
        let settings = zones.of(zones.find(zone)?);
        let queue_max = settings.max_mqueue_len;
        let has_section = config.zones.contains_key(zone);
        let mqtt_section = if has_section { format!("zones.{zone}.mqtt") } else { "mqtt".to_owned() };
        let shards = host::shard_count(config.node.shards);
        let backlogs =
            config.listeners.enabled().map(|(_, _, listener)| u64::from(listener.tcp_options.backlog));
        Some(Shape {
            shards: shards as u64,
            private_fd_tables: config.node.private_fd_tables,
            reserved_descriptors: host::reserved_descriptors(config, shards),
            backlog: backlogs.min().unwrap_or(0),
            lane_capacity: config.mesh.lane_capacity as u64,
            mqtt_section,
            inflight_max: u64::from(settings.max_inflight),
            queue_max: (queue_max != Limit::INFINITY).then_some(queue_max.0 as u64),
            data_dir: config.node.data_dir.clone(),
        })
    }
}

/// Two shards, for the tests of other files.
#[cfg(test)]
impl Default for Shape {
    fn default() -> Shape {
        let mut config = Config::default();
        config.node.shards = 2;
        Shape::of(&config, ringmq_core::config::Zones::DEFAULT_NAME).unwrap()
    }
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// From a coefficient of the calibration.
    Measured,
    /// From sizes that the protocol or the configuration fixes.
    Computed,
    /// From a constant nobody has measured for this broker.
    Assumed,
}

impl Basis {
    /// What is printed behind a figure.
    pub fn mark(self) -> &'static str {
        match self {
            Basis::Measured | Basis::Computed => "",
            Basis::Assumed => "assumed, not measured",
        }
    }
}
