//! Latencies, counted in constant memory without allocation per record, and what is read from them. It knows no clock.

use crate::report::Report;
use anyhow::Result;
use serde_json::{Value, json};

/// Longer values, of nearly five hours, are counted as this one.
const VALUE_NS_MAX: u64 = 1 << 44;
/// Two digits are a resolution of 1 %, and the buckets of one run lie in a few cache lines.
const DIGITS: u8 = 2;

/// A histogram of nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: hdrhistogram::Histogram<u64>,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let counts = hdrhistogram::Histogram::new_with_bounds(1, VALUE_NS_MAX, DIGITS);
        Histogram { counts: counts.expect("the bounds are constants that the crate accepts"), max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value_ns: u64) {
        self.counts.saturating_record(value_ns);
        self.max_ns = self.max_ns.max(value_ns);
    }

    /// Adds all that `other` has counted.
    ///
    /// # Errors
    /// None in practice: both have the same bounds.
    pub fn merge(&mut self, other: &Histogram) -> Result<()> {
        self.counts.add(&other.counts)?;
        self.max_ns = self.max_ns.max(other.max_ns);
        Ok(())
    }

    /// The value below or at which the part `quantile` (0 to 1) of all values lies, at most 1 % too large; 0 if there are
    /// none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        if self.counts.is_empty() {
            return 0;
        }
        self.counts.value_at_quantile(quantile).min(self.max_ns)
    }

    /// Adds percentiles and the curve of the distribution.
    pub fn add_to(&self, report: &mut Report) {
        let us = |ns: u64| ns as f64 / 1e3;
        for (key, quantile) in [
            ("latency_p50_us", 0.5),
            ("latency_p90_us", 0.9),
            ("latency_p99_us", 0.99),
            ("latency_p999_us", 0.999),
            ("latency_p9999_us", 0.9999),
        ] {
            report.add_rounded(key, us(self.quantile_ns(quantile)));
        }
        report.add_rounded("latency_max_us", us(self.max_ns));
        report.add_detail("latency_cdf", self.to_curve());
    }

    /// Pairs of quantile and microseconds: every hundredth, and in the last hundredth ten points for each further nine.
    fn to_curve(&self) -> Value {
        let hundredths = (0..99).map(|step| f64::from(step) / 100.0);
        let nines = (2..6).flat_map(|nines| {
            let left = 0.1_f64.powi(nines);
            (0..9).map(move |step| 1.0 - left + left * 0.1 * f64::from(step))
        });
        let point = |quantile: f64| {
            json!([
                (quantile * 1e7).round() / 1e7,
                (self.quantile_ns(quantile) as f64 / 10.0).round() / 100.0
            ])
        };
        hundredths.chain(nines).chain([1.0]).map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(0.5), 0);
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        for (quantile, exact) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let value = histogram.quantile_ns(quantile);
            assert!(value >= exact && value <= exact + exact / 100, "{quantile}: {value}");
        }
        assert_eq!(histogram.max_ns, 1_000_000);
    }

    #[test]
    fn values_beyond_the_range_count_as_the_longest_and_keep_the_maximum() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!((histogram.counts.len(), histogram.max_ns), (1, u64::MAX));
        assert!(histogram.quantile_ns(0.5) >= VALUE_NS_MAX);
    }

    #[test]
    fn merged_histograms_count_both() {
        let (mut left, mut right) = (Histogram::default(), Histogram::default());
        left.record(10);
        right.record(20);
        left.merge(&right).unwrap();
        assert_eq!((left.counts.len(), left.quantile_ns(0.5), left.quantile_ns(1.0)), (2, 10, 20));
    }

    #[test]
    fn the_curve_rises_from_0_to_1_in_at_most_200_points() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|value| histogram.record(value));
        let curve = histogram.to_curve();
        let points: Vec<(f64, f64)> = serde_json::from_value(curve).unwrap();
        assert!(points.len() <= 200 && points[0].0 == 0.0 && points[points.len() - 1].0 == 1.0);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{points:?}");
    }
}
