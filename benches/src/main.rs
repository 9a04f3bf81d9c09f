//! `ringmq-bench`: a load generator for any MQTT broker that verifies what it measures.
//!
//! This file reads the command line, runs one scenario and turns its outcome into an exit code. It never talks to a
//! broker itself.

mod args;
mod calibrate;
mod clock;
mod compare;
mod conn;
mod durable;
mod live;
mod load;
mod net;
mod observe;
mod page;
mod phase;
mod report;
mod scenarios;
mod storm;

use anyhow::Result;
use args::{Arguments, Command};
use clap::Parser;
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
        Command::Conn(conn) => (conn::run(conn), conn.target.json),
        Command::Storm(storm) => (storm::run(storm), storm.target.json),
        Command::Pairs(pairs) => (traffic::run("pairs", &pairs.to_plan()), pairs.traffic.target.json),
        Command::Fanout(fanout) => (traffic::run("fanout", &fanout.to_plan()), fanout.traffic.target.json),
        Command::Fanin(fanin) => (traffic::run("fanin", &fanin.to_plan()), fanin.traffic.target.json),
        Command::Wild(wild) => {
            (wild.to_plan().and_then(|plan| traffic::run("wild", &plan)), wild.traffic.target.json)
        }
        Command::Retain(retain) => (retain::run(retain), retain.stored.target.json),
        Command::Offline(offline) => (offline::run(offline), offline.stored.target.json),
        Command::Calibrate(calibrate) => return end(calibrate::run(calibrate).map(|()| true)),
        Command::Durable(durable) => return end(durable::run(durable)),
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
