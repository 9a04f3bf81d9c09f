//! What the rounds of a level have measured. It starts nothing.

use super::contender::Level;
use crate::compare::median;
use crate::scenarios::stored::Taken;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The management plane answers within this.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The counter of syncs of all shards' logs.
const SYNCS: &str = "ringmq_persistence_syncs";

/// A figure of every round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    QueuedPerS,
    BrokerCpuUs,
    WrittenBytes,
    SyncsPerS,
    AckP50Us,
    AckP99Us,
    RssBytes,
    DeliveredPerS,
}

impl Figure {
    /// All, in the order of their columns.
    pub const ALL: [Figure; 8] = [
        Figure::QueuedPerS,
        Figure::BrokerCpuUs,
        Figure::WrittenBytes,
        Figure::SyncsPerS,
        Figure::AckP50Us,
        Figure::AckP99Us,
        Figure::RssBytes,
        Figure::DeliveredPerS,
    ];

    /// Its key in JSON, after the name of the level.
    pub fn key(self) -> &'static str {
        match self {
            Figure::QueuedPerS => "queued_per_s",
            Figure::BrokerCpuUs => "broker_cpu_us_per_queued",
            Figure::WrittenBytes => "broker_written_per_queued_bytes",
            Figure::SyncsPerS => "broker_syncs_per_s",
            Figure::AckP50Us => "ack_latency_p50_us",
            Figure::AckP99Us => "ack_latency_p99_us",
            Figure::RssBytes => "broker_rss_per_queued_bytes",
            Figure::DeliveredPerS => "delivered_per_s",
        }
    }
}

/// One round: what was measured of it.
#[derive(Debug, Clone)]
pub struct Round {
    published: f64,
    seconds: f64,
    values: [Option<f64>; Figure::ALL.len()],
}

impl Round {
    /// A round in which this was queued.
    pub fn of(queued: &Taken) -> Round {
        let published = queued.published.max(1) as f64;
        let mut round = Round { published, seconds: queued.seconds, values: [None; Figure::ALL.len()] };
        round.set(Figure::QueuedPerS, published / queued.seconds);
        round.set(Figure::BrokerCpuUs, queued.broker_cpu_us / published);
        round.set(Figure::AckP50Us, queued.ack_p50_us);
        round.set(Figure::AckP99Us, queued.ack_p99_us);
        round
    }

    /// The broker has had so many bytes written to its disk.
    pub fn set_written(&mut self, bytes: u64) {
        self.set(Figure::WrittenBytes, bytes as f64 / self.published);
    }

    /// So many syncs had been done before, and after.
    pub fn set_syncs(&mut self, before: Option<u64>, after: Option<u64>) {
        if let (Some(before), Some(after)) = (before, after) {
            self.set(Figure::SyncsPerS, after.saturating_sub(before) as f64 / self.seconds);
        }
    }

    /// The resident set before and after; it tells what a message takes only while nothing is used again.
    pub fn set_rss(&mut self, before: u64, after: u64, is_first: bool) {
        if is_first {
            self.set(Figure::RssBytes, after.saturating_sub(before) as f64 / self.published);
        }
    }

    /// What the sessions received.
    pub fn set_drained(&mut self, drained: &Taken) {
        self.set(Figure::DeliveredPerS, drained.delivered as f64 / drained.seconds);
    }

    /// A figure of this round, if it was measured.
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.values[figure as usize]
    }

    fn set(&mut self, figure: Figure, value: f64) {
        self.values[figure as usize] = Some(value);
    }
}

/// All rounds of a level.
#[derive(Debug)]
pub struct Track {
    /// The level.
    pub level: Level,
    /// What was measured.
    pub rounds: Vec<Round>,
    /// Messages delivered, all verified.
    pub delivered: u64,
    /// Messages that had been queued when the broker was killed.
    pub killed: u64,
    /// How long the broker took until it listened again.
    pub restart_s: Option<f64>,
    /// What was lost, doubled or refused.
    pub failures: Vec<String>,
}

impl Track {
    /// Without rounds.
    pub fn new(level: Level) -> Track {
        Track { level, rounds: Vec::new(), delivered: 0, killed: 0, restart_s: None, failures: Vec::new() }
    }

    /// A figure of each round that has it.
    pub fn values(&self, figure: Figure) -> Vec<f64> {
        self.rounds.iter().filter_map(|round| round.value(figure)).collect()
    }

    /// The median over the rounds that have it.
    pub fn median(&self, figure: Figure) -> Option<f64> {
        median(&self.values(figure))
    }
}

/// How many syncs the broker whose management plane listens on this port has done; `None` where it does not tell.
pub fn syncs(http_port: u16) -> Option<u64> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, http_port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let host = "Host: 127.0.0.1\r\nConnection: close";
        stream.write_all(format!("GET /api/v5/prometheus/stats HTTP/1.1\r\n{host}\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    counter(&ask().ok()?, SYNCS)
}

/// The sum of a counter's samples in Prometheus's text; `None` if there are none.
fn counter(text: &str, name: &str) -> Option<u64> {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    let own = samples.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
    own.filter_map(|(_, value)| value.trim().parse::<f64>().ok())
        .map(|value| value as u64)
        .reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_the_sum_of_its_own_samples() {
        let text = "# TYPE a_total counter\na_total{shard=\"0\"} 3\na_total{shard=\"1\"} 4\na_total_created 9\nb 5\n";
        assert_eq!(counter(text, "a_total"), Some(7));
        assert_eq!(counter(text, "b"), Some(5));
        assert_eq!(counter(text, "c"), None);
    }

    #[test]
    fn a_round_knows_what_was_not_measured_and_medians_skip_it() {
        let taken = |seconds| Taken {
            published: 100,
            delivered: 100,
            seconds,
            broker_cpu_us: 1_000.0,
            own_cpu_us: 0.0,
            ack_p50_us: 5.0,
            ack_p99_us: 9.0,
        };
        let mut track = Track::new(Level::Wal);
        for (number, seconds) in [1.0, 4.0, 2.0].into_iter().enumerate() {
            let mut round = Round::of(&taken(seconds));
            round.set_rss(1_000, 3_000, number == 0);
            round.set_syncs(Some(10), Some(30));
            track.rounds.push(round);
        }
        assert_eq!(track.median(Figure::QueuedPerS), Some(50.0));
        assert_eq!(track.median(Figure::SyncsPerS), Some(10.0));
        assert_eq!(track.values(Figure::RssBytes), [20.0]);
        assert_eq!(track.median(Figure::WrittenBytes), None);
    }
}
