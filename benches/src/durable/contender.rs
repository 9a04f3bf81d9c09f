//! One level: its broker, the sessions that are away, and the rounds it has run. It compares nothing.

use super::figures::{Round, Track, syncs};
use crate::args::{Arguments, Command, DurableArguments, OfflineArguments};
use crate::calibrate::Broker;
use crate::load::collect::Step;
use crate::observe::proc_stat::ProcStat;
use crate::scenarios::stored::StoredRun;
use anyhow::{Context, Result, bail};
use clap::Parser;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// When a publisher is told that its message is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing is stored.
    Off,
    Memory,
    Wal,
    Fsync,
}

impl Level {
    /// All, in the order of a round.
    pub const ALL: [Level; 4] = [Level::Off, Level::Memory, Level::Wal, Level::Fsync];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Memory => "memory",
            Level::Wal => "wal",
            Level::Fsync => "fsync",
        }
    }

    /// Whether what was acknowledged survives SIGKILL.
    fn survives_kill(self) -> bool {
        matches!(self, Level::Wal | Level::Fsync)
    }

    fn settings(self) -> Vec<String> {
        let own = match self {
            Level::Off => "sessions.durable=false".to_owned(),
            level => format!("durability.level={}", level.name()),
        };
        // The scenario bounds what is queued.
        vec![own, "mqtt.max_mqueue_len=infinity".to_owned(), "mqtt.max_mqueue_bytes=64GB".to_owned()]
    }
}

/// A level at work.
#[derive(Debug)]
pub struct Contender<'a> {
    arguments: &'a DurableArguments,
    folder: TempDir,
    /// `None` only between its end and its next start.
    broker: Option<Broker>,
    has_sessions: bool,
    track: Track,
}

impl<'a> Contender<'a> {
    /// Starts the broker in a new folder below `folder`.
    ///
    /// # Errors
    /// When that fails.
    pub fn start(arguments: &'a DurableArguments, folder: &Path, level: Level) -> Result<Contender<'a>> {
        let folder = tempfile::Builder::new().prefix("ringmq-durable-").tempdir_in(folder)?;
        let track = Track::new(level);
        let mut contender = Contender { arguments, folder, broker: None, has_sessions: false, track };
        contender.start_broker()?;
        Ok(contender)
    }

    /// Queues and receives all messages once.
    ///
    /// # Errors
    /// When clients are not let in, or the broker cannot be started again.
    pub fn run_round(&mut self, number: u32) -> Result<()> {
        let is_last = number + 1 == self.arguments.rounds;
        let is_killed = is_last && self.arguments.kill && self.track.level.survives_kill();
        let (mut run, mut offline) = self.begin_run()?;
        if !std::mem::replace(&mut self.has_sessions, true) {
            run.collect("beginning sessions", &offline.to_collection(Step::Begin))?;
        }
        let (pid, http_port) = (self.broker()?.pid(), self.broker()?.http_port());
        let rss_before_bytes = run.settled_rss_bytes();
        let process = ProcStat::open(pid)?;
        let (written_before, syncs_before) = (process.written_bytes(), syncs(http_port));
        let queued = run.publish("queueing", &offline.to_deposit())?;
        let syncs_after = syncs(http_port);
        let written_after = process.written_bytes();
        let mut round = Round::of(&queued);
        round.set_written(written_after.saturating_sub(written_before));
        round.set_syncs(syncs_before, syncs_after);
        if is_killed {
            self.end_run(run, number);
            self.track.killed += u64::from(self.arguments.sessions) * u64::from(self.arguments.messages);
            self.track.restart_s = Some(self.kill_and_start()?);
            // It listens on other ports now.
            (run, offline) = self.begin_run()?;
        } else {
            round.set_rss(rss_before_bytes, run.settled_rss_bytes(), number == 0);
        }
        let drained = run.collect("draining", &offline.to_collection(Step::Resume))?;
        round.set_drained(&drained);
        self.track.delivered += drained.delivered;
        self.track.rounds.push(round);
        self.end_run(run, number);
        Ok(())
    }

    /// What it has found. Its broker ends.
    pub fn into_track(self) -> Track {
        self.track
    }

    /// CPU time its broker has used; 0 if it is gone, which the next round notices.
    pub fn cpu_us(&self) -> u64 {
        let process = self.broker.as_ref().and_then(|broker| ProcStat::open(broker.pid()).ok());
        process.and_then(|process| process.cpu_us().ok()).unwrap_or(0)
    }

    fn broker(&self) -> Result<&Broker> {
        self.broker.as_ref().context("the broker does not run")
    }

    fn start_broker(&mut self) -> Result<()> {
        let (program, shards) = (&self.arguments.broker, self.arguments.shards);
        let settings = self.track.level.settings();
        let broker = Broker::start_in(self.folder.path(), program, shards, &settings);
        self.broker = Some(broker.with_context(|| format!("level {}", self.track.level.name()))?);
        Ok(())
    }

    /// How long it took to listen again.
    fn kill_and_start(&mut self) -> Result<f64> {
        if let Some(broker) = self.broker.take() {
            broker.kill()?;
        }
        let begun = Instant::now();
        self.start_broker()?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn begin_run(&self) -> Result<(StoredRun, OfflineArguments)> {
        let offline = self.offline()?;
        Ok((StoredRun::new("durable", &offline.stored, offline.sessions)?, offline))
    }

    fn end_run(&mut self, run: StoredRun, number: u32) {
        let (level, round) = (self.track.level.name(), number + 1);
        match run.finish() {
            Ok(report) => {
                let failures = report.failures().map(|why| format!("{level}, round {round}: {why}"));
                self.track.failures.extend(failures);
            }
            Err(cause) => self.track.failures.push(format!("{level}, round {round}: {cause:#}")),
        }
    }

    /// The scenario `offline` with what this one was told.
    fn offline(&self) -> Result<OfflineArguments> {
        let (arguments, broker) = (self.arguments, self.broker()?);
        let words = [
            ("--port", u64::from(broker.port())),
            ("--pid", u64::from(broker.pid())),
            ("--connect-timeout", 30),
            ("--threads", arguments.threads.into()),
            ("--publishers", arguments.publishers.into()),
            ("--payload", arguments.payload.into()),
            ("--window", arguments.window.into()),
            ("--timeout", arguments.timeout),
            ("--sessions", arguments.sessions.into()),
            ("--messages", arguments.messages.into()),
            ("--fanout", arguments.fanout.into()),
        ];
        let words = words.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]);
        let line = ["ringmq-bench".to_owned(), "offline".to_owned()].into_iter().chain(words);
        match Arguments::try_parse_from(line)?.command {
            Command::Offline(offline) => Ok(offline),
            other => bail!("{other:?} is not the scenario that was asked for"),
        }
    }
}
