//! What one shard was to pass on to others exactly once when the process ended is passed on before the logs are re-homed: the shards
//! there were are brought back for that, on this thread, without clients, listeners or timers. They do what they would have done at
//! a start without a change; nothing here knows how messages are routed.

use super::{Kept, StoreError};
use crate::access::Everybody;
use crate::clock::Clock;
use crate::config::DataPlaneConfig;
use crate::mesh::{Signal, build_mesh};
use crate::plane::StartError;
use crate::quota::Quota;
use crate::shard::{Shard, ShardParts};
use crossbeam_channel::never;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long it may take.
const SETTLING_MAX: Duration = Duration::from_secs(60);
/// Between two looks at what the thread of the logs has done.
const PAUSE: Duration = Duration::from_millis(1);

/// Has everything passed on that waits for it, and closes the logs.
///
/// # Errors
/// The shards cannot be built, or do not come to an end.
pub fn settle(kept: Kept, config: &DataPlaneConfig, clock: Clock) -> Result<(), StartError> {
    let (journals, mut remembered) = kept.split();
    let count = journals.len();
    let meshes = build_mesh(count, config.mesh.lane_capacity, Signal::Event)
        .map_err(|source| StartError::Mesh { shards: count, source })?;
    let config = Arc::new(config.clone());
    let retained = Arc::new(Quota::new(usize::MAX));
    let parts = meshes.into_iter().zip(journals).enumerate().map(|(index, (mesh, journal))| ShardParts {
        config: Arc::clone(&config),
        mesh,
        shards: count,
        cells: Arc::default(),
        limits: Arc::default(),
        layers: Arc::from([]),
        access: Arc::new(Everybody),
        usage: Arc::default(),
        retained: Arc::clone(&retained),
        control: never(),
        journal,
        seed: ringmq_core::hash::hash_bytes(&index.to_le_bytes()),
        now: clock.now(),
    });
    let mut shards: Vec<Shard> = parts.map(Shard::new).collect();
    remembered.restore(&mut shards, clock.now());
    let logs = remembered.start(&mut shards)?;
    let is_settled = run(&mut shards, clock);
    shards.iter_mut().for_each(Shard::end);
    drop(shards);
    if let Some(logs) = logs {
        logs.close();
    }
    if is_settled { Ok(()) } else { Err(StoreError::Unsettled { shards: count }.into()) }
}

/// Runs the shards until none waits for another.
fn run(shards: &mut [Shard], clock: Clock) -> bool {
    let began = Instant::now();
    while began.elapsed() < SETTLING_MAX {
        for shard in shards.iter_mut() {
            shard.begin_pass(clock.now());
            shard.handle_log();
            shard.handle_lanes();
            shard.end_pass();
        }
        if shards.iter().all(Shard::awaits_nothing) {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}
