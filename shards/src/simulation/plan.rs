//! What a seed decides before anything happens: how the broker is set up, who talks to it, and what may go wrong.

use super::checks::{Ledger, Message};
use super::client::Client;
use crate::config::{DataPlaneConfig, MeshConfig};
use crate::durability::{DurabilityConfig, DurabilityLevel, PersistenceConfig, StorePolicy};
use fastrand::Rng;
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_core::config::{ByteSize, Duration, Limit, MqttConfig, QueueFullPolicy, Zones};
use ringmq_persistence::Options;

/// Messages a queue holds where it is to overflow.
pub const QUEUE_SHORT: usize = 3;
const PUBLISHERS: usize = 3;
/// Messages a publisher has on their way at most.
const WINDOW_MAX: usize = 7;
/// Messages that queues take which hold back publishers, beyond their bound: what was on its way when they got full.
pub const BLOCK_EXCESS_MAX: usize = PUBLISHERS * WINDOW_MAX;
/// Nothing stays in memory, some does, nearly all, all.
const CACHES: [u64; 5] = [1, 1000, 1, 5000, 0];
/// Bytes after which logs write checkpoints: with each write, now and then, never.
const CHECKPOINTS: [u64; 4] = [1, 8 << 10, 0, 32 << 10];
/// By publisher: two topics for deliveries, one for a retained message.
const TOPICS: [[&str; 3]; PUBLISHERS] =
    [["t/0/a", "t/0/b", "r/0"], ["t/1/a", "t/1/b", "r/1"], ["t/2/a", "t/2/b", "r/2"]];
const FILTERS: [&[&str]; 6] =
    [&["t/#"], &["t/0/#", "t/1/#"], &["t/2/+", "r/#"], &["t/+/a"], &["t/1/b", "r/1", "t/2/#"], &["#"]];

/// What a seed decides at once.
#[derive(Debug)]
pub struct Plan {
    pub shards: usize,
    pub level: DurabilityLevel,
    pub crashes: usize,
    /// How much each shard keeps in memory of what it has stored.
    pub cache_bytes: u64,
    pub has_short_queues: bool,
    /// Those hold back their publishers rather than drop anything.
    pub blocks: bool,
    /// What becomes of stores that are nearly full; without one they are large.
    pub store: Option<StorePolicy>,
    /// A disk fails somewhere on the way.
    pub has_failure: bool,
    /// Shards write what somebody waits for themselves, where a written message counts as stored.
    pub has_pens: bool,
    pub log: Options,
}

impl Plan {
    /// Draws one. What does not change what else is drawn follows from the seed's number.
    pub fn draw(random: &mut Rng, seed: u64) -> Plan {
        let pick = |random: &mut Rng, choices: &[u64]| choices[random.usize(..choices.len())];
        let policies = [StorePolicy::Refuse, StorePolicy::DropOldest, StorePolicy::StopReading];
        let store = policies.get(random.usize(..2 * policies.len())).copied();
        let segment_bytes = if store.is_some() { 16 << 10 } else { pick(random, &[16 << 10, 32 << 10]) };
        Plan {
            shards: pick(random, &[1, 2, 2, 4, 4]) as usize,
            level: if random.u32(..3) == 0 { DurabilityLevel::Wal } else { DurabilityLevel::Fsync },
            crashes: random.usize(2..5),
            cache_bytes: CACHES[seed as usize % CACHES.len()],
            has_short_queues: random.u32(..4) == 0,
            blocks: random.bool(),
            store,
            has_failure: random.u32(..5) == 0,
            has_pens: (seed / 8).is_multiple_of(2),
            log: Options {
                segment_bytes,
                max_bytes: if store.is_some() { 16 * segment_bytes } else { u64::MAX },
                write_bytes_max: pick(random, &[4096, 16 << 10]) as usize,
                commit_delay: std::time::Duration::from_millis(pick(random, &[0, 0, 1])),
                compaction_bytes_per_s: pick(random, &[0, 1 << 20]),
                checkpoint_bytes: CHECKPOINTS[seed as usize % CHECKPOINTS.len()],
                ..Options::default()
            },
        }
    }

    /// The broker's configuration.
    pub fn config(&self, random: &mut Rng) -> DataPlaneConfig {
        let queue = if self.has_short_queues { Limit(QUEUE_SHORT) } else { Limit(10_000) };
        DataPlaneConfig {
            mesh: MeshConfig {
                lane_capacity: if random.bool() { 2 } else { 64 },
                lane_backlog_max: random.usize(1..20),
            },
            zones: Zones::from(MqttConfig {
                max_mqueue_len: queue,
                mqueue_full_policy: if self.blocks {
                    QueueFullPolicy::Block
                } else {
                    QueueFullPolicy::DropOldest
                },
                max_inflight: random.u16(1..8),
                session_expiry_interval: Duration::INFINITY,
                await_rel_timeout: Duration::INFINITY,
                ..MqttConfig::default()
            }),
            durability: DurabilityConfig { level: self.level, ..DurabilityConfig::default() },
            persistence: PersistenceConfig {
                full_policy: self.store.unwrap_or(StorePolicy::Refuse),
                cache_bytes: ByteSize(self.cache_bytes),
                ..PersistenceConfig::default()
            },
            ..DataPlaneConfig::default()
        }
    }

    /// Whether messages that were acknowledged may be dropped.
    pub fn may_drop(&self) -> bool {
        self.store == Some(StorePolicy::DropOldest) || (self.has_short_queues && !self.blocks)
    }

    /// Whether nobody but subscribers makes room for what publishers are held back with.
    pub fn needs_subscribers(&self) -> bool {
        let waits_for_room = matches!(self.store, Some(StorePolicy::Refuse | StorePolicy::StopReading));
        waits_for_room || (self.has_short_queues && self.blocks)
    }

    /// Publishers and subscribers, and the ledger of what they do.
    pub fn people(&self, random: &mut Rng) -> (Ledger, Vec<Client>) {
        let mut ledger =
            Ledger { may_drop: self.may_drop(), may_refuse: self.store.is_some(), ..Ledger::default() };
        let mut clients = Vec::new();
        for (index, topics) in TOPICS.iter().enumerate() {
            let message = |random: &mut Rng| {
                let topic = topics[random.usize(..3)];
                let is_retained = topic == topics[2];
                let qos = if is_retained || random.bool() { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                let weight = if self.store.is_some() { random.usize(1..6) } else { 0 };
                Message::new(topic, qos, is_retained).of_weight(weight)
            };
            let count = if self.store.is_some() { random.usize(16..24) } else { random.usize(8..20) };
            ledger.messages.push((0..count).map(|_| message(random)).collect());
            clients.push(Client::publisher(index, version(random), random.usize(1..=WINDOW_MAX)));
        }
        for _ in 0..random.usize(2..5) {
            let qos = if random.u32(..3) == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let reader = ledger.add_reader(FILTERS[random.usize(..FILTERS.len())].to_vec(), qos);
            clients.push(Client::subscriber(reader, version(random), random.u16(1..10)));
        }
        (ledger, clients)
    }
}

fn version(random: &mut Rng) -> ProtocolVersion {
    if random.bool() { ProtocolVersion::V5 } else { ProtocolVersion::V311 }
}
