//! What the scenarios with continuous traffic are told on the command line.

use super::TargetArguments;
use crate::load::traffic::plan::{Plan, Shape};
use anyhow::{Context, Result};
use clap::Args;
use ringmq_core::codec::QoS;
use std::time::Duration;

/// In an open loop, a publisher has no more than this undelivered or unacknowledged if nothing else is said.
const WINDOW_OPEN_LOOP: u16 = 1_024;

/// What every scenario with continuous traffic has in common.
#[derive(Debug, Clone, Args)]
pub struct TrafficArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Seconds to measure, 0.1 to 86,400.
    #[arg(long, default_value_t = 5.0, value_parser = measured_s)]
    pub seconds: f64,
    /// Seconds of traffic before the measurement starts, 0 to 3,600.
    #[arg(long, default_value_t = 1.0, value_parser = warmup_s)]
    pub warmup: f64,
    /// Seconds without a delivery, 0.1 to 60, after which what is still on its way at the end counts as lost.
    #[arg(long, default_value_t = 10.0, value_parser = drain_s)]
    pub drain: f64,
    /// Payload bytes; at least 16, which hold publisher, sequence number and send time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub payload: u32,
    /// The most messages of one publisher that are undelivered or, at QoS 1 and 2, unacknowledged: 32 in pairs, 16 in
    /// fanout, fanin and wild, 1,024 with --rate, if nothing else is said.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub window: Option<u16>,
    /// Open loop: publish this many messages a second in all, each at its time, whatever the broker does. Latencies
    /// count from the time a message was meant to be sent. 0 for a closed loop, as fast as the window allows.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub rate: u32,
    /// Sleep this long after every turn of the event loop, so that the generator reads many at
    /// once and leaves its CPU time to the broker. For saturated runs only: it adds to every latency.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub pause_us: u64,
    /// Do not fail on messages lost at QoS 0.
    #[arg(long)]
    pub allow_loss: bool,
}

impl TrafficArguments {
    fn to_plan(&self, shape: Shape, publishers: u32, subscribers: u32, window: u16) -> Plan {
        let window = if self.rate > 0 { WINDOW_OPEN_LOOP } else { window };
        Plan {
            target: self.target.clone(),
            shape,
            publishers,
            subscribers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            measured: Duration::from_secs_f64(self.seconds),
            warmup: Duration::from_secs_f64(self.warmup),
            drain_quiet: Duration::from_secs_f64(self.drain),
            payload_bytes: self.payload as usize,
            window_messages: u32::from(self.window.unwrap_or(window)),
            rate_per_s: f64::from(self.rate),
            pause: Duration::from_micros(self.pause_us),
            allow_loss: self.allow_loss,
        }
    }
}

fn measured_s(text: &str) -> Result<f64> {
    seconds(text, 0.1, 86_400.0)
}

fn warmup_s(text: &str) -> Result<f64> {
    seconds(text, 0.0, 3_600.0)
}

fn drain_s(text: &str) -> Result<f64> {
    seconds(text, 0.1, 60.0)
}

fn seconds(text: &str, min: f64, max: f64) -> Result<f64> {
    let seconds: f64 = text.parse()?;
    anyhow::ensure!((min..=max).contains(&seconds), "it is not from {min} to {max}");
    Ok(seconds)
}

/// `ringmq-bench pairs`.
#[derive(Debug, Clone, Args)]
pub struct PairsArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Publishers. Where their number differs from that of the subscribers, the smaller side is shared round robin.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub publishers: u32,
    /// Subscribers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub subscribers: u32,
}

impl PairsArguments {
    /// The traffic this command line asks for.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(Shape::Pairs, self.publishers, self.subscribers, 32)
    }
}

/// `ringmq-bench fanout`.
#[derive(Debug, Clone, Args)]
pub struct FanoutArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Publishers, each with a topic of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub publishers: u32,
    /// Subscribers, each of them to every topic.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub subscribers: u32,
}

impl FanoutArguments {
    /// The traffic this command line asks for.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(Shape::Fanout, self.publishers, self.subscribers, 16)
    }
}

/// `ringmq-bench fanin`.
#[derive(Debug, Clone, Args)]
pub struct FaninArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Publishers, each with a topic of its own.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub publishers: u32,
    /// Subscribers; the publishers are dealt out among them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub subscribers: u32,
    /// All subscribers are members of this shared subscription instead, and each message reaches one of them.
    #[arg(long, value_parser = share_name)]
    pub shared: Option<String>,
}

impl FaninArguments {
    /// The traffic this command line asks for.
    pub fn to_plan(&self) -> Plan {
        let shape = self.shared.clone().map_or(Shape::Fanin, |group| Shape::Shared { group });
        self.traffic.to_plan(shape, self.publishers, self.subscribers, 16)
    }
}

/// A ShareName has no `/`, `+` or `#`. [MQTT-4.8.2-1] [MQTT-4.8.2-2]
fn share_name(text: &str) -> Result<String> {
    anyhow::ensure!(!text.is_empty() && !text.contains(['/', '+', '#']), "not a ShareName");
    Ok(text.to_owned())
}

/// `ringmq-bench wild`.
///
/// The filters are exact, with `+` and with `#` in equal parts. Publisher i publishes to PREFIX/m/i/value, which is matched
/// by PREFIX/m/i/value, PREFIX/+/i/value and PREFIX/m/i/#; the filters that match nothing have the same forms.
#[derive(Debug, Clone, Args)]
pub struct WildArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Filters in all; those that match are among them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    pub filters: u32,
    /// Filters that match nothing, beside those that match; instead of --filters.
    #[arg(long, conflicts_with = "filters", value_parser = clap::value_parser!(u32).range(0..=20_000_000))]
    pub filters_unmatched: Option<u32>,
    /// Clients that hold the filters, all about as many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub clients: u32,
    /// Filters that match one publication, each of another client.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub matching: u32,
    /// Publishers, each with a topic of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub publishers: u32,
}

impl WildArguments {
    /// The traffic this command line asks for.
    ///
    /// # Errors
    /// When more filters must match than there are.
    pub fn to_plan(&self) -> Result<Plan> {
        let matching = self.publishers * self.matching;
        let unmatched = match self.filters_unmatched {
            Some(unmatched) => unmatched,
            None => self.filters.checked_sub(matching).with_context(|| {
                format!("--filters {} are too few: {matching} match; lower --publishers", self.filters)
            })?,
        };
        let shape = Shape::Wild { matching: self.matching, unmatched };
        Ok(self.traffic.to_plan(shape, self.publishers, self.clients, 16))
    }
}
