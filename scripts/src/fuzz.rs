//! `cargo x fuzz`: every target of `core/fuzz` for a given time. It keeps the corpus it finds and never
//! changes the toolchain: the nightly flags that cargo-fuzz needs are unlocked by `RUSTC_BOOTSTRAP`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::{process, tree};

/// Runs all fuzz targets, or the one that is named.
pub fn run(mut arguments: Arguments) -> Result<()> {
    let seconds: u32 = arguments.number("seconds", 60)?;
    let only = arguments.text("target")?;
    arguments.finish()?;
    if !process::is_installed("cargo-fuzz") && !is_cargo_fuzz_known()? {
        process::run(&mut tree::cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    let mut targets = targets()?;
    targets.retain(|target| only.as_ref().is_none_or(|name| name == target));
    ensure!(!targets.is_empty(), "core/fuzz has no such target");
    for target in &targets {
        println!("\n=== fuzz {target} for {seconds} s");
        let time = format!("-max_total_time={seconds}");
        // A single input that needs longer than this is a finding of its own.
        let words = ["run", target, "--", &time, "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"];
        process::run(cargo_fuzz()?.args(words))
            .with_context(|| format!("fuzz target {target} found something"))?;
    }
    println!("\n{} targets, {seconds} s each, nothing found", targets.len());
    Ok(())
}

fn is_cargo_fuzz_known() -> Result<bool> {
    let finished =
        process::run_captured(&mut tree::cargo(&["fuzz", "--version"]), b"", Duration::from_secs(60))?;
    Ok(finished.is_success())
}

fn cargo_fuzz() -> Result<Command> {
    let mut command = tree::cargo(&["fuzz"]);
    command.current_dir(tree::root().join("core"));
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", tree::scratch("fuzz")?);
    Ok(command)
}

fn targets() -> Result<Vec<String>> {
    let finished = process::run_captured(cargo_fuzz()?.arg("list"), b"", Duration::from_secs(60))?;
    if !finished.is_success() {
        bail!("cargo fuzz list: {}", finished.to_reason());
    }
    Ok(finished.stdout.split_whitespace().map(str::to_owned).collect())
}
