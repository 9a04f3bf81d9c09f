//! What is found with the help of a checkpoint is what is found without.

use std::time::Duration;

use fastrand::Rng;

use super::Survey;
use crate::driver::open_machine;
use crate::log::operation::{Answer, Operation, Ticket};
use crate::log::segments::Fate;
use crate::log::{Id, Level, Machine};
use crate::options::Options;
use crate::storage::Storage;
use crate::storage::files::block_on;
use crate::storage::memory::{Crash, Memory};
use crate::tools::drain;

fn options(random: &mut Rng) -> Options {
    Options {
        segment_bytes: 16 << 10,
        compaction_bytes_per_s: if random.bool() { 0 } else { 1 << 20 },
        commit_delay: Duration::ZERO,
        checkpoint_bytes: [1, 8 << 10, 40 << 10][random.usize(..3)],
        ..Options::default()
    }
}

/// Compares what two ways of reading find; says whether the checkpoint counted.
fn compare(disk: &Memory) -> bool {
    let (all, behind) = (block_on(Survey::of(disk)).unwrap(), block_on(Survey::behind_newest(disk)).unwrap());
    assert_eq!(behind.report.misfits, 0);
    assert_eq!(behind.report.damages, all.report.damages);
    let (found, expected) = (&behind.remains, &all.remains);
    assert!(found.index.iter().eq(expected.index.iter()), "where live records lie");
    assert_eq!((found.next_number, found.tail), (expected.next_number, expected.tail));
    assert!(found.next_id >= expected.next_id);
    assert_eq!(found.segments.live_bytes(), expected.segments.live_bytes());
    for ((number, found), (_, expected)) in found.segments.iter().zip(expected.segments.iter()) {
        let figures = |it: &crate::log::segments::Segment| (it.live, it.live_bytes, it.end, it.allocated);
        assert_eq!(figures(found), figures(expected), "segment {number}");
        assert!(found.is_stale || !expected.is_stale, "segment {number} is stale");
        assert_eq!((found.is_forced, found.fate), (expected.is_forced, expected.fate), "segment {number}");
        // What was copied on already before a checkpoint is not needed any more, though it is still there.
        assert!(found.needs == expected.needs || found.needs.is_empty(), "segment {number} needs");
    }
    behind.report.from_checkpoint.is_some()
}

struct Outstanding {
    ticket: Ticket,
    operation: Operation,
    before: u64,
}

fn perform(disk: &Memory, machine: &mut Machine, outstanding: Outstanding) {
    let Outstanding { ticket, operation, before } = outstanding;
    let answer = match operation {
        Operation::Sync { file } => disk.sync_before(file, before).map(|()| Answer::Done),
        Operation::SyncDirectory => disk.sync_names_before(before).map(|()| Answer::Done),
        operation => block_on(disk.perform(operation)),
    };
    machine.handle_answer(ticket, answer);
}

/// Does some of what the log asks for, in any order.
fn work(disk: &Memory, machine: &mut Machine, outstanding: &mut Vec<Outstanding>, random: &mut Rng) {
    for _ in 0..random.usize(..12) {
        while let Some((ticket, operation)) = machine.poll_operation() {
            outstanding.push(Outstanding { ticket, operation, before: disk.operations() + 1 });
        }
        if !outstanding.is_empty() {
            let next = outstanding.swap_remove(random.usize(..outstanding.len()));
            perform(disk, machine, next);
        }
    }
}

/// Puts and removes at random, with operations done in any order, and compares after each.
fn life(seed: u64) -> [u64; 2] {
    let mut random = Rng::with_seed(seed);
    let disk = Memory::default();
    let mut seen = [0; 2];
    for _ in 0..3 {
        let options = options(&mut random);
        let (mut machine, _) = block_on(open_machine(&disk, options, |_, _, _| {})).unwrap();
        let mut live: Vec<Id> = machine.ids().collect();
        let mut outstanding: Vec<Outstanding> = Vec::new();
        for _ in 0..60 {
            for _ in 0..random.usize(..6) {
                if live.len() > 10 && random.usize(..40) < live.len() {
                    assert!(machine.remove(live.swap_remove(random.usize(..live.len()))).unwrap());
                } else {
                    live.push(machine.put(1, &vec![seed as u8; random.usize(..2_000)]).unwrap());
                }
            }
            if random.u32(..3) == 0 {
                work(&disk, &mut machine, &mut outstanding, &mut random);
                seen[0] += u64::from(compare(&disk));
            }
            machine.seal(if random.bool() { Level::Wal } else { Level::Fsync }).unwrap();
            work(&disk, &mut machine, &mut outstanding, &mut random);
            seen[0] += u64::from(compare(&disk));
        }
        seen[1] += machine.figures().checkpoints;
        if random.bool() {
            disk.crash(Crash::Power, |below| random.usize(..below));
        } else {
            outstanding.drain(..).for_each(|outstanding| perform(&disk, &mut machine, outstanding));
            machine.close();
            block_on(drain(&disk, &mut machine)).unwrap();
            assert!(machine.is_idle());
        }
        seen[0] += u64::from(compare(&disk));
    }
    seen
}

#[test]
fn a_checkpoint_tells_what_reading_everything_finds() {
    let lives = std::env::var("RINGMQ_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    let mut seen = [0; 2];
    for seed in 0..lives {
        struct Named(u64);
        impl Drop for Named {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    eprintln!("failed with seed {}", self.0);
                }
            }
        }
        let _named = Named(seed);
        seen.iter_mut().zip(life(seed)).for_each(|(all, one)| *all += one);
    }
    assert!(seen.iter().all(|&seen| seen > 5 * lives), "{seen:?}");
}

#[test]
fn flags_of_segments_outlive_what_is_not_read() {
    let disk = Memory::default();
    let options = Options { segment_bytes: 16 << 10, checkpoint_bytes: 1, ..Options::default() };
    let open = || block_on(open_machine(&disk, options.clone(), |_, _, _| {})).unwrap().0;
    let mut machine = open();
    for record in 0..20_u8 {
        machine.put(1, &[record; 900]).unwrap();
    }
    machine.seal(Level::Fsync).unwrap();
    // A segment that is to be set aside, and is not yet when the checkpoint is written.
    let (first, _) = machine.segments_mut().iter().next().unwrap();
    let segment = machine.segments_mut().find_mut(first).unwrap();
    (segment.is_spoiled, segment.is_forced, segment.fate) = (true, true, Fate::Quarantine);
    machine.close();
    block_on(drain(&disk, &mut machine)).unwrap();
    let survey = block_on(Survey::behind_newest(&disk)).unwrap();
    assert_eq!(survey.report.from_checkpoint, Some(20));
    let segment = survey.remains.segments.find(first).unwrap();
    assert_eq!((segment.is_forced, segment.fate), (true, Fate::Quarantine));
}
