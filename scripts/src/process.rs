//! Child processes with a hard limit on their time. Whatever is started here is ended here, by its own id;
//! nothing is ever looked up or ended by name.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// Whether a program of this name is on the search path.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The command as a person would type it, for headings and errors.
pub fn to_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose output goes straight to the terminal.
///
/// # Errors
/// The command cannot be started, or ends with anything but 0.
pub fn run(command: &mut Command) -> Result<()> {
    let line = to_line(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// What a captured command left behind.
pub struct Finished {
    /// How it ended; `None` when it was stopped at its limit.
    pub status: Option<ExitStatus>,
    /// All it wrote to standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// All it wrote to standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Finished {
    /// Whether it ended by itself with 0.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended and its last lines, for an error.
    pub fn to_reason(&self) -> String {
        let end = self.status.map_or("stopped at its time limit".to_owned(), |status| status.to_string());
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = said.trim().lines().collect();
        let tail = lines[lines.len().saturating_sub(8)..].join(" | ");
        format!("{end}: {tail}")
    }
}

/// Runs a command to its end, or stops it at `limit`, and returns what it wrote.
pub fn run_captured(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished> {
    let line = to_line(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let stdin = child.stdin.take();
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A child that ends without reading its input breaks the pipe; its exit status says what matters.
        stdin.map(|mut pipe| pipe.write_all(&input))
    });
    let stdout = read_to_end(child.stdout.take());
    let stderr = read_to_end(child.stderr.take());
    let status = wait(&mut child, limit)?;
    if status.is_none() {
        end(&mut child);
    }
    let _broken_pipe = writer.join();
    Ok(Finished { status, stdout: join_text(stdout), stderr: join_text(stderr) })
}

/// Waits until the child ends; `None` when it still runs at the limit.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a child")? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn end(child: &mut Child) {
    // Both fail only when the child is already gone, which is what is wanted.
    let _gone = child.kill();
    let _reaped = child.wait();
}

fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A read error ends the text early; the exit status decides about success.
            let _count = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn join_text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

/// A process that keeps running while its lines of output are read. Dropping it ends it.
pub struct Live {
    child: Child,
    lines: Receiver<String>,
    line: String,
}

impl Live {
    /// Starts the command; its standard output is read line by line, standard error goes where `stderr` says.
    pub fn start(command: &mut Command, stderr: Stdio) -> Result<Self> {
        let line = to_line(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        let (sender, lines) = channel();
        let pipe = child.stdout.take();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe?);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).ok()? > 0 {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
                sender.send(text).ok()?;
                bytes.clear();
            }
            Some(())
        });
        Ok(Self { child, lines, line })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, `None` when the process closed its output.
    ///
    /// # Errors
    /// Nothing was written before `deadline`.
    pub fn next_line(&mut self, deadline: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("`{}` wrote nothing more within its limit", self.line),
        }
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It ended with anything but 0, or still ran after `limit`, in which case it is killed.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        // The shell's own `kill` needs no package and no unsafe call.
        let ask = ["-c".to_owned(), format!("kill -TERM {}", self.child.id())];
        run(Command::new("sh").args(ask))?;
        match wait(&mut self.child, limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("`{}` ended with {status} after SIGTERM", self.line),
            None => bail!("`{}` still ran {} s after SIGTERM", self.line, limit.as_secs()),
        }
    }

    /// Ends the process at once (SIGKILL), as a crash would.
    pub fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_captured_command_returns_its_output_and_status() {
        let finished =
            run_captured(&mut shell("cat; echo bad >&2; exit 3"), b"in", Duration::from_secs(10)).unwrap();
        assert_eq!(finished.stdout, "in");
        assert_eq!(finished.stderr, "bad\n");
        assert_eq!(finished.status.and_then(|status| status.code()), Some(3));
        assert!(!finished.is_success());
    }

    #[test]
    fn a_command_past_its_limit_is_stopped() {
        let started = Instant::now();
        let finished = run_captured(&mut shell("exec sleep 60"), b"", Duration::from_millis(50)).unwrap();
        assert!(finished.status.is_none());
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_live_process_is_read_and_ended() {
        let script = "trap 'exit 0' TERM; echo one; echo two; while :; do sleep 0.01; done";
        let mut live = Live::start(&mut shell(script), Stdio::null()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        assert_eq!(live.next_line(deadline).unwrap().as_deref(), Some("one"));
        assert_eq!(live.next_line(deadline).unwrap().as_deref(), Some("two"));
        assert!(live.next_line(Instant::now()).is_err());
        live.stop(Duration::from_secs(10)).unwrap();
    }
}
