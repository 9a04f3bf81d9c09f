//! What the endpoints know about the node they speak for.

use ringmq_shards::durability::DurabilityLevel;
use ringmq_shards::metrics::MetricsReader;
use std::time::Instant;

/// The node the management plane shows.
#[derive(Debug, Clone)]
pub struct ControlNode {
    /// `node.name`, the label `node` of every metric.
    pub name: String,
    /// The version of the binary.
    pub version: &'static str,
    /// When the process started to serve.
    pub started: Instant,
    /// The level of publications that no rule is made for; `Memory` if nothing outlives the process.
    pub durability: DurabilityLevel,
    /// Counters, gauges and histograms of all shards.
    pub metrics: MetricsReader,
}
