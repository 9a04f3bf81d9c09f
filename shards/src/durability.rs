//! The configuration of what outlives the process: `[sessions]`, `[durability]` and `[persistence]`.

use ringmq_core::config::{ByteSize, Duration};
use ringmq_core::topic::filter_matches;
use serde::{Deserialize, Serialize};

/// When a publication counts as remembered. Later ones promise more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityLevel {
    /// It was routed to every session.
    Memory,
    /// The kernel has it: it survives the end of the process.
    Wal,
    /// The disk has it: it survives a loss of power.
    Fsync,
}

impl DurabilityLevel {
    /// Every level, the lowest first.
    pub const ALL: [DurabilityLevel; 3] =
        [DurabilityLevel::Memory, DurabilityLevel::Wal, DurabilityLevel::Fsync];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            DurabilityLevel::Memory => "memory",
            DurabilityLevel::Wal => "wal",
            DurabilityLevel::Fsync => "fsync",
        }
    }

    /// The level of this name.
    pub fn parse(name: &str) -> Option<DurabilityLevel> {
        DurabilityLevel::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The `[sessions]` section. A restart is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// Whether sessions that outlive their connection, and retained messages, outlive the process too.
    pub durable: bool,
}

impl Default for SessionsConfig {
    fn default() -> SessionsConfig {
        SessionsConfig { durable: true }
    }
}

/// The `[durability]` section: when PUBACK and PUBREC leave. A restart is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DurabilityConfig {
    /// The level of publications that no rule matches, and of everything else a client is told.
    pub level: DurabilityLevel,
    /// How long a write waits for others to share it. 0ms to 1s.
    pub commit_delay: Duration,
    /// Levels of topics; the first rule that matches counts.
    pub rules: Vec<DurabilityRule>,
}

impl Default for DurabilityConfig {
    fn default() -> DurabilityConfig {
        DurabilityConfig {
            level: DurabilityLevel::Fsync,
            commit_delay: Duration::from_ms(0),
            rules: Vec::new(),
        }
    }
}

/// The level of topics that match a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurabilityRule {
    /// A topic filter, not a shared one.
    pub filter: String,
    /// Their level.
    pub level: DurabilityLevel,
}

impl DurabilityConfig {
    /// The highest level that any publication has.
    pub fn highest(&self) -> DurabilityLevel {
        self.rules.iter().map(|rule| rule.level).fold(self.level, DurabilityLevel::max)
    }

    /// The level of a publication: by the rules, and not above what its publisher asks for.
    pub fn level_of(&self, topic: &str, asked: Option<DurabilityLevel>) -> DurabilityLevel {
        let rule = self.rules.iter().find(|rule| filter_matches(&rule.filter, topic));
        let level = rule.map_or(self.level, |rule| rule.level);
        asked.map_or(level, |asked| asked.min(level))
    }
}

/// What happens when the store is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorePolicy {
    /// Publications that do not fit are refused.
    Refuse,
    /// The messages that were stored first are dropped from their queues, and counted.
    DropOldest,
    /// Publishers whose publications need the store are not read from until consumers have made room.
    StopReading,
}

/// The `[persistence]` section: the store. A restart is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersistenceConfig {
    /// Size of a file of a shard's log, allocated when it is begun. 1MB to 4GB.
    pub segment_bytes: ByteSize,
    /// Bytes that the logs of all shards may take together, 0 for no bound. At the bound publications are refused (0x97)
    /// until messages were consumed.
    pub max_bytes: ByteSize,
    /// What happens before it comes to that.
    pub full_policy: StorePolicy,
    /// Bytes of old files that are read in a second to give their room back, over all shards, and bytes of checkpoints that are
    /// written in one; 0 for no bound.
    pub compaction_rate: ByteSize,
    /// Bytes of stored messages' bodies that each shard keeps in memory; the rest lives in its log alone until its turn comes.
    /// 0 for no bound.
    pub cache_bytes: ByteSize,
    /// Bytes that each shard's log is written on before what it holds is put down in a checkpoint, so that a start need not read
    /// what came before. 0 for no checkpoints.
    pub checkpoint_bytes: ByteSize,
    /// Whether the broker refuses to start on a damaged log, instead of keeping what is readable.
    pub strict: bool,
}

impl Default for PersistenceConfig {
    fn default() -> PersistenceConfig {
        PersistenceConfig {
            segment_bytes: ByteSize(64 << 20),
            max_bytes: ByteSize(0),
            full_policy: StorePolicy::Refuse,
            compaction_rate: ByteSize(32 << 20),
            cache_bytes: ByteSize(64 << 20),
            checkpoint_bytes: ByteSize(256 << 20),
            strict: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_counts_and_a_publisher_may_only_ask_for_less() {
        use DurabilityLevel::{Fsync, Memory, Wal};
        let rule = |filter: &str, level| DurabilityRule { filter: filter.to_owned(), level };
        let config = DurabilityConfig {
            level: Wal,
            rules: vec![rule("bank/#", Fsync), rule("+/noise", Memory)],
            ..DurabilityConfig::default()
        };
        for (topic, asked, level) in [
            ("bank/noise", None, Fsync),
            ("bank/noise", Some(Memory), Memory),
            ("a/noise", None, Memory),
            ("a/noise", Some(Fsync), Memory),
            ("a", None, Wal),
            ("a", Some(Fsync), Wal),
        ] {
            assert_eq!(config.level_of(topic, asked), level, "{topic} {asked:?}");
        }
    }
}
