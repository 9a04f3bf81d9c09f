//! `ringmq-bench durable`: what it costs to be told later. RingMQ is started once for each level of durability; in interleaved
//! rounds publishers queue messages for sessions that are away, and the sessions receive them. It never measures two
//! brokers at once.

mod contender;
mod disk;
mod figures;
mod verdict;

use crate::args::DurableArguments;
use crate::calibrate::version_of;
use crate::live;
use crate::net::syscalls;
use anyhow::{Context, Result, ensure};
use contender::{Contender, Level};
use std::io::{Write, stdout};
use std::thread;
use std::time::{Duration, Instant};
use verdict::Verdict;

/// Brokers that have delivered everything tidy up their logs; the next one is not measured before that, within this bound.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// How long they are looked at, and how much CPU time all of them together may take meanwhile.
const LOOK: Duration = Duration::from_millis(500);
const QUIET_CPU: Duration = Duration::from_millis(5);

/// Measures, prints and returns whether nothing was lost and both aims are met.
///
/// # Errors
/// When a broker cannot be started, or clients are not let in.
pub fn run(arguments: &DurableArguments) -> Result<bool> {
    let topics = arguments.sessions.div_ceil(arguments.fanout);
    ensure!(
        topics >= arguments.publishers,
        "{} publishers need a topic each, and {} sessions with --fanout {} have {topics}; use more --sessions",
        arguments.publishers,
        arguments.sessions,
        arguments.fanout
    );
    syscalls::raise_descriptor_limit().context("RLIMIT_NOFILE")?;
    let version = version_of(&arguments.broker)?;
    let folder = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let disk = disk::name_of(&folder).with_context(|| format!("--dir {}", folder.display()))?;
    let levels = Level::ALL.into_iter().filter(|level| arguments.with_off || *level != Level::Off);
    let mut contenders: Vec<Contender<'_>> =
        levels.map(|level| Contender::start(arguments, &folder, level)).collect::<Result<_>>()?;
    for round in 0..arguments.rounds {
        for index in 0..contenders.len() {
            wait_quiet(&contenders);
            contenders[index].run_round(round)?;
        }
    }
    let tracks = contenders.into_iter().map(Contender::into_track).collect();
    let verdict = Verdict { arguments, version, disk, tracks };
    live::end();
    let text = if arguments.json { format!("{}\n", verdict.to_json()) } else { verdict.to_text() };
    stdout().lock().write_all(text.as_bytes())?;
    Ok(verdict.is_passed())
}

/// Waits until no broker has anything to do.
fn wait_quiet(contenders: &[Contender<'_>]) {
    let cpu_us = || contenders.iter().map(Contender::cpu_us).sum::<u64>();
    let (deadline, mut before_us) = (Instant::now() + QUIET_MAX, cpu_us());
    while Instant::now() < deadline {
        thread::sleep(LOOK);
        let now_us = cpu_us();
        if Duration::from_micros(now_us.saturating_sub(before_us)) <= QUIET_CPU {
            return;
        }
        before_us = now_us;
    }
}
