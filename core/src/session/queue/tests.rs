//! A queue against a plain list of what should be in it.

use super::*;
use crate::config::{ByteSize, DefaultPriority, Limit, QueuePriorities};
use crate::metrics::Tally;
use crate::publication::{LazyPublication, Origin, PublicationRef};
use crate::session::delivery::Delivery;
use crate::session::durable::Forgetful;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Topics with what is configured for them; the last is not named.
const TOPICS: [&str; 4] = ["alarm", "a/b", "x", "other"];
const SHARE: ShareTag = 7;

fn priorities() -> QueuePriorities {
    let named = [("alarm", 9), ("a/+", 5), ("x", 5)];
    QueuePriorities::from(BTreeMap::from(named.map(|(filter, priority)| (filter.to_owned(), priority))))
}

/// What is known of a message that should be in the queue.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    priority: Priority,
    serial: u32,
    weight: usize,
    expires: bool,
    shared: bool,
}

#[derive(Debug, Clone)]
enum Operation {
    Push { topic: usize, padding: usize, qos: QoS, expires: bool, shared: bool },
    Restore { topic: usize, padding: usize },
    Pop,
    Expire,
    TakeShared,
}

fn operation() -> impl Strategy<Value = Operation> {
    let qos = prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)];
    prop_oneof![
        12 => (0..TOPICS.len(), 0..30_usize, qos, prop::bool::weighted(0.1), prop::bool::weighted(0.2)).prop_map(
            |(topic, padding, qos, expires, shared)| Operation::Push { topic, padding, qos, expires, shared }
        ),
        1 => (0..TOPICS.len(), 0..30_usize).prop_map(|(topic, padding)| Operation::Restore { topic, padding }),
        5 => Just(Operation::Pop),
        1 => Just(Operation::Expire),
        1 => Just(Operation::TakeShared),
    ]
}

fn serial_of(message: &Outgoing) -> u32 {
    let publication = message.publication().expect("nothing is remembered");
    u32::from_le_bytes(publication.view().payload[..4].try_into().expect("a serial number"))
}

fn topic_of(message: &Outgoing) -> &str {
    message.publication().expect("nothing is remembered").topic()
}

/// The queue under test, what should be in it, and what was lost.
struct Rig {
    config: MqttConfig,
    tally: Tally,
    queue: Queue,
    /// In the order of coming.
    model: Vec<Expected>,
    serial: u32,
}

impl Rig {
    fn message(&mut self, topic: &str, padding: usize, qos: QoS, expires: bool, shared: bool) -> Outgoing {
        self.serial += 1;
        let payload = [&self.serial.to_le_bytes()[..], &vec![0; padding]].concat();
        let view = PublicationRef {
            topic,
            properties: &[],
            payload: &payload,
            qos,
            retain: false,
            expires_at: if expires { Timestamp::from_ms(1) } else { Timestamp::NEVER },
            origin: Origin::BROKER,
        };
        let share = shared.then_some(SHARE);
        let message = LazyPublication::borrowed(view);
        Delivery { message: &message, qos, retain: false, subscription_ids: &[], share }.to_outgoing()
    }

    fn expected(&self, message: &Outgoing) -> Expected {
        Expected {
            priority: self.config.priority_of(topic_of(message)),
            serial: self.serial,
            weight: message.weight_bytes(),
            expires: message.expires_at() != Timestamp::NEVER,
            shared: message.share().is_some(),
        }
    }

    fn push(&mut self, message: Outgoing) {
        let expected = self.expected(&message);
        let topic = topic_of(&message);
        let had_room = self.queue.has_room(topic, message.weight_bytes(), &self.config);
        let mut cx = Cx {
            now: Timestamp::from_ms(0),
            config: &self.config,
            tally: &mut self.tally,
            memory: &mut Forgetful,
        };
        let pushed = self.queue.push(message, &mut cx);
        let lost = self.admit(expected);
        assert_eq!(pushed.lost.map_or(0, |(_, count)| count), lost);
        assert_eq!(had_room, lost == 0, "room is what costs nobody");
        if pushed.is_queued {
            assert_eq!(self.queue.newest_mut().map(|newest| serial_of(newest)), Some(self.serial));
        }
    }

    /// What the bounds make of a message; how many are lost.
    fn admit(&mut self, new: Expected) -> u64 {
        let Bounds { len_max, bytes_max, policy } = Bounds::of(&self.config);
        let total = |model: &[Expected]| model.iter().map(|message| message.weight).sum::<usize>();
        let above = self.model.iter().filter(|message| message.priority > new.priority);
        if len_max == 0 || above.map(|message| message.weight).sum::<usize>() + new.weight > bytes_max {
            return 1;
        }
        let mut lost = 0;
        loop {
            let alike = |message: &Expected| message.priority == new.priority;
            let is_crowded = self.model.iter().filter(|message| alike(message)).count() >= len_max;
            if !is_crowded && total(&self.model) + new.weight <= bytes_max {
                break;
            }
            if policy != QueueFullPolicy::DropOldest {
                return lost + 1;
            }
            let least = self.model.iter().map(|message| message.priority).min().expect("a message");
            let victim = if is_crowded { new.priority } else { least };
            let at = self.model.iter().position(|message| message.priority == victim).expect("a victim");
            self.model.remove(at);
            lost += 1;
        }
        self.model.push(new);
        lost
    }

    /// The model in the order of the turns.
    fn in_turn(&self) -> Vec<Expected> {
        let mut turns = self.model.clone();
        turns.sort_by_key(|message| std::cmp::Reverse(message.priority));
        turns
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Push { topic, padding, qos, expires, shared } => {
                let message = self.message(TOPICS[topic], padding, qos, expires, shared);
                self.push(message);
            }
            Operation::Restore { topic, padding } => {
                let message = self.message(TOPICS[topic], padding, QoS::AtLeastOnce, false, false);
                self.model.push(self.expected(&message));
                let priority = priority_of(&message, &self.config);
                self.queue.push_restored(message, priority);
            }
            Operation::Pop => {
                let next = self.in_turn().first().map(|message| message.serial);
                assert_eq!(self.queue.pop().as_ref().map(serial_of), next);
                self.model.retain(|message| Some(message.serial) != next);
            }
            Operation::Expire => {
                let before = self.model.len();
                self.model.retain(|message| !message.expires);
                let expired = self.queue.remove_expired(Timestamp::from_ms(1), &mut Forgetful);
                assert_eq!(expired, (before - self.model.len()) as u64);
            }
            Operation::TakeShared => {
                let shared = self.in_turn().into_iter().filter(|message| message.shared);
                let shared: Vec<u32> = shared.map(|message| message.serial).collect();
                let taken = self.queue.take_shared(&|tag| tag == SHARE);
                assert_eq!(taken.iter().map(serial_of).collect::<Vec<_>>(), shared);
                self.model.retain(|message| !message.shared);
            }
        }
        let in_turn: Vec<u32> = self.in_turn().iter().map(|message| message.serial).collect();
        assert_eq!(self.queue.iter().map(serial_of).collect::<Vec<_>>(), in_turn);
        assert_eq!(self.queue.len(), self.model.len());
        assert_eq!(self.queue.bytes, self.model.iter().map(|message| message.weight).sum::<usize>());
        assert_eq!(self.queue.front().is_some(), !self.model.is_empty());
        let qos0 = self.queue.iter().filter(|message| message.qos == QoS::AtMostOnce).count();
        assert_eq!(self.queue.qos0 as usize, qos0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn messages_leave_by_priority_and_the_bounds_hold(
        is_ranked: bool,
        is_default_highest: bool,
        gives_way: bool,
        len_max in 0..6_usize,
        bytes_max in 0..200_u64,
        story in prop::collection::vec(operation(), 0..60),
    ) {
        let default = if is_default_highest { DefaultPriority::Highest } else { DefaultPriority::Lowest };
        let policy = if gives_way { QueueFullPolicy::DropOldest } else { QueueFullPolicy::DropNewest };
        let config = MqttConfig {
            max_mqueue_len: Limit(len_max),
            max_mqueue_bytes: ByteSize(bytes_max),
            mqueue_full_policy: policy,
            mqueue_default_priority: default,
            mqueue_priorities: if is_ranked { priorities() } else { QueuePriorities::default() },
            ..MqttConfig::default()
        };
        let (tally, queue, model) = (Tally::default(), Queue::default(), Vec::new());
        let mut rig = Rig { config, tally, queue, model, serial: 0 };
        for operation in story {
            rig.step(operation);
        }
    }
}

#[test]
fn other_priorities_arrange_what_waits() {
    let plain = MqttConfig::default();
    let ranked = MqttConfig { mqueue_priorities: priorities(), ..MqttConfig::default() };
    let (tally, queue, model) = (Tally::default(), Queue::default(), Vec::new());
    let mut rig = Rig { config: plain.clone(), tally, queue, model, serial: 0 };
    for topic in ["other", "x", "alarm", "x", "other"] {
        let message = rig.message(topic, 3, QoS::AtMostOnce, false, false);
        rig.queue.push_restored(message, None);
    }
    let serials = |queue: &Queue| queue.iter().map(serial_of).collect::<Vec<_>>();
    let (bytes, qos0) = (rig.queue.bytes, rig.queue.qos0);
    for (config, order) in [(&ranked, [3, 2, 4, 1, 5]), (&plain, [3, 2, 4, 1, 5]), (&ranked, [3, 2, 4, 1, 5])]
    {
        rig.queue.arrange(config, &Forgetful);
        assert_eq!(serials(&rig.queue), order);
        assert_eq!((rig.queue.bytes, rig.queue.qos0, rig.queue.len()), (bytes, qos0, 5));
    }
    let message = rig.message("alarm", 3, QoS::AtMostOnce, false, false);
    let priority = priority_of(&message, &ranked);
    rig.queue.push_restored(message, priority);
    assert_eq!(serials(&rig.queue), [3, 6, 2, 4, 1, 5]);
}

#[test]
fn a_queue_without_priorities_costs_one_list() {
    assert_eq!(size_of::<Messages>(), size_of::<VecDeque<Outgoing>>());
    assert_eq!(size_of::<Queue>(), size_of::<VecDeque<Outgoing>>() + 16);
}
