//! The table of instructions per operation: its text, and its comparison with what was counted now. It reads no file and
//! runs nothing.

use std::fmt::Write as _;

use anyhow::{Context, Result};

/// An operation fails when it takes more than this many per cent above the table …
const CHANGE_PERCENT_MAX: f64 = 10.0;
/// … and more than this many instructions: one more in an operation of a few is no slowdown.
const CHANGE_INSTRUCTIONS_MAX: f64 = 5.0;

const HEADING: &str = "\
# Instructions per operation under callgrind, as of the last release: written by `cargo x bench instructions --update`,
# compared by `cargo x bench instructions`. Counts of other compilers, valgrinds and processors differ a little.
";

/// What decides about counts besides the code: the compiler, the counter, and the processor, for which the C library picks
/// its functions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// What `rustc --version` says.
    pub rustc: String,
    /// What `valgrind --version` says.
    pub valgrind: String,
    /// The processor's name.
    pub cpu: String,
}

/// Instructions per operation, in the order of the measurement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Where they were counted.
    pub host: Host,
    /// Name and instructions.
    pub counts: Vec<(String, f64)>,
}

impl Table {
    /// The text of the file, TOML.
    pub fn to_text(&self) -> String {
        let Host { rustc, valgrind, cpu } = &self.host;
        let mut text = format!(
            "{HEADING}rustc = \"{rustc}\"\nvalgrind = \"{valgrind}\"\ncpu = \"{cpu}\"\n\n[instructions]\n"
        );
        for (name, count) in &self.counts {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\"{name}\" = {count:.2}");
        }
        text
    }

    /// Reads what [`Table::to_text`] writes: comments, `key = value` lines, one section.
    ///
    /// # Errors
    /// Names the first line that is none of these.
    pub fn parse(text: &str) -> Result<Table> {
        let mut table = Table::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line == "[instructions]" {
                continue;
            }
            table.take(line).with_context(|| format!("line {number} cannot be read: {line}"))?;
        }
        Ok(table)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(" = ")?;
        let text = || Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned());
        match key {
            "rustc" => self.host.rustc = text()?,
            "valgrind" => self.host.valgrind = text()?,
            "cpu" => self.host.cpu = text()?,
            _ => {
                let name = key.strip_prefix('"')?.strip_suffix('"')?.to_owned();
                self.counts.push((name, value.parse().ok()?));
            }
        }
        Some(())
    }

    fn count(&self, name: &str) -> Option<f64> {
        self.counts.iter().find(|(known, _)| known == name).map(|(_, count)| *count)
    }
}

/// One operation, then and now; one of the two is `None` for an operation that is new or gone.
struct Line {
    name: String,
    table: Option<f64>,
    now: Option<f64>,
}

impl Line {
    fn change_percent(&self) -> Option<f64> {
        let (table, now) = (self.table?, self.now?);
        (table > 0.0).then(|| (now / table - 1.0) * 100.0)
    }

    fn is_failure(&self) -> bool {
        match (self.table, self.now) {
            (Some(table), Some(now)) => {
                let added = now - table;
                added > table * CHANGE_PERCENT_MAX / 100.0 && added > CHANGE_INSTRUCTIONS_MAX
            }
            // What is no longer measured could hide anything; what is new is in the next table.
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// The table beside what was counted now.
pub struct Comparison {
    lines: Vec<Line>,
    /// What differs between the two hosts, in words.
    warnings: Vec<String>,
}

impl Comparison {
    /// Compares the operations whose name contains `wanted`.
    pub fn new(table: &Table, counted: &Table, wanted: &str) -> Comparison {
        let of_now = |(name, now): &(String, f64)| Line {
            name: name.clone(),
            table: table.count(name),
            now: Some(*now),
        };
        let mut lines: Vec<Line> = counted.counts.iter().map(of_now).collect();
        let gone =
            table.counts.iter().filter(|(name, _)| name.contains(wanted) && counted.count(name).is_none());
        lines.extend(gone.map(|(name, count)| Line { name: name.clone(), table: Some(*count), now: None }));
        let pairs = [
            (&table.host.rustc, &counted.host.rustc),
            (&table.host.valgrind, &counted.host.valgrind),
            (&table.host.cpu, &counted.host.cpu),
        ];
        let warnings = pairs
            .into_iter()
            .filter(|(then, now)| then != now)
            .map(|(then, now)| {
                format!("the table was made with {then}, this run with {now}: counts may differ")
            })
            .collect();
        Comparison { lines, warnings }
    }

    /// The operations that take too many instructions, and those that are gone.
    pub fn failures(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| line.is_failure()).map(|line| line.name.as_str()).collect()
    }

    /// The table for a person, with the change of each operation in per cent.
    pub fn to_text(&self) -> String {
        let mut text =
            format!("\n{:<40} {:>10} {:>10} {:>9}\n", "instructions per operation", "table", "now", "change");
        let cell = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
        for line in &self.lines {
            let change = match (line.change_percent(), line.now) {
                (Some(percent), _) if percent.abs() < 0.05 => "=".to_owned(),
                (Some(percent), _) => format!("{percent:+.1} %"),
                (None, Some(_)) => "new".to_owned(),
                (None, None) => "gone".to_owned(),
            };
            let mark = if line.is_failure() { "  too many" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<40} {:>10} {:>10} {change:>9}{mark}",
                line.name,
                cell(line.table),
                cell(line.now)
            );
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(counts: &[(&str, f64)]) -> Table {
        let host = Host {
            rustc: "rustc 1.95.0 (abc 2026-04-14)".to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
            cpu: "A = B".to_owned(),
        };
        Table { host, counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = table(&[("decode/connect/5.0", 3476.0), ("match/1k/exact_hit", 536.75)]);
        assert_eq!(Table::parse(&written.to_text()).unwrap(), written);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for text in ["\"a\" = many", "a = 1.0", "rustc = 1.95", "nonsense"] {
            let error = Table::parse(&format!("# table\n{text}\n")).unwrap_err();
            assert!(error.to_string().starts_with("line 2 "), "{error}");
        }
    }

    #[test]
    fn only_more_than_a_tenth_and_a_few_instructions_fail() {
        let before =
            table(&[("same", 100.0), ("tenth", 100.0), ("more", 100.0), ("tiny", 10.0), ("less", 90.0)]);
        let now = table(&[("same", 100.0), ("tenth", 110.0), ("more", 110.5), ("tiny", 14.0), ("less", 9.0)]);
        assert_eq!(Comparison::new(&before, &now, "").failures(), ["more"]);
    }

    #[test]
    fn new_operations_pass_and_gone_ones_fail() {
        let before = table(&[("a/old", 5.0), ("b/kept", 5.0)]);
        let now = table(&[("b/kept", 5.0), ("b/new", 5.0)]);
        let whole = Comparison::new(&before, &now, "");
        assert_eq!(whole.failures(), ["a/old"]);
        assert!(whole.to_text().contains("new") && whole.to_text().contains("gone"));
        // What was not asked for is not missed.
        assert!(Comparison::new(&before, &now, "b/").failures().is_empty());
    }

    #[test]
    fn the_change_is_printed_in_per_cent_and_another_compiler_is_warned_about() {
        let before = table(&[("a", 200.0)]);
        let mut now = table(&[("a", 190.0)]);
        assert!(Comparison::new(&before, &now, "").to_text().contains("-5.0 %"));
        assert!(!Comparison::new(&before, &now, "").to_text().contains("warning"));
        now.host.rustc = "rustc 1.96.0".to_owned();
        assert!(Comparison::new(&before, &now, "").to_text().contains("this run with rustc 1.96.0"));
    }
}
