//! `cargo x test`: the one gate. Steps run in order and the first that fails ends it; nothing is retried and
//! nothing is skipped unless the caller names the steps to run.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::process::run as run_command;
use crate::{bench, host, interop, kill9, load, packages, tree};

/// A step: its name, what it proves, and the function that runs it.
type Step = (&'static str, &'static str, fn() -> Result<()>);

const STEPS: [Step; 10] = [
    ("fmt", "every file is formatted", fmt),
    ("clippy", "no lint fires", clippy),
    ("test", "unit, property, end-to-end, doc tests and tidy", tests),
    ("loom", "every interleaving of a lane's two ends", loom),
    ("build", "the release binaries", build),
    ("interop", "other people's clients against the release binary", interop_all),
    ("host", "scripts/host: the tuning script and the seccomp profile", host::run),
    ("load", "100 publishers to 100 subscribers, then idle connections, in short", load_short),
    (
        "million",
        "100,000 clients with private descriptor tables: held, told, gone",
        bench::million::run_small,
    ),
    ("kill9", "brokers killed 5 times under load keep what they acknowledged", kill9_short),
];

/// Steps that run only where the caller names them.
const NAMED_ONLY: &[&str] = &[];

/// Runs the gate, or only the steps that are named.
pub fn run(arguments: Arguments) -> Result<()> {
    let names = arguments.names()?;
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.0 != name.as_str())) {
        bail!("no step is called {unknown}; there are {}", STEPS.map(|step| step.0).join(", "));
    }
    let is_chosen = |name: &str| match names.as_slice() {
        [] => !NAMED_ONLY.contains(&name),
        names => names.iter().any(|chosen| chosen == name),
    };
    let chosen = STEPS.iter().filter(|step| is_chosen(step.0));
    let started = Instant::now();
    let mut passed: Vec<(&str, Duration)> = Vec::new();
    for (name, proves, step) in chosen {
        println!("\n=== {name}: {proves}");
        let begun = Instant::now();
        if let Err(error) = step() {
            print_table(&passed);
            println!("{name:<10} {:>7.1} s  FAILED", begun.elapsed().as_secs_f64());
            println!("{} passed, 1 failed", passed.len());
            return Err(error.context(format!("step {name} failed; alone: cargo x test {name}")));
        }
        passed.push((name, begun.elapsed()));
        println!("=== {name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    print_table(&passed);
    println!("{:<10} {:>7.1} s", "total", started.elapsed().as_secs_f64());
    println!("{} passed, 0 failed", passed.len());
    Ok(())
}

fn print_table(passed: &[(&str, Duration)]) {
    println!("\n{:<10} {:>9}", "step", "seconds");
    for (name, took) in passed {
        println!("{name:<10} {:>7.1} s  ok", took.as_secs_f64());
    }
}

fn fmt() -> Result<()> {
    run_command(&mut tree::cargo(&["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Result<()> {
    let words = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run_command(&mut tree::cargo(&words))
}

/// openssl makes the certificates of TLS tests; the servers are those that access control asks.
fn tests() -> Result<()> {
    packages::require(&[
        ("openssl", "openssl"),
        ("pg_ctlcluster", "postgresql"),
        ("mariadbd", "mariadb-server"),
        ("redis-server", "redis-server"),
        ("slapd", "slapd"),
    ])?;
    run_command(&mut tree::cargo(&["test", "--workspace"]))
}

/// Loom replaces the atomics of the lane, so the mesh is compiled apart from the ordinary build.
fn loom() -> Result<()> {
    let mut command = tree::cargo(&["test", "-p", "ringmq-mesh", "--lib"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", tree::target().join("loom"));
    run_command(&mut command)
}

/// Builds what interop and load start.
pub fn build() -> Result<()> {
    run_command(&mut tree::cargo(&["build", "--release", "-p", "ringmq", "-p", "ringmq-benches"]))
}

fn interop_all() -> Result<()> {
    interop::run(&interop::Options::default())
}

fn load_short() -> Result<()> {
    load::run(&load::Options::SHORT)
}

fn kill9_short() -> Result<()> {
    kill9::run(&kill9::Options::short())
}
