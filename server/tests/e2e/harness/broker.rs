//! A broker process of a test's own, on free ports and a directory that is removed afterwards.

use super::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A running broker. It is told to stop, and waited for, when this is dropped.
pub struct Broker {
    child: Child,
    mqtt: SocketAddr,
    http: SocketAddr,
    /// Kind and name of each listener, as `ws:default`, with its address.
    listeners: Vec<(String, SocketAddr)>,
    stderr: Arc<Mutex<String>>,
    /// Removed when the broker is dropped.
    _data: tempfile::TempDir,
}

/// What a broker that was not meant to stay left behind.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the test against a broker with one shard and against one with four, each with these settings.
pub fn at_shards(settings: &[&str], test: impl Fn(&Broker)) {
    for shards in [1, 4] {
        eprintln!("with {shards} shards");
        test(&Broker::with(shards, settings));
    }
}

impl Broker {
    /// A broker with default settings.
    pub fn start(shards: usize) -> Broker {
        Broker::with(shards, &[])
    }

    /// A broker with settings `key=value` on top of the defaults.
    pub fn with(shards: usize, settings: &[&str]) -> Broker {
        let data = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringmq"));
        let fixed = [
            "listeners.tcp.default.bind=127.0.0.1:0".to_owned(),
            "dashboard.listeners.http.bind=127.0.0.1:0".to_owned(),
            format!("node.data_dir={}", data.path().join("data").display()),
            format!("node.shards={shards}"),
        ];
        for setting in fixed.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["--set", setting]);
        }
        command.current_dir(data.path());
        started_with(command, data)
    }

    /// Address of the MQTT listener.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Address of a listener by its kind and name, as `ws:default`.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} among {:?}", self.listeners)).1
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for the end of the process; `None` if it runs longer than `within`.
    pub fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the broker wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("no test panics while it writes").clone()
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("the process runs");
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("the second field is a number") * 4096
    }

    /// The answer to a GET: status line and headers, then the body.
    pub fn http_get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.http).expect("the HTTP listener accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("headers and body");
        (head.to_owned(), body.to_owned())
    }

    /// A counter by its dotted name, summed over its labels; 0 if it is not exported.
    pub fn metric(&self, name: &str) -> u64 {
        let exported = format!("_{}", name.replace('.', "_"));
        let (_, body) = self.http_get("/api/v5/prometheus/stats");
        body.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| {
                let name = series.split('{').next().unwrap_or_default().trim();
                name.split_once('_').is_some_and(|(prefix, _)| name[prefix.len()..] == exported)
            })
            .map(|(_, value)| value.trim().parse::<f64>().expect("a number") as u64)
            .sum()
    }

    /// Waits until a counter has reached a value.
    pub fn wait_metric(&self, name: &str, at_least: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name);
            if value >= at_least {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {value}, expected {at_least}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            if self.wait(Duration::from_secs(6)).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
                if !thread::panicking() {
                    panic!("the broker did not stop within 6 s of SIGTERM: {}", self.stderr());
                }
            }
        }
        if thread::panicking() {
            eprintln!("--- stderr of the broker:\n{}---", self.stderr());
        }
    }
}

/// Starts a broker with this command line and waits until it listens.
pub fn started_with(mut command: Command, data: tempfile::TempDir) -> Broker {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the broker starts");
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut errors = child.stderr.take().expect("stderr is piped");
    let stderr = Arc::new(Mutex::new(String::new()));
    let (line_sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody receives once the broker listens; the pipe is still read, so that it cannot fill.
            let _ = line_sender.send(line);
        }
    });
    let collected = Arc::clone(&stderr);
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = errors.read(&mut chunk) {
            collected.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&chunk[..n]));
        }
    });
    let (listeners, http) = addresses(&lines, &mut child, &stderr);
    let mqtt = listeners.iter().find(|(name, _)| name == "tcp:default").expect("tests keep this listener").1;
    Broker { child, mqtt, http, listeners, stderr, _data: data }
}

/// Runs the program with these arguments until it ends by itself.
pub fn run_to_exit(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.args(arguments).envs(environment.iter().copied()).current_dir(data.path());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child of ours").is_none() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("{arguments:?} did not end by itself");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("a child of ours");
    Outcome {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Reads what the broker prints when it listens: its MQTT listeners, then the address of its management plane.
fn addresses(
    lines: &Receiver<String>,
    child: &mut Child,
    stderr: &Mutex<String>,
) -> (Vec<(String, SocketAddr)>, SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    let mut listeners = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            let _ = child.kill();
            let status = child.wait();
            thread::sleep(Duration::from_millis(50));
            let stderr = stderr.lock().expect("no reader panics").clone();
            panic!("the broker does not listen ({status:?}):\n{stderr}");
        };
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("listening"), Some("on"), Some(name), Some(address)) => {
                // A listener of local clients has a path instead.
                listeners.extend(address.parse().map(|address| (name.to_owned(), address)));
            }
            (Some("http"), Some("on"), Some(address), None) => {
                return (listeners, address.parse().expect("an address"));
            }
            _ => {}
        }
    }
}
