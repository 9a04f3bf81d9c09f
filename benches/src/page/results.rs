//! Results read from files and sorted into groups that can be drawn together: runs of one scenario, side by side.
//! It never judges them.

use crate::compare::is_rate;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs of one scenario.
#[derive(Debug)]
pub struct Group {
    /// The scenario.
    pub title: String,
    /// Its runs; the first is what the others are compared to.
    pub runs: Vec<Entry>,
    /// The scenario's object in the JSON of `compare`; null for single runs.
    pub comparison: Value,
}

/// One run.
#[derive(Debug)]
pub struct Entry {
    /// What it is called on the page; unique in its group.
    pub label: String,
    /// The JSON the run printed.
    pub report: Value,
}

/// Reads all files.
///
/// # Errors
/// When one cannot be read or is no result of `ringmq-bench`.
pub fn read(files: &[PathBuf]) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        add(&mut groups, &text, file).with_context(|| file.display().to_string())?;
    }
    for group in &mut groups {
        make_labels_unique(&mut group.runs);
    }
    ensure!(!groups.is_empty(), "the results contain no run");
    Ok(groups)
}

/// Adds one file.
fn add(groups: &mut Vec<Group>, text: &str, file: &Path) -> Result<()> {
    let result: Value = serde_json::from_str(text).context("it is not one JSON object")?;
    let Some(scenario) = result["scenario"].as_str() else {
        bail!("it has no scenario, so it was not written by ringmq-bench --json");
    };
    if scenario == "compare" {
        for scenario in list(&result["scenarios"]) {
            groups.push(to_group(scenario));
        }
        return Ok(());
    }
    let title = result["compared_scenario"].as_str().unwrap_or(scenario).to_owned();
    let stem = file.file_stem().map_or("run".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let label = match (result["broker"].as_str(), result["round"].as_u64()) {
        (Some(broker), Some(round)) => format!("{broker}, round {round}"),
        _ => stem,
    };
    let entry = Entry { label, report: result };
    match groups.iter_mut().find(|group| group.title == title && group.comparison.is_null()) {
        Some(group) => group.runs.push(entry),
        None => groups.push(Group { title, runs: vec![entry], comparison: Value::Null }),
    }
    Ok(())
}

/// A scenario of a comparison: of each broker the run in the middle.
fn to_group(scenario: &Value) -> Group {
    let key = scenario["keys"][0].as_str().unwrap_or_default();
    let runs = list(&scenario["results"]).iter().filter_map(|result| {
        let label = result["broker"].as_str()?.to_owned();
        Some(Entry { label, report: middle_run(result["runs"].as_array()?, key)?.clone() })
    });
    Group {
        title: scenario["name"].as_str().unwrap_or("scenario").to_owned(),
        runs: runs.collect(),
        comparison: scenario.clone(),
    }
}

/// The run whose value is the median, among those that passed if any did; of two in the middle the worse.
fn middle_run<'a>(runs: &'a [Value], key: &str) -> Option<&'a Value> {
    let has_passed = runs.iter().any(|run| run["passed"] == true);
    let counted = runs.iter().filter(|run| run.is_object() && (run["passed"] == true) == has_passed);
    let mut sorted: Vec<&Value> = counted.collect();
    sorted.sort_by(|a, b| {
        let order = a[key].as_f64().unwrap_or(0.0).total_cmp(&b[key].as_f64().unwrap_or(0.0));
        if is_rate(key) { order.reverse() } else { order }
    });
    sorted.get(sorted.len() / 2).copied()
}

/// The elements of an array, none of what is not one.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

fn make_labels_unique(runs: &mut [Entry]) {
    let mut taken = BTreeSet::new();
    for run in runs {
        let mut number = 1;
        let plain = run.label.clone();
        while !taken.insert(run.label.clone()) {
            number += 1;
            run.label = format!("{plain} ({number})");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn groups(results: &[(&str, Value)]) -> Vec<Group> {
        let mut groups = Vec::new();
        for (file, result) in results {
            add(&mut groups, &result.to_string(), Path::new(file)).unwrap();
        }
        for group in &mut groups {
            make_labels_unique(&mut group.runs);
        }
        groups
    }

    #[test]
    fn single_runs_are_grouped_by_scenario_and_named_after_their_files() {
        let groups = groups(&[
            ("x/a.json", json!({ "scenario": "pairs" })),
            ("y/a.json", json!({ "scenario": "pairs" })),
            ("b.json", json!({ "scenario": "conn" })),
            ("c.json", json!({ "scenario": "conn", "broker": "b", "round": 2 })),
        ]);
        let labels = |group: &Group| group.runs.iter().map(|run| run.label.clone()).collect::<Vec<_>>();
        assert_eq!(groups.iter().map(labels).collect::<Vec<_>>(), [["a", "a (2)"], ["b", "b, round 2"]]);
    }

    #[test]
    fn of_a_comparison_the_middle_passed_run_of_each_broker_is_drawn() {
        let run = |rate, passed| json!({ "delivered_per_s": rate, "passed": passed });
        let runs = json!([run(5, true), run(1, true), run(9, true), run(100, false), null]);
        let result = json!({ "scenario": "compare", "scenarios": [
            { "name": "s", "keys": ["delivered_per_s"], "results": [{ "broker": "a", "runs": runs }] } ] });
        let groups = groups(&[("a.json", result)]);
        assert_eq!((groups[0].title.as_str(), groups[0].runs[0].label.as_str()), ("s", "a"));
        assert_eq!(groups[0].runs[0].report["delivered_per_s"], 5);
    }

    #[test]
    fn what_is_no_result_is_refused() {
        for text in ["", "[]", "{}", "{\"scenario\": 1}"] {
            assert!(add(&mut Vec::new(), text, Path::new("a.json")).is_err(), "{text}");
        }
    }
}
