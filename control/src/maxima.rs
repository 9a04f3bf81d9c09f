//! The highest value of each gauge since the start.
//!
//! The gauges of the shards are summed when they are read, so only a reader can know the highest sum. It is sampled
//! once a second and at every scrape; a peak that lasts less than a second may be missed.

use ringmq_shards::metrics::{Gauge, MetricsReader};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The highest value seen of each gauge.
#[derive(Debug, Default)]
pub struct Maxima {
    highest: [AtomicU64; Gauge::ALL.len()],
}

impl Maxima {
    /// Takes a sample of every gauge.
    pub fn sample(&self, metrics: &MetricsReader) {
        for &(gauge, _) in Gauge::ALL {
            self.raise(gauge, metrics.gauge(gauge));
        }
    }

    /// Counts `value` as seen and returns the highest value so far.
    pub fn raise(&self, gauge: Gauge, value: u64) -> u64 {
        self.highest[gauge as usize].fetch_max(value, Relaxed).max(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_shards::metrics::ShardCells;
    use std::sync::Arc;

    #[test]
    fn highest_sum_over_shards_stays_after_the_gauge_falls() {
        let cells = [Arc::new(ShardCells::default()), Arc::new(ShardCells::default())];
        let metrics = MetricsReader::new(Arc::from(cells.clone()));
        let maxima = Maxima::default();
        cells[0].set(Gauge::Connections, 3);
        cells[1].set(Gauge::Connections, 4);
        maxima.sample(&metrics);
        cells[0].set(Gauge::Connections, 0);
        maxima.sample(&metrics);
        assert_eq!(maxima.raise(Gauge::Connections, metrics.gauge(Gauge::Connections)), 7);
        assert_eq!(maxima.raise(Gauge::Sessions, 0), 0);
    }
}
