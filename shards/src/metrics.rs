//! Counters, gauges and histograms of all shards, readable from any thread.
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
    /// Publishers not read from, because a queue or a store has no room for what they send.
    PublishersHeld,
    /// Sessions whose full queue holds back publishers.
    SessionsBlocking,
    /// Live records of the logs.
    PersistenceRecords,
    /// Their bytes on disk.
    PersistenceLiveBytes,
    /// Bytes of all segment files.
    PersistenceAllocatedBytes,
    /// Bytes that wait to be written or are being written.
    PersistencePendingBytes,
    /// Segment files.
    PersistenceSegments,
    /// Bytes of the logs' indexes in memory.
    PersistenceIndexBytes,
    /// What the bodies of stored messages take that are in memory.
    PersistenceCachedBytes,
    /// Stored messages whose bodies only the logs have.
    PersistenceBodiesAway,
    /// Logs that have failed and take nothing more until a restart.
    PersistenceFailedLogs,
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
        (Gauge::PublishersHeld, "publishers.held"),
        (Gauge::SessionsBlocking, "sessions.blocking"),
        (Gauge::PersistenceRecords, "persistence.records"),
        (Gauge::PersistenceLiveBytes, "persistence.live_bytes"),
        (Gauge::PersistenceAllocatedBytes, "persistence.allocated_bytes"),
        (Gauge::PersistencePendingBytes, "persistence.pending_bytes"),
        (Gauge::PersistenceSegments, "persistence.segments"),
        (Gauge::PersistenceIndexBytes, "persistence.index_bytes"),
        (Gauge::PersistenceCachedBytes, "persistence.cached_bytes"),
        (Gauge::PersistenceBodiesAway, "persistence.bodies_away"),
        (Gauge::PersistenceFailedLogs, "persistence.failed_logs"),
    ];
}

const GAUGES: usize = Gauge::ALL.len();

/// A quantity of which every occurrence counts, by its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Distribution {
    /// Milliseconds from the seal of a pass whose publications somebody waits for until they are stored at their level.
    CommitLatency,
    /// Publications whose wait one commit ended.
    CommitBatch,
}

impl Distribution {
    /// Every distribution, in the order of its index, with its dotted name.
    pub const ALL: &'static [(Distribution, &'static str)] = &[
        (Distribution::CommitLatency, "persistence.commit.latency_ms"),
        (Distribution::CommitBatch, "persistence.commit.batch_size"),
    ];
}

const DISTRIBUTIONS: usize = Distribution::ALL.len();

/// The largest value that each bucket of a histogram counts; one more bucket counts what is larger.
pub const BUCKET_BOUNDS: [u64; 9] = [1, 2, 5, 10, 25, 50, 100, 250, 1000];
const BUCKETS: usize = BUCKET_BOUNDS.len() + 1;

/// The cells of a histogram.
#[derive(Debug)]
struct HistogramCells {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl HistogramCells {
    const fn new() -> HistogramCells {
        HistogramCells { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

/// What a histogram had counted when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum: u64,
}

impl Histogram {
    /// How many values are at most as large as each bound; the last bucket has none.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = BUCKET_BOUNDS.into_iter().map(Some).chain([None]);
        bounds.zip(self.buckets.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        }))
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

/// The cells of one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardCells {
    counters: [AtomicU64; METRICS],
    gauges: [AtomicU64; GAUGES],
    histograms: [HistogramCells; DISTRIBUTIONS],
}

impl Default for ShardCells {
    fn default() -> ShardCells {
        ShardCells {
            counters: [const { AtomicU64::new(0) }; METRICS],
            gauges: [const { AtomicU64::new(0) }; GAUGES],
            histograms: [const { HistogramCells::new() }; DISTRIBUTIONS],
        }
    }
}

impl ShardCells {
    /// Adds a shard's tally and sets the tally to zero. Only the owning shard calls this.
    pub fn publish(&self, tally: &mut Tally) {
        tally.drain(|metric, count| {
            add(&self.counters[metric as usize], count);
        });
    }

    /// Sets a gauge. Only the owning shard calls this.
    pub fn set(&self, gauge: Gauge, value: usize) {
        self.gauges[gauge as usize].store(value as u64, Relaxed);
    }

    /// Counts a value. Only the owning shard calls this.
    pub fn observe(&self, distribution: Distribution, value: u64) {
        let cells = &self.histograms[distribution as usize];
        add(&cells.buckets[BUCKET_BOUNDS.partition_point(|bound| *bound < value)], 1);
        add(&cells.sum, value);
    }
}

/// Adds to a cell that nobody else writes.
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
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

    /// A histogram, summed over all shards.
    pub fn histogram(&self, distribution: Distribution) -> Histogram {
        let mut total = Histogram::default();
        for cells in self.shards.iter().map(|cells| &cells.histograms[distribution as usize]) {
            for (bucket, cell) in total.buckets.iter_mut().zip(&cells.buckets) {
                *bucket += cell.load(Relaxed);
            }
            total.sum += cells.sum.load(Relaxed);
        }
        total
    }

    /// The number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        for (value, bound) in [
            (0, Some(1)),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(5)),
            (5, Some(5)),
            (250, Some(250)),
            (251, Some(1000)),
            (1000, Some(1000)),
            (1001, None),
            (u64::MAX, None),
        ] {
            let cells = Arc::new(ShardCells::default());
            cells.observe(Distribution::CommitLatency, value);
            let metrics = MetricsReader::new(Arc::from([cells]));
            let read = metrics.histogram(Distribution::CommitLatency);
            let counted = read.cumulative().find(|(_, count)| *count == 1);
            assert_eq!(counted.map(|(bound, _)| bound), Some(bound), "{value}");
            assert_eq!((read.count(), read.sum()), (1, value));
            assert_eq!(metrics.histogram(Distribution::CommitBatch), Histogram::default());
        }
    }

    #[test]
    fn histograms_are_summed_over_shards_and_their_buckets_are_cumulative() {
        let cells = [Arc::new(ShardCells::default()), Arc::new(ShardCells::default())];
        for (shard, value) in [(0, 1), (0, 7), (1, 7), (1, 2000), (1, 0)] {
            cells[shard].observe(Distribution::CommitBatch, value);
        }
        let read = MetricsReader::new(Arc::from(cells)).histogram(Distribution::CommitBatch);
        let counts: Vec<u64> = read.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 2, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((read.count(), read.sum()), (5, 2015));
    }

    #[test]
    fn tables_are_in_the_order_of_their_indexes() {
        assert!(Gauge::ALL.iter().enumerate().all(|(index, (gauge, _))| *gauge as usize == index));
        assert!(Distribution::ALL.iter().enumerate().all(|(index, (one, _))| *one as usize == index));
    }
}
