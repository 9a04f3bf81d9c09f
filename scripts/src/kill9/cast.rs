//! Who takes part in a run: the publishers, and subscribers that stay, that are away, that visit and that come
//! late. It starts their threads for one life of the broker; it starts and ends no broker.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::client::Life;
use super::dice::Dice;
use super::ledger::{Fault, Finding, Receipt, Sent};
use super::message::{Filter, MessageId};
use super::publisher::{Amount, Progress, Publisher};
use super::retained::{self, Look};
use super::subscriber::{Profile, Stay, Subscriber};
use super::wire::Version::{V5, V311};

const PUBLISHERS: usize = 4;
/// Subscribers that make their session in the middle of a life, one a life.
const LATE: usize = 3;
/// In every so manieth life those that are away come home, so that old parts of the log have no more readers.
const HOME_EACH: u32 = 4;
/// How long after a start the latecomer comes, at most.
const LATE_MS_MAX: u64 = 700;

/// What a subscriber does while the broker is being killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// It is connected whenever it can be.
    Stays,
    /// It subscribed once and seldom comes back before the end.
    Away,
    /// It comes to take a part of its queue.
    Visits,
    /// It subscribes while messages flow, and is away from then on.
    Late,
}

/// All clients of one run.
pub struct Cast {
    publishers: Vec<Publisher>,
    progress: Vec<Progress>,
    subscribers: Vec<(Habit, Subscriber)>,
    dice: Dice,
    looks: u32,
    found: Vec<Finding>,
}

impl Cast {
    /// Clients that have not connected yet.
    pub fn new(seed: u64) -> Self {
        let publisher = |index: usize| {
            let version = if index.is_multiple_of(2) { V311 } else { V5 };
            Publisher::new(index, version, Dice::part(seed, 100 + index as u64))
        };
        let (all, data, one) = (Filter::All, Filter::Data, Filter::OneOfEach);
        let late = (0..LATE).map(|number| match number % 2 {
            0 => (Habit::Late, V5, data, 2, 0, 0),
            _ => (Habit::Late, V311, data, 1, 0, 0),
        });
        let profiles = [
            (Habit::Stays, V311, all, 1, 0, 0),
            (Habit::Stays, V5, all, 2, 0, 0),
            (Habit::Stays, V311, one(0), 2, 0, 0),
            (Habit::Stays, V5, data, 1, 8, 0),
            (Habit::Stays, V311, data, 2, 8, 0),
            (Habit::Away, V311, all, 1, 0, 0),
            (Habit::Away, V5, all, 2, 0, 0),
            (Habit::Away, V311, one(1), 2, 4, 0),
            (Habit::Visits, V311, data, 2, 4, 0),
            (Habit::Visits, V5, all, 2, 4, 5),
            (Habit::Visits, V5, one(2), 1, 2, 9),
        ];
        let profiles = profiles.into_iter().chain(late).enumerate();
        let subscribers = profiles.map(|(index, (habit, version, filter, qos, acks_held, receive_max))| {
            let name = format!("kill9-subscriber-{index}");
            let profile = Profile { name, version, filter, qos, acks_held, receive_max };
            (habit, Subscriber::new(profile))
        });
        Self {
            publishers: (0..PUBLISHERS).map(publisher).collect(),
            progress: (0..PUBLISHERS).map(|_| Progress::default()).collect(),
            subscribers: subscribers.collect(),
            dice: Dice::part(seed, 1),
            looks: 0,
            found: Vec::new(),
        }
    }

    /// Everybody but the latecomers subscribes.
    pub fn subscribe(&mut self, life: &Life) {
        let progress = &self.progress;
        thread::scope(|scope| {
            for (_, subscriber) in self.subscribers.iter_mut().filter(|(habit, _)| *habit != Habit::Late) {
                scope.spawn(move || subscriber.subscribe(life, progress));
            }
        });
    }

    /// Load, while `crash` decides when the broker's life ends; it calls `Life::end` before it ends the broker.
    pub fn load<T>(&mut self, life: &Life, crash: impl FnOnce() -> T) -> T {
        let progress = &self.progress;
        let dice = &mut self.dice;
        let is_home = life.number % HOME_EACH == HOME_EACH - 1;
        let late =
            self.subscribers.iter().position(|(habit, one)| *habit == Habit::Late && one.since.is_none());
        let (value, look) = thread::scope(|scope| {
            for (publisher, progress) in self.publishers.iter_mut().zip(progress) {
                scope.spawn(move || publisher.publish(life, Amount::UntilGone, progress));
            }
            for (index, (habit, subscriber)) in self.subscribers.iter_mut().enumerate() {
                match habit {
                    Habit::Stays => drop(scope.spawn(|| subscriber.receive(life, &Stay::UntilGone))),
                    Habit::Away if is_home => {
                        drop(scope.spawn(|| subscriber.receive(life, &Stay::UntilGone)))
                    }
                    Habit::Visits if !dice.is_one_in(3) => {
                        let messages = 20 + dice.below(300) as u32;
                        let stay = Stay::Visit { messages, is_rude: dice.is_one_in(2) };
                        scope.spawn(move || subscriber.receive(life, &stay));
                    }
                    Habit::Late if Some(index) == late => {
                        let wait = Duration::from_millis(dice.below(LATE_MS_MAX));
                        scope.spawn(move || {
                            thread::sleep(wait);
                            subscriber.subscribe(life, progress);
                        });
                    }
                    Habit::Away | Habit::Visits | Habit::Late => {}
                }
            }
            let look = scope.spawn(|| retained::look(life, progress));
            (crash(), look.join())
        });
        self.keep(look.ok());
        value
    }

    /// Every publisher sends `count` more and has all acknowledged.
    pub fn finish_publishers(&mut self, life: &Life, count: u32) {
        thread::scope(|scope| {
            for (publisher, progress) in self.publishers.iter_mut().zip(&self.progress) {
                scope.spawn(move || publisher.publish(life, Amount::Finish(count), progress));
            }
        });
    }

    /// Subscribers take all they are due: everybody, or only those that stay.
    pub fn drain(&mut self, life: &Life, is_everybody: bool) {
        let published: Vec<&[Sent]> = self.publishers.iter().map(|one| one.sent.as_slice()).collect();
        thread::scope(|scope| {
            for (habit, subscriber) in &mut self.subscribers {
                if is_everybody || *habit == Habit::Stays {
                    let due = subscriber.audience().map_or_else(BTreeSet::new, |one| one.due(&published));
                    scope.spawn(move || subscriber.receive(life, &Stay::Drain(&due)));
                }
            }
        });
    }

    /// Looks at the retained messages while nobody publishes.
    pub fn look_at_retained(&mut self, life: &Life) {
        let look = retained::look(life, &self.progress);
        if !look.is_whole {
            self.found.push(Finding::new(Fault::Retained, "the retained messages could not be read"));
        }
        self.keep(Some(look));
    }

    fn keep(&mut self, look: Option<Look>) {
        let look = look.unwrap_or_default();
        self.looks += u32::from(look.is_whole);
        self.found.extend(look.found);
    }

    /// Everything that is wrong.
    pub fn check(&self) -> Vec<Finding> {
        let published: Vec<&[Sent]> = self.publishers.iter().map(|one| one.sent.as_slice()).collect();
        let mut found = self.found.clone();
        found.extend(self.publishers.iter().flat_map(|one| one.found.iter().cloned()));
        for (_, subscriber) in &self.subscribers {
            found.extend(subscriber.found.iter().cloned());
            found.extend(subscriber.audience().into_iter().flat_map(|audience| audience.check(&published)));
        }
        found
    }

    /// All that was sent and all that was read, a line each, for whoever looks for a cause.
    pub fn to_trace(&self) -> String {
        let mut lines = String::new();
        for publisher in &self.publishers {
            for (number, sent) in publisher.sent.iter().enumerate() {
                lines.push_str(&format!("sent {}.{number} {sent:?}\n", publisher.index));
            }
        }
        for (_, subscriber) in &self.subscribers {
            let name = &subscriber.profile.name;
            for Receipt { id, topic, qos, packet_id, is_dup, is_handed_on, life } in &subscriber.receipts {
                lines.push_str(&format!(
                    "{name} read {}.{} {topic} QoS {qos} packet id {packet_id} dup {is_dup} handed on {is_handed_on} \
                     life {life}\n",
                    id.publisher, id.number
                ));
            }
        }
        lines
    }

    /// What was done, for the report.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally { looks: self.looks, ..Tally::default() };
        for publisher in &self.publishers {
            tally.published += publisher.sent.len();
            tally.acknowledged += publisher.acknowledged();
            tally.resent += publisher.sent.iter().map(|sent| sent.sends as usize - 1).sum::<usize>();
        }
        for (_, subscriber) in &self.subscribers {
            let distinct: BTreeSet<MessageId> =
                subscriber.receipts.iter().map(|receipt| receipt.id).collect();
            tally.delivered += distinct.len();
            tally.again += subscriber.receipts.len() - distinct.len();
        }
        tally
    }
}

/// What a run did.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    /// Messages, once each.
    pub published: usize,
    /// Of them, acknowledged.
    pub acknowledged: usize,
    /// Times a publisher sent a message again.
    pub resent: usize,
    /// Messages that came to subscribers, once each and subscriber.
    pub delivered: usize,
    /// Times one of them came again.
    pub again: usize,
    /// Complete looks at the retained messages.
    pub looks: u32,
}
