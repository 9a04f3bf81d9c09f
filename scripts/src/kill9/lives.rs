//! The broker's lives: it is started on one data directory and one address again and again, and ended by
//! SIGKILL or SIGTERM. It ends only what it started, and removes the directory only where all went well.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::broker::{MQTT, read_port};
use crate::process::Live;

/// How long a start, with the recovery of its store, may take.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a clean stop may take: the broker promises 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the kernel may take to let go of a killed broker's port: what io_uring held is closed after the end
/// of the process.
const FREE_LIMIT: Duration = Duration::from_secs(20);
/// What every broker here is told: no queue may overflow, and nothing else is tested than what it must keep.
const SETTINGS: [&str; 6] = [
    "dashboard.listeners.http.bind=127.0.0.1:0",
    "mqtt.max_mqueue_len=1000000",
    "mqtt.max_mqueue_bytes=1GB",
    "sessions.durable=true",
    // Small segments, so that the log goes through many and gives old ones up.
    "persistence.segment_bytes=1MB",
    // Checkpoints all the time, and kills while they are written.
    "persistence.checkpoint_bytes=256KB",
];

/// Where one broker lives again and again.
pub struct Site {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its data directory and its logs.
    pub folder: PathBuf,
    /// The longest time from a start to the words that it listens.
    pub slowest: Duration,
    binary: PathBuf,
    settings: Vec<String>,
    starts: u32,
}

/// A broker that runs.
pub struct Running {
    process: Live,
    begun: Instant,
}

impl Site {
    /// A site in this folder, which is made anew.
    pub fn new(binary: &Path, folder: PathBuf, settings: &[String]) -> Result<Self> {
        ensure!(!folder.exists(), "{} is still there from another run", folder.display());
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let address = free_address()?;
        let mut all: Vec<String> = SETTINGS.iter().map(|&setting| setting.to_owned()).collect();
        all.push(format!("listeners.tcp.default.bind={address}"));
        all.push(format!("node.data_dir={}", folder.join("data").display()));
        all.extend_from_slice(settings);
        let (slowest, binary) = (Duration::ZERO, binary.to_path_buf());
        Ok(Self { address, folder, slowest, binary, settings: all, starts: 0 })
    }

    /// Starts the broker; it may not listen yet.
    pub fn start(&mut self) -> Result<Running> {
        wait_free(self.address)?;
        let log = self.folder.join(format!("stderr-{:02}.log", self.starts));
        self.starts += 1;
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").current_dir(&self.folder);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let begun = Instant::now();
        Ok(Running { process: Live::start(&mut command, file.into())?, begun })
    }

    /// Waits until the broker says that it listens.
    pub fn wait_ready(&mut self, running: &mut Running) -> Result<()> {
        let port = read_port(&mut running.process, MQTT, running.begun + START_LIMIT);
        let port = port.with_context(|| format!("start {}; it said: {}", self.starts, self.last_words()))?;
        ensure!(port == self.address.port(), "it listens at {port} instead of {}", self.address);
        self.slowest = self.slowest.max(running.begun.elapsed());
        Ok(())
    }

    /// Says what broker panicked, if one did.
    pub fn panics(&self) -> Vec<String> {
        let logs = (0..self.starts).map(|start| self.folder.join(format!("stderr-{start:02}.log")));
        let panicked = logs.filter(|log| fs::read_to_string(log).unwrap_or_default().contains("panicked at"));
        panicked.map(|log| format!("a broker panicked, see {}", log.display())).collect()
    }

    /// Removes the folder.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("removing {}", self.folder.display()))
    }

    fn last_words(&self) -> String {
        let log = self.folder.join(format!("stderr-{:02}.log", self.starts.saturating_sub(1)));
        let said = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = said.trim().lines().collect();
        lines[lines.len().saturating_sub(8)..].join(" | ")
    }
}

impl Running {
    /// SIGKILL: nothing of the process runs on.
    pub fn kill(self) {
        self.process.kill();
    }

    /// SIGTERM, and it must end with 0 in time.
    pub fn stop(self) -> Result<()> {
        self.process.stop(STOP_LIMIT).context("a clean stop")
    }
}

/// A port that nobody has, on a loopback address of this run alone: no client's own port can take it while the
/// broker is down, for connections to loopback leave from 127.0.0.1.
fn free_address() -> Result<SocketAddr> {
    let host = 2 + (std::process::id() % 250) as u8;
    let listener =
        TcpListener::bind((Ipv4Addr::new(127, 0, 0, host), 0)).context("looking for a free port")?;
    listener.local_addr().context("looking for a free port")
}

/// Waits until nobody listens there any more.
fn wait_free(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + FREE_LIMIT;
    loop {
        match TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("{address} was not let go of"));
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_run_is_loopback_but_not_where_clients_come_from() {
        let address = free_address().unwrap();
        assert!(address.ip().is_loopback() && address.port() > 0);
        assert_ne!(address.ip(), Ipv4Addr::LOCALHOST);
    }
}
