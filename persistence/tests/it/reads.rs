//! Reading many records back: few operations, none of which costs more than what it asked for.

use std::collections::BTreeMap;

use ringmq_persistence::log::operation::{Answer, Operation};
use ringmq_persistence::log::{Machine, Reading};
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::memory::Memory;
use ringmq_persistence::{Id, Level, Options, ReadError, StorageError, Stored};

use super::{block_on, drain, opened, remove, small};

fn filled(disk: &Memory, options: Options) -> (Machine, Vec<Id>) {
    let (mut machine, ..) = opened(disk, options);
    let ids = (0..60_u8).map(|record| machine.put(1, &[record; 900]).unwrap()).collect();
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(disk, &mut machine)).unwrap();
    (machine, ids)
}

fn ask(machine: &mut Machine, ids: impl IntoIterator<Item = Id>) {
    for id in ids {
        assert!(matches!(machine.read(id), Ok(Reading::Pending(_))));
    }
}

/// Does the reads that were asked for; how many operations that took. `fails`: those from here to there in a file.
fn perform(machine: &mut Machine, disk: &Memory, fails: impl Fn(u64, u64) -> bool) -> usize {
    let mut operations = 0;
    while let Some((ticket, operation)) = machine.poll_operation() {
        operations += 1;
        let Operation::Read { file, offset, bytes } = operation else { panic!("{operation:?}") };
        let broken = || StorageError::new("read", Some(file), std::io::ErrorKind::Other.into());
        let answer = match fails(offset, offset + bytes as u64) {
            true => Err(broken()),
            false => block_on(disk.read(file, offset, bytes)).map(Answer::Bytes),
        };
        machine.handle_answer(ticket, answer);
    }
    operations
}

fn results(machine: &mut Machine) -> BTreeMap<Id, Result<Stored, ReadError>> {
    std::iter::from_fn(|| machine.poll_read()).map(|done| (done.id, done.result)).collect()
}

#[test]
fn records_that_lie_together_are_read_together() {
    let disk = Memory::default();
    let (mut machine, ids) = filled(&disk, Options { segment_bytes: 1 << 20, ..small() });
    assert!(ids.iter().all(|id| machine.is_written(*id)));
    // In any order, and not all of them.
    ask(&mut machine, ids.iter().rev().copied().filter(|id| id.0 % 3 > 0));
    assert_eq!(perform(&mut machine, &disk, |_, _| false), 1);
    let read = results(&mut machine);
    assert_eq!(read.len(), 40);
    for (id, result) in read {
        let record = ids.iter().position(|other| *other == id).unwrap();
        assert_eq!(result.unwrap().payload(), [record as u8; 900]);
    }
}

#[test]
fn a_bad_block_costs_the_records_in_it() {
    let disk = Memory::default();
    let (mut machine, ids) = filled(&disk, Options { segment_bytes: 1 << 20, ..small() });
    ask(&mut machine, ids.iter().copied());
    let bad = 6 * 4096 + 100;
    perform(&mut machine, &disk, |from, to| (from..to).contains(&bad));
    let (read, lost): (Vec<_>, Vec<_>) = results(&mut machine).into_iter().partition(|(_, it)| it.is_ok());
    assert_eq!(read.len() + lost.len(), 60);
    assert!((1..8).contains(&lost.len()), "{} lost", lost.len());
    assert!(lost.iter().all(|(_, result)| matches!(result, Err(ReadError::Storage(_)))));
    assert!(machine.failure().is_none(), "what cannot be read does not keep others from being written");
}

#[test]
fn what_is_removed_while_it_is_read_is_unknown() {
    let disk = Memory::default();
    let (mut machine, ids) = filled(&disk, small());
    ask(&mut machine, ids[..2].iter().copied());
    remove(&disk, &mut machine, &ids[1..2]);
    let read = results(&mut machine);
    assert!(matches!(read[&ids[1]], Err(ReadError::Unknown)));
    assert!(read[&ids[0]].is_ok());
}
