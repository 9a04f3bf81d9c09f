//! Two shards on threads of their own that really sleep on their doorbells, with lanes far too small.

use crate::{Mesh, Signal, build_mesh};
use ringmq_core::routing::ShardId;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

const MESSAGES: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(120);

/// Sends and receives `MESSAGES` numbered messages, asleep whenever there is nothing to do; returns how often it slept.
fn exchange(mut mesh: Mesh<u64>, peer: ShardId) -> u64 {
    let mut doorbell = UnixStream::from(mesh.doorbell().unwrap());
    doorbell.set_nonblocking(false).unwrap();
    doorbell.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut sent, mut expected, mut sleeps) = (0, 0, 0);
    while sent < MESSAGES || expected < MESSAGES || mesh.flush() {
        while sent < MESSAGES && !mesh.is_congested(8) {
            mesh.stage(peer, sent);
            sent += 1;
        }
        mesh.flush();
        mesh.receive(3, |from, message| {
            assert_eq!((from, message), (peer, expected));
            expected += 1;
        });
        let may_work = sent < MESSAGES && !mesh.is_congested(8);
        let is_done = sent == MESSAGES && expected == MESSAGES && mesh.backlog(peer) == 0;
        if !may_work && !is_done && mesh.park() {
            sleep_until_rung(&mut doorbell);
            mesh.unpark();
            sleeps += 1;
        }
    }
    sleeps
}

/// Blocks until the doorbell is readable and reads it empty; a ring lost fails here.
fn sleep_until_rung(doorbell: &mut UnixStream) {
    let rings = doorbell.read(&mut [0; 64]).expect("no shard sleeps with work waiting");
    assert!(rings > 0);
}

#[test]
fn a_million_messages_each_way_through_lanes_of_four() {
    let mut meshes = build_mesh(2, 4, Signal::Socket).unwrap();
    let (done, finished) = mpsc::channel();
    let mut threads = Vec::new();
    while let Some(mesh) = meshes.pop() {
        let done = done.clone();
        threads.push(std::thread::spawn(move || {
            let peer = ShardId(1 - mesh.shard().0);
            let sleeps = exchange(mesh, peer);
            let _gone_if_the_other_failed = done.send(sleeps);
        }));
    }
    drop(done);
    for _ in 0..2 {
        let sleeps = finished.recv_timeout(LIMIT).expect("both shards finish");
        assert!(sleeps > 0, "the test is about sleeping");
    }
    for thread in threads {
        thread.join().unwrap();
    }
}
