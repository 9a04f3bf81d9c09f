//! `ringmq log verify`: reads every byte of every log and says what a start would find. It changes and locks nothing.

use super::error::LogError;
use super::lock;
use super::store::{Shard, Store};
use ringmq_persistence::Report;
use ringmq_persistence::recovery::{Damage, Torn};
use ringmq_persistence::tools;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Prints what each log holds and what is wrong with it. Exit code 0 if nothing that was stored is lost, else 1.
///
/// # Errors
/// [`LogError`]. If it concerns one log only, the others are read first.
pub fn verify(directory: &Path) -> Result<ExitCode, LogError> {
    let store = Store::find(directory)?;
    let mut total = Total::default();
    let mut failure = None;
    for shard in &store.shards {
        let read = || {
            let report = tools::verify(&shard.directory).map_err(LogError::of(&shard.directory))?;
            Ok((report, shard.set_aside()?))
        };
        match read() {
            Ok((report, set_aside)) => {
                print(&report_lines(shard, &report, &set_aside));
                total.add(&report);
            }
            Err(error) => {
                print(&[format!("shard {}: not read, see the error", shard.name)]);
                failure.get_or_insert(error);
            }
        }
    }
    if let Some(holder) = lock::holder(&store.lock) {
        print(&[format!("note: {holder} has it open; what it was writing can look like a torn tail")]);
    }
    print(&total.lines(store.shards.len()));
    match failure {
        Some(error) => Err(error),
        None => Ok(ExitCode::from(u8::from(total.damages > 0))),
    }
}

/// What is said of one log: its figures, then what is wrong.
pub fn report_lines(shard: &Shard, report: &Report, set_aside: &[String]) -> Vec<String> {
    let Shard { name, directory } = shard;
    let Report { segments, bytes, records, live, torn, damages } = report;
    let mut lines = vec![format!(
        "shard {name}: segments {segments}, bytes {bytes}, records {records}, live {live}, torn tails {}, damaged {}",
        torn.len(),
        damages.len()
    )];
    lines.extend(torn.iter().map(|Torn { segment, at }| {
        let file = segment.file_name();
        format!("shard {name}: torn tail in {file} at byte {at}: a write that was not finished, of which nobody was told")
    }));
    lines.extend(damages.iter().map(|Damage { segment, bytes, id }| {
        let lost = id.map_or_else(String::new, |id| format!(", record {id}"));
        let file = directory.join(segment.file_name());
        format!("shard {name}: damaged: {}, bytes {} to {}{lost}", file.display(), bytes.start, bytes.end)
    }));
    lines.extend(set_aside.iter().map(|file| {
        let file = directory.join(file);
        format!(
            "shard {name}: set aside by an earlier start: {} (not read, and not needed any more)",
            file.display()
        )
    }));
    lines
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
    live: u64,
    torn: usize,
    damages: usize,
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.live += report.live;
        self.torn += report.torn.len();
        self.damages += report.damages.len();
    }

    fn lines(&self, shards: usize) -> Vec<String> {
        let Total { live, torn, damages } = self;
        if *damages == 0 {
            return vec![format!("ok: shards {shards}, live {live}, torn tails {torn}, damaged 0")];
        }
        vec![
            format!("not ok: shards {shards}, live {live}, torn tails {torn}, damaged {damages}"),
            "remedy: restore a backup; or keep what can be read: start the broker with persistence.strict = false, \
             which copies it and sets damaged segments aside as *.damaged. Look for faults of the disk (dmesg, smartctl)"
                .to_owned(),
        ]
    }
}
