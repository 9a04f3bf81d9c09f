//! Random lives of a log over a disk that crashes, against a map. After each crash the log must hold what it held after
//! some prefix of what was done, and that prefix must contain everything that was reported as stored.
//!
//! `RINGMQ_SEEDS=n` runs n lives, `RINGMQ_SEED=n` the n-th alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use ringmq_persistence::log::operation::{Answer, Operation, Ticket};
use ringmq_persistence::log::{Machine, Reading};
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::files::block_on;
use ringmq_persistence::storage::memory::{Crash, Memory};
use ringmq_persistence::tools::drain;
use ringmq_persistence::{
    Id, Level, OpenError, Options, Position, PutError, ReadError, ReadTicket, open_machine,
};

type Records = BTreeMap<u64, (u16, Vec<u8>)>;

#[derive(Debug, Clone)]
enum Step {
    Put(u64, u16, Vec<u8>),
    Remove(Vec<u64>),
}

fn apply(records: &mut Records, step: &Step) {
    match step {
        Step::Put(id, kind, payload) => {
            records.insert(*id, (*kind, payload.clone()));
        }
        Step::Remove(ids) => ids.iter().for_each(|id| drop(records.remove(id))),
    }
}

/// An operation that was handed out; for a sync, what it covers is what was written before.
struct Outstanding {
    ticket: Ticket,
    operation: Operation,
    before: u64,
}

struct Life {
    random: Rng,
    disk: Memory,
    options: Options,
    /// What the log held when it was opened.
    base: Records,
    /// What was done since, in the order of the log.
    steps: Vec<Step>,
    /// After how many steps each pass was sealed.
    sealed: Vec<(Position, usize)>,
    now: Records,
    /// The highest id that was ever reported as stored.
    highest: u64,
    last_crash: Crash,
    /// Records copied by compaction, segments gone, torn tails found, checkpoints written, checkpoints used: lives in which
    /// they never happen show little.
    seen: [u64; 5],
}

fn options(random: &mut Rng) -> Options {
    let pick = |random: &mut Rng, choices: &[u64]| choices[random.usize(..choices.len())];
    Options {
        segment_bytes: pick(random, &[16 << 10, 32 << 10]),
        max_bytes: pick(random, &[u64::MAX, 1 << 20]),
        pending_bytes_max: pick(random, &[32 << 10, 256 << 10]) as usize,
        write_bytes_max: pick(random, &[4096, 16 << 10]) as usize,
        commit_delay: Duration::from_millis(pick(random, &[0, 0, 1])),
        reads_max: 8,
        compaction_bytes_per_s: pick(random, &[0, 1 << 20]),
        checkpoint_bytes: 0,
        strict: random.u32(..4) == 0,
    }
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let options = options(&mut random);
        Self {
            random,
            disk: Memory::default(),
            options,
            base: Records::new(),
            steps: Vec::new(),
            sealed: Vec::new(),
            now: Records::new(),
            highest: 0,
            last_crash: Crash::Power,
            seen: [0; 5],
        }
    }

    /// Opens the log, maybe after some failures and crashes, and checks what it holds.
    fn open(&mut self, stored: usize) -> Machine {
        loop {
            // Some programs know nothing of checkpoints, and leave or delete what others wrote.
            self.options.checkpoint_bytes = [0, 1, 4 << 10, 32 << 10][self.random.usize(..4)];
            if self.random.u32(..4) == 0 {
                self.disk.fail_in(self.random.u64(1..4));
            }
            let mut found = Records::new();
            let mut last = 0;
            let opened = block_on(open_machine(&self.disk, self.options.clone(), |id, kind, payload| {
                assert!(id.0 > last, "ids ascend");
                last = id.0;
                found.insert(id.0, (kind, payload.to_vec()));
            }));
            self.disk.fail_never();
            match opened {
                Ok((machine, report)) => {
                    assert_eq!(report.damages, [], "a crash is no damage");
                    assert_eq!(report.misfits, 0, "a checkpoint fits whatever happened since");
                    self.check(found, stored);
                    self.seen[2] += report.torn.len() as u64;
                    self.seen[4] += u64::from(report.from_checkpoint.is_some());
                    assert!(machine.ids().map(|id| id.0).eq(self.base.keys().copied()));
                    return machine;
                }
                Err(OpenError::Damaged { report }) => panic!("a crash is no damage: {report:?}"),
                // What was only written survives one crash of the process after the other, not one of the power.
                Err(_) => self.crash(self.last_crash),
            }
        }
    }

    /// Finds the prefix of steps after which the log held what was found.
    fn check(&mut self, found: Records, stored: usize) {
        let mut state = self.base.clone();
        self.steps[..stored].iter().for_each(|step| apply(&mut state, step));
        // What a pass puts is there whole or not at all; what it removes comes behind.
        let is_whole = |steps: usize| {
            let is_removal = matches!(self.steps.get(steps), Some(Step::Remove(_)));
            is_removal || self.sealed.iter().any(|(_, sealed)| *sealed == steps)
        };
        let mut matches = state == found;
        for (at, step) in self.steps.iter().enumerate().skip(stored) {
            if matches {
                break;
            }
            apply(&mut state, step);
            matches = state == found && is_whole(at + 1);
        }
        if !matches {
            let mut least = self.base.clone();
            self.steps[..stored].iter().for_each(|step| apply(&mut least, step));
            let lost: Vec<_> = least.keys().filter(|id| !found.contains_key(id)).collect();
            let risen: Vec<_> = found.keys().filter(|id| !least.contains_key(id)).collect();
            panic!("no prefix fits; against the stored state lost {lost:?}, more {risen:?}");
        }
        self.now = found.clone();
        self.base = found;
        self.steps.clear();
        self.sealed.clear();
    }

    fn crash(&mut self, crash: Crash) {
        self.last_crash = crash;
        let random = &mut self.random;
        self.disk.crash(crash, |below| random.usize(..below));
    }

    fn pass(&mut self, machine: &mut Machine, outstanding: &mut Vec<Outstanding>) {
        let mut removed = Vec::new();
        for _ in 0..self.random.usize(1..8) {
            // What a pass has done so far is neither written nor in a checkpoint.
            if self.random.u32(..8) == 0 {
                self.poll(machine, outstanding);
            }
            let live = self.now.len();
            if live > 0 && self.random.usize(..live + 20) > 20 {
                let at = if self.random.bool() { 0 } else { self.random.usize(..live) };
                let Some(&id) = self.now.keys().nth(at) else { continue };
                match machine.remove(Id(id)) {
                    Ok(was_live) => assert!(was_live),
                    Err(error) => return assert!(matches!(error, PutError::Failed(_))),
                }
                self.now.remove(&id);
                removed.push(id);
            } else {
                self.put(machine);
            }
        }
        if !removed.is_empty() {
            self.steps.push(Step::Remove(removed));
        }
        let level = if self.random.bool() { Level::Wal } else { Level::Fsync };
        if let Ok(position) = machine.seal(level) {
            self.sealed.push((position, self.steps.len()));
        }
    }

    fn poll(&self, machine: &mut Machine, outstanding: &mut Vec<Outstanding>) {
        while let Some((ticket, operation)) = machine.poll_operation() {
            outstanding.push(Outstanding { ticket, operation, before: self.disk.operations() + 1 });
        }
    }

    fn put(&mut self, machine: &mut Machine) {
        let bytes = match self.random.u32(..100) {
            0 => self.random.usize(..40_000),
            1..=9 => self.random.usize(..6_000),
            _ => self.random.usize(..300),
        };
        let payload = vec![self.random.u8(..); bytes];
        let kind = self.random.u16(..);
        match machine.put(kind, &payload) {
            Ok(id) => {
                assert!(id.0 > self.highest, "id {} was used before", id.0);
                assert!(self.now.last_key_value().is_none_or(|(last, _)| *last < id.0));
                self.now.insert(id.0, (kind, payload.clone()));
                self.steps.push(Step::Put(id.0, kind, payload));
            }
            Err(PutError::TooLarge { .. }) => panic!("every payload here fits"),
            Err(PutError::Behind | PutError::Full | PutError::Failed(_)) => {}
        }
    }

    /// The number of steps that are stored up to a position.
    fn steps_at(&self, position: Position) -> usize {
        let covered = self.sealed.iter().rev().find(|(sealed, _)| *sealed <= position);
        covered.map_or(0, |(_, steps)| *steps)
    }

    fn perform(&mut self, machine: &mut Machine, outstanding: Outstanding) {
        let Outstanding { ticket, operation, before } = outstanding;
        let was = (machine.written(), machine.synced());
        let answer = match operation {
            Operation::Sync { file } => self.disk.sync_before(file, before).map(|()| Answer::Done),
            Operation::SyncDirectory => self.disk.sync_names_before(before).map(|()| Answer::Done),
            operation => block_on(self.disk.perform(operation)),
        };
        let has_failed = machine.failure().is_some();
        machine.handle_answer(ticket, answer);
        let is = (machine.written(), machine.synced());
        assert!(is.0 >= was.0 && is.1 >= was.1 && is.1 <= is.0);
        assert!(!has_failed || is == was, "nothing is reported after a failure");
        let stored = self.steps_at(is.1);
        for step in &self.steps[..stored] {
            if let Step::Put(id, ..) = step {
                self.highest = self.highest.max(*id);
            }
        }
    }

    fn begin_read(&mut self, machine: &mut Machine, reads: &mut BTreeMap<ReadTicket, (u16, Vec<u8>)>) {
        let at = self.random.usize(..self.now.len().max(1));
        let Some((id, (kind, payload))) = self.now.iter().nth(at) else { return };
        match machine.read(Id(*id)) {
            Ok(Reading::Ready { kind: read_kind, payload: read }) => {
                assert_eq!((read_kind, read), (*kind, payload.as_slice()));
            }
            Ok(Reading::Pending(ticket)) => drop(reads.insert(ticket, (*kind, payload.clone()))),
            Err(error) => assert!(matches!(error, ReadError::Busy), "{error}"),
        }
    }

    /// From one opening to the next crash; returns how many steps must survive it.
    fn generation(&mut self, mut machine: Machine) -> usize {
        let mut outstanding: Vec<Outstanding> = Vec::new();
        let mut reads = BTreeMap::new();
        if self.random.u32(..4) == 0 {
            self.disk.fail_in(self.random.u64(1..60));
        }
        for _ in 0..self.random.usize(1..150) {
            match self.random.u32(..10) {
                0..=2 => self.pass(&mut machine, &mut outstanding),
                3 => self.begin_read(&mut machine, &mut reads),
                4..=5 => self.poll(&mut machine, &mut outstanding),
                _ if !outstanding.is_empty() => {
                    let next = outstanding.swap_remove(self.random.usize(..outstanding.len()));
                    self.perform(&mut machine, next);
                }
                _ => {}
            }
            while let Some(done) = machine.poll_read() {
                let expected = reads.remove(&done.ticket).expect("each read ends once");
                match done.result {
                    Ok(stored) => {
                        assert_eq!((stored.kind, stored.payload()), (expected.0, expected.1.as_slice()))
                    }
                    Err(error) => {
                        let was_removed = !self.now.contains_key(&done.id.0);
                        assert!(matches!(error, ReadError::Unknown) && was_removed, "{error}");
                    }
                }
            }
            assert_eq!(machine.figures().records as usize, self.now.len());
        }
        self.end(&mut machine, outstanding)
    }

    fn end(&mut self, machine: &mut Machine, outstanding: Vec<Outstanding>) -> usize {
        self.disk.fail_never();
        let crash = [Crash::Process, Crash::Power, Crash::Torn][self.random.usize(..3)];
        for Outstanding { operation, .. } in outstanding {
            match operation {
                Operation::Write { file, offset, bytes } => {
                    let part: Range<usize> = self.part(bytes.len());
                    self.disk.spill(file, offset + part.start as u64, &bytes[part]);
                }
                Operation::Read { .. } => {}
                operation if self.random.bool() => drop(block_on(self.disk.perform(operation))),
                _ => {}
            }
        }
        self.seen[0] += machine.figures().copies;
        self.seen[1] += machine.figures().segments_gone;
        self.seen[3] += machine.figures().checkpoints;
        let position = if crash == Crash::Process { machine.written() } else { machine.synced() };
        self.crash(crash);
        self.steps_at(position)
    }

    fn part(&mut self, bytes: usize) -> Range<usize> {
        match self.random.u32(..3) {
            0 => 0..0,
            1 => 0..self.random.usize(..=bytes),
            _ => {
                let begin = self.random.usize(..=bytes / 512) * 512;
                begin..bytes
            }
        }
    }

    /// At the end everything is written in peace, and is there.
    fn finish(&mut self, mut machine: Machine) {
        let mut outstanding = Vec::new();
        self.pass(&mut machine, &mut outstanding);
        outstanding.into_iter().for_each(|outstanding| self.perform(&mut machine, outstanding));
        machine.close();
        block_on(drain(&self.disk, &mut machine)).unwrap();
        assert!(machine.is_idle());
        let stored = self.steps.len();
        self.crash(Crash::Power);
        self.open(stored);
    }
}

/// Says which life failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with RINGMQ_SEED={}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn what_is_stored_survives_every_crash_and_nothing_removed_comes_back() {
    let seeds = match number("RINGMQ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGMQ_SEEDS").unwrap_or(3_000),
    };
    let lives = seeds.end - seeds.start;
    let mut seen = [0; 5];
    for seed in seeds {
        let _named = Seed(seed);
        let mut life = Life::new(seed);
        let mut machine = life.open(0);
        for _ in 0..life.random.usize(1..6) {
            let stored = life.generation(machine);
            machine = life.open(stored);
        }
        life.finish(machine);
        seen.iter_mut().zip(life.seen).for_each(|(all, one)| *all += one);
    }
    assert!(lives < 100 || seen.iter().all(|&seen| seen > lives / 10), "{seen:?} in {lives} lives");
}
