//! One broker of the release profile on free ports of 127.0.0.1, with its data in a folder of its own.
//! It never listens elsewhere and never outlives the task that started it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Live;
use crate::tree;

/// How long a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a stop may take: the broker promises 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(6);
/// Numbers the brokers of this run, so that each has its own folder.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running broker.
pub struct Broker {
    process: Live,
    port: u16,
    folder: PathBuf,
}

impl Broker {
    /// Starts the release binary with `shards` shards and waits until it listens.
    pub fn start(shards: u32) -> Result<Self> {
        Self::start_with(shards, &[])
    }

    /// The same with further settings, `key.path=value`.
    pub fn start_with(shards: u32, settings: &[&str]) -> Result<Self> {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = tree::scratch(&format!("interop/broker-{}-{number}", std::process::id()))?;
        let log = File::create(folder.join("stderr.log")).context("creating the broker's log")?;
        let mut command = Command::new(tree::release_binary("ringmq"));
        command.arg("serve").current_dir(&folder);
        for setting in [
            "listeners.tcp.default.bind=127.0.0.1:0".to_owned(),
            "dashboard.listeners.http.bind=127.0.0.1:0".to_owned(),
            format!("node.data_dir={}", folder.join("data").display()),
            format!("node.shards={shards}"),
        ] {
            command.args(["--set", &setting]);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut broker = Self { process: Live::start(&mut command, log.into())?, port: 0, folder };
        broker.port = broker.read_port().with_context(|| broker.to_last_words())?;
        Ok(broker)
    }

    /// The MQTT port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory in bytes, as the kernel counts it now.
    pub fn rss_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS line")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("VmRSS")?;
        Ok(kib * 1024)
    }

    /// Ends the broker as an operator would and checks that it leaves with 0 in time, having said nothing of a
    /// panic.
    pub fn stop(self) -> Result<()> {
        let log = self.folder.join("stderr.log");
        let stopped = self.process.stop(STOP_LIMIT);
        let said = fs::read_to_string(&log).unwrap_or_default();
        ensure!(!said.contains("panicked at"), "the broker panicked, see {}", log.display());
        stopped.with_context(|| format!("see {}", log.display()))?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("removing {}", self.folder.display()))
    }

    fn read_port(&mut self) -> Result<u16> {
        let deadline = Instant::now() + START_LIMIT;
        while let Some(line) = self.process.next_line(deadline)? {
            if let Some(port) = port_of(&line) {
                return port.parse().with_context(|| format!("the port in `{line}`"));
            }
        }
        bail!("the broker ended before it listened")
    }

    fn to_last_words(&self) -> String {
        let path = self.folder.join("stderr.log");
        let said = fs::read_to_string(&path).unwrap_or_default();
        format!("starting the release broker; it said: {}", said.trim())
    }
}

/// The port in `listening on tcp:default 127.0.0.1:PORT`.
fn port_of(line: &str) -> Option<&str> {
    let (_, address) = line.split_once("listening on tcp:default ")?;
    address.split_whitespace().next()?.rsplit_once(':').map(|(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_line_of_the_mqtt_listener_only() {
        assert_eq!(port_of("listening on tcp:default 127.0.0.1:1883"), Some("1883"));
        assert_eq!(port_of("listening on tcp:default 127.0.0.1:1883 (2 shards)"), Some("1883"));
        assert_eq!(port_of("listening on http 127.0.0.1:18083"), None);
    }
}
