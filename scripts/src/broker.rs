//! One broker of the release profile on free ports of 127.0.0.1, with its data in a folder of its own.
//! It never listens elsewhere and never outlives the task that started it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
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
/// How long the control plane may take to connect, and how long between two parts of its answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Numbers the brokers of this run, so that each has its own folder.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running broker.
pub struct Broker {
    process: Live,
    port: u16,
    /// Kind and name of each listener with an address, as `ws:default`, and its port.
    listeners: Vec<(String, u16)>,
    http_port: u16,
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
        let process = Live::start(&mut command, log.into())?;
        let mut broker = Self { process, port: 0, listeners: Vec::new(), http_port: 0, folder };
        broker.read_ports().with_context(|| broker.to_last_words())?;
        Ok(broker)
    }

    /// The MQTT port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of a listener by its kind and name, as `ws:default`.
    ///
    /// # Errors
    /// The broker has not said that it is open.
    pub fn port_of(&self, listener: &str) -> Result<u16> {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        found.map(|(_, port)| *port).with_context(|| format!("the broker does not listen on {listener}"))
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

    /// Connections of MQTT clients, as the broker counts them.
    ///
    /// # Errors
    /// The control plane does not answer, or not with this figure.
    pub fn connections(&self) -> Result<u64> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.http_port));
        let mut stream =
            TcpStream::connect_timeout(&address, ANSWER_LIMIT).context("connecting to the control plane")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(b"GET /api/v5/prometheus/stats HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("reading the broker's metrics")?;
        gauge(&answer, "emqx_live_connections_count")
            .with_context(|| format!("no connections among the metrics of {address}"))
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

    fn read_ports(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while let Some(line) = self.process.next_line(deadline)? {
            if let Some(listener) = listener_of(&line) {
                self.listeners.push(listener);
            } else if let Some(port) = port_of(&line, HTTP) {
                self.http_port = port.parse().with_context(|| format!("the port in `{line}`"))?;
                self.port = self.port_of("tcp:default")?;
                return Ok(());
            }
        }
        bail!("the broker ended before it said `{HTTP}`")
    }

    fn to_last_words(&self) -> String {
        let path = self.folder.join("stderr.log");
        let said = fs::read_to_string(&path).unwrap_or_default();
        format!("starting the release broker; it said: {}", said.trim())
    }
}

/// What stands before the address of the MQTT listener, which a starting broker names first.
pub const MQTT: &str = "listening on tcp:default ";
/// What stands before each listener.
const LISTENER: &str = "listening on ";
/// What stands before the address of the control plane.
const HTTP: &str = "http on ";

/// Reads what a starting broker says until it names the port behind these words.
///
/// # Errors
/// It does not until `deadline`, or ends before.
pub fn read_port(process: &mut Live, words: &str, deadline: Instant) -> Result<u16> {
    while let Some(line) = process.next_line(deadline)? {
        if let Some(port) = port_of(&line, words) {
            return port.parse().with_context(|| format!("the port in `{line}`"));
        }
    }
    bail!("the broker ended before it said `{words}`")
}

/// The port in `WORDS 127.0.0.1:PORT`.
fn port_of<'a>(line: &'a str, words: &str) -> Option<&'a str> {
    let (_, address) = line.split_once(words)?;
    address.split_whitespace().next()?.rsplit_once(':').map(|(_, port)| port)
}

/// The listener in `listening on KIND:NAME 127.0.0.1:PORT`.
fn listener_of(line: &str) -> Option<(String, u16)> {
    let (name, address) = line.strip_prefix(LISTENER)?.split_once(' ')?;
    let port = address.split_whitespace().next()?.rsplit_once(':')?.1.parse().ok()?;
    Some((name.to_owned(), port))
}

/// The value of `NAME{LABELS} VALUE` in the Prometheus text format.
fn gauge(text: &str, name: &str) -> Option<u64> {
    let mut samples = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    samples.next()?.rsplit_once("} ")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_line_of_the_mqtt_listener_only() {
        assert_eq!(port_of("listening on tcp:default 127.0.0.1:1883", MQTT), Some("1883"));
        assert_eq!(port_of("listening on tcp:default 127.0.0.1:1883 (2 shards)", MQTT), Some("1883"));
        assert_eq!(port_of("http on 127.0.0.1:18083", MQTT), None);
        assert_eq!(port_of("http on 127.0.0.1:18083", HTTP), Some("18083"));
        assert_eq!(listener_of("listening on ws:web 127.0.0.1:8083"), Some(("ws:web".to_owned(), 8083)));
        assert_eq!(listener_of("listening on unix:default ./data/mqtt.sock"), None);
        assert_eq!(listener_of("http on 127.0.0.1:18083"), None);
    }

    #[test]
    fn a_gauge_is_read_by_its_whole_name() {
        let text = "# TYPE emqx_connections_count gauge\nemqx_connections_count_x{node=\"a\"} 1\n\
                    emqx_connections_count{node=\"a} 2\"} 18000\nemqx_connections_max{node=\"a\"} 3\n";
        assert_eq!(gauge(text, "emqx_connections_count"), Some(18_000));
        assert_eq!(gauge(text, "emqx_connections"), None);
        assert_eq!(gauge("emqx_connections_count{node=\"a\"} many\n", "emqx_connections_count"), None);
    }
}
