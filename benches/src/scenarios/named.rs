//! Scenario files: a scenario's name and its options, turned into the command line that says the same. It never runs one.

use crate::args::{Arguments, NamedArguments};
use anyhow::{Context, Result, bail, ensure};
use clap::{ArgAction, Command, CommandFactory, Parser};
use std::fs;
use std::io::{Write, stdout};
use toml::{Table, Value};

/// The scenarios of the Open MQTT Benchmark Suite, by the names it gives them.
const SHIPPED: [(&str, &str); 8] = [
    ("conn-tcp-10K", include_str!("../../scenarios/conn-tcp-10K.toml")),
    ("p2p-1K", include_str!("../../scenarios/p2p-1K.toml")),
    ("fanout-1-1K", include_str!("../../scenarios/fanout-1-1K.toml")),
    ("sharedsub-1K-5", include_str!("../../scenarios/sharedsub-1K-5.toml")),
    ("conn-tcp-1M-5K", include_str!("../../scenarios/conn-tcp-1M-5K.toml")),
    ("p2p-50K", include_str!("../../scenarios/p2p-50K.toml")),
    ("fanout-5-1000-5-250K", include_str!("../../scenarios/fanout-5-1000-5-250K.toml")),
    ("sharedsub-50K-500", include_str!("../../scenarios/sharedsub-50K-500.toml")),
];

/// Prints the names of the shipped scenarios, each with the first line of its description.
///
/// # Errors
/// When standard output is closed.
pub fn list() -> Result<()> {
    let mut out = stdout().lock();
    for (name, text) in SHIPPED {
        let about = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
        writeln!(out, "{name:<22}  {about}")?;
    }
    Ok(())
}

/// The command line that a scenario file and the options beside it mean.
///
/// # Errors
/// When there is no such file, or it does not say which scenario it describes. Options that do not exist or have wrong
/// values end the process with a message, as on the command line.
pub fn resolve(arguments: &NamedArguments) -> Result<Arguments> {
    let words = words(arguments)?;
    Arguments::try_parse_from(&words).map_err(|error| {
        let text = error.render().to_string();
        let text = text.trim_start_matches("error: ").trim_end();
        anyhow::anyhow!("{}: {text}", arguments.name)
    })
}

fn words(arguments: &NamedArguments) -> Result<Vec<String>> {
    let name = &arguments.name;
    let text = match SHIPPED.iter().find(|(shipped, _)| shipped.eq_ignore_ascii_case(name)) {
        Some((_, text)) => (*text).to_owned(),
        None if name.ends_with(".toml") => fs::read_to_string(name).with_context(|| name.clone())?,
        None => {
            let known: Vec<&str> = SHIPPED.iter().map(|(shipped, _)| *shipped).collect();
            bail!("no scenario is called {name}; there are {}, and files FILE.toml", known.join(", "))
        }
    };
    let mut table: Table = text.parse().with_context(|| name.clone())?;
    let scenario = match table.remove("scenario") {
        Some(Value::String(scenario)) => scenario,
        _ => bail!("{name}: the key `scenario` names none, as in scenario = \"pairs\""),
    };
    ensure!(scenario != "run", "{name}: scenario = \"run\" would run a scenario file from a scenario file");
    let command = Arguments::command();
    let scenario_command = command.find_subcommand(&scenario);
    let scenario_command =
        scenario_command.with_context(|| format!("{name}: no scenario is called {scenario}"))?;
    let mut words = vec!["ringmq-bench".to_owned(), scenario];
    for (key, value) in &table {
        words.extend(option(scenario_command, key, value).with_context(|| name.clone())?);
    }
    words.extend(arguments.options.iter().cloned());
    Ok(words)
}

/// The words that give an option its value; a switch that is off is none.
fn option(command: &Command, key: &str, value: &Value) -> Result<Option<String>> {
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(key));
    let is_switch = argument.is_some_and(|argument| matches!(argument.get_action(), ArgAction::SetTrue));
    let text = match value {
        Value::Boolean(value) if is_switch => return Ok(value.then(|| format!("--{key}"))),
        Value::String(text) => text.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        other => bail!("{key}: {} is no value of an option", other.type_str()),
    };
    Ok(Some(format!("--{key}={text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command as Scenario;

    fn named(name: &str, options: &[&str]) -> NamedArguments {
        NamedArguments {
            name: name.to_owned(),
            options: options.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    #[test]
    fn every_shipped_scenario_is_one_that_can_be_run() {
        for (name, _) in SHIPPED {
            resolve(&named(name, &[])).unwrap();
        }
        list().unwrap();
    }

    #[test]
    fn options_win_over_the_file() {
        let arguments = resolve(&named("P2P-1k", &["--port", "1999", "--seconds=3", "--json"])).unwrap();
        let Scenario::Pairs(pairs) = arguments.command else { panic!("not pairs") };
        let plan = pairs.to_plan();
        assert_eq!(
            (pairs.traffic.target.port, pairs.traffic.seconds, pairs.traffic.target.json),
            (1999, 3.0, true)
        );
        assert_eq!(
            (plan.publishers, plan.subscribers, plan.rate_per_s, plan.qos as u8),
            (1000, 1000, 1000.0, 1)
        );
    }

    #[test]
    fn files_are_read_and_their_mistakes_named() {
        let folder = std::env::temp_dir().join(format!("ringmq-bench-named-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("mine.toml");
        let path = path.to_str().unwrap();
        for (text, problem) in [
            ("scenario = \"retain\"\nkeep = true\nmessages = 5\n", ""),
            ("messages = 5\n", "the key `scenario`"),
            ("scenario = \"run\"\n", "scenario file from a scenario file"),
            ("scenario = \"reatin\"\n", "no scenario is called reatin"),
            ("scenario = \"retain\"\nmesages = 5\n", "--messages"),
            ("scenario = \"retain\"\nmessages = -1\n", "messages"),
            ("scenario = \"retain\"\nmessages = []\n", "array is no value"),
        ] {
            fs::write(path, text).unwrap();
            match (resolve(&named(path, &[])), problem) {
                (Ok(_), "") => {}
                (Ok(found), _) => panic!("{text}: {found:?}"),
                (Err(error), _) => {
                    let error = format!("{error:#}");
                    assert!(!problem.is_empty() && error.contains(problem), "{text}: {error}");
                }
            }
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(resolve(&named("nothing", &[])).unwrap_err().to_string().contains("p2p-50K"));
    }
}
