//! Which plots a group of runs has, and where in their reports the points are. A run without the points of a plot is left
//! out of it.

use super::plot::{Axis, Curve, Plot, Scale};
use super::results::{Entry, list};
use serde_json::Value;

/// Quantiles that stand in a report by themselves, for runs without a whole distribution.
const QUANTILES: [(&str, f64); 5] = [
    ("latency_p50_us", 0.5),
    ("latency_p90_us", 0.9),
    ("latency_p99_us", 0.99),
    ("latency_p999_us", 0.999),
    ("latency_p9999_us", 0.9999),
];

/// The plots of a group, those without points left out.
pub fn plots(runs: &[Entry]) -> Vec<Plot> {
    let seconds = Axis { label: "time (s)", scale: Scale::Linear };
    let linear = |label| Axis { label, scale: Scale::Linear };
    let plot = |title, x, y, points: fn(&Value) -> Vec<(f64, f64)>| Plot {
        title,
        x,
        y,
        curves: curves(runs, points),
    };
    let plots = [
        plot(
            "Latency by quantile",
            Axis { label: "quantile, tail stretched", scale: Scale::Nines },
            Axis { label: "latency (µs)", scale: Scale::Log },
            latency,
        ),
        plot("Deliveries over time", seconds, linear("delivered per second"), |report| {
            active(series(report, "t_s", "delivered_per_s"))
        }),
        plot("Publications over time", seconds, linear("published per second"), |report| {
            active(series(report, "t_s", "published_per_s"))
        }),
        plot("Memory of the broker over time", seconds, linear("resident (MiB)"), |report| {
            active(to_mib(series(report, "t_s", "broker_rss_bytes")))
        }),
        plot(
            "Memory of the broker over connections",
            linear("connections"),
            linear("resident (MiB)"),
            memory,
        ),
        plot("Connections over time", seconds, linear("connections"), |report| {
            let points = series(report, "t_s", "connections");
            if is_moving(&points) { points } else { Vec::new() }
        }),
    ];
    plots.into_iter().filter(|plot| !plot.is_empty()).collect()
}

fn curves(runs: &[Entry], points: fn(&Value) -> Vec<(f64, f64)>) -> Vec<Curve> {
    let curves = runs.iter().enumerate().map(|(run, entry)| {
        let mut points = points(&entry.report);
        points.retain(|(x, y)| x.is_finite() && y.is_finite());
        Curve { run, label: entry.label.clone(), points }
    });
    curves.collect()
}

/// Quantile and microseconds. The last point of a distribution, quantile 1, has no place on the scale.
fn latency(report: &Value) -> Vec<(f64, f64)> {
    let pair = |point: &Value| Some((point[0].as_f64()?, point[1].as_f64()?));
    let points: Vec<(f64, f64)> = match report["latency_cdf"].as_array() {
        Some(points) => points.iter().filter_map(pair).collect(),
        None => {
            QUANTILES.iter().filter_map(|&(key, quantile)| Some((quantile, report[key].as_f64()?))).collect()
        }
    };
    points.into_iter().filter(|&(quantile, us)| (0.0..1.0).contains(&quantile) && us > 0.0).collect()
}

/// Two fields of the points of the report's series.
fn series(report: &Value, x: &str, y: &str) -> Vec<(f64, f64)> {
    list(&report["series"])
        .iter()
        .filter_map(|point| Some((point[x].as_f64()?, point[y].as_f64()?)))
        .collect()
}

/// Memory as the number of connections grows; nothing where it stays the same.
fn memory(report: &Value) -> Vec<(f64, f64)> {
    let points = active(to_mib(series(report, "connections", "broker_rss_bytes")));
    if is_moving(&points.iter().map(|&(x, y)| (y, x)).collect::<Vec<_>>()) { points } else { Vec::new() }
}

/// The points, or none if every one is zero: nobody measured.
fn active(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.iter().all(|point| point.1 == 0.0) { Vec::new() } else { points }
}

fn is_moving(points: &[(f64, f64)]) -> bool {
    points.windows(2).any(|pair| pair[0].1 != pair[1].1)
}

fn to_mib(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().map(|(x, bytes)| (x, bytes / f64::from(1 << 20))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn titles(report: Value) -> Vec<&'static str> {
        plots(&[Entry { label: "a".to_owned(), report }]).iter().map(|plot| plot.title).collect()
    }

    #[test]
    fn a_run_has_the_plots_its_report_has_points_for() {
        assert!(titles(json!({})).is_empty());
        assert_eq!(titles(json!({ "latency_p50_us": 3.0, "latency_p99_us": 9.0 })), ["Latency by quantile"]);
        let point = |t: u32, connections: u32, rate: u32, rss: u32| json!({ "t_s": t, "connections": connections, "published_per_s": 0, "delivered_per_s": rate, "broker_rss_bytes": rss });
        let traffic = json!({ "series": [point(1, 9, 5, 0), point(2, 9, 6, 0)], "latency_cdf": [[0.5, 1.0], [1.0, 2.0]] });
        assert_eq!(titles(traffic), ["Latency by quantile", "Deliveries over time"]);
        let opening = json!({ "series": [point(1, 5, 0, 7), point(2, 9, 0, 9)] });
        assert_eq!(
            titles(opening),
            [
                "Memory of the broker over time",
                "Memory of the broker over connections",
                "Connections over time"
            ]
        );
    }

    #[test]
    fn the_whole_distribution_is_preferred_and_its_end_left_out() {
        let report =
            json!({ "latency_p50_us": 7.0, "latency_cdf": [[0.0, 1.0], [0.5, 2.0], [1.0, 3.0], ["x", 1]] });
        assert_eq!(latency(&report), [(0.0, 1.0), (0.5, 2.0)]);
    }
}
