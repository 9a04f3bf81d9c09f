//! One run of one scenario against one broker: this executable started again with `--json`. It never measures by itself.

use super::broker::Broker;
use super::watch::{self, Ended, Interrupt};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which round, from 1.
    pub round: u32,
    /// The JSON the run printed; null when it printed none.
    pub report: Value,
    /// Why it does not count; empty when it passed.
    pub failures: Vec<String>,
}

impl Run {
    /// A run that could not be made.
    pub fn failed(round: u32, why: impl Into<String>) -> Run {
        Run { round, report: Value::Null, failures: vec![why.into()] }
    }

    /// Whether the run was made and verified.
    pub fn is_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// A number of its report.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.report.get(key)?.as_f64()
    }
}

/// Starts runs.
#[derive(Debug)]
pub struct Runner {
    executable: PathBuf,
    interrupt: Interrupt,
}

impl Runner {
    /// Runs scenarios with this process's own executable.
    ///
    /// # Errors
    /// When the executable cannot be found any more.
    pub fn new(interrupt: Interrupt) -> Result<Runner> {
        let executable = std::env::current_exe().context("finding this executable")?;
        Ok(Runner { executable, interrupt })
    }

    /// Runs the command against the broker.
    ///
    /// # Errors
    /// When this process is interrupted, or no child can be started at all. What goes wrong in the run is in its failures.
    pub fn run(&self, command: &[String], limit: Duration, broker: &Broker, round: u32) -> Result<Run> {
        let (output, messages) = (broker.folder().join("run.json"), broker.folder().join("run.log"));
        let mut child = Command::new(&self.executable)
            .args(command)
            .args(["--host", "127.0.0.1", "--port", &broker.port().to_string()])
            .args(["--pid", &broker.pid().to_string(), "--json"])
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&messages)?)
            .spawn()
            .with_context(|| format!("starting {}", self.executable.display()))?;
        let code = match watch::wait(&mut child, limit, &self.interrupt) {
            Ok(status) => status.code(),
            Err(Ended::Interrupted) => bail!(Ended::Interrupted),
            Err(Ended::Late) => return Ok(Run::failed(round, format!("killed after {limit:?}"))),
        };
        let report = fs::read(&output).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let said = fs::read(&messages).unwrap_or_default();
        Ok(judge(round, code, report.unwrap_or(Value::Null), &String::from_utf8_lossy(&said)))
    }
}

/// Turns exit code, report and messages of a run into its outcome.
fn judge(round: u32, code: Option<i32>, report: Value, said: &str) -> Run {
    let mut failures: Vec<String> = report["failures"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if code == Some(0) && report.is_object() {
        return Run { round, report, failures };
    }
    if failures.is_empty() {
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
        let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        failures.push(format!("{code}: {last}"));
    }
    Run { round, report, failures }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_report_with_exit_code_0_passes() {
        let passed = json!({ "delivered_per_s": 5, "failures": [] });
        assert!(judge(1, Some(0), passed.clone(), "").is_passed());
        let lost = judge(1, Some(1), json!({ "lost": 2, "failures": ["2 lost"] }), "");
        assert_eq!((lost.failures, lost.report["lost"].as_u64()), (vec!["2 lost".to_owned()], Some(2)));
        let refused = judge(1, Some(2), Value::Null, "a\nringmq-bench: refused\n\n");
        assert_eq!(refused.failures, ["exit code 2: ringmq-bench: refused"]);
        assert!(!judge(1, Some(0), Value::Null, "").is_passed());
        assert_eq!(judge(1, None, passed, "").failures, ["a signal: it said nothing"]);
    }
}
