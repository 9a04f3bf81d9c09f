//! The log as its users see it: over a disk that crashes, over files, under its driver.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

mod checkpoints;
mod damage;
mod driver;
mod errors;
mod model;
mod reads;
mod space;
mod tools;

use ringmq_persistence::log::Machine;
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::files::block_on;
use ringmq_persistence::tools::drain;
use ringmq_persistence::{Id, Level, OpenError, Options, Report, open_machine};

/// Small segments, so that a test has many.
fn small() -> Options {
    Options { segment_bytes: 16 << 10, compaction_bytes_per_s: 0, ..Options::default() }
}

/// A log and the ids and payloads of its live records.
type Opened = (Machine, Report, Vec<(Id, Vec<u8>)>);

fn try_open<S: Storage>(storage: &S, options: Options) -> Result<Opened, OpenError> {
    let mut found = Vec::new();
    let (machine, report) =
        block_on(open_machine(storage, options, |id, _, payload| found.push((id, payload.to_vec()))))?;
    Ok((machine, report, found))
}

fn opened<S: Storage>(storage: &S, options: Options) -> Opened {
    try_open(storage, options).unwrap()
}

/// Puts records of `bytes` bytes, each a pass of its own, and has them synced.
fn put<S: Storage>(storage: &S, machine: &mut Machine, records: usize, bytes: usize) -> Vec<Id> {
    let mut ids = Vec::new();
    for record in 0..records {
        ids.push(machine.put(1, &vec![record as u8; bytes]).unwrap());
        machine.seal(Level::Fsync).unwrap();
        block_on(drain(storage, machine)).unwrap();
    }
    ids
}

/// Removes records in one pass and has that synced, and all that follows from it.
fn remove<S: Storage>(storage: &S, machine: &mut Machine, ids: &[Id]) {
    for id in ids {
        assert!(machine.remove(*id).unwrap());
    }
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(storage, machine)).unwrap();
}
