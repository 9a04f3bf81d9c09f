//! The recipe of a comparison: which brokers, how each is started, and which scenarios. It only says what a file means;
//! it never starts anything.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The recipe that is used when none is named.
pub const SHIPPED: &str = include_str!("../../compare/default.toml");

/// Subcommands that start brokers or files of their own and so are no scenario of a comparison.
const NOT_SCENARIOS: [&str; 3] = ["compare", "report", "calibrate"];
/// Flags `compare` gives to every run itself.
const OWN_FLAGS: [&str; 4] = ["--host", "--port", "--pid", "--json"];

/// A comparison.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Rounds, unless the command line says otherwise.
    #[serde(default = "three")]
    pub rounds: u32,
    /// What is compared.
    #[serde(default, rename = "broker")]
    pub brokers: Vec<BrokerEntry>,
    /// What it is compared in.
    #[serde(default, rename = "scenario")]
    pub scenarios: Vec<ScenarioEntry>,
}

/// One broker and how to start it. In `command`, `env` and `files`, `{port}` stands for a free port of 127.0.0.1 and
/// `{dir}` for a folder that exists as long as the broker runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerEntry {
    /// Its name in the tables.
    pub name: String,
    /// Program and arguments. A program without slash is looked for beside this executable, on the search path, and
    /// where Debian and cargo put programs.
    pub command: Vec<String>,
    /// Environment variables added to those of this process.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files written into `{dir}` before the start: name and text.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Arguments with which the program prints its version; none where it has no such arguments.
    #[serde(default)]
    pub version: Vec<String>,
    /// How to get it where it is not installed.
    #[serde(default)]
    pub remedy: String,
}

/// One scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioEntry {
    /// Its name in the tables.
    pub name: String,
    /// Subcommand and flags of `ringmq-bench`, without those that name the broker.
    pub command: Vec<String>,
    /// The values compared; else those in [`crate::compare::table::DEFAULT_KEYS`] that its runs report.
    #[serde(default)]
    pub keys: Vec<String>,
    /// A run that takes longer than this is killed and counts as failed.
    #[serde(default = "five_minutes")]
    pub limit_s: u64,
}

fn three() -> u32 {
    3
}

fn five_minutes() -> u64 {
    300
}

impl Recipe {
    /// Reads the file, or the shipped recipe without one.
    ///
    /// # Errors
    /// When the file cannot be read or says what makes no sense.
    pub fn read(path: Option<&Path>) -> Result<Recipe> {
        let Some(path) = path else {
            return Recipe::parse(SHIPPED).context("the shipped recipe");
        };
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Recipe::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads the text of a recipe.
    ///
    /// # Errors
    /// When it says what makes no sense.
    pub fn parse(text: &str) -> Result<Recipe> {
        let recipe: Recipe = toml::from_str(text)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Keeps the scenarios whose name contains one of these texts, and the brokers of these names; all where the list
    /// is empty.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn select(&mut self, scenarios: &[String], brokers: &[String]) -> Result<()> {
        let names = |all: Vec<&str>| all.join("; ");
        let known = names(self.scenarios.iter().map(|scenario| scenario.name.as_str()).collect());
        self.scenarios.retain(|scenario| {
            scenarios.is_empty() || scenarios.iter().any(|part| scenario.name.contains(part))
        });
        ensure!(!self.scenarios.is_empty(), "--only matches none of: {known}");
        for name in brokers {
            let known = names(self.brokers.iter().map(|broker| broker.name.as_str()).collect());
            let is_known = self.brokers.iter().any(|broker| broker.name == *name);
            ensure!(is_known, "--broker {name} is none of: {known}");
        }
        self.brokers.retain(|broker| brokers.is_empty() || brokers.contains(&broker.name));
        Ok(())
    }

    fn check(&self) -> Result<()> {
        ensure!((1..=1_000).contains(&self.rounds), "rounds = {}: from 1 to 1000", self.rounds);
        ensure!(!self.brokers.is_empty(), "no [[broker]]");
        ensure!(!self.scenarios.is_empty(), "no [[scenario]]");
        let mut names = BTreeSet::new();
        for broker in &self.brokers {
            ensure!(names.insert(&broker.name), "two brokers are called {:?}", broker.name);
            broker.check().with_context(|| format!("broker {:?}", broker.name))?;
        }
        names.clear();
        for scenario in &self.scenarios {
            ensure!(names.insert(&scenario.name), "two scenarios are called {:?}", scenario.name);
            scenario.check().with_context(|| format!("scenario {:?}", scenario.name))?;
        }
        Ok(())
    }
}

impl BrokerEntry {
    fn check(&self) -> Result<()> {
        ensure!(!self.name.is_empty(), "name is empty");
        ensure!(self.command.first().is_some_and(|program| !program.is_empty()), "command names no program");
        let texts = self.command.iter().chain(self.env.values()).chain(self.files.values());
        ensure!(
            texts.into_iter().any(|text| text.contains("{port}")),
            "{{port}} stands neither in command nor in env or files, so the broker cannot be reached"
        );
        for file in self.files.keys() {
            let is_plain = !file.is_empty() && !file.contains('/') && !file.starts_with('.');
            ensure!(is_plain, "files: {file:?} must be a plain file name");
        }
        Ok(())
    }
}

impl ScenarioEntry {
    fn check(&self) -> Result<()> {
        let Some(subcommand) = self.command.first() else { bail!("command is empty") };
        ensure!(!subcommand.starts_with('-'), "command must begin with a subcommand, not with {subcommand}");
        ensure!(!NOT_SCENARIOS.contains(&subcommand.as_str()), "{subcommand} cannot be compared");
        for flag in &self.command {
            let name = flag.split('=').next().unwrap_or_default();
            ensure!(!OWN_FLAGS.contains(&name), "{name} is set by compare itself");
        }
        ensure!((1..=86_400).contains(&self.limit_s), "limit_s = {}: from 1 to 86400", self.limit_s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: &str = "[[broker]]\nname = \"a\"\ncommand = [\"a\", \"{port}\"]\n";
    const SCENARIO: &str = "[[scenario]]\nname = \"s\"\ncommand = [\"pairs\"]\n";

    #[test]
    fn the_shipped_recipe_is_valid() {
        let recipe = Recipe::parse(SHIPPED).unwrap();
        assert_eq!(recipe.brokers.len(), 3);
        assert!(recipe.brokers.iter().all(|broker| !broker.remedy.is_empty()));
    }

    #[test]
    fn wrong_recipes_are_refused_with_the_reason() {
        let cases = [
            (SCENARIO.to_owned(), "no [[broker]]"),
            (BROKER.to_owned(), "no [[scenario]]"),
            (format!("{BROKER}{BROKER}{SCENARIO}"), "two brokers are called"),
            (format!("{BROKER}{SCENARIO}{SCENARIO}"), "two scenarios are called"),
            (format!("rounds = 0\n{BROKER}{SCENARIO}"), "from 1 to 1000"),
            (format!("{BROKER}port = 1\n{SCENARIO}"), "unknown field `port`"),
            (format!("{}{SCENARIO}", BROKER.replace("{port}", "1883")), "{port} stands neither"),
            (format!("{BROKER}files = {{ \"../x\" = \"\" }}\n{SCENARIO}"), "plain file name"),
            (format!("{BROKER}{}", SCENARIO.replace("pairs", "report")), "report cannot be compared"),
            (format!("{BROKER}{}", SCENARIO.replace("\"pairs\"", "\"pairs\", \"--pid=1\"")), "--pid is set"),
            (format!("{BROKER}{SCENARIO}limit_s = 0\n"), "limit_s = 0"),
        ];
        for (text, reason) in cases {
            let error = format!("{:#}", Recipe::parse(&text).unwrap_err());
            assert!(error.contains(reason), "{error} in place of {reason}");
        }
    }

    #[test]
    fn a_selection_keeps_what_it_names_and_refuses_what_is_unknown() {
        let mut recipe = Recipe::parse(SHIPPED).unwrap();
        recipe.select(&["fan-out".to_owned()], &["mosquitto".to_owned()]).unwrap();
        assert!(recipe.scenarios.iter().all(|scenario| scenario.name.contains("fan-out")));
        assert_eq!(recipe.brokers.len(), 1);
        assert!(recipe.clone().select(&["none".to_owned()], &[]).is_err());
        assert!(recipe.select(&[], &["none".to_owned()]).is_err());
    }
}
