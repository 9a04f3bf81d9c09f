//! The results of interop: what each client said about each case, and the table made of it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Result, bail};

use super::CASES;

/// How one case ended.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Passed,
    Skipped,
    Failed(String),
}

/// One client in one version against one broker.
pub struct Row {
    client: String,
    version: String,
    shards: String,
    took: Duration,
    outcomes: Vec<Outcome>,
}

impl Row {
    /// Reads the lines `ok CASE`, `skip CASE` and `fail CASE reason`; a case without a line has failed.
    pub fn from_lines(
        client: &str,
        version: &str,
        shards: &str,
        took: Duration,
        said: Result<String>,
    ) -> Self {
        let (lines, end) = match said {
            Ok(lines) => (lines, "the client ended before this case".to_owned()),
            Err(error) => (String::new(), format!("{error:#}")),
        };
        let outcomes = CASES.map(|case| outcome_of(case, &lines).unwrap_or(Outcome::Failed(end.clone())));
        Self {
            client: client.to_owned(),
            version: version.to_owned(),
            shards: shards.to_owned(),
            took,
            outcomes: outcomes.to_vec(),
        }
    }

    /// One line for while it runs.
    pub fn to_progress(&self) -> String {
        let failed = self.failures().count();
        let end = if failed == 0 { "ok".to_owned() } else { format!("{failed} FAILED") };
        let name = format!("{} {}", self.client, self.version);
        format!("{name:<24} {:>2} shards {:>6.1} s  {end}", self.shards, self.took.as_secs_f64())
    }

    fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        CASES.iter().zip(&self.outcomes).filter_map(|(case, outcome)| match outcome {
            Outcome::Failed(reason) => Some((*case, reason.as_str())),
            _ => None,
        })
    }
}

fn outcome_of(case: &str, lines: &str) -> Option<Outcome> {
    lines.lines().find_map(|line| {
        let mut words = line.splitn(3, ' ');
        let outcome = words.next()?;
        if words.next()? != case {
            return None;
        }
        match outcome {
            "ok" => Some(Outcome::Passed),
            "skip" => Some(Outcome::Skipped),
            "fail" => Some(Outcome::Failed(words.next().unwrap_or("no reason given").to_owned())),
            _ => None,
        }
    })
}

/// All rows.
#[derive(Default)]
pub struct Report {
    /// In the order they ran.
    pub rows: Vec<Row>,
}

impl Report {
    /// An error when any case failed.
    pub fn into_result(self) -> Result<()> {
        let failed: usize = self.rows.iter().map(|row| row.failures().count()).sum();
        if failed > 0 {
            bail!("{failed} interop cases failed");
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{:<18} {:<7} {:>6} {:>6}", "client", "version", "shards", "s")?;
        for case in CASES {
            write!(out, "  {case}")?;
        }
        writeln!(out)?;
        for row in &self.rows {
            let seconds = row.took.as_secs_f64();
            write!(out, "{:<18} {:<7} {:>6} {seconds:>6.1}", row.client, row.version, row.shards)?;
            for (case, outcome) in CASES.iter().zip(&row.outcomes) {
                let mark = match outcome {
                    Outcome::Passed => "ok",
                    Outcome::Skipped => "-",
                    Outcome::Failed(_) => "FAIL",
                };
                write!(out, "  {mark:<width$}", width = case.len())?;
            }
            writeln!(out)?;
        }
        for row in &self.rows {
            for (case, reason) in row.failures() {
                writeln!(out, "{} {} {} shards {case}: {reason}", row.client, row.version, row.shards)?;
            }
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            self.rows.iter().flat_map(|row| &row.outcomes).filter(|outcome| wanted(outcome)).count()
        };
        let passed = count(|outcome| *outcome == Outcome::Passed);
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        write!(out, "interop: {passed} cases passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_without_a_line_has_failed() {
        let lines = "noise\nok qos0\nskip properties\nfail will no message within 20 s\nok qos01";
        let row = Row::from_lines("c", "5.0", "1", Duration::ZERO, Ok(lines.to_owned()));
        assert_eq!(row.outcomes[0], Outcome::Passed);
        assert_eq!(row.outcomes[10], Outcome::Skipped);
        assert!(row.failures().any(|failure| failure == ("will", "no message within 20 s")));
        assert!(row.failures().any(|(case, _)| case == "qos1"));
        assert_eq!(row.failures().count(), CASES.len() - 2);
        assert!(Report { rows: vec![row] }.into_result().is_err());
    }

    #[test]
    fn all_cases_passed_is_a_pass() {
        let lines = CASES.map(|case| format!("ok {case}")).join("\n");
        let row = Row::from_lines("c", "5.0", "1", Duration::ZERO, Ok(lines));
        assert_eq!(row.failures().count(), 0);
        let report = Report { rows: vec![row] };
        assert!(report.to_string().ends_with("11 cases passed, 0 failed"));
        assert!(report.into_result().is_ok());
    }
}
