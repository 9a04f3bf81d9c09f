//! A RingMQ that a scenario starts itself: from the binary that was named, on free ports of 127.0.0.1, in a folder of its own
//! or one that is named, and ended by its own process id. It never outlives this value.

use crate::observe::proc_stat::ProcStat;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A broker has this long from its start until it says that it listens.
const START_MAX: Duration = Duration::from_secs(30);

/// A broker that runs.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    /// `None` where the folder is somebody else's.
    _folder: Option<TempDir>,
    port: u16,
    http_port: u16,
}

impl Broker {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not start, or does not say in time where it listens.
    pub fn start(program: &Path, shards: u32) -> Result<Broker> {
        let folder = tempfile::Builder::new().prefix("ringmq-calibrate-").tempdir()?;
        let mut broker = Broker::start_in(folder.path(), program, shards, &[])?;
        broker._folder = Some(folder);
        Ok(broker)
    }

    /// Starts it with its data below `folder` and with further settings, and waits until it listens.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_in(folder: &Path, program: &Path, shards: u32, settings: &[String]) -> Result<Broker> {
        let program =
            std::path::absolute(program).with_context(|| format!("--broker {}", program.display()))?;
        let mut command = Command::new(&program);
        command.arg("serve").current_dir(folder);
        for setting in [
            "listeners.tcp.default.bind=127.0.0.1:0".to_owned(),
            "dashboard.listeners.http.bind=127.0.0.1:0".to_owned(),
            "log.level=error".to_owned(),
            format!("node.shards={shards}"),
        ]
        .iter()
        .chain(settings)
        {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let mut broker = Broker { child, _folder: None, port: 0, http_port: 0 };
        broker.wait_for_ports()?;
        Ok(broker)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port of MQTT on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of its management plane on 127.0.0.1.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// Ends it with SIGKILL, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its resident bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub fn rss_bytes(&self) -> Result<u64> {
        ProcStat::open(self.pid())?.rss_bytes()
    }

    fn wait_for_ports(&mut self) -> Result<()> {
        let (sender, lines) = channel();
        let output = self.child.stdout.take().context("the broker's standard output")?;
        // Ends with the broker's output; what it says after the port is read and forgotten, so that it never waits.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| {
                let _nobody_waits = sender.send(line);
            });
        });
        let deadline = Instant::now() + START_MAX;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.port = port_of(&line, "listening on tcp:default ").unwrap_or(self.port);
                    // It comes last.
                    if let Some(port) = port_of(&line, "http on ") {
                        self.http_port = port;
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the broker ended before it listened"),
                Err(RecvTimeoutError::Timeout) => bail!("the broker did not listen within {START_MAX:?}"),
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only where it is already gone, which is what is wanted. The folder goes with the value.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The port in `WORDS 127.0.0.1:PORT`.
fn port_of(line: &str, words: &str) -> Option<u16> {
    let (_, address) = line.split_once(words)?;
    address.split_whitespace().next()?.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_stands_in_the_line_of_its_listener() {
        let mqtt = "listening on tcp:default ";
        assert_eq!(port_of("listening on tcp:default 127.0.0.1:4711", mqtt), Some(4711));
        assert_eq!(port_of("http on 127.0.0.1:18083", mqtt), None);
        assert_eq!(port_of("http on 127.0.0.1:18083", "http on "), Some(18083));
    }

    #[test]
    fn a_program_that_is_no_broker_is_an_error() {
        assert!(Broker::start(Path::new("/bin/true"), 1).is_err());
        assert!(Broker::start(Path::new("/nowhere/ringmq"), 1).is_err());
    }
}
