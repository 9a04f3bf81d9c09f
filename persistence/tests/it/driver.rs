//! The log under its driver: positions move, callbacks come, passes share syncs, reads return, closing ends it.

use std::cell::Cell;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::storage::memory::Memory;
use ringmq_persistence::{Begun, Driver, Id, Level, Log, Options, PutError, ReadError, Stored, open};

use super::small;

fn started<S: Storage>(storage: S, options: Options) -> (Log, Driver<S>) {
    let (log, driver, _) = block_on(open(storage, options, |_, _, _| {})).unwrap();
    (log, driver)
}

/// Polls a driver until something is so; a bounded number of times, each of which lets its storage go on.
fn poll_until(run: &mut Pin<&mut impl Future<Output = ()>>, mut is_so: impl FnMut() -> bool) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        let _ = run.as_mut().poll(&mut context).is_ready();
    }
    panic!("it does not happen");
}

fn read(run: &mut Pin<&mut impl Future<Output = ()>>, log: &Log, id: Id) -> Result<Stored, ReadError> {
    match log.read(id)? {
        Begun::Ready(stored) => Ok(stored),
        Begun::Pending(ticket) => {
            let mut done = None;
            poll_until(run, || {
                done = log.poll_read();
                done.is_some()
            });
            let done = done.unwrap();
            assert_eq!(done.ticket, ticket);
            done.result
        }
    }
}

#[test]
fn positions_move_callbacks_come_and_closing_ends_the_driver() {
    let disk = Memory::default();
    disk.set_stalls(3);
    let (log, mut driver) = started(disk.clone(), small());
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    driver.on_progress(move || counted.set(counted.get() + 1));
    let mut run = pin!(driver.run());
    let id = log.put(7, b"stored").unwrap();
    let position = log.seal(Level::Fsync).unwrap();
    assert!(log.synced() < position);
    assert_eq!(read(&mut run, &log, id).unwrap().payload(), b"stored");
    poll_until(&mut run, || log.synced() >= position);
    assert!(calls.get() > 0);
    let stored = read(&mut run, &log, id).unwrap();
    assert_eq!((stored.kind, stored.payload()), (7, b"stored".as_slice()));
    // A pass that asks for no sync is written, and synced when the log is closed.
    log.put(7, b"written").unwrap();
    let position = log.seal(Level::Wal).unwrap();
    poll_until(&mut run, || log.written() >= position);
    assert!(log.synced() < position);
    log.close();
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0;
    while run.as_mut().poll(&mut context) == Poll::Pending {
        polls += 1;
        assert!(polls < 1_000, "the driver does not end");
    }
    assert!(log.synced() >= position);
}

#[test]
fn passes_that_come_during_a_sync_share_the_next_one() {
    let disk = Memory::default();
    disk.set_stalls(20);
    let (log, driver) = started(disk, Options::default());
    let mut run = pin!(driver.run());
    let mut context = Context::from_waker(Waker::noop());
    let mut last = None;
    for pass in 0..1_000_u32 {
        log.put(1, &pass.to_le_bytes()).unwrap();
        last = Some(log.seal(Level::Fsync).unwrap());
        assert!(run.as_mut().poll(&mut context).is_pending());
    }
    let last = last.unwrap();
    poll_until(&mut run, || log.synced() >= last);
    let figures = log.figures();
    assert!(figures.syncs < 100 && figures.writes < 100, "{figures:?}");
}

#[test]
fn reads_in_flight_are_bounded_and_follow_what_compaction_moves() {
    let disk = Memory::default();
    let (log, driver) = started(disk.clone(), Options { reads_max: 4, ..small() });
    let mut run = pin!(driver.run());
    // Passes of their own, so that they lie in many segments.
    let put = |record: u8| {
        let id = log.put(1, &[record; 1_000]).unwrap();
        log.seal(Level::Fsync).unwrap();
        id
    };
    let ids: Vec<Id> = (0..100).map(put).collect();
    let position = log.seal(Level::Fsync).unwrap();
    poll_until(&mut run, || log.synced() >= position);
    disk.set_stalls(5);
    for id in ids.iter().filter(|id| id.0 % 10 != 0) {
        log.remove(*id).unwrap();
    }
    log.seal(Level::Fsync).unwrap();
    let kept: Vec<Id> = ids.iter().copied().filter(|id| id.0 % 10 == 0).collect();
    let (mut asked, mut read) = (0, 0);
    poll_until(&mut run, || {
        while let Some(done) = log.poll_read() {
            assert_eq!(done.result.unwrap().payload(), [(done.id.0 - 1) as u8; 1_000]);
            read += 1;
        }
        let mut under_way = asked - read;
        loop {
            let id = kept[asked % kept.len()];
            match log.read(id) {
                Ok(Begun::Pending(_)) => {
                    asked += 1;
                    under_way += 1;
                    assert!(under_way <= 4);
                }
                Ok(Begun::Ready(stored)) => {
                    assert_eq!(stored.payload(), [(id.0 - 1) as u8; 1_000]);
                    break;
                }
                Err(error) => {
                    assert!(matches!(error, ReadError::Busy), "{error}");
                    break;
                }
            }
        }
        let figures = log.figures();
        figures.copies >= 9 && figures.segments_gone > 3 && read > 50
    });
}

#[test]
fn a_failure_is_told_and_the_driver_can_still_be_closed() {
    let disk = Memory::default();
    let (log, mut driver) = started(disk.clone(), small());
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    driver.on_progress(move || counted.set(counted.get() + 1));
    let mut run = pin!(driver.run());
    disk.fail_in(3);
    log.put(1, b"lost").unwrap();
    log.seal(Level::Fsync).unwrap();
    poll_until(&mut run, || log.failure().is_some());
    assert!(calls.get() > 0);
    assert!(matches!(log.put(1, b"more"), Err(PutError::Failed(_))));
    log.close();
    let mut context = Context::from_waker(Waker::noop());
    assert!((0..10).any(|_| run.as_mut().poll(&mut context).is_ready()));
}

/// What a log does on a real disk: records, reads, removals, compaction, closing, opening.
async fn live<S: Storage>(log: &Log, driver: Driver<S>, idle: impl AsyncFn()) {
    let waits = async {
        let ids: Vec<Id> = (0..200_u8).map(|record| log.put(1, &[record; 1_000]).unwrap()).collect();
        let position = log.seal(Level::Fsync).unwrap();
        while log.synced() < position {
            assert!(log.failure().is_none(), "{:?}", log.failure());
            idle().await;
        }
        let Ok(Begun::Pending(_)) = log.read(ids[7]) else { panic!("it is on disk") };
        let stored = loop {
            if let Some(done) = log.poll_read() {
                break done.result.unwrap();
            }
            idle().await;
        };
        assert_eq!(stored.payload(), [7; 1_000]);
        for id in ids.iter().filter(|id| id.0 % 10 != 0) {
            log.remove(*id).unwrap();
        }
        log.seal(Level::Fsync).unwrap();
        while log.figures().segments > 4 {
            assert!(log.failure().is_none(), "{:?}", log.failure());
            idle().await;
        }
        log.close();
    };
    let mut waits = pin!(waits);
    let mut run = pin!(driver.run());
    let (mut is_over, mut has_run) = (false, false);
    std::future::poll_fn(|context| {
        is_over = is_over || waits.as_mut().poll(context).is_ready();
        has_run = has_run || run.as_mut().poll(context).is_ready();
        if is_over && has_run { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn check_kept(directory: &Path) {
    let mut kept = 0;
    let report = ringmq_persistence::tools::dump(directory, |id, kind, payload| {
        assert_eq!((kind, payload), (1, [(id.0 - 1) as u8; 1_000].as_slice()));
        kept += 1;
    });
    assert_eq!((kept, report.unwrap().damages.len()), (20, 0));
}

#[test]
fn the_driver_works_over_files() {
    let directory = tempfile::tempdir().unwrap();
    let (log, driver) = started(Files::open(directory.path()).unwrap(), small());
    block_on(live(&log, driver, async || {
        let mut is_first = true;
        std::future::poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }));
    check_kept(directory.path());
}

#[cfg(feature = "glommio")]
#[test]
fn the_driver_works_over_io_uring_direct_and_buffered() {
    use std::time::Duration;

    use ringmq_persistence::storage::direct::{Direct, Mode};

    for buffered in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let executor = match glommio::LocalExecutorBuilder::default().make() {
            Ok(executor) => executor,
            Err(error) => return eprintln!("not shown, as io_uring is not to be had here: {error}"),
        };
        executor.run(async move {
            let storage = if buffered { Direct::buffered(&path) } else { Direct::open(&path).await.unwrap() };
            assert!(!buffered || storage.mode() == Mode::Buffered);
            let (log, driver, _) = open(storage, small(), |_, _, _| {}).await.unwrap();
            live(&log, driver, async || glommio::timer::sleep(Duration::from_millis(1)).await).await;
        });
        check_kept(directory.path());
    }
}
