//! What an operator does with a log's directory.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use ringmq_persistence::storage::files::Files;
use ringmq_persistence::tools::{Snapshot, compact, dump, verify};
use ringmq_persistence::{Id, Level};

use super::{block_on, drain, opened, put, remove, small};

/// Every file of a directory, whole.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// A log in use: segments, removals, an allocated tail that is not full.
fn in_use(directory: &Path) -> usize {
    let files = Files::open(directory).unwrap();
    let (mut machine, ..) = opened(&files, small());
    let ids = put(&files, &mut machine, 60, 1_000);
    for id in ids.iter().filter(|id| id.0 % 3 == 0) {
        machine.remove(*id).unwrap();
    }
    machine.close();
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&files, &mut machine)).unwrap();
    40
}

#[test]
fn verify_and_dump_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let live = in_use(directory.path());
    let before = contents(directory.path());
    let report = verify(directory.path()).unwrap();
    assert_eq!((report.live as usize, report.damages.len()), (live, 0));
    let mut ids = Vec::new();
    dump(directory.path(), |id, _, payload| {
        assert_eq!(payload, [(id.0 - 1) as u8; 1_000]);
        ids.push(id);
    })
    .unwrap();
    assert!(ids.len() == live && ids.is_sorted());
    assert!(contents(directory.path()) == before);
    let (first, mut bytes) = before.into_iter().next().unwrap();
    bytes[4096 + 45] ^= 1;
    fs::write(directory.path().join(first), bytes).unwrap();
    assert!(!verify(directory.path()).unwrap().damages.is_empty());
}

#[test]
fn compact_leaves_the_live_records_and_little_else() {
    let directory = tempfile::tempdir().unwrap();
    let live = in_use(directory.path());
    let bytes = || contents(directory.path()).values().map(Vec::len).sum::<usize>() as u64;
    let before = bytes();
    let compacted = compact(directory.path()).unwrap();
    assert_eq!(compacted.figures.records as usize, live);
    assert_eq!((compacted.after.live as usize, &compacted.after.damages[..]), (live, &[][..]));
    assert_eq!((compacted.report.bytes, compacted.after.bytes), (before, bytes()));
    assert!(bytes() < before / 3 * 2, "{compacted:?}");
    let mut ids = Vec::new();
    let report = dump(directory.path(), |id, _, _| ids.push(id.0)).unwrap();
    assert_eq!(ids, (1..=60).filter(|id| id % 3 != 0).collect::<Vec<_>>());
    assert_eq!(report.damages, []);
    // And once more, and by a log that goes on.
    compact(directory.path()).unwrap();
    let files = Files::open(directory.path()).unwrap();
    let (mut machine, ..) = opened(&files, small());
    let ids = put(&files, &mut machine, 1, 10);
    assert_eq!(ids[0].0, 61);
    remove(&files, &mut machine, &ids);
}

/// Nothing but the header of the one segment that is left says which ids were used.
#[test]
fn ids_go_on_after_an_empty_log_was_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let (mut machine, ..) = opened(&files, small());
    let ids = put(&files, &mut machine, 10, 100);
    remove(&files, &mut machine, &ids);
    drop(machine);
    compact(directory.path()).unwrap();
    let (mut machine, report, _) = opened(&files, small());
    assert_eq!(report.records, 1, "one record that removes nothing");
    assert_eq!(put(&files, &mut machine, 1, 10)[0].0, 11);
}

#[test]
fn an_empty_directory_is_an_empty_log() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(verify(&directory.path().join("none")).unwrap().live, 0);
    assert_eq!(compact(directory.path()).unwrap().figures.records, 0);
    assert_eq!(verify(directory.path()).unwrap().live, 0);
    assert_eq!(contents(directory.path()).len(), 0);
}

#[test]
fn a_snapshot_reads_one_record_and_stops_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    in_use(directory.path());
    let snapshot = Snapshot::of(directory.path()).unwrap();
    assert_eq!(snapshot.read(Id(2)).unwrap(), Some((1, vec![1; 1_000])));
    assert_eq!(snapshot.read(Id(3)).unwrap(), None, "removed");
    let mut ids = Vec::new();
    let end = snapshot.visit(|id, _, _| {
        ids.push(id.0);
        if id.0 == 4 { ControlFlow::Break(id) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((end.unwrap(), ids), (ControlFlow::Break(Id(4)), vec![1, 2, 4]));
}

#[test]
fn a_log_in_use_never_looks_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let writer = std::thread::spawn(move || {
        let files = Files::open(&path).unwrap();
        let (mut machine, ..) = opened(&files, small());
        // So much that reading it takes longer than a segment is written to.
        let large = put(&files, &mut machine, 100, 200_000);
        let mut ids = VecDeque::new();
        for _ in 0..60 {
            ids.extend(put(&files, &mut machine, 3, 2_000));
            if ids.len() > 30 {
                let oldest: Vec<Id> = ids.drain(..4).collect();
                remove(&files, &mut machine, &oldest);
            }
        }
        large.len()
    });
    let mut most = 0;
    while !writer.is_finished() {
        let report = verify(directory.path()).unwrap();
        assert_eq!(report.damages, []);
        most = most.max(report.live);
    }
    let large = writer.join().unwrap() as u64;
    assert!(most.max(verify(directory.path()).unwrap().live) > large + 20);
}
