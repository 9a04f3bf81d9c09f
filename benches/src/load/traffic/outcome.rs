//! What the workers of a run with messages found, and which of it fails the run.

use crate::load::histogram::Histogram;
use crate::load::sequence::Findings;
use crate::report::Report;
use anyhow::Result;

/// What one worker, or all of them together, found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Latencies of the messages delivered while measuring; of a deposit, until they were acknowledged.
    pub latency: Histogram,
    /// Lost, duplicated, out of order.
    pub findings: Findings,
    /// Messages that arrived damaged, at the wrong subscriber or with the wrong quality of service.
    pub damaged: u64,
    /// Messages the broker refused by the reason code of its acknowledgement.
    pub refused: u64,
    /// Acknowledgements of nothing.
    pub acks_unexpected: u64,
    /// QoS 2 deliveries whose PUBREL did not come, and publications whose acknowledgement did not.
    pub handshakes_open: u64,
    /// Windows regarded as lost because nothing moved.
    pub stalls: u64,
    /// The longest a message was sent after its intended time, in an open loop.
    pub lag_max_ns: u64,
    /// When the last delivery or acknowledgement came, by the run's clock.
    pub last_ns: u64,
}

/// What is forgiven.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tolerance {
    /// Messages may be lost.
    pub lost: bool,
    /// Messages may come twice.
    pub duplicated: bool,
}

impl Outcome {
    /// The sum of what the workers found.
    ///
    /// # Errors
    /// None in practice: all histograms have the same bounds.
    pub fn sum(outcomes: Vec<Outcome>) -> Result<Outcome> {
        let mut all = Outcome::default();
        for outcome in outcomes {
            all.latency.merge(&outcome.latency)?;
            all.findings.add(outcome.findings);
            all.damaged += outcome.damaged;
            all.refused += outcome.refused;
            all.acks_unexpected += outcome.acks_unexpected;
            all.handshakes_open += outcome.handshakes_open;
            all.stalls += outcome.stalls;
            all.lag_max_ns = all.lag_max_ns.max(outcome.lag_max_ns);
            all.last_ns = all.last_ns.max(outcome.last_ns);
        }
        Ok(all)
    }

    /// Adds the findings and decides which of them fail the run.
    pub fn judge(&self, report: &mut Report, tolerance: Tolerance, disconnected: u64) {
        let counts = [
            ("lost", self.findings.lost, !tolerance.lost),
            ("duplicated", self.findings.duplicated, !tolerance.duplicated),
            ("out_of_order", self.findings.out_of_order, true),
            ("damaged", self.damaged, true),
            ("refused", self.refused, true),
            ("acks_unexpected", self.acks_unexpected, true),
            ("handshakes_open", self.handshakes_open, true),
            ("disconnected", disconnected, true),
            ("stalls", self.stalls, false),
        ];
        for (key, count, is_failure) in counts {
            report.add(key, count);
            report.fail_on(if is_failure { count } else { 0 }, &key.replace('_', " "));
        }
    }
}
