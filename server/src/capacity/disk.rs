//! Disk space and syncs. The broker has no log yet, so all of it is assumed.

use super::assumed;
use super::load::{Durability, Load};
use super::memory::record_bytes;
use super::shape::Shape;
use serde::Serialize;

/// What goes to the disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiskPlan {
    /// What the log and its checkpoints take.
    pub space_bytes: u64,
    /// What is written.
    pub written_bytes_per_s: f64,
    /// How often the log is synced, over all shards.
    pub syncs_per_s: f64,
}

impl DiskPlan {
    /// What the load writes; nothing when acknowledged messages stay in memory.
    pub fn of(load: &Load, shape: &Shape) -> DiskPlan {
        if load.durability == Durability::Memory {
            return DiskPlan { space_bytes: 0, written_bytes_per_s: 0.0, syncs_per_s: 0.0 };
        }
        let logged_per_s = if load.qos > 0 { load.rate_per_s } else { 0.0 };
        let acknowledged_per_s = if load.qos > 0 { load.deliveries_per_s() } else { 0.0 };
        let record = record_bytes(load);
        let written_bytes_per_s = logged_per_s * record + acknowledged_per_s * assumed::LOG_ACK_BYTES;
        let sessions = (load.connections + load.sessions_away() + load.subscriptions()) as f64;
        let alive = (load.retained + load.offline) as f64 * record + sessions * assumed::LOG_RECORD_BYTES;
        let space = alive * assumed::LOG_SPACE_FACTOR + written_bytes_per_s * assumed::LOG_RETENTION_S;
        let shards = shape.shards as f64;
        let syncs_per_s = match load.durability {
            Durability::Fsync => logged_per_s.min(shards * assumed::FSYNC_SYNCS_PER_S),
            _ => logged_per_s.min(shards * assumed::WAL_SYNCS_PER_S),
        };
        DiskPlan { space_bytes: space as u64, written_bytes_per_s, syncs_per_s }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::load;
    use super::*;

    fn plan(line: &str) -> DiskPlan {
        DiskPlan::of(&load(line), &Shape::default())
    }

    #[test]
    fn memory_writes_nothing_and_the_log_what_is_acknowledged() {
        let nothing = plan("--connections 10 --rate 1k --qos 1");
        assert_eq!((nothing.space_bytes, nothing.written_bytes_per_s, nothing.syncs_per_s), (0, 0.0, 0.0));
        let line =
            "--connections 0 --rate 1k --qos 1 --payload 100 --topic-bytes 20 --retained 1k --durability";
        let wal = plan(&format!("{line} wal"));
        assert_eq!(wal.written_bytes_per_s, 1000.0 * (168.0 + 24.0));
        assert_eq!(wal.space_bytes, 1000 * 168 * 2 + 192_000 * 60);
        assert_eq!((wal.syncs_per_s, plan(&format!("{line} fsync")).syncs_per_s), (10.0, 1000.0));
        assert_eq!(plan("--connections 0 --rate 1k --durability fsync").syncs_per_s, 0.0);
    }
}
