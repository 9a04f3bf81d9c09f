//! What clients and users have used of their day's quotas, kept in a file, so that a restart gives nobody a second day. The
//! file is written on a thread of its own, as a whole; the last seconds before a crash are not in it.

use crate::clock::since_1970;
use crate::json_lines::{JsonLines, LineError, ReadError};
use ringmq_shards::allowance::{DayUsage, Register, Registers};
use ringmq_shards::config::QuotaConfig;
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long what was used may be newer than the file.
const SAVE_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of all names in the file. Those beyond are left out, in no order.
const NAME_BYTES_MAX: usize = 64 << 20;
const FILE_NAME: &str = "quota.jsonl";
/// The longest name has 65,535 bytes, each of which JSON may write as six.
const FILE: JsonLines =
    JsonLines { header: r#"{"format":"ringmq-quota","version":1}"#, line_bytes_max: 512 << 10 };

/// A line of the file.
#[derive(Debug, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "as")]
    kind: Kind,
    who: Box<str>,
    day: u64,
    messages: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Hash, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "clientid")]
    Client,
    #[serde(rename = "username")]
    User,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Keeps the file. What was used last is written when this is dropped.
#[derive(Debug)]
pub struct QuotaKeeper {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl QuotaKeeper {
    /// Adds to `usage` what the file in this directory knows of today, and writes it from now on. Nothing is read or written
    /// where no quota is of a day. A file that is wrong is named in the log.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        data_dir: &Path,
        quota: &QuotaConfig,
        usage: &Arc<Registers>,
    ) -> io::Result<Option<QuotaKeeper>> {
        if !quota.is_daily() {
            return Ok(None);
        }
        let (path, usage) = (data_dir.join(FILE_NAME), Arc::clone(usage));
        let mut file = QuotaFile { path, usage, began: (Instant::now(), since_1970()), saved: None };
        file.load();
        let (stop, stopped) = channel();
        let keep = move || {
            while stopped.recv_timeout(SAVE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                file.save();
            }
            file.save();
        };
        let thread = std::thread::Builder::new().name("ringmq-quotas".to_owned()).spawn(keep)?;
        Ok(Some(QuotaKeeper { stop: Some(stop), thread: Some(thread) }))
    }
}

impl Drop for QuotaKeeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing to panic on.
            let _ = thread.join();
        }
    }
}

struct QuotaFile {
    path: PathBuf,
    usage: Arc<Registers>,
    /// The time of day goes on from here, as it does for the shards, whatever becomes of the system's clock.
    began: (Instant, Duration),
    /// A digest of what the file has, once it was written.
    saved: Option<u64>,
}

impl QuotaFile {
    fn today(&self) -> u64 {
        let (instant, since_1970) = self.began;
        DayUsage::day_at((since_1970 + instant.elapsed()).as_millis() as u64)
    }

    fn register(&self, kind: Kind) -> &Register {
        match kind {
            Kind::Client => &self.usage.clients,
            Kind::User => &self.usage.users,
        }
    }

    fn load(&self) {
        let today = self.today();
        let read = FILE.read(&self.path, |text| -> Result<(), Fault> {
            let Line { kind, who, day, messages, bytes } = serde_json::from_slice(text)?;
            if day == today {
                self.register(kind).restore(&who, DayUsage { day, messages, bytes });
            }
            Ok(())
        });
        let path = self.path.display();
        match read {
            Ok(()) => {}
            Err(ReadError::Io(error)) => tracing::error!("{path}: {error}; quotas of the day begin anew"),
            Err(ReadError::Line(line, fault)) => {
                tracing::error!("{path}:{line}: {fault}; quotas of the day begin anew from this line on");
            }
        }
    }

    /// Who has used something today: users first, who cannot be made up.
    fn lines(&self) -> Vec<Line> {
        let (day, mut name_bytes) = (self.today(), 0);
        let of = |kind| self.register(kind).of_day(day).map(move |(who, used)| (kind, who, used));
        of(Kind::User)
            .chain(of(Kind::Client))
            .take_while(|(_, who, _)| {
                name_bytes += who.len();
                name_bytes <= NAME_BYTES_MAX
            })
            .map(|(kind, who, DayUsage { day, messages, bytes })| {
                let who = Box::from(&*who);
                Line { kind, who, day, messages, bytes }
            })
            .collect()
    }

    /// Writes the file, if it would not be the same.
    fn save(&mut self) {
        let lines = self.lines();
        let mut hasher = DefaultHasher::new();
        lines.hash(&mut hasher);
        let digest = Some(hasher.finish());
        if self.saved == digest {
            return;
        }
        match FILE.write(&self.path, lines.iter()) {
            Ok(()) => self.saved = digest,
            Err(error) => {
                tracing::error!("{}: {error}; what was used of quotas is not kept", self.path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_shards::allowance::Moment;
    use ringmq_shards::config::Allowance;

    fn quota() -> QuotaConfig {
        let allowance = Allowance { messages_per_day: 3, ..Allowance::default() };
        QuotaConfig { client: allowance, user: allowance }
    }

    /// How many messages a client and a user of this name may still publish.
    fn left(usage: &Registers) -> [usize; 2] {
        let at = Moment { ms: 0, wall_ms: since_1970().as_millis() as u64 };
        [&usage.clients, &usage.users].map(|register| {
            let used = register.open("a \"b\"\n", &quota().client, at);
            (0..9).filter(|_| used.try_publish(&quota().client, 1, at)).count()
        })
    }

    #[test]
    fn what_was_used_of_the_day_is_in_the_file_and_that_of_other_days_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let start = || {
            let usage = Arc::default();
            (QuotaKeeper::start(folder.path(), &quota(), &usage).unwrap().unwrap(), usage)
        };
        let (keeper, usage) = start();
        let at = Moment { ms: 0, wall_ms: since_1970().as_millis() as u64 };
        assert!(usage.clients.open("a \"b\"\n", &quota().client, at).try_publish(&quota().client, 7, at));
        drop(keeper);
        let (keeper, usage) = start();
        assert_eq!(left(&usage), [2, 3]);
        drop(keeper);
        let (keeper, usage) = start();
        assert_eq!(left(&usage), [0, 0]);
        drop(keeper);
        let path = folder.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        let today = format!("\"day\":{}", DayUsage::day_at(at.wall_ms));
        assert_eq!(text.matches(&today).count(), 2, "{text}");
        for day in ["\"day\":1", "\"day\":9999999999"] {
            std::fs::write(&path, text.replace(&today, day)).unwrap();
            assert_eq!(left(&start().1), [3, 3]);
        }
    }

    #[test]
    fn lines_before_a_wrong_one_count_and_where_nothing_is_bounded_by_the_day_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let usage = Arc::default();
        assert!(QuotaKeeper::start(folder.path(), &QuotaConfig::default(), &usage).unwrap().is_none());
        assert!(!path.exists());
        let day = DayUsage::day_at(since_1970().as_millis() as u64);
        let of = |kind| format!(r#"{{"as":"{kind}","who":"a \"b\"\n","day":{day},"messages":2,"bytes":0}}"#);
        std::fs::write(&path, [FILE.header, &of("clientid"), "{}", &of("username")].join("\n")).unwrap();
        let keeper = QuotaKeeper::start(folder.path(), &quota(), &usage).unwrap();
        assert_eq!(left(&usage), [1, 3]);
        drop(keeper);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
}
