//! What is measured: the scenarios of every round, each a line one could type. It runs nothing.

use super::fit::{BURST, DELIVERY, FANOUT, PAYLOAD_FANOUT, PAYLOAD_MIN, WARM_PAIRS};
use super::samples::Step;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Rounds of the scenarios with traffic.
    pub rounds: u32,
    /// Seconds of each.
    pub seconds: u32,
    /// Rounds of the scenarios that measure memory, each with a fresh broker.
    pub memory_rounds: u32,
    /// Idle connections.
    pub connections: u32,
    /// Waves of sessions whose clients leave.
    pub waves: u32,
    /// Retained messages.
    pub retained: u32,
    /// Pairs of clients where the caches do not hold all.
    pub cold_pairs: u32,
    /// Payloads; the first is where everything else is measured.
    pub payloads_bytes: &'static [u32],
}

impl Extent {
    /// Six minutes.
    pub const FULL: Extent = Extent {
        rounds: 3,
        seconds: 2,
        memory_rounds: 3,
        connections: 8_000,
        waves: 5,
        retained: 100_000,
        cold_pairs: 4_000,
        payloads_bytes: &[PAYLOAD_MIN as u32, 1_024, 4_096],
    };
    /// Three minutes.
    pub const QUICK: Extent = Extent {
        rounds: 3,
        seconds: 1,
        memory_rounds: 1,
        connections: 4_000,
        waves: 4,
        retained: 40_000,
        cold_pairs: 2_000,
        payloads_bytes: &[PAYLOAD_MIN as u32, 1_024],
    };

    /// Traffic between a few clients, which leaves the buffers of a shard as large as they get.
    pub fn warm(&self) -> Vec<Step> {
        let seconds = self.seconds;
        let mut steps = Vec::new();
        for qos in 0..=2 {
            let common = format!("--qos {qos} --seconds {seconds}");
            let pairs = format!("pairs --publishers {WARM_PAIRS} --subscribers {WARM_PAIRS}");
            let fanout = format!("fanout --subscribers {FANOUT}");
            for (name, line, window) in [
                ("pairs", &pairs, 1.0),
                ("pairs_burst", &pairs, BURST),
                ("fanout", &fanout, 1.0),
                ("fanout_burst", &fanout, BURST),
            ] {
                let line = format!("{line} --window {window} {common}");
                steps.push(Step::new(format!("{name}_qos{qos}"), &line, &[DELIVERY]));
            }
        }
        steps
    }

    /// Traffic that needs more memory: payloads, many clients.
    pub fn wide(&self) -> Vec<Step> {
        let seconds = self.seconds;
        let mut steps = Vec::new();
        for bytes in self.payloads_bytes {
            let common = format!("--window 8 --payload {bytes} --seconds {seconds}");
            let pairs = format!("pairs --publishers {WARM_PAIRS} --subscribers {WARM_PAIRS} {common}");
            let fanout = format!("fanout --subscribers {PAYLOAD_FANOUT} {common}");
            steps.push(Step::new(format!("pairs_payload{bytes}"), &pairs, &[DELIVERY]));
            steps.push(Step::new(format!("fanout_payload{bytes}"), &fanout, &[DELIVERY]));
        }
        let pairs = self.cold_pairs;
        for qos in 0..=2 {
            let line = format!(
                "pairs --publishers {pairs} --subscribers {pairs} --window 1 --qos {qos} --seconds {seconds}"
            );
            steps.push(Step::new(format!("pairs_cold_qos{qos}"), &line, &[DELIVERY]));
        }
        steps
    }

    /// Each with a broker of its own.
    pub fn fresh(&self) -> Vec<Step> {
        const CONNECTION: &[&str] = &[
            "broker_rss_per_connection_bytes",
            "broker_cpu_us_per_connection",
            "kernel_slab_per_connection_bytes",
        ];
        const PING: &[&str] = &["held_pings_per_s", "idle_broker_cpu_percent"];
        const RETAINED: &[&str] =
            &["broker_rss_per_retained_bytes", "broker_cpu_us_per_stored", "broker_cpu_us_per_delivery"];
        const QUEUED: &[&str] =
            &["broker_rss_per_queued_bytes", "broker_cpu_us_per_queued", "broker_cpu_us_per_delivery"];
        let (connections, retained) = (self.connections, self.retained);
        let idle = format!("conn --connections {connections} --keep-alive 0");
        vec![
            Step::new("idle", &idle, CONNECTION),
            Step::new("subscribed", &format!("{idle} --subscribe"), &["broker_rss_per_connection_bytes"]),
            Step::new("ping", &format!("conn --connections {connections} --keep-alive 2 --hold 4"), PING),
            Step::new("retained", &format!("retain --messages {retained} --payload {PAYLOAD_MIN}"), RETAINED),
            Step::new(
                "queued",
                &format!("offline --sessions 1000 --messages 20 --payload {PAYLOAD_MIN}"),
                QUEUED,
            ),
        ]
    }

    /// Clients that leave their sessions behind, as many each time and never the same.
    pub fn wave(&self, number: u32) -> Step {
        let line = format!(
            "conn --connections 1000 --keep-alive 0 --clean-session false --settle 30 --prefix wave{number}"
        );
        Step::new(format!("wave{number}"), &line, &["broker_rss_left_bytes"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Arguments;
    use clap::Parser;
    use std::collections::BTreeSet;

    #[test]
    fn every_step_is_a_line_this_program_understands_and_has_a_name_of_its_own() {
        for extent in [Extent::FULL, Extent::QUICK] {
            let mut names = BTreeSet::new();
            let steps =
                extent.warm().into_iter().chain(extent.wide()).chain(extent.fresh()).chain([extent.wave(0)]);
            for step in steps {
                let words = ["ringmq-bench".to_owned()].into_iter().chain(step.words.clone());
                assert!(Arguments::try_parse_from(words).is_ok(), "{step:?}");
                assert!(names.insert(step.name.clone()), "{step:?}");
            }
        }
    }
}
