//! `ringmq-bench compare`: starts several brokers in turn, runs the same scenarios against each in interleaved rounds,
//! and prints medians and ratios. Only one broker runs at a time; none survives.

mod broker;
mod recipe;
mod runs;
mod table;
mod watch;

use crate::args::CompareArguments;
use crate::live;
use crate::net::syscalls;
use crate::observe::host;
use anyhow::{Context, Result, ensure};
use broker::Installed;
use recipe::{BrokerEntry, Recipe, ScenarioEntry};
use runs::{Run, Runner};
use serde_json::{Value, json};
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::time::Duration;
use table::Comparison;
pub use table::{is_rate, median};
use watch::{Ended, Interrupt};

/// Compares as the command line asks and prints the outcome. Returns whether every run passed.
///
/// # Errors
/// When the recipe is wrong, no broker of it is installed, or somebody interrupts.
pub fn run(arguments: &CompareArguments, quiet: bool) -> Result<bool> {
    if arguments.print {
        stdout().lock().write_all(recipe::SHIPPED.as_bytes())?;
        return Ok(true);
    }
    let mut recipe = Recipe::read(arguments.recipe.as_deref())?;
    recipe.select(&arguments.only, &arguments.broker)?;
    recipe.rounds = arguments.rounds.unwrap_or(recipe.rounds);
    // Brokers inherit it.
    syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
    let (installed, missing) = find_brokers(&recipe.brokers);
    for line in &missing {
        eprintln!("ringmq-bench: {line}");
    }
    ensure!(!installed.is_empty(), "none of the brokers is installed");
    if let Some(folder) = &arguments.save {
        fs::create_dir_all(folder).with_context(|| format!("--save {}", folder.display()))?;
    }
    let interrupt = Interrupt::on_signals()?;
    let course =
        Course { runner: Runner::new(interrupt.clone())?, interrupt, installed, rounds: recipe.rounds };
    let mut out = stdout().lock();
    if !arguments.json {
        write!(out, "{}", course.to_heading())?;
    }
    let mut comparisons = Vec::new();
    let mut steps = live::Steps::new(
        recipe.scenarios.len() * course.installed.len() * recipe.rounds as usize,
        live::is_wanted(quiet, arguments.json),
    );
    for scenario in &recipe.scenarios {
        let comparison = course.run(scenario, arguments.save.as_deref(), &mut steps)?;
        if !arguments.json {
            write!(out, "\n{}", comparison.to_text())?;
            out.flush()?;
        }
        comparisons.push(comparison);
    }
    if arguments.json {
        writeln!(out, "{}", course.to_json(&comparisons, &missing))?;
    }
    Ok(comparisons.iter().all(Comparison::is_passed))
}

/// Those that are installed, and a line for each that is not.
fn find_brokers(entries: &[BrokerEntry]) -> (Vec<Installed>, Vec<String>) {
    let (mut installed, mut missing) = (Vec::new(), Vec::new());
    for entry in entries {
        match Installed::find(entry) {
            Some(found) => installed.push(found),
            None => {
                let program = entry.command.first().map_or("", String::as_str);
                let remedy =
                    if entry.remedy.is_empty() { "name its file in the recipe" } else { &entry.remedy };
                missing.push(format!("{} is left out: no program {program}; remedy: {remedy}", entry.name));
            }
        }
    }
    (installed, missing)
}

/// The brokers of a comparison and what runs scenarios against them.
#[derive(Debug)]
struct Course {
    runner: Runner,
    interrupt: Interrupt,
    installed: Vec<Installed>,
    rounds: u32,
}

impl Course {
    /// One scenario: rounds over all brokers, each started afresh, so that none inherits what another scenario left.
    fn run(
        &self,
        scenario: &ScenarioEntry,
        save: Option<&Path>,
        steps: &mut live::Steps,
    ) -> Result<Comparison> {
        let mut brokers: Vec<(String, Vec<Run>)> =
            self.installed.iter().map(|broker| (broker.name().to_owned(), Vec::new())).collect();
        for round in 1..=self.rounds {
            for (installed, (name, runs)) in self.installed.iter().zip(&mut brokers) {
                steps.step(&format!("{} · round {round} of {} · {name}", scenario.name, self.rounds));
                let run = self.run_once(scenario, installed, round)?;
                if let Some(folder) = save {
                    let file =
                        folder.join(format!("{}-{}-{round}.json", to_slug(&scenario.name), to_slug(name)));
                    fs::write(&file, format!("{}\n", run.report))
                        .with_context(|| file.display().to_string())?;
                }
                runs.push(run);
            }
        }
        steps.clear();
        let (keys, command) = (scenario.keys.clone(), scenario.command.clone());
        Ok(Comparison { scenario: scenario.name.clone(), command, keys, brokers })
    }

    /// Starts the broker, runs the scenario, ends the broker. Only an interrupt or a host that cannot start processes is
    /// an error; the rest belongs to the outcome.
    fn run_once(&self, scenario: &ScenarioEntry, installed: &Installed, round: u32) -> Result<Run> {
        let broker = match installed.start(&self.interrupt) {
            Ok(broker) => broker,
            Err(cause) if cause.is::<Ended>() => return Err(cause),
            Err(cause) => return Ok(Run::failed(round, format!("the broker did not start: {cause:#}"))),
        };
        let limit = Duration::from_secs(scenario.limit_s);
        let mut run = self.runner.run(&scenario.command, limit, &broker, round)?;
        run.failures.extend(broker.stop());
        if let Value::Object(report) = &mut run.report {
            report.insert("broker".to_owned(), installed.name().into());
            report.insert("compared_scenario".to_owned(), scenario.name.as_str().into());
            report.insert("round".to_owned(), round.into());
        }
        Ok(run)
    }

    fn to_heading(&self) -> String {
        let mut text = format!(
            "{} rounds, interleaved; each broker runs alone and is started afresh for every run.\n\
             Ratios are to the best other broker; values with ! are of runs that failed and never count as best.\n",
            self.rounds
        );
        for broker in &self.installed {
            let version = if broker.version.is_empty() { "version unknown" } else { &broker.version };
            text.push_str(&format!("  {:<12} {version} ({})\n", broker.name(), broker.program().display()));
        }
        text
    }

    fn to_json(&self, comparisons: &[Comparison], missing: &[String]) -> Value {
        let brokers = self.installed.iter().map(|broker| {
            json!({ "name": broker.name(), "version": broker.version, "program": broker.program().to_string_lossy() })
        });
        let runs = || comparisons.iter().flat_map(|compared| &compared.brokers).flat_map(|(_, runs)| runs);
        let host = runs().find_map(|run| run.report.get("host").cloned());
        let failed = runs().filter(|run| !run.is_passed()).count();
        let failures: Vec<String> =
            (failed > 0).then(|| format!("{failed} runs failed")).into_iter().collect();
        json!({
            "scenario": "compare",
            "command_line": host::command_line(),
            "host": host,
            "rounds": self.rounds,
            "brokers": brokers.collect::<Vec<_>>(),
            "left_out": missing,
            "scenarios": comparisons.iter().map(Comparison::to_json).collect::<Vec<_>>(),
            "passed": failures.is_empty(),
            "failures": failures,
        })
    }
}

/// A name as part of a file name.
fn to_slug(name: &str) -> String {
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { ' ' });
    letters.collect::<String>().split_ascii_whitespace().collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_file_names() {
        assert_eq!(to_slug("pairs, QoS 0, 16 B"), "pairs-qos-0-16-b");
        assert_eq!(to_slug("../x"), "x");
    }

    #[test]
    fn a_missing_broker_is_left_out_with_its_remedy() {
        let text = "[[broker]]\nname = \"a\"\ncommand = [\"no-such-broker\", \"{port}\"]\nremedy = \"install it\"\n\
                    [[scenario]]\nname = \"s\"\ncommand = [\"conn\"]\n";
        let (installed, missing) = find_brokers(&Recipe::parse(text).unwrap().brokers);
        assert!(installed.is_empty());
        assert_eq!(missing, ["a is left out: no program no-such-broker; remedy: install it"]);
    }
}
