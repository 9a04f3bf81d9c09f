//! A disk that fails: the log stops where it is, says so, and goes on when it is opened again.

use ringmq_persistence::storage::memory::{Crash, Memory};
use ringmq_persistence::{Level, PutError};

use super::{block_on, drain, opened, put, small};

#[test]
fn after_a_failure_nothing_is_taken_or_reported() {
    // Creation, directory, write and sync of the first pass, then writes and syncs in turn.
    for operation in 1..12 {
        let disk = Memory::default();
        let (mut machine, ..) = opened(&disk, small());
        disk.fail_in(operation);
        let mut stored = Vec::new();
        for record in 0..10_u8 {
            let Ok(id) = machine.put(1, &[record; 100]) else { break };
            let Ok(position) = machine.seal(Level::Fsync) else { break };
            let drained = block_on(drain(&disk, &mut machine));
            assert!(drained.is_err() || machine.synced() >= position);
            if machine.synced() >= position {
                stored.push(id);
            }
        }
        let reported = (machine.written(), machine.synced());
        assert!(machine.failure().is_some(), "operation {operation}");
        assert!(matches!(machine.put(1, b"more"), Err(PutError::Failed(_))));
        assert!(matches!(machine.seal(Level::Wal), Err(PutError::Failed(_))));
        if let Some(id) = stored.first() {
            assert!(matches!(machine.remove(*id), Err(PutError::Failed(_))));
            assert!(machine.read(*id).is_ok(), "what is stored can be read");
        }
        assert!(machine.poll_operation().is_none_or(|(_, operation)| {
            matches!(operation, ringmq_persistence::log::operation::Operation::Read { .. })
        }));
        assert_eq!((machine.written(), machine.synced()), reported);
        disk.crash(Crash::Power, |_| 0);
        let (_, _, found) = opened(&disk, small());
        assert!(stored.iter().all(|id| found.iter().any(|(other, _)| other == id)), "operation {operation}");
    }
}

#[test]
fn a_full_disk_fails_the_log_and_freeing_space_brings_it_back() {
    let disk = Memory::default();
    disk.set_bytes_max(4 * (16 << 10));
    let (mut machine, ..) = opened(&disk, small());
    let mut ids = Vec::new();
    loop {
        ids.push(machine.put(1, &[1; 1_000]).unwrap());
        machine.seal(Level::Fsync).unwrap();
        if block_on(drain(&disk, &mut machine)).is_err() {
            break;
        }
    }
    assert!(machine.failure().is_some_and(ringmq_persistence::StorageError::is_full));
    disk.set_bytes_max(u64::MAX);
    let (mut machine, _, found) = opened(&disk, small());
    assert!(found.len() + 1 >= ids.len());
    put(&disk, &mut machine, 30, 1_000);
    assert_eq!(opened(&disk, small()).2.len(), found.len() + 30);
}
