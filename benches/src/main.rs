//! `ringmq-bench`: a load generator for any MQTT broker that verifies what it measures.
//!
//! This file reads the command line, runs one scenario and turns its outcome into an exit code. It never talks to a
//! broker itself.

mod args;
mod clock;
mod conn;
mod load;
mod net;
mod observe;
mod phase;
mod report;
mod scenarios;
mod storm;

use anyhow::{Context, Result};
use args::{Arguments, Command};
use clap::Parser;
use report::Report;
use scenarios::{offline, retain, traffic};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (outcome, json) = match &arguments.command {
        Command::Conn(conn) => (run(|| conn::run(conn)), conn.target.json),
        Command::Storm(storm) => (run(|| storm::run(storm)), storm.target.json),
        Command::Pairs(pairs) => (run(|| traffic::run("pairs", &pairs.to_plan())), pairs.traffic.target.json),
        Command::Fanout(fanout) => {
            (run(|| traffic::run("fanout", &fanout.to_plan())), fanout.traffic.target.json)
        }
        Command::Fanin(fanin) => (run(|| traffic::run("fanin", &fanin.to_plan())), fanin.traffic.target.json),
        Command::Wild(wild) => (run(|| traffic::run("wild", &wild.to_plan()?)), wild.traffic.target.json),
        Command::Retain(retain) => (run(|| retain::run(retain)), retain.stored.target.json),
        Command::Offline(offline) => (run(|| offline::run(offline)), offline.stored.target.json),
    };
    match outcome.and_then(|report| report.print(json).map(|()| report)) {
        Ok(report) if report.is_passed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ringmq-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Raises the descriptor limit first, because the soft limit is often 1,024.
fn run(scenario: impl FnOnce() -> Result<Report>) -> Result<Report> {
    net::syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
    scenario()
}
