//! Which topics lack room, and on which shards. It holds back nobody itself.

use ringmq_core::codec::QoS;
use ringmq_core::config::MqttConfig;
use ringmq_core::routing::{Interest, InterestKey, ShardId, ShardSet};

/// A filter for whose messages a session, or the store that remembers it, lacks room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shortage {
    filter: InterestKey,
    /// Whether those published at QoS 0 are among them.
    has_qos0: bool,
}

impl Shortage {
    /// Of a session under these settings, for a filter without share prefix.
    pub fn of(filter: &str, settings: &MqttConfig) -> Shortage {
        Shortage { filter: InterestKey::of(filter), has_qos0: settings.queues_qos0() }
    }
}

/// The shortages of all shards.
#[derive(Debug, Default)]
pub struct Shortages {
    of_all: Interest,
    above_qos0: Interest,
}

impl Shortages {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of_all.is_empty() && self.above_qos0.is_empty()
    }

    /// Whether one concerns what is published on this topic at this level.
    pub fn concern(&self, topic: &str, qos: QoS) -> bool {
        let mut shards = ShardSet::EMPTY;
        self.of_all.shards_for(topic, &mut shards);
        if qos > QoS::AtMostOnce {
            self.above_qos0.shards_for(topic, &mut shards);
        }
        !shards.is_empty()
    }

    /// Notes that there is one on this shard. Saying it twice changes nothing.
    pub fn add(&mut self, shortage: &Shortage, shard: ShardId) {
        self.at(shortage).add(&shortage.filter, shard);
    }

    /// It is over.
    pub fn remove(&mut self, shortage: &Shortage, shard: ShardId) {
        self.at(shortage).remove(&shortage.filter, shard);
    }

    fn at(&mut self, shortage: &Shortage) -> &mut Interest {
        if shortage.has_qos0 { &mut self.of_all } else { &mut self.above_qos0 }
    }
}
