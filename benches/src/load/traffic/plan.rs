//! What a run with messages shall do: who publishes where, who subscribes to what, and who must receive which message.
//!
//! It decides and counts nothing; the driver beside it asks.

use crate::args::TargetArguments;
use anyhow::{Result, ensure};
use ringmq_core::codec::QoS;
use std::time::Duration;

/// What a run with messages shall do; the fields are those of [`TrafficArguments`](crate::args::TrafficArguments).
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: TargetArguments,
    pub shape: Shape,
    pub publishers: u32,
    pub subscribers: u32,
    pub qos: QoS,
    pub measured: Duration,
    pub warmup: Duration,
    /// Without a delivery for this long at the end, what is on its way counts as lost.
    pub drain_quiet: Duration,
    pub payload_bytes: usize,
    pub window_messages: u32,
    /// Messages a second over all publishers; 0 for a closed loop.
    pub rate_per_s: f64,
    pub pause: Duration,
    pub allow_loss: bool,
}

/// Who talks to whom. Topics begin with the run's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Publisher i to `prefix/i`; subscriber j subscribes to the topics of all publishers with the same remainder by the
    /// smaller side's number.
    Pairs,
    /// Publisher i to `prefix/i`; every subscriber subscribes to every topic.
    Fanout,
    /// Publisher i to `prefix/g/i` where g is its remainder by the number of subscribers; subscriber g subscribes to
    /// `prefix/g/+`.
    Fanin,
    /// Publisher i to `prefix/i`; every subscriber subscribes to `$share/group/prefix/#`, and each message reaches one.
    Shared {
        /// The ShareName.
        group: String,
    },
    /// Publisher i to `prefix/m/i/value`. `matching` filters match it, in turn `prefix/m/i/value`, `prefix/+/i/value` and
    /// `prefix/m/i/#`, each held by another client; `unmatched` filters of the same three forms match nothing.
    Wild {
        /// Filters that match one publication.
        matching: u32,
        /// Filters that match none.
        unmatched: u32,
    },
}

impl Plan {
    /// Refuses what the shape cannot mean.
    ///
    /// # Errors
    /// When fewer clients than matching filters would hold two of them.
    pub fn check(&self) -> Result<()> {
        if let Shape::Wild { matching, .. } = self.shape {
            let clients = self.subscribers;
            ensure!(matching <= clients, "--matching {matching} needs --clients {matching} or more");
        }
        Ok(())
    }

    /// Filters of all subscribers together.
    pub fn filters(&self) -> u64 {
        let (publishers, subscribers) = (u64::from(self.publishers), u64::from(self.subscribers));
        match self.shape {
            Shape::Pairs => publishers.max(subscribers),
            Shape::Fanout => publishers * subscribers,
            Shape::Fanin | Shape::Shared { .. } => subscribers,
            Shape::Wild { matching, unmatched } => publishers * u64::from(matching) + u64::from(unmatched),
        }
    }

    /// The topic of this publisher's messages.
    pub fn topic(&self, publisher: u32) -> String {
        let prefix = &self.target.prefix;
        match self.shape {
            Shape::Pairs | Shape::Fanout | Shape::Shared { .. } => format!("{prefix}/{publisher}"),
            Shape::Fanin => format!("{prefix}/{}/{publisher}", publisher % self.groups()),
            Shape::Wild { .. } => format!("{prefix}/m/{publisher}/value"),
        }
    }

    /// The filter number `number` (from 0) of this subscriber, `None` past its last.
    pub fn filter(&self, subscriber: u32, number: u32) -> Option<String> {
        let prefix = &self.target.prefix;
        match &self.shape {
            Shape::Pairs | Shape::Fanout => {
                let publisher = subscriber % self.groups() + number.checked_mul(self.groups())?;
                (publisher < self.publishers).then(|| self.topic(publisher))
            }
            Shape::Fanin => (number == 0).then(|| format!("{prefix}/{}/+", subscriber % self.groups())),
            Shape::Shared { group } => (number == 0).then(|| format!("$share/{group}/{prefix}/#")),
            Shape::Wild { matching, unmatched } => {
                let all_matching = self.publishers * matching;
                let position = subscriber + number.checked_mul(self.subscribers)?;
                if position < all_matching {
                    let publisher = position / matching;
                    return Some(match position % 3 {
                        0 => format!("{prefix}/m/{publisher}/value"),
                        1 => format!("{prefix}/+/{publisher}/value"),
                        _ => format!("{prefix}/m/{publisher}/#"),
                    });
                }
                let other = position - all_matching;
                (other < *unmatched).then(|| match other % 3 {
                    0 => format!("{prefix}/m/n{other}/value"),
                    1 => format!("{prefix}/+/n{other}/value"),
                    _ => format!("{prefix}/m/n{other}/#"),
                })
            }
        }
    }

    /// How many deliveries a message of this publisher makes.
    pub fn receivers(&self, publisher: u32) -> u32 {
        let groups = self.groups();
        match self.shape {
            Shape::Shared { .. } => 1,
            Shape::Wild { matching, .. } => matching,
            _ => (self.subscribers + groups - 1 - publisher % groups) / groups,
        }
    }

    /// The place of a subscriber among the receivers of this publisher's messages, `None` for one that is none of them.
    pub fn slot(&self, publisher: u32, subscriber: u32) -> Option<usize> {
        match self.shape {
            Shape::Shared { .. } => Some(subscriber as usize),
            Shape::Wild { matching, .. } => {
                let first = publisher * matching % self.subscribers;
                let ahead = if subscriber < first { self.subscribers } else { 0 };
                let slot = subscriber + ahead - first;
                (slot < matching).then_some(slot as usize)
            }
            _ => {
                let groups = self.groups();
                if groups == 1 {
                    return Some(subscriber as usize);
                }
                (publisher % groups == subscriber % groups).then_some((subscriber / groups) as usize)
            }
        }
    }

    /// The members of one side, `count` in number, that `worker` drives: those of every group that falls to it, so that
    /// publisher and receivers of a message are clients of one worker. Fan-out, shared and wild are one group.
    pub fn members(&self, count: u32, worker: u16) -> impl Iterator<Item = u32> + use<> {
        let (groups, workers) = (self.groups(), u32::from(self.target.threads));
        (0..count).filter(move |member| member % groups % workers == u32::from(worker))
    }

    fn groups(&self) -> u32 {
        match self.shape {
            Shape::Pairs | Shape::Fanin => self.publishers.min(self.subscribers),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;
    use ringmq_core::topic::filter_matches;

    fn plan(command: &str) -> Plan {
        let words = std::iter::once("ringmq-bench").chain(command.split(' '));
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Pairs(arguments) => arguments.to_plan(),
            Command::Fanout(arguments) => arguments.to_plan(),
            Command::Fanin(arguments) => arguments.to_plan(),
            Command::Wild(arguments) => arguments.to_plan().unwrap(),
            other => panic!("{other:?} has no messages"),
        }
    }

    /// Publishes once on every topic against every filter, and compares with what the plan expects.
    #[track_caller]
    fn check(command: &str, filters: u64) {
        let plan = plan(command);
        plan.check().unwrap();
        let all: Vec<(u32, String)> = (0..plan.subscribers)
            .flat_map(|subscriber| {
                let plan = plan.clone();
                (0..).map_while(move |number| {
                    plan.filter(subscriber, number).map(|filter| (subscriber, filter))
                })
            })
            .collect();
        assert_eq!((all.len() as u64, plan.filters()), (filters, filters), "{command}");
        let matches = |filter: &str, topic: &str| {
            let filter = filter.strip_prefix("$share/group/").unwrap_or(filter);
            filter_matches(filter, topic)
        };
        for publisher in 0..plan.publishers {
            let topic = plan.topic(publisher);
            let mut receivers: Vec<u32> = all
                .iter()
                .filter(|(_, filter)| matches(filter, &topic))
                .map(|(subscriber, _)| *subscriber)
                .collect();
            let expected: Vec<u32> = (0..plan.subscribers)
                .filter(|&subscriber| plan.slot(publisher, subscriber).is_some())
                .collect();
            receivers.sort_unstable();
            assert_eq!(receivers, expected, "{command}: {topic}");
            if !matches!(plan.shape, Shape::Shared { .. }) {
                assert_eq!(expected.len(), plan.receivers(publisher) as usize, "{command}: {topic}");
                let mut slots: Vec<usize> =
                    expected.iter().filter_map(|&s| plan.slot(publisher, s)).collect();
                slots.sort_unstable();
                assert_eq!(slots, (0..expected.len()).collect::<Vec<usize>>(), "{command}: {topic}");
            }
        }
    }

    #[test]
    fn filters_match_exactly_the_receivers_the_plan_expects() {
        check("pairs --publishers 7 --subscribers 7", 7);
        check("pairs --publishers 7 --subscribers 3", 7);
        check("pairs --publishers 3 --subscribers 8", 8);
        check("fanout --publishers 2 --subscribers 5", 10);
        check("fanin --publishers 11 --subscribers 4", 4);
        check("fanin --publishers 11 --subscribers 4 --shared group", 4);
        check("wild --publishers 7 --clients 5 --filters 300 --matching 4", 300);
        check("wild --publishers 5 --clients 4 --filters-unmatched 10 --matching 4", 30);
    }

    #[test]
    fn filters_of_the_three_kinds_are_equally_many() {
        let plan = plan("wild --publishers 30 --clients 10 --filters 3000 --matching 3");
        let mut kinds = [0; 3];
        for subscriber in 0..10 {
            for filter in (0..).map_while(|number| plan.filter(subscriber, number)) {
                kinds[if filter.contains('+') { 1 } else { usize::from(filter.ends_with('#')) * 2 }] += 1;
            }
        }
        assert_eq!(kinds, [1000; 3]);
    }

    #[test]
    fn matching_filters_need_as_many_clients() {
        assert!(plan("wild --publishers 2 --clients 3 --matching 4").check().is_err());
    }
}
