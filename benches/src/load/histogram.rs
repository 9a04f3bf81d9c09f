//! Latencies in logarithmic buckets of fixed number: constant memory, 3 % resolution, no allocation per record.

/// Each power of two is cut into this many buckets, as a power of two.
const SUB_BITS: u32 = 5;
const SUB_BUCKETS: usize = 1 << SUB_BITS;
/// Values up to 2^44 ns, nearly five hours; anything longer is counted in the last bucket.
const VALUE_BITS: u32 = 44;
const BUCKETS: usize = (VALUE_BITS - SUB_BITS + 1) as usize * SUB_BUCKETS;

/// A histogram of nanoseconds. A quantile is the upper end of its bucket, so it is never too small and at most 1/32 too
/// large; the maximum is exact.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: Box::new([0; BUCKETS]), total: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value_ns: u64) {
        self.counts[bucket_of(value_ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The value below or at which the part `quantile` (0 to 1) of all values lies; 0 if there are none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return bucket_end(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }

    /// The largest value counted.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }
}

/// Values below 32 have a bucket each; above, the bucket is the power of two and the five bits after the leading one.
fn bucket_of(value: u64) -> usize {
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    let sub = (value >> shift) as usize - SUB_BUCKETS;
    ((shift as usize + 1) * SUB_BUCKETS + sub).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn bucket_end(bucket: usize) -> u64 {
    let (group, sub) = (bucket / SUB_BUCKETS, bucket % SUB_BUCKETS);
    if group == 0 {
        return sub as u64;
    }
    let shift = group - 1;
    (((SUB_BUCKETS + sub) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_ends_at_most_a_32nd_above_it() {
        for bits in 0..VALUE_BITS {
            for value in [1u64 << bits, (1 << bits) + (1 << bits) / 3, (2 << bits) - 1] {
                let end = bucket_end(bucket_of(value));
                assert!(end >= value && end - value <= value / 32, "{value} ends at {end}");
            }
        }
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(bucket_end(bucket) + 1), bucket + 1);
        }
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        for (quantile, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let value = histogram.quantile_ns(quantile);
            assert!(value >= exact && value <= exact + exact / 32, "{quantile}: {value}");
        }
        assert_eq!(histogram.max_ns(), 1_000_000);
    }

    #[test]
    fn values_beyond_the_range_count_in_the_last_bucket_and_as_maximum() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!((histogram.total, histogram.max_ns()), (1, u64::MAX));
    }

    #[test]
    fn merged_histograms_count_both() {
        let (mut left, mut right) = (Histogram::default(), Histogram::default());
        left.record(10);
        right.record(20);
        left.merge(&right);
        assert_eq!((left.total, left.quantile_ns(0.5), left.quantile_ns(1.0)), (2, 10, 20));
    }
}
