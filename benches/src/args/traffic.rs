//! What the scenarios are told on the command line.

use super::TargetArguments;
use crate::load::traffic::Plan;
use clap::Args;
use ringmq_core::codec::QoS;
use std::time::Duration;

/// What every scenario with messages has in common.
#[derive(Debug, Clone, Args)]
pub struct TrafficArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Subscribers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub subscribers: u32,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Seconds of traffic before the measurement starts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup: u64,
    /// Payload bytes; at least 16, which hold publisher, sequence number and send time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub payload: u32,
    /// The most messages of one publisher that are undelivered or, at QoS 1 and 2, unacknowledged.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub window: u16,
    /// Sleep this long after every turn of the event loop, so that the generator reads many at
    /// once and leaves its CPU time to the broker. For saturated runs only: it adds to every latency.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub pause_us: u64,
    /// Do not fail on messages lost at QoS 0.
    #[arg(long)]
    pub allow_loss: bool,
}

impl TrafficArguments {
    fn to_plan(&self, publishers: u32) -> Plan {
        Plan {
            target: self.target.clone(),
            publishers,
            subscribers: self.subscribers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            measured: Duration::from_secs(self.seconds),
            warmup: Duration::from_secs(self.warmup),
            payload_bytes: self.payload as usize,
            window_messages: u32::from(self.window),
            pause: Duration::from_micros(self.pause_us),
            allow_loss: self.allow_loss,
        }
    }
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
}

impl PairsArguments {
    /// The traffic this command line asks for.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(self.publishers)
    }
}

/// `ringmq-bench fanout`.
#[derive(Debug, Clone, Args)]
pub struct FanoutArguments {
    /// The traffic.
    #[command(flatten)]
    pub traffic: TrafficArguments,
}

impl FanoutArguments {
    /// The traffic this command line asks for: one publisher, every subscriber on its topic.
    pub fn to_plan(&self) -> Plan {
        self.traffic.to_plan(1)
    }
}
