//! Counters and gauges of all shards, readable from any thread.
//!
//! Each cell has one writer, its shard, which adds what it tallied once per pass with a plain load and store; readers
//! sum the cells of all shards.

use ringmq_core::metrics::{METRICS, Metric, Tally};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A quantity that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Gauge {
    /// Open client connections that completed CONNECT, and sessions kept for disconnected clients.
    Sessions,
    /// Connections with a completed CONNECT.
    LiveConnections,
    /// Open sockets, CONNECT complete or not.
    Connections,
    /// Subscriptions of all sessions, shared ones included.
    Subscriptions,
    /// Shared subscriptions.
    SubscriptionsShared,
    /// Distinct filters with at least one subscriber, summed over shards.
    Topics,
    /// Sessions with at least one subscription.
    Subscribers,
    /// Retained messages.
    Retained,
    /// Messages queued for sessions.
    QueuedMessages,
}

impl Gauge {
    /// Every gauge, in the order of its index, with its dotted name.
    pub const ALL: &'static [(Gauge, &'static str)] = &[
        (Gauge::Sessions, "sessions"),
        (Gauge::LiveConnections, "live_connections"),
        (Gauge::Connections, "connections"),
        (Gauge::Subscriptions, "subscriptions"),
        (Gauge::SubscriptionsShared, "subscriptions.shared"),
        (Gauge::Topics, "topics"),
        (Gauge::Subscribers, "subscribers"),
        (Gauge::Retained, "retained"),
        (Gauge::QueuedMessages, "queued_messages"),
    ];
}

const GAUGES: usize = Gauge::ALL.len();

/// The cells of one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardCells {
    counters: [AtomicU64; METRICS],
    gauges: [AtomicU64; GAUGES],
}

impl Default for ShardCells {
    fn default() -> ShardCells {
        ShardCells {
            counters: [const { AtomicU64::new(0) }; METRICS],
            gauges: [const { AtomicU64::new(0) }; GAUGES],
        }
    }
}

impl ShardCells {
    /// Adds a shard's tally and sets the tally to zero. Only the owning shard calls this.
    pub fn publish(&self, tally: &mut Tally) {
        tally.drain(|metric, count| {
            let cell = &self.counters[metric as usize];
            cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
        });
    }

    /// Sets a gauge. Only the owning shard calls this.
    pub fn set(&self, gauge: Gauge, value: usize) {
        self.gauges[gauge as usize].store(value as u64, Relaxed);
    }
}

/// Reads the metrics of the whole process.
#[derive(Debug, Clone)]
pub struct MetricsReader {
    shards: Arc<[Arc<ShardCells>]>,
}

impl MetricsReader {
    /// A reader over these shards' cells.
    pub fn new(shards: Arc<[Arc<ShardCells>]>) -> MetricsReader {
        MetricsReader { shards }
    }

    /// A counter, summed over all shards.
    pub fn counter(&self, metric: Metric) -> u64 {
        self.shards.iter().map(|cells| cells.counters[metric as usize].load(Relaxed)).sum()
    }

    /// A gauge, summed over all shards.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.shards.iter().map(|cells| cells.gauges[gauge as usize].load(Relaxed)).sum()
    }

    /// The number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }
}
