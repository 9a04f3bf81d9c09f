//! What the scenarios are told whose messages the broker keeps before anybody receives them.

use super::TargetArguments;
use crate::load::collect::{Collection, Step};
use crate::load::deposit::Deposit;
use crate::load::numbered::TOPICS_MAX;
use clap::Args;
use ringmq_core::codec::QoS;
use std::time::Duration;

/// What both scenarios have in common.
#[derive(Debug, Clone, Args)]
pub struct StoredArguments {
    /// The broker.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Publishers; the topics are dealt out among them.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub publishers: u32,
    /// Payload bytes; at least 16, which hold topic, number and send time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub payload: u32,
    /// The most unacknowledged messages of one publisher; without meaning at QoS 0.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub window: u16,
    /// Give up on a stage (storing, receiving, clearing) after this many seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

impl StoredArguments {
    /// How long a stage may take.
    pub fn wait_max(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// `ringmq-bench retain`.
///
/// Without warm-up: every message is stored and delivered once, and that is what is measured.
#[derive(Debug, Clone, Args)]
pub struct RetainArguments {
    /// What is stored, and how.
    #[command(flatten)]
    pub stored: StoredArguments,
    /// Retained messages, each on a topic of its own.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    pub messages: u32,
    /// Subscribers to PREFIX/r/#, each of which receives all messages.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub subscribers: u32,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Leave the messages in the broker.
    #[arg(long)]
    pub keep: bool,
}

impl RetainArguments {
    /// The messages to be stored.
    pub fn to_deposit(&self) -> Deposit {
        Deposit {
            target: self.stored.target.clone(),
            prefix: format!("{}/r", self.stored.target.prefix),
            topics: self.messages,
            messages: 1,
            publishers: self.stored.publishers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            retain: true,
            payload_bytes: self.stored.payload as usize,
            window_messages: u32::from(self.stored.window),
        }
    }

    /// What every subscriber receives.
    pub fn to_collection(&self) -> Collection {
        Collection {
            target: self.stored.target.clone(),
            step: Step::Retained,
            prefix: format!("{}/r", self.stored.target.prefix),
            clients: self.subscribers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            payload_bytes: self.stored.payload as usize,
            topics: self.messages,
            fanout: 1,
            messages: 1,
        }
    }
}

/// `ringmq-bench offline`.
///
/// Without warm-up: every message is queued and delivered once, and that is what is measured.
#[derive(Debug, Clone, Args)]
pub struct OfflineArguments {
    /// What is queued, and how.
    #[command(flatten)]
    pub stored: StoredArguments,
    /// Persistent sessions, each with a subscription to one topic.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// Messages queued for each session.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub messages: u32,
    /// Sessions that share a topic: each message is queued for so many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub fanout: u32,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub qos: u8,
}

impl OfflineArguments {
    /// How many topics the sessions have subscribed to.
    pub fn topics(&self) -> u32 {
        self.sessions.div_ceil(self.fanout)
    }

    /// The messages to be queued.
    pub fn to_deposit(&self) -> Deposit {
        Deposit {
            target: self.stored.target.clone(),
            prefix: format!("{}/o", self.stored.target.prefix),
            topics: self.topics(),
            messages: self.messages,
            publishers: self.stored.publishers,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            retain: false,
            payload_bytes: self.stored.payload as usize,
            window_messages: u32::from(self.stored.window),
        }
    }

    /// What the sessions do at this step.
    pub fn to_collection(&self, step: Step) -> Collection {
        Collection {
            target: self.stored.target.clone(),
            step,
            prefix: format!("{}/o", self.stored.target.prefix),
            clients: self.sessions,
            qos: QoS::from_u8(self.qos).unwrap_or_default(),
            payload_bytes: self.stored.payload as usize,
            topics: self.topics(),
            fanout: self.fanout,
            messages: self.messages,
        }
    }
}
