//! `cargo x bench instructions`: how many instructions each hot operation takes under callgrind, beside the table of the
//! last release in `benches/instructions.toml`. It measures no time, so it says the same on an idle and on a busy machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::instruction_table::{Comparison, Host, Table};
use crate::arguments::Arguments;
use crate::{packages, process, tree};

/// The table, relative to the repository's root.
const TABLE: &str = "benches/instructions.toml";
/// The function whose instructions count, as callgrind names it; it stands in `benches/benches/hot/counting.rs`.
const REGION: &str = "hot::counting::measured_region";
/// Limit of one operation under callgrind, which takes a second, or three where a large table is filled.
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// Limit of asking a program for its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);

/// Counts, compares and prints; or writes the table.
///
/// # Errors
/// Something cannot be built or run, or an operation takes more instructions than the table allows.
pub fn run(mut arguments: Arguments) -> Result<()> {
    let update = arguments.flag("update");
    let names = arguments.names()?;
    ensure!(names.len() <= 1, "one name, or a part of one, is all that can be asked for");
    let wanted = names.first().map_or("", String::as_str);
    ensure!(!update || wanted.is_empty(), "--update writes the whole table: leave {wanted} out");

    packages::install_program("valgrind", "valgrind")?;
    let binary = build()?;
    let counted = Table { host: host()?, counts: count(&binary, wanted)? };
    let path = tree::root().join(TABLE);
    if update {
        fs::write(&path, counted.to_text()).with_context(|| format!("writing {TABLE}"))?;
        println!("wrote {} operations to {TABLE}", counted.counts.len());
        return Ok(());
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("reading {TABLE}; cargo x bench instructions --update writes it"))?;
    let table = Table::parse(&text).with_context(|| TABLE.to_owned())?;
    report(&Comparison::new(&table, &counted, wanted))
}

fn report(comparison: &Comparison) -> Result<()> {
    print!("{}", comparison.to_text());
    let failures = comparison.failures();
    if !failures.is_empty() {
        bail!(
            "{} differ from {TABLE} by more than it allows: {}\nmake them cheaper, or accept them: \
             cargo x bench instructions --update",
            failures.len(),
            failures.join(", ")
        );
    }
    Ok(())
}

/// Builds the bench target `hot` and returns where cargo put it.
fn build() -> Result<PathBuf> {
    let words = ["bench", "-p", "ringmq-benches", "--bench", "hot", "--no-run", "--message-format=json"];
    let mut command = tree::cargo(&words);
    // Progress and errors go to the terminal; the messages are for us.
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start `{}`", process::to_line(&command)))?;
    ensure!(output.status.success(), "`{}` ended with {}", process::to_line(&command), output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    executable_of(&messages, "hot").context("cargo did not say where it put the bench target hot")
}

/// The executable of a bench target among cargo's messages, one JSON object a line.
fn executable_of(messages: &str, target: &str) -> Option<PathBuf> {
    const KEY: &str = "\"executable\":\"";
    let is_target = |line: &&str| {
        line.contains("\"kind\":[\"bench\"]") && line.contains(&format!("\"name\":\"{target}\""))
    };
    messages.lines().filter(is_target).find_map(|line| {
        let rest = &line[line.find(KEY)? + KEY.len()..];
        Some(PathBuf::from(&rest[..rest.find('"')?]))
    })
}

/// Counts the operations whose name contains `wanted`, in the order in which the binary has them, as many at a time as
/// there are cores: counts do not depend on who else runs.
fn count(binary: &Path, wanted: &str) -> Result<Vec<(String, f64)>> {
    let mut command = Command::new(binary);
    let finished = process::run_captured(command.arg("--list-counted"), b"", RUN_LIMIT)?;
    ensure!(finished.is_success(), "`{}`: {}", process::to_line(&command), finished.to_reason());
    let names: Vec<&str> = finished.stdout.lines().filter(|name| name.contains(wanted)).collect();
    ensure!(!names.is_empty(), "no operation's name contains {wanted}");
    let folder = tree::scratch("instructions")?;
    // Profiles of an earlier run would be taken for this one's.
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    let folder = tree::scratch("instructions")?;
    println!("counting the instructions of {} operations", names.len());

    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![None; names.len()]);
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(at) else { return Ok(()) };
            let counted = count_one(binary, name, &folder.join(at.to_string()))?;
            if let Ok(mut counts) = counts.lock() {
                counts[at] = Some(((*name).to_owned(), counted));
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let ended =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")));
        ended.collect::<Result<Vec<()>>>()
    })?;
    let counts = counts.into_inner().unwrap_or_default();
    counts.into_iter().collect::<Option<Vec<_>>>().context("an operation was not counted")
}

/// Instructions of one operation: the difference of its two runs, so that what surrounds the loop does not count.
fn count_one(binary: &Path, name: &str, profile: &Path) -> Result<f64> {
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
    command.args([format!("--toggle-collect={REGION}"), format!("--dump-after={REGION}")]);
    command.arg(binary).args(["--count", name]);
    let finished = process::run_captured(&mut command, b"", RUN_LIMIT)?;
    let line = process::to_line(&command);
    ensure!(finished.is_success(), "`{line}`: {}", finished.to_reason());
    let (few, many) =
        parse_runs(finished.stdout.trim()).with_context(|| format!("`{line}` names no runs"))?;
    // Each call of the region has left a numbered profile.
    let instructions = |number: u32| -> Result<u64> {
        let path = format!("{}.{number}", profile.display());
        let text = fs::read_to_string(&path)
            .with_context(|| format!("reading {path}; is the function still called {REGION}?"))?;
        parse_totals(&text).with_context(|| format!("no totals in {path}"))
    };
    let difference = instructions(2)?.saturating_sub(instructions(1)?);
    Ok(difference as f64 / (many - few) as f64)
}

/// The lengths of the two runs.
fn parse_runs(line: &str) -> Option<(u64, u64)> {
    let (few, many) = line.split_once('\t')?;
    let (few, many) = (few.parse().ok()?, many.parse().ok()?);
    (few < many).then_some((few, many))
}

/// The instructions of a profile.
fn parse_totals(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

/// What decides about counts besides the code.
fn host() -> Result<Host> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(Host {
        rustc: version(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())))?,
        valgrind: version(Command::new("valgrind"))?,
        cpu: model.trim_start_matches([' ', '\t', ':']).trim().to_owned(),
    })
}

fn version(mut command: Command) -> Result<String> {
    let finished = process::run_captured(command.arg("--version"), b"", VERSION_LIMIT)?;
    ensure!(finished.is_success(), "`{}`: {}", process::to_line(&command), finished.to_reason());
    Ok(finished.stdout.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_other_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"kind\":[\"lib\"],\"name\":\"hot\"},\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"kind\":[\"bench\"],\"name\":\"lanes\"},\"executable\":\"/t/lanes-1\"}\n",
            "{\"reason\":\"compiler-artifact\",\"target\":{\"kind\":[\"bench\"],\"name\":\"hot\"},\"executable\":\"/t/hot-2\",\"fresh\":true}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable_of(messages, "hot"), Some(PathBuf::from("/t/hot-2")));
        assert_eq!(executable_of(messages, "cold"), None);
    }

    #[test]
    fn runs_and_totals_are_read_and_nothing_else() {
        assert_eq!(parse_runs("64\t1088"), Some((64, 1088)));
        assert_eq!(parse_runs("64"), None);
        assert_eq!(parse_runs("64\t64"), None);
        assert_eq!(parse_totals("events: Ir\nfn=(1)\n1 2\n\ntotals: 12518\n"), Some(12518));
        assert_eq!(parse_totals("summary: 1\n"), None);
    }
}
