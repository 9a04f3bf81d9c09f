//! `cargo x kill9`: the real broker, killed at random moments under load and started again on what it left.
//! Whatever it acknowledged must be there, and no QoS 2 message twice. It measures no speed, and shows nothing
//! about a loss of power: the kernel outlives the broker here.

mod cast;
mod client;
mod dice;
mod ledger;
mod lives;
mod message;
mod publisher;
mod retained;
mod subscriber;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use self::cast::{Cast, Tally};
use self::client::Life;
use self::dice::Dice;
use self::ledger::{Fault, Finding};
use self::lives::Site;
use crate::arguments::Arguments;
use crate::{test, tree};

/// How long a life may take that this test does not end by a kill, with all its drains.
const LIFE_LIMIT: Duration = Duration::from_secs(120);
/// A broker that listens is killed after this time at most.
const KILL_MS_MAX: u64 = 1_500;
/// One life in so many is killed this early, while it may still be reading its store.
const EARLY_EACH: u64 = 5;
const EARLY_MS_MAX: u64 = 120;
/// Messages each publisher sends after a clean restart.
const FRESH: u32 = 30;
/// Findings that are printed in full, of each kind.
const PRINTED_MAX: usize = 5;

/// What to run.
pub struct Options {
    kills: u32,
    seed: u64,
    binary: Option<PathBuf>,
    levels: Vec<String>,
    shards: Vec<u32>,
    settings: Vec<String>,
}

impl Options {
    /// What the gate runs: 5 kills.
    pub fn short() -> Self {
        let levels = ["wal", "fsync"].map(str::to_owned).to_vec();
        Self { kills: 5, seed: clock_seed(), binary: None, levels, shards: vec![1, 4], settings: Vec::new() }
    }

    /// Reads `--kills`, `--seed`, `--binary`, `--levels`, `--shards` and every `--set key.path=value`.
    pub fn from_arguments(arguments: &mut Arguments) -> Result<Self> {
        let mut options = Self::short();
        options.kills = arguments.number("kills", 50)?;
        options.seed = arguments.number("seed", options.seed)?;
        options.binary = arguments.text("binary")?.map(PathBuf::from);
        if let Some(levels) = arguments.text("levels")? {
            options.levels = levels.split(',').map(str::to_owned).collect();
        }
        if let Some(shards) = arguments.text("shards")? {
            let numbers = shards.split(',').map(str::parse).collect::<Result<_, _>>();
            options.shards = numbers.with_context(|| format!("--shards {shards}"))?;
        }
        while let Some(setting) = arguments.text("set")? {
            options.settings.push(setting);
        }
        arguments.finish()?;
        let known = |level: &String| ["memory", "wal", "fsync"].contains(&level.as_str());
        ensure!(options.levels.iter().all(known), "--levels has memory, wal or fsync");
        Ok(options)
    }

    /// Every shard count with every level, and how often its broker is killed.
    fn combinations(&self) -> Vec<(u32, &str, u32)> {
        let levels =
            |shards: &u32| self.levels.iter().map(|level| (*shards, level.as_str())).collect::<Vec<_>>();
        let all: Vec<(u32, &str)> = self.shards.iter().flat_map(levels).collect();
        let count = all.len() as u32;
        let share = |at: u32| self.kills / count + u32::from(at < self.kills % count);
        (0..).zip(all).map(|(at, (shards, level))| (shards, level, share(at))).collect()
    }
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64 % 1_000_000_000)
}

/// Kills and restarts brokers, and says what they lost.
pub fn run(options: &Options) -> Result<()> {
    let binary = match &options.binary {
        Some(binary) => std::path::absolute(binary).context("--binary")?,
        None => {
            test::build()?;
            tree::release_binary("ringmq")
        }
    };
    let levels = options.levels.join(",");
    println!("{} kills, levels {levels}, --seed {}", options.kills, options.seed);
    println!(
        "shards  level   kills  published  acknowledged  resent  delivered   again  retained  slowest start"
    );
    let mut wrong = 0;
    for (number, (shards, level, kills)) in (0..).zip(options.combinations()).filter(|(_, one)| one.2 > 0) {
        let folder = tree::scratch("kill9")?.join(format!("{}-{shards}-{level}", std::process::id()));
        let mut settings = vec![format!("node.shards={shards}"), format!("durability.level={level}")];
        settings.extend_from_slice(&options.settings);
        let mut site = Site::new(&binary, folder, &settings)?;
        let seed = options.seed.wrapping_add(number << 40);
        let kept = format!("what is left is in {}", site.folder.display());
        let (tally, found) = live_and_die(&mut site, seed, kills).with_context(|| kept.clone())?;
        print_tally(shards, level, kills, &tally, site.slowest);
        if found.is_empty() {
            site.remove()?;
        } else {
            print_findings(&found);
            println!(
                "all findings, a trace, the data directory and the logs are kept in {}",
                site.folder.display()
            );
            wrong += found.len();
        }
    }
    if wrong > 0 {
        bail!(
            "{wrong} findings; again with: cargo x kill9 --kills {} --seed {}",
            options.kills,
            options.seed
        );
    }
    Ok(())
}

/// One broker's lives on one data directory: what was done, and what is wrong.
fn live_and_die(site: &mut Site, seed: u64, kills: u32) -> Result<(Tally, Vec<Finding>)> {
    let mut dice = Dice::part(seed, 0);
    let mut cast = Cast::new(seed);
    for number in 0..kills {
        let mut running = site.start()?;
        let life = Life::new(number, site.address, LIFE_LIMIT);
        if number == 0 {
            site.wait_ready(&mut running)?;
            cast.subscribe(&life);
        }
        let is_early = number > 0 && dice.is_one_in(EARLY_EACH);
        let wait = Duration::from_millis(dice.below(if is_early { EARLY_MS_MAX } else { KILL_MS_MAX }));
        cast.load(&life, || {
            let ready = if is_early || number == 0 { Ok(()) } else { site.wait_ready(&mut running) };
            if ready.is_ok() {
                thread::sleep(wait);
            }
            life.end();
            running.kill();
            ready
        })?;
    }
    settle(site, &mut cast, kills)?;
    let mut found = cast.check();
    found.extend(site.panics().into_iter().map(|text| Finding::new(Fault::Broker, text)));
    if !found.is_empty() {
        let all: String = found.iter().map(|finding| format!("{finding}\n")).collect();
        for (name, text) in [("findings.txt", all), ("trace.txt", cast.to_trace())] {
            fs::write(site.folder.join(name), text).with_context(|| format!("writing {name}"))?;
        }
    }
    Ok((cast.tally(), found))
}

/// Three lives that end cleanly: what was in flight is finished; everybody drains what the store kept, old and
/// new; nothing comes twice.
fn settle(site: &mut Site, cast: &mut Cast, first: u32) -> Result<()> {
    for number in first..first + 3 {
        let mut running = site.start()?;
        site.wait_ready(&mut running)?;
        let life = Life::new(number, site.address, LIFE_LIMIT);
        match number - first {
            0 => {
                cast.look_at_retained(&life);
                cast.finish_publishers(&life, 0);
                cast.drain(&life, false);
            }
            1 => {
                cast.look_at_retained(&life);
                cast.drain(&life, true);
                cast.finish_publishers(&life, FRESH);
                cast.drain(&life, false);
            }
            _ => {
                cast.finish_publishers(&life, 0);
                cast.drain(&life, true);
                cast.look_at_retained(&life);
            }
        }
        life.end();
        running.stop()?;
    }
    Ok(())
}

fn print_tally(shards: u32, level: &str, kills: u32, tally: &Tally, slowest: Duration) {
    let Tally { published, acknowledged, resent, delivered, again, looks } = tally;
    println!(
        "{shards:>6}  {level:<6}  {kills:>5}  {published:>9}  {acknowledged:>12}  {resent:>6}  {delivered:>9}  \
         {again:>6}  {looks:>8}  {:>11.2} s",
        slowest.as_secs_f64()
    );
}

fn print_findings(found: &[Finding]) {
    let mut kinds: BTreeMap<Fault, Vec<&Finding>> = BTreeMap::new();
    for finding in found {
        kinds.entry(finding.fault).or_default().push(finding);
    }
    for (fault, findings) in kinds {
        println!("{fault:?}: {} findings", findings.len());
        for finding in findings.iter().take(PRINTED_MAX) {
            println!("  {finding}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Options> {
        Options::from_arguments(&mut Arguments::new(text.split_whitespace().map(str::to_owned).collect()))
    }

    #[test]
    fn kills_are_spread_over_every_shard_count_and_level() {
        let fifty = options("").unwrap();
        let wanted = [(1, "wal", 13), (1, "fsync", 13), (4, "wal", 12), (4, "fsync", 12)];
        assert_eq!(fifty.combinations(), wanted);
        let kills: Vec<u32> = Options::short().combinations().iter().map(|one| one.2).collect();
        assert_eq!(kills, [2, 1, 1, 1]);
    }

    #[test]
    fn what_is_asked_for_is_what_is_run() {
        let given = options("--kills 3 --seed 9 --levels memory --shards 2 --set a.b=1 --set a.c=2").unwrap();
        assert_eq!((given.seed, given.combinations()), (9, vec![(2, "memory", 3)]));
        assert_eq!(given.settings, ["a.b=1", "a.c=2"]);
        assert!(options("--levels disk").is_err());
        assert!(options("--shards one").is_err());
    }
}
