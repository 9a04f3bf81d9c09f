//! `ringmq-bench calibrate`: measures what things take and cost on this host and writes the coefficients of `ringmq capacity`.
//! It starts the broker itself and runs this program's own scenarios against it, one after the other.

mod broker;
mod file;
mod fit;
mod samples;
mod steps;

use crate::args::CalibrateArguments;
use crate::net::syscalls;
use anyhow::{Context, Result, ensure};
pub use broker::Broker;
use file::Making;
use samples::{Samples, Step};
use serde_json::Value;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use steps::Extent;

/// A broker without clients is left alone this long before its memory is read.
const SETTLING: Duration = Duration::from_millis(500);

/// Measures everything and writes the file.
///
/// # Errors
/// When the broker cannot be started, or a scenario against it fails.
pub fn run(arguments: &CalibrateArguments) -> Result<()> {
    syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
    let extent = if arguments.quick { Extent::QUICK } else { Extent::FULL };
    let version = version_of(&arguments.broker)?;
    let mut course = Course { arguments, extent, samples: Samples::default(), told: 0 };
    course.starts()?;
    course.traffic()?;
    course.fresh()?;
    course.sessions()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let making = Making {
        measured_on: file::day_of(now),
        version,
        shards: arguments.shards,
        extent: &course.extent,
        samples: &course.samples,
    };
    let text = making.to_text()?;
    match &arguments.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display())),
        None => Ok(stdout().lock().write_all(text.as_bytes())?),
    }
}

/// One calibration.
#[derive(Debug)]
struct Course<'a> {
    arguments: &'a CalibrateArguments,
    extent: Extent,
    samples: Samples,
    told: u32,
}

impl Course<'_> {
    fn broker(&self, shards: u32) -> Result<Broker> {
        Broker::start(&self.arguments.broker, shards)
    }

    /// The process before its first client, with several numbers of shards.
    fn starts(&mut self) -> Result<()> {
        for shards in fit::START_SHARDS {
            let broker = self.broker(shards)?;
            thread::sleep(SETTLING);
            let line = format!("ringmq serve --set node.shards={shards}");
            let rss_bytes = broker.rss_bytes()? as f64;
            self.samples.add(&format!("start_shards{shards}"), "broker_rss_bytes", &line, rss_bytes);
        }
        Ok(())
    }

    /// Rounds of everything with continuous traffic, against one broker.
    fn traffic(&mut self) -> Result<()> {
        let broker = self.broker(self.arguments.shards)?;
        thread::sleep(SETTLING);
        let start_bytes = broker.rss_bytes()?;
        for round in 0..self.extent.rounds {
            for step in self.extent.warm() {
                self.measure(&broker, &step)?;
            }
            if round == 0 {
                let grown_bytes = broker.rss_bytes()?.saturating_sub(start_bytes) as f64;
                let line = "the first round of pairs and fanout with window 1 and 32, QoS 0 to 2";
                self.samples.add("warm", "broker_rss_grown_bytes", line, grown_bytes);
            }
            for step in self.extent.wide() {
                self.measure(&broker, &step)?;
            }
        }
        Ok(())
    }

    /// What needs a broker nobody has used.
    fn fresh(&mut self) -> Result<()> {
        for _ in 0..self.extent.memory_rounds {
            for step in self.extent.fresh() {
                let broker = self.broker(self.arguments.shards)?;
                thread::sleep(SETTLING);
                self.measure(&broker, &step)?;
            }
        }
        Ok(())
    }

    /// Sessions whose clients have left, wave after wave.
    fn sessions(&mut self) -> Result<()> {
        let broker = self.broker(self.arguments.shards)?;
        for number in 0..self.extent.waves {
            self.measure(&broker, &self.extent.wave(number))?;
        }
        Ok(())
    }

    /// Runs one step as a process of its own and keeps what it reports.
    fn measure(&mut self, broker: &Broker, step: &Step) -> Result<()> {
        self.told += 1;
        eprintln!("{:>4}  {}", self.told, step.words.join(" "));
        let executable = std::env::current_exe().context("finding this executable")?;
        let mut command = Command::new(executable);
        command.args(&step.words).arg("--json");
        command.args(["--host", "127.0.0.1", "--port", &broker.port().to_string()]);
        command.args(["--pid", &broker.pid().to_string()]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        // Every scenario bounds its own time.
        let output = command.output().context("starting a scenario")?;
        let line = step.words.join(" ");
        let report: Value =
            serde_json::from_slice(&output.stdout).with_context(|| format!("`{line}` printed no report"))?;
        ensure!(output.status.success(), "`{line}` failed: {}", report["failures"]);
        self.samples.keep(step, &report)
    }
}

/// What the broker calls itself; it must be RingMQ, whose flags are used to start it.
///
/// # Errors
/// When it does not start or is another program.
pub fn version_of(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("--broker {}", program.display()))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        version.starts_with("ringmq "),
        "--broker {} is not RingMQ: it says {version:?}",
        program.display()
    );
    Ok(version)
}
