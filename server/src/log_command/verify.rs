//! `ringmq log verify`: reads every byte of every log and says what a start would find. It changes and locks nothing.

use super::error::LogError;
use super::fields::describe;
use super::lock;
use super::store::{Shard, Store};
use ringmq_persistence::Report;
use ringmq_persistence::recovery::{Damage, Torn};
use ringmq_persistence::tools::Snapshot;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

const DAMAGED_REMEDY: &str = "remedy: restore a backup; or keep what can be read: start the broker with \
                              persistence.strict = false, which copies it and sets damaged segments aside as \
                              *.damaged. Look for faults of the disk (dmesg, smartctl)";
const UNREADABLE_REMEDY: &str = "remedy: records of an unknown kind: use the release of RingMQ that wrote them, or a later \
                                 one; malformed records: this is a defect of RingMQ, please report it";
/// Records that cannot be read are named up to here, then counted.
const NAMED_MAX: usize = 100;

/// Prints what each log holds and what is wrong with it. Exit code 0 if nothing that was stored is lost, else 1.
///
/// # Errors
/// [`LogError`]. If it concerns one log only, the others are read first.
pub fn verify(directory: &Path) -> Result<ExitCode, LogError> {
    let store = Store::find(directory)?;
    let mut total = Total { shards: store.shards.len(), ..Total::default() };
    let mut failure = None;
    for shard in &store.shards {
        match Checked::of(shard) {
            Ok(checked) => {
                print(&checked.lines(shard));
                total.add(&checked);
            }
            Err(error) => {
                print(&[format!("shard {}: cannot be read", shard.name)]);
                total.failed += 1;
                failure.get_or_insert(error);
            }
        }
    }
    if let Some(holder) = lock::holder(&store.lock) {
        print(&[format!("note: {holder} has it open; what it was writing can look like a torn tail")]);
    }
    print(&total.lines());
    match failure {
        Some(error) => Err(error),
        None => Ok(ExitCode::from(u8::from(!total.is_fine()))),
    }
}

/// What was found in one log.
#[derive(Debug)]
struct Checked {
    report: Report,
    set_aside: Vec<String>,
    /// The first records that are not what their kind says.
    named: Vec<String>,
    /// How many there are.
    unreadable: u64,
}

impl Checked {
    fn of(shard: &Shard) -> Result<Checked, LogError> {
        let snapshot = Snapshot::of(&shard.directory).map_err(LogError::of(&shard.directory))?;
        let (mut named, mut unreadable) = (Vec::new(), 0);
        let visited = snapshot.visit(|id, kind, payload| {
            if let Err(error) = describe(kind, payload) {
                unreadable += 1;
                if named.len() < NAMED_MAX {
                    named.push(format!("record {}: {error}", id.0));
                }
            }
            ControlFlow::<()>::Continue(())
        });
        let _ = visited.map_err(LogError::of(&shard.directory))?;
        Ok(Checked { report: snapshot.report().clone(), set_aside: shard.set_aside()?, named, unreadable })
    }

    fn lines(&self, shard: &Shard) -> Vec<String> {
        let name = &shard.name;
        let Report { segments, bytes, records, live, torn, damages, .. } = &self.report;
        let (torn, damages, unreadable) = (torn.len(), damages.len(), self.unreadable);
        let mut lines = vec![format!(
            "shard {name}: segments {segments}, bytes {bytes}, records {records}, live {live}, torn tails {torn}, \
             damaged {damages}, unreadable {unreadable}"
        )];
        lines.extend(wrong_lines(shard, &self.report));
        lines.extend(self.named.iter().map(|record| format!("shard {name}: unreadable: {record}")));
        let more = self.unreadable - self.named.len() as u64;
        lines.extend((more > 0).then(|| format!("shard {name}: unreadable: {more} more")));
        lines.extend(self.set_aside.iter().map(|file| {
            let file = shard.directory.join(file);
            format!(
                "shard {name}: set aside by an earlier start: {} (not read, and not needed)",
                file.display()
            )
        }));
        lines
    }
}

/// What is torn and what is damaged in a log.
pub fn wrong_lines(shard: &Shard, report: &Report) -> Vec<String> {
    let Shard { name, directory } = shard;
    let torn = report.torn.iter().map(|Torn { segment, at }| {
        let file = segment.file_name();
        format!("shard {name}: torn tail in {file} at byte {at}: a write that was not finished, of which nobody was told")
    });
    let damages = report.damages.iter().map(|Damage { segment, bytes, id }| {
        let lost = id.map_or_else(String::new, |id| format!(", record {id}"));
        let file = directory.join(segment.file_name());
        format!("shard {name}: damaged: {}, bytes {} to {}{lost}", file.display(), bytes.start, bytes.end)
    });
    torn.chain(damages).collect()
}

/// Prints lines at once: reading the next log takes a while.
pub fn print(lines: &[String]) {
    let mut out = io::stdout().lock();
    for line in lines {
        // A reader that went away, such as `head`, still gets the exit code right.
        let _ = writeln!(out, "{line}");
    }
}

/// All logs together.
#[derive(Debug, Default)]
struct Total {
    shards: usize,
    failed: usize,
    live: u64,
    torn: usize,
    damages: usize,
    unreadable: u64,
}

impl Total {
    fn add(&mut self, checked: &Checked) {
        self.live += checked.report.live;
        self.torn += checked.report.torn.len();
        self.damages += checked.report.damages.len();
        self.unreadable += checked.unreadable;
    }

    fn is_fine(&self) -> bool {
        self.damages == 0 && self.unreadable == 0 && self.failed == 0
    }

    fn lines(&self) -> Vec<String> {
        let Total { shards, failed, live, torn, damages, unreadable } = self;
        let verdict = if self.is_fine() { "ok" } else { "not ok" };
        let not_read = if *failed > 0 { format!(" ({failed} cannot be read)") } else { String::new() };
        let mut lines = vec![format!(
            "{verdict}: shards {shards}{not_read}, live {live}, torn tails {torn}, damaged {damages}, unreadable {unreadable}"
        )];
        lines.extend((*damages > 0).then_some(DAMAGED_REMEDY.to_owned()));
        lines.extend((*unreadable > 0).then_some(UNREADABLE_REMEDY.to_owned()));
        lines
    }
}
