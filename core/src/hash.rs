//! One hash function for the whole process, seeded once.
//!
//! Every shard must map the same topic to the same 64-bit hash, because interest travels between shards as hashes and
//! home shards and topic owners are picked by hash. The seed keeps a peer from choosing keys that collide.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

static PROCESS_SEED: OnceLock<ahash::RandomState> = OnceLock::new();

/// Sets the seed of every [`ProcessHasher`] in this process. Returns false when a hash was already taken or a seed
/// set, in which case the earlier seed stays: call it before the first shard starts.
pub fn seed_process(seed: [u64; 4]) -> bool {
    PROCESS_SEED.set(ahash::RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3])).is_ok()
}

/// Hashes `bytes` with the process seed.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = ProcessHasher.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Hashes a string with the process seed; equal strings have equal hashes on every shard.
pub fn hash_str(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

/// A [`BuildHasher`] of size zero that uses the process seed, so a small map costs no seed of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessHasher;

impl BuildHasher for ProcessHasher {
    type Hasher = ahash::AHasher;

    fn build_hasher(&self) -> ahash::AHasher {
        PROCESS_SEED.get_or_init(|| ahash::RandomState::with_seeds(1, 2, 3, 4)).build_hasher()
    }
}

/// A hash map keyed by peer-chosen data, seeded with the process seed.
pub type SeededMap<K, V> = hashbrown::HashMap<K, V, ProcessHasher>;

/// A set of the same kind.
pub type SeededSet<T> = hashbrown::HashSet<T, ProcessHasher>;
