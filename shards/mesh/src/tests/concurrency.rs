//! Every interleaving, and every outcome that the memory model allows, of small cases; run by
//! `RUSTFLAGS="--cfg loom" cargo test -p ringmq-mesh --lib`.

use crate::ring::ring;
use crate::{Mesh, Signal, build_mesh};
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use ringmq_core::routing::ShardId;
use std::collections::VecDeque;

/// Explores `case` with at most `preemptions` involuntary switches in a run, which bounds the time it takes.
fn explore(preemptions: usize, case: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(case);
}

fn pair<T: Send>(capacity: usize) -> [Mesh<T>; 2] {
    <[_; 2]>::try_from(build_mesh(2, capacity, Signal::Socket).unwrap()).ok().unwrap()
}

/// A message in two halves on the heap, so that a torn, lost or repeated one shows.
fn message(number: u32) -> Box<(u32, u32)> {
    Box::new((number, !number))
}

fn number(message: Box<(u32, u32)>) -> u32 {
    assert_eq!(message.0, !message.1);
    message.0
}

#[test]
fn a_ring_neither_loses_nor_repeats_nor_tears() {
    explore(3, || {
        let (mut producer, mut consumer) = ring(2);
        let sender = thread::spawn(move || {
            let mut staged: VecDeque<_> = (0..3).map(message).collect();
            while !staged.is_empty() {
                if producer.push_batch(&mut staged) == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < 3 {
            let (count, _) = consumer.drain(2, |message| {
                assert_eq!(number(message), expected);
                expected += 1;
            });
            if count == 0 {
                thread::yield_now();
            }
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_ring_dropped_by_both_ends_at_once_drops_each_message_once() {
    explore(3, || {
        let counted = std::sync::Arc::new(());
        let (mut producer, mut consumer) = ring(4);
        let mut staged: VecDeque<_> = (0..3).map(|_| counted.clone()).collect();
        let sender = thread::spawn(move || {
            producer.push_batch(&mut staged);
        });
        consumer.drain(1, drop);
        drop(consumer);
        sender.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    });
}

/// Receives until `wanted` messages came, asleep in between; loom reports a sleep that nobody ends as a deadlock.
fn receive_asleep(mesh: &mut Mesh<Box<(u32, u32)>>, wanted: u32) {
    let mut expected = 0;
    while expected < wanted {
        let count = mesh.receive(2, |_, message| {
            assert_eq!(number(message), expected);
            expected += 1;
        });
        if count == 0 && mesh.park() {
            mesh.doorbell.wait();
            mesh.unpark();
        }
    }
}

#[test]
fn a_receiver_never_sleeps_beside_a_message() {
    explore(3, || {
        let [mut a, mut b] = pair(2);
        let sender = thread::spawn(move || {
            for number in 0..2 {
                a.stage(ShardId(1), message(number));
                assert!(!a.flush());
            }
        });
        receive_asleep(&mut b, 2);
        sender.join().unwrap();
    });
}

#[test]
fn a_sender_never_sleeps_beside_a_free_slot() {
    explore(3, || {
        let [mut a, mut b] = pair(1);
        let sender = thread::spawn(move || {
            for number in 0..3 {
                a.stage(ShardId(1), message(number));
            }
            while a.flush() {
                if a.park() {
                    a.doorbell.wait();
                    a.unpark();
                }
            }
        });
        receive_asleep(&mut b, 3);
        sender.join().unwrap();
    });
}

/// Sends and receives `count` messages through lanes of one, asleep whenever neither is possible.
fn exchange_asleep(mesh: &mut Mesh<u8>, count: u8) {
    let peer = ShardId(1 - mesh.shard().0);
    (0..count).for_each(|number| mesh.stage(peer, number));
    let mut expected = 0;
    while mesh.flush() || expected < count {
        let received = mesh.receive(1, |_, number| {
            assert_eq!(number, expected);
            expected += 1;
        });
        if received == 0 && mesh.park() {
            mesh.doorbell.wait();
            mesh.unpark();
        }
    }
}

#[test]
fn two_shards_with_full_lanes_both_ways_do_not_sleep_on_each_other() {
    explore(3, || {
        let [mut a, mut b] = pair(1);
        let other = thread::spawn(move || exchange_asleep(&mut a, 2));
        exchange_asleep(&mut b, 2);
        other.join().unwrap();
    });
}

#[test]
fn two_senders_and_a_sleeping_receiver_lose_nothing() {
    explore(2, || {
        let [mut a, mut b, mut c] =
            <[_; 3]>::try_from(build_mesh(3, 1, Signal::Socket).unwrap()).ok().unwrap();
        let send = |mesh: &mut Mesh<u8>| {
            let own = mesh.shard().0;
            mesh.stage(ShardId(2), own);
            assert!(!mesh.flush());
        };
        let first = thread::spawn(move || send(&mut a));
        let second = thread::spawn(move || send(&mut b));
        let mut seen = [0; 2];
        while seen != [1, 1] {
            let count = c.receive(1, |from, message| {
                assert_eq!(from.0, message);
                seen[usize::from(message)] += 1;
            });
            if count == 0 && c.park() {
                c.doorbell.wait();
                c.unpark();
            }
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_bell_wakes_a_shard_for_work_outside_the_mesh() {
    explore(3, || {
        let mut mesh = build_mesh::<()>(1, 1, Signal::Socket).unwrap().remove(0);
        let bell = mesh.bell();
        let work = Arc::new(AtomicBool::new(false));
        let given = work.clone();
        let giver = thread::spawn(move || {
            given.store(true, Ordering::Relaxed);
            bell.ring();
        });
        while !work.load(Ordering::Relaxed) {
            if mesh.park() {
                if !work.load(Ordering::Relaxed) {
                    mesh.doorbell.wait();
                }
                mesh.unpark();
            }
        }
        giver.join().unwrap();
    });
}
