//! `cargo x <task>`: the one program that tends this repository. It only dispatches; each task is a module.
//! It never ships with the broker and never touches a process it did not start.
#![expect(clippy::print_stdout, reason = "a task talks to the person at the terminal")]

mod arguments;
mod bench;
mod broker;
mod fuzz;
mod host;
mod interop;
mod kill9;
mod load;
mod packages;
mod process;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::{Result, bail};
use arguments::Arguments;

const HELP: &str = "\
cargo x <task>

  test [STEP…]              the gate: fmt, clippy, test, loom, build, interop, host, load, million
                            (all, or those named)
  tidy                      the checkable part of the style guide, over every tracked .rs file
  interop [--broker A:P]    mosquitto clients, paho-mqtt, MQTT.js (in chromium too) and rumqttc against the release
          [--shards 1,4]    binary, with these shard counts, over TCP, TLS, WebSocket and behind haproxy
          [--client NAME]   only clients whose name contains NAME (--broker: one already running, over TCP only)
  fuzz [--seconds 60]       every fuzz target for that long (--target NAME: only that one)
  load [--seconds 30]       100 publishers to 100 subscribers at QoS 0, 1, 2, then idle connections
       [--connections 18000]
  kill9 [--kills 50]        the release binary, killed with SIGKILL at random moments under QoS 1 and 2 load
        [--seed N]          and restarted: nothing acknowledged lost, no QoS 2 message twice
        [--levels wal,fsync] [--shards 1,4] [--binary PATH] [--set KEY=VALUE]…
  bench instructions [NAME] instructions of the hot operations under callgrind, beside benches/instructions.toml
                 [--update] write that table instead
  bench million             a million clients in one broker process, and a table of what was asked for
        [--connections N] [--hold 600] [--shards N]";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut words: Vec<String>) -> Result<()> {
    if words.is_empty() {
        println!("{HELP}");
        return Ok(());
    }
    let task = words.remove(0);
    if task == "bench" {
        return bench::run(words);
    }
    let mut arguments = Arguments::new(words);
    match task.as_str() {
        "test" => test::run(arguments),
        "tidy" => {
            arguments.finish()?;
            tidy::run()
        }
        "interop" => interop::run(&interop::Options::from_arguments(&mut arguments)?),
        "fuzz" => fuzz::run(arguments),
        "load" => load::run(&load::Options::from_arguments(&mut arguments)?),
        "kill9" => kill9::run(&kill9::Options::from_arguments(&mut arguments)?),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("no task is called {other}\n\n{HELP}"),
    }
}
