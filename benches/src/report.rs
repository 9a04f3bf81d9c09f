//! What a run has found, as a table for people or one JSON object for programs. Both hold the same values, except that
//! series, curves and facts about the host are for programs only.

use crate::args::TargetArguments;
use crate::observe::host;
use anyhow::Result;
use serde_json::{Map, Value};
use std::io::{Write, stdout};

/// The findings of one run, in the order they are printed.
#[derive(Debug)]
pub struct Report {
    rows: Vec<Row>,
    failures: Vec<String>,
}

#[derive(Debug)]
struct Row {
    /// Name with its unit last, the key in JSON.
    key: &'static str,
    value: Value,
    /// Left out of the table.
    is_detail: bool,
}

impl Report {
    fn new(scenario: &'static str) -> Report {
        let mut report = Report { rows: Vec::new(), failures: Vec::new() };
        report.add("scenario", scenario);
        report
    }

    /// The report of a run of this scenario against a broker, without findings.
    pub fn on(scenario: &'static str, target: &TargetArguments) -> Report {
        let mut report = Report::new(scenario);
        report.add("target", format!("{}:{}", target.host, target.port));
        report.add("mqtt", target.mqtt);
        report
    }

    /// Adds a value. Its unit is the last word of the key.
    pub fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        self.rows.push(Row { key, value: value.into(), is_detail: false });
    }

    /// Adds a value that is too long for a table.
    pub fn add_detail(&mut self, key: &'static str, value: impl Into<Value>) {
        self.rows.push(Row { key, value: value.into(), is_detail: true });
    }

    /// Adds a number with at most three digits behind the point.
    pub fn add_rounded(&mut self, key: &'static str, value: f64) {
        self.add(key, (value * 1000.0).round() / 1000.0);
    }

    /// Adds the first cause of a failure, if anything failed.
    pub fn add_first_failure(&mut self, cause: Option<String>) {
        if let Some(cause) = cause {
            self.add("first_failure", cause);
        }
    }

    /// Makes the run a failed one.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failures.push(why.into());
    }

    /// Makes the run a failed one if there are any of these.
    pub fn fail_on(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.fail(format!("{count} {what}"));
        }
    }

    /// Why the run is a failed one, and the first cause where something has one.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        let causes = self.rows.iter().filter(|row| row.key == "first_failure");
        let causes = causes.filter_map(|row| row.value.as_str());
        self.failures.iter().map(String::as_str).chain(causes)
    }

    /// Whether everything measured was also verified.
    pub fn is_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Writes the report to standard output.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, json: bool) -> Result<()> {
        let text = if json { self.to_json() } else { self.to_table() };
        stdout().lock().write_all(text.as_bytes())?;
        Ok(())
    }

    fn to_json(&self) -> String {
        let mut object: Map<String, Value> =
            self.rows.iter().map(|row| (row.key.to_owned(), row.value.clone())).collect();
        object.insert("command_line".to_owned(), host::command_line().into());
        object.insert("host".to_owned(), host::facts());
        object.insert("passed".to_owned(), self.is_passed().into());
        object.insert("failures".to_owned(), self.failures.clone().into());
        format!("{}\n", Value::Object(object))
    }

    fn to_table(&self) -> String {
        let rows = || self.rows.iter().filter(|row| !row.is_detail);
        let width = rows().map(|row| row.key.len()).max().unwrap_or(0);
        let mut table = String::new();
        for row in rows() {
            let value = match &row.value {
                Value::String(text) => text.clone(),
                Value::Number(number) => grouped(&number.to_string()),
                other => other.to_string(),
            };
            table.push_str(&format!("{:<width$}  {value:>14}\n", row.key.replace('_', " ")));
        }
        match self.failures.as_slice() {
            [] => table.push_str("passed\n"),
            failures => table.push_str(&format!("FAILED: {}\n", failures.join("; "))),
        }
        table
    }
}

/// Puts a comma between groups of three digits before the point.
pub fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut text = String::with_capacity(number.len() + 8);
    for (position, digit) in number.chars().enumerate() {
        if position > 0 && position < whole && (whole - position).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_json_say_the_same() {
        let mut report = Report::new("pairs");
        report.add("deliveries_per_s", 1_234_567);
        report.add_rounded("latency_p50_us", 12.345_67);
        report.add_detail("series", Value::Array(Vec::new()));
        assert!(report.is_passed());
        assert!(report.to_table().contains("deliveries per s       1,234,567\n"), "{}", report.to_table());
        assert!(report.to_table().ends_with("passed\n") && !report.to_table().contains("series"));
        report.fail_on(0, "lost");
        report.fail_on(2, "lost");
        let json: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["latency_p50_us"], 12.346);
        assert!(
            json["series"].is_array()
                && json["host"]["kernel"].is_string()
                && json["command_line"].is_string()
        );
        assert_eq!((json["passed"].as_bool(), json["failures"][0].as_str()), (Some(false), Some("2 lost")));
    }

    #[test]
    fn digits_are_grouped_before_the_point() {
        for (number, text) in
            [("0", "0"), ("999", "999"), ("1000", "1,000"), ("-100", "-100"), ("12345.6789", "12,345.6789")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
