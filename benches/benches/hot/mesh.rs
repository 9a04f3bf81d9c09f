//! Staging, flushing and receiving between two shards on one thread: what a lane costs without its cache traffic. How
//! long a message takes from thread to thread is measured in `lanes.rs`.

use crate::subject::Subject;
use ringmq_core::routing::ShardId;
use ringmq_shards::mesh::{Signal, build_mesh};
use std::hint::black_box;

/// As large as a publication by reference: a pointer, a set of targets, a few fields.
type Message = [u64; 6];

const CAPACITY: usize = 1024;

/// Batches of 1 and 64 in meshes of 2 and 64 shards, and a pass that finds nothing.
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for shards in [2, 64] {
        for batch in [1, 64] {
            subjects.push(pass(shards, batch, format!("mesh/{shards}_shards/batch_of_{batch}")));
        }
        subjects.push(idle(shards, format!("mesh/{shards}_shards/idle_pass")));
    }
    subjects
}

fn pass(shards: usize, batch: usize, name: String) -> Subject {
    Subject::new(name, move || {
        let mut meshes =
            build_mesh::<Message>(shards, CAPACITY, Signal::Socket).expect("descriptors are to be had");
        move || {
            for _ in 0..batch {
                meshes[0].stage(ShardId(1), black_box([0; 6]));
            }
            meshes[0].flush();
            let received = meshes[1].receive(CAPACITY, |_, message| {
                black_box(message);
            });
            assert_eq!(received, batch);
        }
    })
}

fn idle(shards: usize, name: String) -> Subject {
    Subject::new(name, move || {
        let mut meshes =
            build_mesh::<Message>(shards, CAPACITY, Signal::Socket).expect("descriptors are to be had");
        move || {
            let mesh = black_box(&mut meshes[1]);
            assert!(!mesh.flush());
            assert_eq!(mesh.receive(CAPACITY, |_, _| {}), 0);
        }
    })
}
