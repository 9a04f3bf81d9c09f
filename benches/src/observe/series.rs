//! What happened when: one point a second, at most 3,600 of them. It never decides when it is looked at.

use serde_json::{Value, json};

/// Points kept; at the limit every second one goes and the interval doubles.
const POINTS_MAX: usize = 3_600;
const SECOND_NS: u64 = 1_000_000_000;

/// Counters at one moment, all of them totals since the run began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Connections open now.
    pub connections: u64,
    /// Messages published so far.
    pub published: u64,
    /// Messages delivered so far.
    pub delivered: u64,
    /// Resident bytes of the broker; 0 when it is not observed.
    pub rss_bytes: u64,
}

/// The points of a run.
#[derive(Debug)]
pub struct Series {
    points: Vec<(u64, Counters)>,
    interval_ns: u64,
    begun_ns: u64,
}

impl Series {
    /// A series that begins now.
    pub fn new(now_ns: u64) -> Series {
        Series { points: Vec::new(), interval_ns: SECOND_NS, begun_ns: now_ns }
    }

    /// Whether the next point is due.
    pub fn is_due(&self, now_ns: u64) -> bool {
        let last_ns = self.points.last().map_or(self.begun_ns, |&(last_ns, _)| last_ns);
        now_ns >= last_ns + self.interval_ns
    }

    /// Adds a point.
    pub fn push(&mut self, now_ns: u64, counters: Counters) {
        if self.points.len() == POINTS_MAX {
            let mut number = 0;
            self.points.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.interval_ns *= 2;
        }
        self.points.push((now_ns, counters));
    }

    /// The points with rates between each and the one before it, as in a report's `series`.
    pub fn to_json(&self) -> Value {
        let (mut before_ns, mut before) = (self.begun_ns, Counters::default());
        let points = self.points.iter().map(|&(now_ns, now)| {
            let seconds = now_ns.saturating_sub(before_ns).max(1) as f64 / 1e9;
            let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds).round();
            let point = json!({
                "t_s": ((now_ns - self.begun_ns) as f64 / 1e6).round() / 1e3,
                "connections": now.connections,
                "published_per_s": rate(now.published, before.published),
                "delivered_per_s": rate(now.delivered, before.delivered),
                "broker_rss_bytes": now.rss_bytes,
            });
            (before_ns, before) = (now_ns, now);
            point
        });
        points.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_carry_rates_since_the_point_before() {
        let mut series = Series::new(5);
        assert!(!series.is_due(SECOND_NS));
        assert!(series.is_due(SECOND_NS + 5));
        let counters = |published| Counters { connections: 2, published, delivered: 10, rss_bytes: 7 };
        series.push(SECOND_NS + 5, counters(100));
        series.push(3 * SECOND_NS + 5, counters(300));
        let json = series.to_json();
        let rates = [0, 1].map(|point| json[point]["published_per_s"].as_f64().unwrap());
        assert_eq!((rates, &json[1]["t_s"]), ([100.0, 100.0], &json!(3.0)));
        assert_eq!((&json[0]["connections"], &json[1]["broker_rss_bytes"]), (&json!(2), &json!(7)));
    }

    #[test]
    fn long_runs_keep_fewer_points_of_longer_intervals() {
        let mut series = Series::new(0);
        let mut now_ns = 0;
        for _ in 0..3 * POINTS_MAX {
            now_ns += SECOND_NS;
            if series.is_due(now_ns) {
                series.push(now_ns, Counters::default());
            }
        }
        assert!(series.points.len() <= POINTS_MAX && series.points.len() > POINTS_MAX / 4);
        assert!(series.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
