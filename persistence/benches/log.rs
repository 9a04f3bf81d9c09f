//! The log's costs: appending a record, committing passes together, and opening a log again.

#![expect(missing_docs, reason = "the macro that lists the benches writes a public function")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::storage::memory::Memory;
use ringmq_persistence::tools::drain;
use ringmq_persistence::{Id, Level, Machine, Options, open_machine};

fn open<S: Storage>(storage: &S) -> Machine {
    let options = Options { compaction_bytes_per_s: 0, ..Options::default() };
    block_on(open_machine(storage, options, |_, _, _| {})).expect("the log opens").0
}

fn remove_all(machine: &mut Machine, live: &mut Vec<Id>) {
    for id in live.drain(..) {
        machine.remove(id).expect("the log works");
    }
}

/// Records of 64 bytes in passes of 64, over memory: what a pass costs the thread that appends, and what the whole way to
/// the disk and out of the log again costs besides the disk.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(64));
    let mut live = Vec::new();
    let disk = Memory::default();
    let mut machine = open(&disk);
    group.bench_function("put_64_records_of_64_bytes", |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                remove_all(&mut machine, &mut live);
                let began = Instant::now();
                for _ in 0..64 {
                    live.push(machine.put(1, black_box(&[7; 64])).expect("there is room"));
                }
                machine.seal(Level::Fsync).expect("the log works");
                took += began.elapsed();
                block_on(drain(&disk, &mut machine)).expect("memory does not fail");
            }
            took
        });
    });
    group.bench_function("put_write_sync_remove_64_records_of_64_bytes", |bencher| {
        bencher.iter(|| {
            remove_all(&mut machine, &mut live);
            for _ in 0..64 {
                live.push(machine.put(1, black_box(&[7; 64])).expect("there is room"));
            }
            machine.seal(Level::Fsync).expect("the log works");
            block_on(drain(&disk, &mut machine)).expect("memory does not fail");
        });
    });
    group.finish();
}

/// Passes of one record on a real disk, `together` of which share a write and a sync.
fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group_commit");
    for together in [1_usize, 16, 256] {
        let directory = tempfile::tempdir_in(".").expect("the current directory takes files");
        let files = Files::open(directory.path()).expect("the directory is there");
        let mut machine = open(&files);
        let mut live = Vec::new();
        group.throughput(Throughput::Elements(together as u64));
        group.bench_function(format!("files_{together}_passes"), |bencher| {
            bencher.iter(|| {
                remove_all(&mut machine, &mut live);
                for _ in 0..together {
                    live.push(machine.put(1, &[7; 64]).expect("there is room"));
                    machine.seal(Level::Fsync).expect("the log works");
                }
                block_on(drain(&files, &mut machine)).expect("the disk works");
            });
        });
    }
    group.finish();
}

fn fill(directory: &Path, records: usize, bytes: usize) {
    let files = Files::open(directory).expect("the directory is there");
    let mut machine = open(&files);
    let payload = vec![7; bytes];
    for record in 0..records {
        machine.put(1, &payload).expect("there is room");
        if record % 4096 == 0 {
            machine.seal(Level::Wal).expect("the log works");
            block_on(drain(&files, &mut machine)).expect("the disk works");
        }
    }
    machine.seal(Level::Fsync).expect("the log works");
    machine.close();
    block_on(drain(&files, &mut machine)).expect("the disk works");
}

/// Opening a log of live records of 150 bytes, every one of which is visited: with all segments read before, and with what a
/// checkpoint says of them.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    group.sample_size(10);
    for records in [100_000_usize, 1_000_000] {
        let directory = tempfile::tempdir_in(".").expect("the current directory takes files");
        fill(directory.path(), records, 150);
        for (name, throughput) in [
            ("records", Throughput::Elements(records as u64)),
            ("bytes", Throughput::Bytes(records as u64 * 176)),
        ] {
            group.throughput(throughput);
            for (way, checkpoint_bytes) in [("all_read", 0), ("from_a_checkpoint", 256 << 20)] {
                group.bench_function(format!("{records}_{way}_by_{name}"), |bencher| {
                    bencher.iter_custom(|times| {
                        let opening = |_| time_of_opening(directory.path(), records, checkpoint_bytes);
                        (0..times).map(opening).sum()
                    });
                });
            }
        }
    }
    group.finish();
}

fn time_of_opening(directory: &Path, records: usize, checkpoint_bytes: u64) -> Duration {
    let began = Instant::now();
    let files = Files::open(directory).expect("the directory is there");
    let mut visited = 0;
    let options = Options { checkpoint_bytes, ..Options::default() };
    let opened = block_on(open_machine(&files, options, |_, _, payload| {
        visited += black_box(payload).len() / 150;
    }));
    let took = began.elapsed();
    let (_, report) = opened.expect("the log opens");
    assert_eq!((visited, report.from_checkpoint.is_some()), (records, checkpoint_bytes > 0));
    took
}

criterion_group!(benches, append, group_commit, recovery);
criterion_main!(benches);
