//! The gate's step `host`: scripts/host, checked without changing this host. Its script runs against a made-up root and
//! in a network namespace, its seccomp profile around a broker.

mod fake_root;
mod namespace;
mod profile;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{packages, process, tree};

/// Programs the step needs, each with the Debian package that brings it.
const PROGRAMS: [(&str, &str); 4] = [
    ("shellcheck", "shellcheck"),
    ("python3", "python3"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
];
/// Limit of one run of the script or a tool; they take seconds on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// A named check.
type Case = (&'static str, fn() -> Result<()>);

const CASES: [Case; 10] = [
    ("shellcheck finds nothing", shellcheck),
    ("a wrong command line ends with 2 and says what is wrong", fake_root::refusals),
    ("check names what is missing and changes nothing", fake_root::check_and_print_change_nothing),
    ("apply makes check pass, twice is once, revert restores", fake_root::round_trip),
    ("a file that was there comes back with its mode", fake_root::own_file_returns),
    ("a smaller apply takes back what it does not ask for", fake_root::smaller_apply),
    ("a value that cannot be written is told, and no limit exceeds it", fake_root::unwritable),
    ("interrupts go onto shard cores or away from them", fake_root::interrupts),
    ("in a network namespace the kernel takes the values and gets them back", namespace::round_trip),
    ("a broker serves under the seccomp profile, and more is refused", profile::broker_serves),
];

/// Runs every case.
///
/// # Errors
/// A program is missing and cannot be installed, or a case failed.
pub fn run() -> Result<()> {
    packages::require(&PROGRAMS)?;
    for (name, case) in CASES {
        case().with_context(|| name.to_owned())?;
        println!("ok  {name}");
    }
    Ok(())
}

/// A file of scripts/host.
fn shipped(name: &str) -> PathBuf {
    tree::root().join("scripts/host").join(name)
}

fn shellcheck() -> Result<()> {
    let mut command = Command::new("shellcheck");
    // The directives that name sourced files count from the repository's root.
    command.args(["--external-sources", "--check-sourced", "scripts/host/tune.sh"]).current_dir(tree::root());
    let finished = process::run_captured(&mut command, b"", RUN_LIMIT)?;
    ensure!(finished.is_success(), "{}", finished.stdout);
    Ok(())
}

/// How a run of tune.sh ended.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Fails unless it ended with `code`.
    fn expect(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "code {:?}, not {code}\n{}{}", self.code, self.stdout, self.stderr);
        Ok(self)
    }

    /// The lines that begin with `word`.
    fn lines<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.stdout.lines().filter(move |line| line.starts_with(word))
    }
}

/// Runs tune.sh with these words.
fn tune<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(words: I) -> Result<Run> {
    let mut command = Command::new("bash");
    command.arg(shipped("tune.sh")).args(words);
    run_to_end(&mut command)
}

fn run_to_end(command: &mut Command) -> Result<Run> {
    let finished = process::run_captured(command, b"", RUN_LIMIT)?;
    let code = finished.status.and_then(|status| status.code());
    Ok(Run { code, stdout: finished.stdout, stderr: finished.stderr })
}
