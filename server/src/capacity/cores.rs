//! CPU time by purpose, of a broker that is busy: a shard that has slept before each message pays for waking up as well, but
//! then it has time to spare.

use super::assumed;
use super::calibration::{Calibration, PayloadCoefficients, QosCoefficients};
use super::load::{Durability, Load};
use super::shape::Basis;
use serde::Serialize;

/// All CPU time the load needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorePlan {
    /// By purpose.
    pub shares: Vec<CoreShare>,
    /// One publication, its acknowledgements included.
    pub publish_us: f64,
    /// One delivery, its acknowledgements included.
    pub delivery_us: f64,
    /// Cores kept busy.
    pub busy_cores: f64,
    /// Cores to have, so that none is busier than the headroom allows.
    pub cores: u64,
    /// Seconds in which all clients could connect again with those cores.
    pub reconnect_s: f64,
    /// Seconds in which all queued messages could be delivered with those cores.
    pub drain_s: f64,
    /// Seconds in which one subscriber could be sent all retained messages, which one core does.
    pub retained_s: f64,
}

/// What one purpose costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoreShare {
    /// The purpose.
    pub purpose: &'static str,
    /// How often it happens.
    pub per_s: f64,
    /// What it costs each time.
    pub us_each: f64,
    /// Cores kept busy by it.
    pub cores: f64,
    /// Where the cost comes from.
    pub basis: Basis,
}

impl CorePlan {
    /// What the load costs.
    pub fn of(load: &Load, calibration: &Calibration) -> CorePlan {
        let cpu = &calibration.cpu;
        let (publish_us, delivery_us) = message_us(load, calibration);
        let connect_us = cpu.connect_us
            + if load.tls { assumed::TLS_HANDSHAKE_US } else { 0.0 }
            + if load.ws { assumed::WS_UPGRADE_US } else { 0.0 };
        let basis = if load.tls || load.ws { Basis::Assumed } else { Basis::Measured };
        let mut shares = vec![
            share("publications", load.rate_per_s, publish_us, Basis::Measured),
            share("deliveries", load.deliveries_per_s(), delivery_us, Basis::Measured),
            share("keep alive", load.pings_per_s(), cpu.ping_us, Basis::Measured),
            share("connecting", load.connects_per_s, connect_us, basis),
        ];
        let moved_per_s = load.rate_per_s + load.deliveries_per_s();
        if load.tls {
            let bytes = (load.payload_bytes + load.topic_bytes) as f64;
            let record_us = assumed::TLS_RECORD_US / f64::from(load.burst) + bytes * assumed::TLS_BYTE_US;
            shares.push(share("TLS records", moved_per_s, record_us, Basis::Assumed));
        }
        if load.ws {
            shares.push(share("WebSocket frames", moved_per_s, assumed::WS_FRAME_US, Basis::Assumed));
        }
        if load.durability != Durability::Memory && load.qos > 0 {
            shares.push(share("log records", moved_per_s, assumed::LOG_RECORD_US, Basis::Assumed));
        }
        let busy_cores = shares.iter().map(|share| share.cores).sum::<f64>();
        let cores = (busy_cores / assumed::CPU_HEADROOM).ceil().max(1.0);
        let reconnect_s = load.connections as f64 * connect_us / 1e6 / cores;
        CorePlan {
            shares,
            publish_us,
            delivery_us,
            busy_cores,
            cores: cores as u64,
            reconnect_s,
            drain_s: load.offline as f64 * cpu.queue_delivery_us / 1e6 / cores,
            retained_s: load.retained as f64 * cpu.retained_delivery_us / 1e6,
        }
    }
}

/// What one publication and one delivery cost: the event's share of each message in a burst, the message, its payload.
fn message_us(load: &Load, calibration: &Calibration) -> (f64, f64) {
    let cpu = &calibration.cpu;
    let qos: QosCoefficients = cpu.qos[usize::from(load.qos)];
    let event_share = coldness(load, calibration) / f64::from(load.burst);
    let payload = load.payload_bytes as f64;
    (
        qos.publish_event_us * event_share
            + qos.publish_message_us
            + straight(&cpu.payload, &cpu.payload.publish_us, payload),
        qos.delivery_event_us * event_share
            + qos.delivery_message_us
            + straight(&cpu.payload, &cpu.payload.delivery_us, payload),
    )
}

/// How much dearer an event is because the records of so many connections do not stay in the processor's caches. It grows
/// with the logarithm of their number from 1 to the cold factor and stays there.
fn coldness(load: &Load, calibration: &Calibration) -> f64 {
    let cpu = &calibration.cpu;
    let connections = load.active_connections().clamp(cpu.warm_connections, cpu.cold_connections);
    let way = (connections / cpu.warm_connections).ln() / (cpu.cold_connections / cpu.warm_connections).ln();
    1.0 + way * (cpu.qos[usize::from(load.qos)].cold_factor - 1.0)
}

/// The cost at `bytes` on the line through the points to both sides of it; beyond the last, on the last line.
fn straight(points: &PayloadCoefficients, us: &[f64], bytes: f64) -> f64 {
    let sizes = &points.bytes;
    if bytes <= sizes[0] || sizes.len() == 1 {
        return us[0];
    }
    let right = sizes.iter().position(|size| *size >= bytes).unwrap_or(sizes.len() - 1);
    let left = right - 1;
    let slope = (us[right] - us[left]) / (sizes[right] - sizes[left]);
    (us[left] + (bytes - sizes[left]) * slope).max(0.0)
}

fn share(purpose: &'static str, per_s: f64, us_each: f64, basis: Basis) -> CoreShare {
    CoreShare { purpose, per_s, us_each, cores: per_s * us_each / 1e6, basis }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::round;
    use super::super::load::load;
    use super::*;

    fn plan(line: &str) -> CorePlan {
        CorePlan::of(&load(line), &round())
    }

    #[test]
    fn a_burst_shares_the_cost_of_its_event() {
        let one = plan("--connections 10 --rate 1k --payload 16");
        assert_eq!((one.publish_us, one.delivery_us), (4.25, 6.5));
        let many = plan("--connections 10 --rate 1k --payload 16 --burst 4");
        assert_eq!((many.publish_us, many.delivery_us), (1.25, 2.0));
        let exactly_once = plan("--connections 10 --rate 1k --payload 16 --qos 2");
        assert_eq!((exactly_once.publish_us, exactly_once.delivery_us), (17.0, 26.0));
    }

    #[test]
    fn payload_costs_go_straight_between_points_and_beyond() {
        for (payload, expected) in
            [("1", 0.0), ("16", 0.0), ("516", 0.5), ("1016", 1.0), ("2516", 4.0), ("5016", 9.0)]
        {
            let plan = plan(&format!("--connections 10 --rate 1 --payload {payload}"));
            assert!((plan.publish_us - 4.25 - expected).abs() < 1e-9, "{payload}: {}", plan.publish_us);
        }
    }

    #[test]
    fn more_connections_make_events_dearer_up_to_the_cold_factor() {
        for (connections, factor) in [("100", 1.0), ("1k", 1.5), ("10k", 2.0), ("1M", 2.0)] {
            let plan = plan(&format!("--connections {connections} --rate 1M --payload 16"));
            assert!(
                (plan.publish_us - 0.25 - 4.0 * factor).abs() < 1e-9,
                "{connections}: {}",
                plan.publish_us
            );
        }
        // Connections that say nothing stay out of the way of those that do.
        assert_eq!(plan("--connections 1M --rate 10 --payload 16").publish_us, 4.25);
    }

    #[test]
    fn cores_are_the_sum_with_headroom() {
        let plan =
            plan("--connections 12k --rate 10k --fanout 10 --payload 16 --keep-alive 600 --connect-rate 20");
        // 10,000 x 8.25 + 100,000 x 12.5 + 20 x 20 + 20 x 50 microseconds a second.
        assert!((plan.busy_cores - 1.3339).abs() < 1e-9, "{plan:#?}");
        assert_eq!(plan.cores, 2);
        assert!((plan.reconnect_s - 0.3).abs() < 1e-9);
    }

    #[test]
    fn what_is_stored_takes_time_to_deliver() {
        let plan = plan("--connections 10 --offline 2M --retained 1M");
        assert!((plan.drain_s - 6.0).abs() < 1e-9 && (plan.retained_s - 2.0).abs() < 1e-9, "{plan:#?}");
    }

    #[test]
    fn costs_of_what_is_missing_are_marked() {
        let plan = plan("--connections 10 --rate 1k --qos 1 --tls --ws --durability fsync");
        let marked = |name| {
            plan.shares.iter().any(|s| s.purpose == name && s.basis == Basis::Assumed && s.cores > 0.0)
        };
        assert!(marked("TLS records") && marked("WebSocket frames") && marked("log records"), "{plan:#?}");
    }
}
