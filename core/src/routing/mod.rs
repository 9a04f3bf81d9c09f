//! Who wants a topic: the tables a publication is matched against.
//!
//! [`FilterIndex`] maps filters to a shard's own subscribers; [`Interest`] and [`GroupTable`] are replicas, one on each
//! shard, of what all shards want. Nothing here delivers, counts drops, or talks to another shard.

mod filter_index;
mod groups;
mod interest;
mod interned_sets;
mod roster;
mod shard_set;
mod wildcard_trie;

pub use filter_index::FilterIndex;
pub use groups::{Group, GroupId, GroupTable};
pub use interest::{Interest, InterestKey};
pub use roster::{Member, Roster};
pub use shard_set::{ShardId, ShardSet};
