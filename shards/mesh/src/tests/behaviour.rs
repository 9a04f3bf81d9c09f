//! What one mesh call does, seen from a single thread.

use crate::ring::ring;
use crate::{Mesh, Signal, build_mesh};
use ringmq_core::routing::ShardId;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

fn mesh<T: Send>(shards: usize, capacity: usize) -> Vec<Mesh<T>> {
    build_mesh(shards, capacity, Signal::Socket).unwrap()
}

fn received<T>(mesh: &mut Mesh<T>, budget: usize) -> Vec<(u8, T)> {
    let mut all = Vec::new();
    let count = mesh.receive(budget, |from, message| all.push((from.0, message)));
    assert_eq!(count, all.len());
    all
}

fn rings_heard<T>(mesh: &mut Mesh<T>) -> usize {
    let mut bytes = [0; 64];
    match UnixStream::from(mesh.doorbell().unwrap()).read(&mut bytes) {
        Ok(count) => count,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            0
        }
    }
}

#[test]
fn every_pair_of_shards_is_connected_both_ways() {
    for shards in [1, 2, 3, 64, 65, 66, 256] {
        let mut meshes = mesh::<(usize, usize)>(shards, 1);
        for (from, sender) in meshes.iter_mut().enumerate() {
            assert_eq!(usize::from(sender.shard().0), from);
            for to in (0..shards).filter(|to| *to != from) {
                sender.stage(ShardId(to as u8), (from, to));
            }
            assert!(!sender.flush());
        }
        for (to, receiver) in meshes.iter_mut().enumerate() {
            let all = received(receiver, usize::MAX);
            let expected: Vec<_> =
                (0..shards).filter(|from| *from != to).map(|from| (from as u8, (from, to))).collect();
            assert_eq!(all, expected, "shard {to} of {shards}");
        }
    }
}

#[test]
fn a_mesh_of_no_shards_or_more_than_256_is_refused() {
    for shards in [0, 257] {
        assert_eq!(
            build_mesh::<()>(shards, 4, Signal::Socket).err().unwrap().kind(),
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn capacity_is_rounded_up_to_a_power_of_two() {
    for (wanted, made) in [(0, 1), (1, 1), (3, 4), (4, 4), (1000, 1024)] {
        assert_eq!(ring::<u8>(wanted).0.capacity(), made);
    }
}

#[test]
fn a_single_shard_has_nothing_to_do() {
    let mut only = mesh::<u8>(1, 8).remove(0);
    assert!(!only.flush());
    assert!(!only.is_congested(1));
    assert_eq!(only.backlog(ShardId(0)), 0);
    assert_eq!(received(&mut only, 10), []);
    assert!(only.park());
    only.bell().ring();
    assert_eq!(rings_heard(&mut only), 1);
}

#[test]
fn a_full_lane_keeps_the_rest_staged_in_order() {
    let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 4)).ok().unwrap();
    (0..10).for_each(|n| a.stage(ShardId(1), n));
    assert!(received(&mut b, 100).is_empty(), "nothing is sent before the flush");
    assert!(a.is_congested(10) && !a.is_congested(11));
    for left in [6, 2] {
        assert!(a.flush());
        assert!(a.flush(), "a second flush finds no room");
        assert_eq!(a.backlog(ShardId(1)), left);
        assert!(a.is_congested(left) && !a.is_congested(left + 1));
        let expected: Vec<_> = (6 - left..10 - left).map(|n| (0, n)).collect();
        assert_eq!(received(&mut b, 100), expected);
    }
    assert!(!a.flush());
    assert!(!a.is_congested(1));
    assert_eq!(received(&mut b, 100), [(0, 8), (0, 9)]);
}

#[test]
fn congestion_is_that_of_the_longest_backlog() {
    let mut meshes = mesh(3, 2);
    let mut c = meshes.pop().unwrap();
    let mut b = meshes.pop().unwrap();
    let mut a = meshes.pop().unwrap();
    (0..5).for_each(|n| a.stage(ShardId(1), n));
    (0..9).for_each(|n| a.stage(ShardId(2), n));
    assert!(a.flush());
    assert!(a.is_congested(7) && !a.is_congested(8));
    for longest in [5, 3] {
        received(&mut c, 2);
        a.flush();
        assert!(a.is_congested(longest) && !a.is_congested(longest + 1));
    }
    for longest in [3, 3] {
        received(&mut b, 2);
        a.flush();
        assert!(a.is_congested(longest) && !a.is_congested(longest + 1));
    }
}

#[test]
fn the_budget_bounds_a_receive_and_the_rest_comes_next_time() {
    let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 8)).ok().unwrap();
    (0..5).for_each(|n| a.stage(ShardId(1), n));
    a.flush();
    assert_eq!(received(&mut b, 0), []);
    assert_eq!(received(&mut b, 2), [(0, 0), (0, 1)]);
    assert!(!b.park(), "three messages are waiting");
    assert_eq!(received(&mut b, 3), [(0, 2), (0, 3), (0, 4)]);
    assert_eq!(received(&mut b, 3), []);
    assert!(b.park());
}

#[test]
fn a_busy_lane_does_not_starve_the_others() {
    let mut meshes = mesh(4, 8);
    let mut served = Vec::new();
    for _ in 0..6 {
        for sender in &mut meshes[1..] {
            (0..8).for_each(|n| sender.stage(ShardId(0), n));
            sender.flush();
        }
        served.push(received(&mut meshes[0], 4)[0].0);
    }
    assert_eq!(served, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn only_a_parked_shard_is_rung_and_only_once() {
    let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 8)).ok().unwrap();
    let send = |a: &mut Mesh<u8>| {
        a.stage(ShardId(1), 7);
        a.flush();
    };
    send(&mut a);
    assert_eq!(rings_heard(&mut b), 0, "awake");
    assert!(!b.park(), "a message waits");
    send(&mut a);
    assert_eq!(rings_heard(&mut b), 0, "the refused park left nothing announced");
    assert_eq!(received(&mut b, 10).len(), 2);
    assert!(b.park());
    b.bell().ring();
    send(&mut a);
    send(&mut a);
    assert_eq!(rings_heard(&mut b), 1, "parked once, rung once");
    assert_eq!(received(&mut b, 10).len(), 2);
    assert!(b.park());
    b.unpark();
    send(&mut a);
    assert_eq!(rings_heard(&mut b), 0, "awake again");
}

#[test]
fn a_parked_sender_of_a_full_lane_is_rung_when_there_is_room() {
    let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 2)).ok().unwrap();
    (0..3).for_each(|n| a.stage(ShardId(1), n));
    assert!(!a.park(), "staged, and the lane has room");
    assert!(a.flush());
    assert!(a.park(), "staged, but the lane is full");
    assert_eq!(received(&mut b, 1), [(0, 0)]);
    assert_eq!(rings_heard(&mut a), 1);
    a.unpark();
    assert!(!a.park(), "the lane has room again");
    assert!(!a.flush());
    assert!(a.park());
    assert_eq!(received(&mut b, 10).len(), 2);
    assert_eq!(rings_heard(&mut a), 0, "nothing is staged any more");
}

#[test]
fn ringing_a_dropped_shard_is_harmless() {
    let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 2)).ok().unwrap();
    assert!(b.park());
    let bell = b.bell();
    drop(b);
    (0..3).for_each(|n| a.stage(ShardId(1), n));
    assert!(a.flush());
    bell.ring();
}

#[test]
fn messages_left_over_are_dropped_exactly_once() {
    for drop_sender_first in [false, true] {
        let counted = Arc::new(());
        let [mut a, mut b] = <[_; 2]>::try_from(mesh(2, 4)).ok().unwrap();
        (0..10).for_each(|_| a.stage(ShardId(1), counted.clone()));
        a.flush();
        let held = received(&mut b, 3);
        a.flush();
        assert_eq!(Arc::strong_count(&counted), 11);
        if drop_sender_first {
            drop(a);
            assert_eq!(Arc::strong_count(&counted), 1 + 3 + 4, "the staged ones go with the sender");
            drop(b);
        } else {
            drop(b);
            assert_eq!(Arc::strong_count(&counted), 11, "the sender still holds the ring");
            drop(a);
        }
        assert_eq!(Arc::strong_count(&counted), 1 + 3);
        drop(held);
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}

#[test]
fn a_message_that_panics_in_the_handler_is_not_dropped_twice() {
    let counted = Arc::new(());
    let (mut producer, mut consumer) = ring(4);
    producer.push_batch(&mut (0..3).map(|_| counted.clone()).collect::<VecDeque<_>>());
    let mut calls = 0;
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        consumer.drain(3, |_message| {
            calls += 1;
            assert!(calls < 2, "the second message is refused on purpose");
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(Arc::strong_count(&counted), 2, "two of three are gone");
    drop((producer, consumer));
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
#[should_panic(expected = "no lane to itself")]
fn staging_to_oneself_is_a_programming_error() {
    mesh(2, 2)[0].stage(ShardId(0), ());
}
