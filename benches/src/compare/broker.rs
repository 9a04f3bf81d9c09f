//! One broker of a comparison: found, started on a free port in a folder of its own, and ended by its own process id.
//! It never looks for a process by name and never touches one it did not start.

use super::recipe::BrokerEntry;
use super::watch::{self, Ended, Interrupt};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A broker has this long from its start until its port accepts.
const START_MAX: Duration = Duration::from_secs(30);
/// After SIGTERM it has this long before SIGKILL.
const STOP_MAX: Duration = Duration::from_secs(15);
/// Printing a version takes at most this long.
const VERSION_MAX: Duration = Duration::from_secs(5);
/// How often its port is tried.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// The ports brokers listen on lie below those the kernel gives to clients, so that no client takes one in between.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Lines of its output shown when it does not start.
const LAST_LINES: usize = 5;

/// An installed broker.
#[derive(Debug, Clone)]
pub struct Installed {
    entry: BrokerEntry,
    program: PathBuf,
    /// The first line it prints about its version; empty when it prints none.
    pub version: String,
}

impl Installed {
    /// Looks for the program; `None` where it is not installed.
    pub fn find(entry: &BrokerEntry) -> Option<Installed> {
        let program = find_program(entry.command.first()?)?;
        let version = read_version(&program, &entry.version);
        Some(Installed { entry: entry.clone(), program, version })
    }

    /// Its name in the recipe.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// The file that is started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it and waits until its port accepts.
    ///
    /// # Errors
    /// When it ends or its port does not accept in time; what it said last is in the error.
    pub fn start(&self, interrupt: &Interrupt) -> Result<Broker> {
        let folder = tempfile::Builder::new().prefix("ringmq-compare-").tempdir()?;
        let port = free_port()?;
        let fill = |text: &str| {
            text.replace("{port}", &port.to_string()).replace("{dir}", &folder.path().to_string_lossy())
        };
        for (file, text) in &self.entry.files {
            fs::write(folder.path().join(file), fill(text)).with_context(|| format!("files: {file}"))?;
        }
        let output = File::create(folder.path().join("output.log"))?;
        let mut command = Command::new(&self.program);
        command.args(self.entry.command.iter().skip(1).map(|argument| fill(argument)));
        command.envs(self.entry.env.iter().map(|(key, value)| (key, fill(value))));
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let mut broker = Broker { child, port, folder };
        if let Err(cause) = broker.wait_until_ready(interrupt) {
            let said = broker.last_words();
            return Err(cause.context(format!("it said: {said}")));
        }
        Ok(broker)
    }
}

/// A running broker. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Broker {
    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it: SIGTERM, then SIGKILL. Returns what is worth telling about its end.
    pub fn stop(mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(format!("the broker had ended by itself: {status}")),
            Ok(None) if self.terminate() => None,
            _ => Some(format!("the broker did not end within {STOP_MAX:?} of SIGTERM and was killed")),
        }
    }

    /// Whether it ended upon SIGTERM.
    fn terminate(&mut self) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let is_asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        is_asked && watch::wait_for_end(&mut self.child, STOP_MAX).is_some()
    }

    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START_MAX;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended before its port accepted: {status}");
            }
            if interrupt.is_set() {
                bail!(Ended::Interrupted);
            }
            if TcpStream::connect_timeout(&address, TRY_EVERY.max(Duration::from_millis(100))).is_ok() {
                return Ok(());
            }
            thread::sleep(TRY_EVERY);
        }
        bail!("port {} did not accept within {START_MAX:?}", self.port)
    }

    fn last_words(&self) -> String {
        let bytes = fs::read(self.folder.path().join("output.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && !self.terminate() {
            watch::kill(&mut self.child);
        }
    }
}

/// A port of 127.0.0.1 nobody listens on. Tried in turn from a start that differs between processes.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let size = PORTS.end - PORTS.start;
    let first = (std::process::id() % u32::from(size)) as u16;
    for _ in 0..size {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + ((u32::from(first) * 7 + u32::from(step)) % u32::from(size)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free on 127.0.0.1", PORTS.start, PORTS.end - 1)
}

/// The file of a program: as named where the name has a slash; else beside this executable, on the search path, or
/// where Debian and cargo put programs that are often missing from the search path.
fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_path_buf));
    let searched = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home: OsString| Path::new(&home).join(".cargo")));
    let folders = beside
        .into_iter()
        .chain(std::env::split_paths(&searched))
        .chain(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from))
        .chain(cargo.map(|cargo| cargo.join("bin")));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The first line the program prints; brokers disagree on stream and exit code.
fn read_version(program: &Path, arguments: &[String]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let read = || -> Result<String> {
        let folder = tempfile::tempdir()?;
        let output = File::create(folder.path().join("version"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn()?;
        if watch::wait_for_end(&mut child, VERSION_MAX).is_none() {
            watch::kill(&mut child);
        }
        Ok(fs::read_to_string(folder.path().join("version"))?)
    };
    let text = read().unwrap_or_default();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::recipe::Recipe;

    fn entry(script: &str) -> BrokerEntry {
        let text = format!(
            "[[broker]]\nname = \"a\"\ncommand = [\"sh\", \"-c\", '''{script}''', \"{{port}}\"]\n\
             version = [\"-c\", \"echo; echo one 1.0; exit 3\"]\n\
             files = {{ \"a.conf\" = \"listen {{port}} in {{dir}}\" }}\n\
             [[scenario]]\nname = \"s\"\ncommand = [\"conn\"]\n"
        );
        Recipe::parse(&text).unwrap().brokers.remove(0)
    }

    #[test]
    fn a_program_is_found_by_path_and_by_name_only_where_it_is() {
        assert_eq!(find_program("/bin/sh"), Some(PathBuf::from("/bin/sh")));
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-broker-here"), None);
    }

    #[test]
    fn the_version_is_the_first_line_whatever_the_exit_code() {
        assert_eq!(Installed::find(&entry("exit 0")).unwrap().version, "one 1.0");
    }

    #[test]
    fn a_broker_that_ends_at_once_is_reported_with_its_last_words_and_its_files_were_filled() {
        let broker = Installed::find(&entry("cat a.conf; echo; echo no room >&2; exit 7")).unwrap();
        let error = format!("{:#}", broker.start(&Interrupt::none()).unwrap_err());
        assert!(error.contains("no room") && error.contains("exit status: 7"), "{error}");
        assert!(error.contains("listen 2") || error.contains("listen 3"), "{error}");
        assert!(!error.contains("{dir}"), "{error}");
    }

    #[test]
    fn ports_handed_out_differ() {
        let ports: std::collections::BTreeSet<u16> = (0..20).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 20);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
