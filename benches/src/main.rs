//! `ringmq-bench`: a load generator for any MQTT broker that verifies what it measures.
//!
//! This file reads the command line, runs one scenario and turns its outcome into an exit code. It never talks to a
//! broker itself.

mod args;
mod calibrate;
mod clock;
mod compare;
mod conn;
mod live;
mod load;
mod net;
mod observe;
mod page;
mod phase;
mod report;
mod scenarios;
mod storm;

use anyhow::{Context, Result};
use args::{Arguments, Command};
use clap::Parser;
use report::Report;
use scenarios::{named, offline, retain, traffic};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let quiet = arguments.quiet;
    live::begin(live::is_wanted(quiet, std::env::args_os().any(|word| word == "--json")));
    let mut command = arguments.command;
    if let Command::Run(arguments) = &command {
        if arguments.name == "list" {
            return end(named::list().map(|()| true));
        }
        match named::resolve(arguments) {
            Ok(resolved) => command = resolved.command,
            Err(error) => return end(Err(error)),
        }
    }
    let (outcome, json) = match &command {
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
        Command::Calibrate(calibrate) => return end(calibrate::run(calibrate).map(|()| true)),
        Command::Compare(compare) => return end(compare::run(compare, quiet)),
        Command::Report(report) => return end(page::run(report).map(|()| true)),
        Command::Run(_) => (Err(anyhow::anyhow!("a scenario file names no other")), false),
    };
    live::end();
    end(outcome.and_then(|report| report.print(json).map(|()| report.is_passed())))
}

/// The exit code of a run that passed, that did not, or that could not be made.
fn end(outcome: Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
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
