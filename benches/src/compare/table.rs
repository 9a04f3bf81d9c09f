//! What the runs of one scenario say side by side: medians, their spread, and the ratio to the best other broker.
//! It never leaves out a failed run.

use super::runs::Run;
use crate::page::numbers;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is compared where a scenario names no keys, as far as its runs report it.
pub const DEFAULT_KEYS: [&str; 5] = [
    "broker_cpu_us_per_delivery",
    "delivered_per_s",
    "latency_p50_us",
    "latency_p99_us",
    "broker_rss_per_connection_bytes",
];

/// The runs of all brokers in one scenario.
#[derive(Debug)]
pub struct Comparison {
    /// The scenario's name.
    pub scenario: String,
    /// Subcommand and flags.
    pub command: Vec<String>,
    /// Keys the recipe names; may be empty.
    pub keys: Vec<String>,
    /// Each broker's name and runs, in the order of the recipe.
    pub brokers: Vec<(String, Vec<Run>)>,
}

/// One key of one broker over its rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figure {
    median: f64,
    min: f64,
    max: f64,
    /// Whether the values are of passed runs.
    is_verified: bool,
}

/// Whether more of it is better.
pub fn is_rate(key: &str) -> bool {
    key.ends_with("_per_s")
}

impl Comparison {
    /// Whether every run of every broker passed.
    pub fn is_passed(&self) -> bool {
        self.brokers.iter().flat_map(|(_, runs)| runs).all(Run::is_passed)
    }

    /// The table for people.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n  ringmq-bench {}\n", self.scenario, self.command.join(" "));
        for key in self.to_keys() {
            let figures = self.to_figures(&key);
            let better = if is_rate(&key) { "more is better" } else { "less is better" };
            text.push_str(&format!(
                "\n  {:<55} {:>12}   {:>21}   {:>7}\n",
                format!("{} ({better})", key.replace('_', " ")),
                "median",
                "lowest – highest",
                "ratio"
            ));
            for (index, (name, _)) in self.brokers.iter().enumerate() {
                let Some(figure) = figures[index] else {
                    text.push_str(&format!("    {name:<53} {:>12}\n", "none"));
                    continue;
                };
                let ratio = ratio(&figures, index, is_rate(&key));
                let ratio = ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
                let spread = format!("{} – {}", numbers::short(figure.min), numbers::short(figure.max));
                let median = numbers::short(figure.median) + if figure.is_verified { "" } else { " !" };
                text.push_str(&format!("    {name:<53} {median:>12}   {spread:>21}   {ratio:>7}\n"));
            }
        }
        for (name, runs) in &self.brokers {
            for line in to_failures(runs) {
                text.push_str(&format!("  FAILED {name}: {line}\n"));
            }
        }
        text
    }

    /// The same for programs, with every run.
    pub fn to_json(&self) -> Value {
        let keys = self.to_keys();
        let figures: BTreeMap<&str, Vec<Option<Figure>>> =
            keys.iter().map(|key| (key.as_str(), self.to_figures(key))).collect();
        let brokers = self.brokers.iter().enumerate().map(|(index, (name, runs))| {
            let mut values = Map::new();
            for (key, figures) in &figures {
                let Some(figure) = figures[index] else { continue };
                let ratio = ratio(figures, index, is_rate(key));
                values.insert(
                    (*key).to_owned(),
                    json!({ "median": figure.median, "lowest": figure.min, "highest": figure.max,
                            "ratio_to_best_other": ratio, "verified": figure.is_verified }),
                );
            }
            let failures: Vec<String> = to_failures(runs);
            let reports: Vec<&Value> = runs.iter().map(|run| &run.report).collect();
            json!({ "broker": name, "values": values, "failures": failures, "runs": reports })
        });
        json!({ "name": self.scenario, "command_line": self.command.join(" "), "keys": keys,
                "results": brokers.collect::<Vec<_>>() })
    }

    /// The keys the recipe names, or the usual ones some run reports.
    fn to_keys(&self) -> Vec<String> {
        if !self.keys.is_empty() {
            return self.keys.clone();
        }
        let runs = || self.brokers.iter().flat_map(|(_, runs)| runs);
        let is_reported = |key: &&&str| runs().any(|run| run.number(key).is_some());
        DEFAULT_KEYS.iter().filter(is_reported).map(|&key| key.to_owned()).collect()
    }

    fn to_figures(&self, key: &str) -> Vec<Option<Figure>> {
        self.brokers.iter().map(|(_, runs)| to_figure(runs, key)).collect()
    }
}

/// The figure of passed runs, or, where none passed, of those that failed.
fn to_figure(runs: &[Run], key: &str) -> Option<Figure> {
    let is_verified = runs.iter().any(Run::is_passed);
    let counted = runs.iter().filter(|run| run.is_passed() == is_verified);
    let mut values: Vec<f64> = counted.filter_map(|run| run.number(key)).collect();
    values.sort_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    Some(Figure { median: median(&values)?, min, max, is_verified })
}

/// The middle value, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0) }
}

/// This broker's median over the best verified median of the others; `None` without any, or with one of zero.
fn ratio(figures: &[Option<Figure>], index: usize, is_more_better: bool) -> Option<f64> {
    let own = figures[index]?;
    let others = figures.iter().enumerate().filter(|&(other, _)| other != index);
    let others = others.filter_map(|(_, figure)| *figure).filter(|figure| figure.is_verified);
    let medians = others.map(|figure| figure.median);
    let best = if is_more_better { medians.reduce(f64::max) } else { medians.reduce(f64::min) };
    best.filter(|&best| best > 0.0).map(|best| own.median / best)
}

/// One line for each kind of failure, with the rounds it happened in.
fn to_failures(runs: &[Run]) -> Vec<String> {
    runs.iter()
        .filter(|run| !run.is_passed())
        .map(|run| format!("round {}: {}", run.round, run.failures.join("; ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, value: f64) -> Run {
        let report = json!({ "delivered_per_s": value, "latency_p50_us": 1000.0 - value });
        Run { round, report, failures: Vec::new() }
    }

    fn comparison(brokers: Vec<(&str, Vec<Run>)>) -> Comparison {
        let brokers = brokers.into_iter().map(|(name, runs)| (name.to_owned(), runs)).collect();
        let command = vec!["pairs".to_owned()];
        Comparison { scenario: "s".to_owned(), command, keys: Vec::new(), brokers }
    }

    #[test]
    fn medians_spread_and_ratio_are_those_of_the_passed_runs() {
        let mut lost = run(3, 900.0);
        lost.failures.push("2 lost".to_owned());
        let compared = comparison(vec![
            ("a", vec![run(1, 100.0), run(2, 300.0), lost]),
            ("b", vec![run(1, 400.0), run(2, 500.0), run(3, 100.0)]),
        ]);
        assert!(!compared.is_passed());
        let json = compared.to_json();
        let (a, b) = (&json["results"][0]["values"], &json["results"][1]["values"]);
        assert_eq!(
            (a["delivered_per_s"]["median"].as_f64(), b["delivered_per_s"]["median"].as_f64()),
            (Some(200.0), Some(400.0))
        );
        assert_eq!(a["delivered_per_s"]["ratio_to_best_other"], 0.5);
        assert_eq!(
            (b["delivered_per_s"]["lowest"].as_f64(), b["delivered_per_s"]["highest"].as_f64()),
            (Some(100.0), Some(500.0))
        );
        assert_eq!(b["latency_p50_us"]["ratio_to_best_other"], 0.75);
        assert_eq!(json["results"][0]["failures"][0], "round 3: 2 lost");
        assert_eq!(json["keys"], json!(["delivered_per_s", "latency_p50_us"]));
        let text = compared.to_text();
        assert!(text.contains("FAILED a: round 3: 2 lost") && text.contains("0.50"), "{text}");
    }

    #[test]
    fn a_broker_whose_runs_all_failed_is_shown_and_never_the_best() {
        let mut failed = run(1, 999.0);
        failed.failures.push("2 lost".to_owned());
        let compared = comparison(vec![
            ("a", vec![failed]),
            ("b", vec![Run::failed(1, "did not start")]),
            ("c", vec![run(1, 10.0)]),
        ]);
        let json = compared.to_json();
        assert_eq!(json["results"][0]["values"]["delivered_per_s"]["verified"], false);
        assert!(json["results"][2]["values"]["delivered_per_s"]["ratio_to_best_other"].is_null());
        let text = compared.to_text();
        assert!(text.contains("999 !") && text.contains("none") && text.contains("did not start"), "{text}");
    }
}
