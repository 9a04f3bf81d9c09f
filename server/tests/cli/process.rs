//! Runs the binary in a directory of its own, on ports of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Sees that the process was refused in one clear line, with this exit code.
    pub fn assert_refused(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("ringmq: error: "), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("backtrace"), "{self:?}");
        for text in texts {
            assert!(self.stderr.contains(text), "`{text}` is not in {self:?}");
        }
    }
}

/// The binary, to be run in `directory`; no setting of the caller's environment reaches it.
pub fn ringmq(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.args(arguments).current_dir(directory).env_remove("RUST_LOG").env("RUST_BACKTRACE", "1");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RINGMQ_")) {
        command.env_remove(name);
    }
    command
}

/// Options that keep a broker away from every other one: free ports, one shard.
pub const APART: [&str; 6] = [
    "--set",
    "listeners.tcp.default.bind=127.0.0.1:0",
    "--set",
    "dashboard.listeners.http.bind=127.0.0.1:0",
    "--set",
    "node.shards=1",
];

/// Runs a command that ends by itself.
pub fn run(mut command: Command) -> Outcome {
    let mut child = Running::spawn(&mut command);
    let status = child.wait(PATIENCE).expect("the process ends by itself");
    Outcome { code: status.code(), stdout: child.stdout(), stderr: child.stderr() }
}

/// Runs the binary in a directory of its own until it ends by itself.
pub fn run_ringmq(arguments: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    run(ringmq(directory.path(), arguments))
}

/// A process and all it has written so far.
pub struct Running {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Running {
    pub fn spawn(command: &mut Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Running { child, stdout, stderr, readers }
    }

    /// Starts a broker with these options and waits until it has said everything it says at its start.
    pub fn serving(command: &mut Command) -> Running {
        let mut running = Running::spawn(command);
        running.wait_for("the announcement", |running| {
            running.stdout().contains("\nnext: ") || running.has_ended()
        });
        assert!(!running.has_ended(), "the broker did not start:\n{}", running.stderr());
        running
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The address that stands in the line of standard output that begins so.
    pub fn address(&self, line: &str) -> SocketAddr {
        let stdout = self.stdout();
        let found = stdout.lines().find_map(|text| text.strip_prefix(line)).map(str::parse);
        found.and_then(Result::ok).unwrap_or_else(|| panic!("no `{line}ADDRESS` in:\n{stdout}"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait_for(&mut self, what: &str, mut condition: impl FnMut(&mut Running) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let written = || format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
            assert!(Instant::now() < deadline, "{what} did not come; {}", written());
            thread::sleep(POLL);
        }
    }

    /// Waits for the end of the process and of its output.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() >= deadline => return None,
                None => thread::sleep(POLL),
            }
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        Some(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn collect(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// The whole answer to a GET, head and body.
pub fn fetch(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
