//! Memory by purpose, of the process and of the kernel.

use super::assumed;
use super::calibration::Calibration;
use super::load::{Durability, Load};
use super::shape::{Basis, Shape};
use serde::Serialize;

/// All memory the load needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryPlan {
    /// What the process takes, by purpose.
    pub process: Vec<MemoryShare>,
    /// What the kernel takes for it, by purpose.
    pub kernel: Vec<MemoryShare>,
    /// Sum of the process.
    pub process_bytes: u64,
    /// Sum of the kernel.
    pub kernel_bytes: u64,
    /// Both sums.
    pub total_bytes: u64,
}

/// What one purpose takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryShare {
    /// The purpose.
    pub purpose: &'static str,
    /// What it takes.
    pub bytes: u64,
    /// Where the figure comes from.
    pub basis: Basis,
    /// Whether it is there before the first client, and does not grow with the load.
    pub is_fixed: bool,
}

impl MemoryPlan {
    /// What the load takes on a broker of this shape.
    pub fn of(load: &Load, calibration: &Calibration, shape: &Shape) -> MemoryPlan {
        let process = process(load, calibration, shape);
        let kernel = kernel(load, calibration);
        let sum = |shares: &[MemoryShare]| shares.iter().map(|share| share.bytes).sum();
        let (process_bytes, kernel_bytes): (u64, u64) = (sum(&process), sum(&kernel));
        MemoryPlan { process, kernel, process_bytes, kernel_bytes, total_bytes: process_bytes + kernel_bytes }
    }

    /// What is taken before the first client.
    pub fn fixed_bytes(&self) -> u64 {
        self.process.iter().chain(&self.kernel).filter(|share| share.is_fixed).map(|share| share.bytes).sum()
    }
}

fn process(load: &Load, calibration: &Calibration, shape: &Shape) -> Vec<MemoryShare> {
    let coefficients = &calibration.memory;
    let connections = load.connections as f64;
    let payload = load.payload_bytes as f64;
    let shards = shape.shards as f64;
    let slots = shape.lane_capacity as f64 * assumed::LANE_SLOT_BYTES;
    let moves = load.rate_per_s > 0.0;
    // A message on its way at QoS 1 or 2 is kept until it is acknowledged, in the same form as a queued one.
    let kept = if load.qos > 0 { load.in_flight() } else { 0.0 };
    let mut shares = vec![
        fixed(
            "process and shards",
            coefficients.base_bytes + shards * coefficients.shard_bytes,
            Basis::Measured,
        ),
        fixed(
            "lanes between shards",
            shards * (shards - 1.0) * coefficients.lane_bytes.max(if moves { slots } else { 0.0 }),
            Basis::Computed,
        ),
        fixed(
            "buffers of shards",
            if moves { shards * coefficients.shard_traffic_bytes } else { 0.0 },
            Basis::Measured,
        ),
        share("connections", connections * coefficients.connection_bytes, Basis::Measured),
        share(
            "sessions",
            (connections + load.sessions_away() as f64) * coefficients.session_bytes,
            Basis::Measured,
        ),
        share(
            "subscriptions",
            load.subscriptions() as f64 * coefficients.subscription_bytes,
            Basis::Measured,
        ),
        share("retained", load.retained as f64 * (coefficients.retained_bytes + payload), Basis::Measured),
        share("queued", load.offline as f64 * (coefficients.queued_bytes + payload), Basis::Measured),
        share("unacknowledged", kept * (coefficients.queued_bytes + payload), Basis::Computed),
    ];
    if load.tls {
        shares.push(share("TLS", connections * assumed::TLS_CONNECTION_BYTES, Basis::Assumed));
    }
    if load.ws {
        shares.push(share("WebSocket", connections * assumed::WS_CONNECTION_BYTES, Basis::Assumed));
    }
    shares
}

fn kernel(load: &Load, calibration: &Calibration) -> Vec<MemoryShare> {
    let idle = load.connections as f64 * calibration.memory.kernel_connection_bytes;
    let mut shares = vec![
        share("sockets, idle", idle, Basis::Measured),
        share("socket buffers, busy", socket_buffer_bytes(load), Basis::Assumed),
    ];
    if load.durability != Durability::Memory {
        // Written pages the kernel has not yet given to the disk: a second of the log.
        let bytes = load.rate_per_s * record_bytes(load);
        shares.push(share("log pages, unwritten", bytes, Basis::Assumed));
    }
    shares
}

/// What waits in sockets at one moment: each message stays until it was acknowledged by the other end's kernel.
pub fn socket_buffer_bytes(load: &Load) -> f64 {
    let segment = load.payload_bytes as f64 + load.topic_bytes as f64 + assumed::SEGMENT_OVERHEAD_BYTES;
    load.in_flight() * segment
}

/// One message in the log.
pub fn record_bytes(load: &Load) -> f64 {
    (load.payload_bytes + load.topic_bytes) as f64 + assumed::LOG_RECORD_BYTES
}

fn fixed(purpose: &'static str, bytes: f64, basis: Basis) -> MemoryShare {
    MemoryShare { is_fixed: true, ..share(purpose, bytes, basis) }
}

fn share(purpose: &'static str, bytes: f64, basis: Basis) -> MemoryShare {
    MemoryShare { purpose, bytes: bytes.round() as u64, basis, is_fixed: false }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::round;
    use super::super::load::load;
    use super::*;

    fn plan(line: &str) -> MemoryPlan {
        MemoryPlan::of(&load(line), &round(), &Shape { shards: 2, lane_capacity: 1000, ..Shape::default() })
    }

    fn bytes(plan: &MemoryPlan, purpose: &str) -> u64 {
        let share = plan.process.iter().chain(&plan.kernel).find(|share| share.purpose == purpose);
        share.unwrap_or_else(|| panic!("no {purpose} in {plan:#?}")).bytes
    }

    #[test]
    fn idle_connections_take_connection_session_and_subscription() {
        let plan = plan("--connections 1000");
        assert_eq!(bytes(&plan, "connections"), 1_000_000);
        assert_eq!(bytes(&plan, "sessions"), 500_000);
        assert_eq!(bytes(&plan, "subscriptions"), 300_000);
        assert_eq!(bytes(&plan, "process and shards"), 6_800_000);
        assert_eq!(bytes(&plan, "lanes between shards"), 10_000);
        assert_eq!(bytes(&plan, "buffers of shards"), 0);
        assert_eq!(plan.process_bytes, 8_610_000);
        assert_eq!((plan.kernel_bytes, plan.fixed_bytes()), (4_000_000, 6_810_000));
    }

    #[test]
    fn messages_take_their_payload_where_they_stay() {
        let plan =
            plan("--connections 0 --retained 1k --offline 2k --payload 100 --rate 100 --qos 1 --rtt-ms 100");
        assert_eq!(bytes(&plan, "retained"), 300_000);
        assert_eq!(bytes(&plan, "queued"), 400_000);
        assert_eq!((bytes(&plan, "sessions"), bytes(&plan, "subscriptions")), (50_000, 30_000));
        assert_eq!(bytes(&plan, "unacknowledged"), 2_000);
        assert_eq!(bytes(&plan, "socket buffers, busy"), 10 * (100 + 32 + 768));
        assert_eq!(bytes(&plan, "lanes between shards"), 2 * 48_000);
        assert_eq!(bytes(&plan, "buffers of shards"), 2_000_000);
    }

    #[test]
    fn what_the_broker_does_not_have_yet_is_marked() {
        let plan = plan("--connections 10 --tls --ws --durability wal");
        let assumed = |name| {
            plan.process.iter().chain(&plan.kernel).any(|s| s.purpose == name && s.basis == Basis::Assumed)
        };
        assert!(assumed("TLS") && assumed("WebSocket") && assumed("log pages, unwritten"));
        assert!(!assumed("connections"));
    }
}
