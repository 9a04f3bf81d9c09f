//! What the runs have said: for each step and key all values of all rounds, and their medians. It computes no coefficient.

use crate::compare::median;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// One scenario that is run in every round.
#[derive(Debug, Clone)]
pub struct Step {
    /// What the coefficients call it.
    pub name: String,
    /// Subcommand and flags of this program.
    pub words: Vec<String>,
    /// The keys of its report that are kept.
    pub keys: &'static [&'static str],
}

impl Step {
    /// A step from a line as one would type it.
    pub fn new(name: impl Into<String>, line: &str, keys: &'static [&'static str]) -> Step {
        Step { name: name.into(), words: line.split_whitespace().map(str::to_owned).collect(), keys }
    }
}

/// The values of one key of one step.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The line that made them.
    pub line: String,
    /// One a round.
    pub values: Vec<f64>,
}

/// All values so far.
#[derive(Debug, Default)]
pub struct Samples {
    values: BTreeMap<(String, String), Sample>,
}

impl Samples {
    /// Keeps what a run of this step has reported.
    ///
    /// # Errors
    /// When the report lacks one of the step's keys.
    pub fn keep(&mut self, step: &Step, report: &Value) -> Result<()> {
        for key in step.keys {
            let value = report.get(key).and_then(Value::as_f64);
            let value = value.with_context(|| format!("`{}` did not report {key}", step.words.join(" ")))?;
            self.add(&step.name, key, &format!("ringmq-bench {}", step.words.join(" ")), value);
        }
        Ok(())
    }

    /// Keeps one value.
    pub fn add(&mut self, step: &str, key: &str, line: &str, value: f64) {
        let sample = self.values.entry((step.to_owned(), key.to_owned())).or_default();
        line.clone_into(&mut sample.line);
        sample.values.push(value);
    }

    /// The median of the values of all rounds.
    ///
    /// # Errors
    /// When there is none.
    pub fn median(&self, step: &str, key: &str) -> Result<f64> {
        let sample = self.values.get(&(step.to_owned(), key.to_owned()));
        sample
            .and_then(|sample| median(&sample.values))
            .with_context(|| format!("nothing measured {step} {key}"))
    }

    /// Step, key and values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Sample)> {
        self.values.iter().map(|((step, key), sample)| (step.as_str(), key.as_str(), sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn medians_are_over_rounds_and_a_missing_key_is_an_error() {
        let step = Step::new("a", "pairs --qos 1", &["x_us"]);
        let mut samples = Samples::default();
        for value in [3.0, 1.0, 2.0] {
            samples.keep(&step, &json!({ "x_us": value })).unwrap();
        }
        assert_eq!(samples.median("a", "x_us").unwrap(), 2.0);
        samples.add("a", "x_us", "again", 10.0);
        assert_eq!(samples.median("a", "x_us").unwrap(), 2.5);
        assert!(samples.median("a", "y_us").is_err() && samples.keep(&step, &json!({ "y_us": 1 })).is_err());
        assert_eq!(samples.iter().count(), 1);
    }
}
