//! Random operations on a mesh of several shards against one queue per lane.

use crate::{Mesh, Signal, build_mesh};
use proptest::prelude::*;
use ringmq_core::routing::ShardId;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Operation {
    Stage { from: usize, to: usize, count: usize },
    Flush { from: usize },
    Receive { to: usize, budget: usize },
    Park { shard: usize },
}

fn operation(shards: usize) -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0..shards, 1..shards, 1..12_usize).prop_map(move |(from, step, count)| {
            Operation::Stage { from, to: (from + step) % shards, count }
        }),
        2 => (0..shards).prop_map(|from| Operation::Flush { from }),
        2 => (0..shards, 0..12_usize).prop_map(|(to, budget)| Operation::Receive { to, budget }),
        1 => (0..shards).prop_map(|shard| Operation::Park { shard }),
    ]
}

/// A lane as it should be: what is staged and what is in the ring.
#[derive(Default)]
struct LaneModel {
    staged: VecDeque<u64>,
    ring: VecDeque<u64>,
}

struct Model {
    meshes: Vec<Mesh<u64>>,
    /// By sender, then receiver.
    lanes: Vec<Vec<LaneModel>>,
    capacity: usize,
    next: u64,
}

impl Model {
    fn new(shards: usize, capacity: usize) -> Self {
        let lanes = (0..shards).map(|_| (0..shards).map(|_| LaneModel::default()).collect()).collect();
        Self { meshes: build_mesh(shards, capacity, Signal::Socket).unwrap(), lanes, capacity, next: 0 }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Stage { from, to, count } => {
                for _ in 0..count {
                    self.next += 1;
                    self.lanes[from][to].staged.push_back(self.next);
                    self.meshes[from].stage(ShardId(to as u8), self.next);
                }
            }
            Operation::Flush { from } => {
                for lane in &mut self.lanes[from] {
                    let room = self.capacity - lane.ring.len();
                    lane.ring.extend(lane.staged.drain(..room.min(lane.staged.len())));
                }
                let left = self.lanes[from].iter().any(|lane| !lane.staged.is_empty());
                assert_eq!(self.meshes[from].flush(), left);
            }
            Operation::Receive { to, budget } => self.receive(to, budget),
            Operation::Park { shard } => {
                let messages = self.lanes.iter().any(|lanes| !lanes[shard].ring.is_empty());
                let room = self.lanes[shard]
                    .iter()
                    .any(|lane| !lane.staged.is_empty() && lane.ring.len() < self.capacity);
                // A bit left from a batch that an earlier look fetched may keep a shard awake once, never put it to sleep.
                let parked = self.meshes[shard].park();
                assert!(!(parked && (messages || room)));
                self.meshes[shard].unpark();
            }
        }
        for (from, mesh) in self.meshes.iter().enumerate() {
            let backlogs: Vec<_> = self.lanes[from].iter().map(|lane| lane.staged.len()).collect();
            for (to, backlog) in backlogs.iter().enumerate() {
                assert_eq!(mesh.backlog(ShardId(to as u8)), *backlog);
            }
            let longest = backlogs.into_iter().max().unwrap();
            assert!(mesh.is_congested(longest) && !mesh.is_congested(longest + 1));
        }
    }

    fn receive(&mut self, to: usize, budget: usize) {
        let waiting: usize = self.lanes.iter().map(|lanes| lanes[to].ring.len()).sum();
        let lanes = &mut self.lanes;
        let count = self.meshes[to].receive(budget, |from, message| {
            assert_eq!(lanes[usize::from(from.0)][to].ring.pop_front(), Some(message));
        });
        assert_eq!(count, waiting.min(budget));
    }
}

proptest! {
    #[test]
    fn a_mesh_is_a_bounded_queue_per_lane(
        capacity_log2 in 0..4_u32,
        operations in prop::collection::vec(operation(4), 1..200),
    ) {
        let mut model = Model::new(4, 1 << capacity_log2);
        for operation in &operations {
            model.apply(operation);
        }
    }
}
