//! Servers as child processes: on a free port, in a folder of their own, gone at the end of the test.

use super::asking::PATIENCE;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian puts server programs that are not on everybody's path.
const FOLDERS: [&str; 5] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec", "/usr/lib/postgresql"];

/// A child process that ends with its value.
pub struct Server {
    child: Child,
    /// Where it keeps its files.
    _folder: tempfile::TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts a server and waits until its port answers.
    pub fn start(folder: tempfile::TempDir, port: u16, command: &mut Command) -> Server {
        let mut server = Server { child: spawn(command), _folder: folder, port };
        server.wait();
        server
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port and files.
    pub fn restart(&mut self, command: &mut Command) {
        self.child = spawn(command);
        self.wait();
    }

    /// Stops the process so that it accepts and answers nothing, and has it go on.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(begin.elapsed() < PATIENCE, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A folder for a server. Short, since some keep sockets in it.
pub fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ringmq-").tempdir().unwrap()
}

/// The path of a program; says that the case is skipped where there is none.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let found = FOLDERS.iter().find_map(|folder| {
        let direct = Path::new(folder).join(name);
        if direct.is_file() {
            return Some(direct);
        }
        // PostgreSQL has a folder for each version.
        let versions = std::fs::read_dir(folder).ok()?.flatten();
        versions.map(|version| version.path().join("bin").join(name)).find(|path| path.is_file())
    });
    if found.is_none() {
        eprintln!("skipped: {name} is not installed (Debian package {package})");
    }
    found
}

/// Runs a command to its end; its output is shown if it fails.
pub fn run_command(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {} {}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
