//! Checkpoints: when they are written, what they save, and that a bad one, or none, costs nothing but time.

use ringmq_persistence::log::Machine;
use ringmq_persistence::log::operation::Operation;
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::memory::{Crash, Memory};
use ringmq_persistence::{Id, Level, Options};

use super::{block_on, drain, opened, put, remove, small};

fn eager() -> Options {
    Options { checkpoint_bytes: 20 << 10, ..small() }
}

fn checkpoints(disk: &Memory) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".ckpt")).collect()
}

fn close(disk: &Memory, mut machine: Machine) {
    machine.close();
    block_on(drain(disk, &mut machine)).unwrap();
    assert!(machine.is_idle());
}

/// A log of thirty records whose checkpoint covers all of it; two of each three are live.
fn closed() -> (Memory, Vec<Id>) {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, eager());
    let ids = put(&disk, &mut machine, 30, 900);
    let (removed, live): (Vec<Id>, Vec<Id>) = ids.into_iter().partition(|id| id.0 % 3 == 0);
    remove(&disk, &mut machine, &removed);
    close(&disk, machine);
    assert_eq!(checkpoints(&disk).len(), 1);
    (disk, live)
}

/// Bytes of a record that alone fills a write.
const LARGE: usize = 3_500;

/// A log of thirty records, none of which was copied, whose checkpoint covers all of it.
fn covered(fill: u8) -> (Memory, Vec<Id>) {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, eager());
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(machine.put(1, &[fill; LARGE]).unwrap());
        machine.seal(Level::Fsync).unwrap();
        block_on(drain(&disk, &mut machine)).unwrap();
    }
    close(&disk, machine);
    (disk, ids)
}

fn ids(found: &[(Id, Vec<u8>)]) -> Vec<Id> {
    found.iter().map(|(id, _)| *id).collect()
}

#[test]
fn after_a_regular_stop_no_record_is_read_twice() {
    let (disk, live) = closed();
    let (_, report, found) = opened(&disk, eager());
    assert_eq!(ids(&found), live);
    assert_eq!((report.records, report.live, report.from_checkpoint), (0, 20, Some(20)));
}

#[test]
fn checkpoints_follow_each_other_while_the_log_is_written() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, eager());
    let ids = put(&disk, &mut machine, 100, 900);
    let written = machine.figures().checkpoints;
    assert!((5..40).contains(&written), "{written}");
    assert_eq!(checkpoints(&disk).len(), 1);
    // As after a crash of the process.
    drop(machine);
    let (mut machine, report, found) = opened(&disk, eager());
    assert_eq!(found.len(), 100);
    assert!(report.from_checkpoint.is_some_and(|covered| covered > 80) && report.records < 40, "{report:?}");
    remove(&disk, &mut machine, &ids[..99]);
    drop(machine);
    assert_eq!(opened(&disk, eager()).2.len(), 1);
}

#[test]
fn a_little_log_has_none_when_it_is_closed() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, Options { checkpoint_bytes: 1 << 20, ..small() });
    put(&disk, &mut machine, 5, 900);
    close(&disk, machine);
    assert_eq!(checkpoints(&disk), [""; 0]);
}

#[test]
fn a_large_index_is_put_down_in_bounded_pieces_at_a_bounded_rate() {
    let disk = Memory::default();
    let options = Options {
        segment_bytes: 1 << 20,
        compaction_bytes_per_s: 1 << 20,
        checkpoint_bytes: 1 << 20,
        ..Options::default()
    };
    let (mut machine, ..) = opened(&disk, options.clone());
    let mut wrote = (0, 0);
    let mut waits = 0;
    for record in 0..200_001_u32 {
        machine.put(1, &record.to_le_bytes()).unwrap();
        if record % 100 > 0 {
            continue;
        }
        machine.seal(Level::Fsync).unwrap();
        while let Some((ticket, operation)) = machine.poll_operation() {
            match &operation {
                Operation::Write { file, bytes, .. } if file.segment().is_none() => {
                    assert!(bytes.len() <= 36 << 10, "{} bytes", bytes.len());
                    wrote = (wrote.0 + 1, wrote.1 + bytes.len());
                }
                Operation::Wait { .. } => waits += 1,
                _ => {}
            }
            let answer = block_on(disk.perform(operation));
            machine.handle_answer(ticket, answer);
        }
    }
    assert!(machine.figures().checkpoints > 0 && waits > 5 && wrote.0 > 10, "{waits} waits, wrote {wrote:?}");
    close(&disk, machine);
    let bytes = disk.contents(&checkpoints(&disk)[0]).unwrap().len();
    assert!(bytes < 200_000 * 5, "{bytes} bytes for 200,000 records");
    assert_eq!(opened(&disk, options).2.len(), 200_001);
}

#[test]
fn a_broken_checkpoint_is_none() {
    let (disk, live) = closed();
    let name = checkpoints(&disk).remove(0);
    let whole = disk.contents(&name).unwrap();
    let set = |bytes: &[u8]| disk.damage(&name, |file| *file = bytes.to_vec());
    for byte in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        set(&damaged);
        let (machine, report, found) = opened(&disk, eager());
        assert_eq!((ids(&found), report.misfits), (live.clone(), 0), "byte {byte}");
        drop(machine);
    }
    for cut in (0..whole.len()).step_by(97) {
        set(&whole[..cut]);
        let (_, report, found) = opened(&disk, eager());
        assert_eq!((ids(&found), report.from_checkpoint), (live.clone(), None), "cut at {cut}");
    }
    // One of a later version, and one that is another's.
    let mut later = whole.clone();
    later[8] = 2;
    set(&later);
    assert_eq!(opened(&disk, eager()).1.from_checkpoint, None);
}

#[test]
fn a_broken_checkpoint_goes_and_the_one_before_is_used() {
    let (disk, live) = closed();
    let before = disk.contents(&checkpoints(&disk)[0]).unwrap();
    disk.add("000000ff.ckpt", &before);
    let (mut machine, report, found) = opened(&disk, eager());
    assert_eq!((ids(&found), report.from_checkpoint), (live, Some(20)));
    block_on(drain(&disk, &mut machine)).unwrap();
    assert_eq!(checkpoints(&disk).len(), 1);
    assert!(checkpoints(&disk)[0].as_str() < "000000ff.ckpt");
}

#[test]
fn a_checkpoint_of_other_segments_does_not_count() {
    // The log was put back to an earlier state and went another way, and the checkpoint was left.
    let ((disk, live), (other, other_live)) = (covered(1), covered(2));
    let name = checkpoints(&disk).remove(0);
    assert_eq!(checkpoints(&other), [name.as_str()]);
    let checkpoint = disk.contents(&name).unwrap();
    other.damage(&name, |bytes| *bytes = checkpoint);
    let (_, report, found) = opened(&other, eager());
    assert_eq!((ids(&found), report.from_checkpoint, report.misfits), (other_live, None, 1));
    // A segment is shorter than it was.
    let (_, report, _) = opened(&disk, eager());
    assert_eq!(report.from_checkpoint, Some(30));
    disk.damage("00000001.seg", |bytes| bytes.truncate(8_192));
    let (_, report, found) = opened(&disk, eager());
    assert_eq!((report.from_checkpoint, report.misfits), (None, 1));
    assert!(!report.damages.is_empty() && found.len() < live.len());
}

#[test]
fn damage_behind_a_checkpoint_is_found_by_reading_everything() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, Options { segment_bytes: 64 << 10, ..eager() });
    let ids_there = put(&disk, &mut machine, 12, 900);
    drop(machine);
    // The fourth write from the end, which is synced.
    let name = "00000001.seg";
    disk.damage(name, |bytes| bytes[4096 * 10 + 100] ^= 1);
    let (_, report, found) = opened(&disk, eager());
    assert_eq!((report.from_checkpoint, report.damages.len()), (None, 1));
    assert_eq!(found.len(), ids_there.len() - 1);
}

#[test]
fn damage_that_a_checkpoint_covers_is_found_when_the_record_is_visited() {
    let (disk, live) = covered(7);
    let name = "00000001.seg";
    // The first record: in the first write, behind the header and the mark.
    let at = 4096 + 40 + 24;
    assert_eq!(disk.contents(name).unwrap()[at..at + LARGE], [7; LARGE]);
    disk.damage(name, |bytes| bytes[at + 1] = 1);
    let strict = super::try_open(&disk, Options { strict: true, ..eager() });
    assert!(matches!(strict, Err(ringmq_persistence::OpenError::Damaged { .. })), "strict reads everything");
    let (mut machine, report, found) = opened(&disk, eager());
    assert_eq!(ids(&found), live[1..]);
    assert_eq!((report.live, report.damages.len(), report.damages[0].id), (29, 1, Some(live[0].0)));
    assert!(!machine.has(live[0]));
    block_on(drain(&disk, &mut machine)).unwrap();
    assert!(disk.names().iter().any(|other| *other == format!("{name}.damaged")), "{:?}", disk.names());
}

#[test]
fn what_cannot_be_written_is_no_failure_of_the_log() {
    for operation in 1..8 {
        let (disk, live) = closed();
        let (mut machine, ..) = opened(&disk, eager());
        put(&disk, &mut machine, 3, 900);
        machine.close();
        let mut steps = 0;
        while let Some((ticket, step)) = machine.poll_operation() {
            let is_of_checkpoint = match &step {
                Operation::Create { file, .. }
                | Operation::Write { file, .. }
                | Operation::Sync { file }
                | Operation::Delete { file } => file.segment().is_none(),
                _ => false,
            };
            steps += u64::from(is_of_checkpoint);
            if is_of_checkpoint && steps == operation {
                disk.fail_in(1);
            }
            let answer = block_on(disk.perform(step));
            machine.handle_answer(ticket, answer);
        }
        assert!(steps >= 2 && machine.failure().is_none() && machine.is_idle(), "operation {operation}");
        let (_, report, found) = opened(&disk, eager());
        assert_eq!((found.len(), report.from_checkpoint.is_some()), (live.len() + 3, true), "{operation}");
    }
}

#[test]
fn a_store_that_is_short_of_room_has_no_checkpoint() {
    let disk = Memory::default();
    let options = Options { max_bytes: 16 * (16 << 10), ..eager() };
    let (mut machine, ..) = opened(&disk, options.clone());
    let mut ids = Vec::new();
    while !machine.is_short() {
        ids.extend(put(&disk, &mut machine, 1, 900));
    }
    assert!(machine.figures().checkpoints > 0);
    assert_eq!(checkpoints(&disk), [""; 0]);
    assert_eq!(opened(&disk, options).2.len(), ids.len());
}

#[test]
fn without_checkpoints_those_that_are_there_go() {
    let (disk, live) = closed();
    let (mut machine, report, found) = opened(&disk, Options { checkpoint_bytes: 0, ..small() });
    assert_eq!((ids(&found), report.from_checkpoint), (live, None));
    block_on(drain(&disk, &mut machine)).unwrap();
    assert_eq!(checkpoints(&disk), [""; 0]);
}

#[test]
fn a_checkpoint_waits_until_what_was_removed_is_recorded() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, eager());
    let ids: Vec<Id> = (0..30).map(|_| machine.put(1, &[1; 900]).unwrap()).collect();
    machine.seal(Level::Fsync).unwrap();
    // Of the next pass; the checkpoint is due, and does not find the record any more.
    assert!(machine.remove(ids[7]).unwrap());
    block_on(drain(&disk, &mut machine)).unwrap();
    disk.crash(Crash::Process, |_| 0);
    let (_, report, found) = opened(&disk, eager());
    assert_eq!((found.len(), report.from_checkpoint), (30, None));
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    drop(machine);
    let (_, report, found) = opened(&disk, eager());
    assert_eq!((found.len(), report.from_checkpoint), (29, Some(29)));
}

#[test]
fn a_pass_that_is_open_is_not_written_for_the_sake_of_a_checkpoint() {
    let disk = Memory::default();
    let (mut machine, ..) = opened(&disk, eager());
    for _ in 0..30 {
        machine.put(1, &[1; 900]).unwrap();
    }
    let sealed = machine.seal(Level::Wal).unwrap();
    while machine.written() < sealed {
        let (ticket, operation) = machine.poll_operation().expect("a write is to be done");
        let answer = block_on(disk.perform(operation));
        machine.handle_answer(ticket, answer);
    }
    // The checkpoint is due now, and one half of the next pass is there.
    machine.put(1, b"one half").unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    assert_eq!(opened(&disk, eager()).2.len(), 30);
    machine.put(1, b"the other").unwrap();
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&disk, &mut machine)).unwrap();
    assert_eq!(machine.figures().checkpoints, 1);
    assert_eq!(opened(&disk, eager()).2.len(), 32);
}
