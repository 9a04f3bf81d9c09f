//! What was published, acknowledged and received in a simulated life, and whether that keeps what the broker promises. It knows
//! nothing of shards, bytes or disks.

use ringmq_core::codec::QoS;
use ringmq_core::topic::filter_matches;
use std::collections::BTreeMap;

/// A promise that was not kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding(pub String);

/// Whether a promise was kept.
pub type Checked = Result<(), Finding>;

/// Names a message: its publisher, and its place among the publisher's messages.
pub type Name = (usize, usize);

/// How far a message is, as its publisher knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Unsent,
    Sent,
    /// PUBACK or PUBREC came: the broker answers for it.
    Acknowledged,
    /// The broker said that it did not take it.
    Refused,
}

/// A message of a publisher.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: &'static str,
    pub qos: QoS,
    pub retain: bool,
    pub fate: Fate,
    /// How much larger than others it is.
    weight: usize,
    /// Readers that were subscribed before it was sent first.
    owed: Vec<usize>,
}

impl Message {
    /// A message that is still to be sent.
    pub fn new(topic: &'static str, qos: QoS, retain: bool) -> Message {
        Message { topic, qos, retain, fate: Fate::Unsent, weight: 0, owed: Vec::new() }
    }

    /// Has it be larger than others.
    pub fn of_weight(self, weight: usize) -> Message {
        Message { weight, ..self }
    }

    /// The payload of the message with this name.
    pub fn payload(&self, name: Name) -> Vec<u8> {
        payload_of(name, self.weight)
    }
}

/// A subscriber: what it asked for and what it has.
#[derive(Debug)]
pub struct Reader {
    pub filters: Vec<&'static str>,
    pub qos: QoS,
    /// SUBACK came.
    pub is_subscribed: bool,
    /// How often each message came.
    seen: BTreeMap<Name, u32>,
    /// The last message of a publisher that came for the first time, by topic and QoS.
    latest: BTreeMap<(usize, &'static str, QoS), usize>,
}

/// All messages and all readers.
#[derive(Debug, Default)]
pub struct Ledger {
    pub messages: Vec<Vec<Message>>,
    pub readers: Vec<Reader>,
    /// Queues are so short that messages are dropped.
    pub may_drop: bool,
    /// Stores are so small that messages are refused, and later ones are not: those come again behind them.
    pub may_refuse: bool,
    /// Deliveries that came again.
    pub repeats: u64,
}

fn finding(text: impl Into<String>) -> Checked {
    Err(Finding(text.into()))
}

/// Bytes by which a message is larger than one of less weight.
const WEIGHT_BYTES: usize = 1024;

/// The payload of a message: its name, and bytes that depend on it.
fn payload_of((publisher, number): Name, weight: usize) -> Vec<u8> {
    let length = 4 + (publisher * 31 + number * 67) % 300 + weight * WEIGHT_BYTES;
    let mut payload = vec![publisher as u8, number as u8, (number >> 8) as u8];
    payload.resize(length, (number * 7) as u8);
    payload
}

/// The name of the message with this payload.
pub fn name_of(payload: &[u8]) -> Option<Name> {
    let [publisher, low, high, ..] = payload else { return None };
    let name = (usize::from(*publisher), usize::from(*low) | usize::from(*high) << 8);
    (payload_of(name, payload.len() / WEIGHT_BYTES) == payload).then_some(name)
}

impl Ledger {
    /// Adds a reader with these filters, which do not overlap.
    pub fn add_reader(&mut self, filters: Vec<&'static str>, qos: QoS) -> usize {
        let reader =
            Reader { filters, qos, is_subscribed: false, seen: BTreeMap::new(), latest: BTreeMap::new() };
        self.readers.push(reader);
        self.readers.len() - 1
    }

    /// A message leaves its publisher for the first time.
    pub fn send(&mut self, (publisher, number): Name) {
        let message = &mut self.messages[publisher][number];
        message.fate = Fate::Sent;
        let wants = |reader: &Reader| {
            reader.is_subscribed && reader.filters.iter().any(|filter| filter_matches(filter, message.topic))
        };
        message.owed = (0..self.readers.len()).filter(|reader| wants(&self.readers[*reader])).collect();
    }

    /// A publisher was told what became of its message.
    ///
    /// # Errors
    /// It was told before.
    pub fn acknowledge(&mut self, (publisher, number): Name, is_refused: bool) -> Checked {
        let message = &mut self.messages[publisher][number];
        if message.fate != Fate::Sent {
            return finding(format!(
                "message {publisher}/{number} is acknowledged, and was {:?}",
                message.fate
            ));
        }
        message.fate = if is_refused { Fate::Refused } else { Fate::Acknowledged };
        Ok(())
    }

    /// A message reached the application of a reader.
    ///
    /// # Errors
    /// It is not what was published or asked for, comes twice at QoS 2, or out of order.
    pub fn receive(
        &mut self,
        reader: usize,
        payload: &[u8],
        topic: &str,
        qos: QoS,
        retain: bool,
    ) -> Result<Name, Finding> {
        let found = |text: String| Finding(format!("reader {reader}: {text}"));
        let Some(name) = name_of(payload) else { return Err(found("a payload nobody published".to_owned())) };
        let message = self.messages.get(name.0).and_then(|messages| messages.get(name.1));
        let Some(message) = message.filter(|message| message.topic == topic && message.fate != Fate::Unsent)
        else {
            return Err(found(format!("{name:?} on {topic} was not published")));
        };
        let keeps_order = self.keeps_order(qos);
        let state = &mut self.readers[reader];
        if !state.filters.iter().any(|filter| filter_matches(filter, topic)) {
            return Err(found(format!("{topic} matches no filter")));
        }
        if qos != message.qos.min(state.qos) {
            return Err(found(format!("{name:?} of {:?} came at {qos:?}", message.qos)));
        }
        let count = state.seen.entry(name).or_default();
        *count += 1;
        if *count > 1 {
            self.repeats += 1;
            if qos == QoS::ExactlyOnce {
                return Err(found(format!("{name:?} came {count} times at QoS 2")));
            }
        } else if message.owed.contains(&reader) && !retain && keeps_order {
            // What was sent before the subscription, or dropped, and is sent again comes behind later ones.
            let latest = state.latest.entry((name.0, message.topic, message.qos)).or_default();
            if name.1 < *latest {
                return Err(found(format!(
                    "{name:?} came after {:?}, of the same topic and QoS",
                    (name.0, *latest)
                )));
            }
            *latest = name.1;
        }
        Ok(name)
    }

    /// Whether messages of this QoS come in the order they were sent in.
    fn keeps_order(&self, qos: QoS) -> bool {
        let may_drop = self.may_drop && qos == QoS::AtLeastOnce;
        !may_drop && !self.may_refuse
    }

    /// How many messages were refused.
    pub fn refusals(&self) -> u64 {
        self.messages.iter().flatten().filter(|message| message.fate == Fate::Refused).count() as u64
    }

    /// Everything came to rest: every message has a fate, and what was acknowledged was received.
    ///
    /// # Errors
    /// Something is missing.
    pub fn check_end(&self) -> Checked {
        for (publisher, messages) in self.messages.iter().enumerate() {
            for (number, message) in messages.iter().enumerate() {
                match message.fate {
                    Fate::Unsent | Fate::Sent => {
                        return finding(format!("message {publisher}/{number} was never answered"));
                    }
                    Fate::Acknowledged if !self.may_drop => {
                        self.check_received((publisher, number), message)?
                    }
                    Fate::Acknowledged | Fate::Refused => {}
                }
            }
        }
        Ok(())
    }

    fn check_received(&self, name: Name, message: &Message) -> Checked {
        match message.owed.iter().find(|reader| !self.readers[**reader].seen.contains_key(&name)) {
            Some(reader) => finding(format!(
                "{name:?} at {:?} on {} was acknowledged, and reader {reader} lacks it",
                message.qos, message.topic
            )),
            None => Ok(()),
        }
    }

    /// A reader that came last of all was sent the retained messages: each topic's is the last one acknowledged, or one that
    /// was sent behind it.
    ///
    /// # Errors
    /// It is missing, or an older one.
    pub fn check_retained(&self, reader: usize) -> Checked {
        for (publisher, messages) in self.messages.iter().enumerate() {
            let kept = |message: &Message| message.retain && message.fate == Fate::Acknowledged;
            let Some(last) = messages.iter().rposition(kept) else { continue };
            let is_later = |name: &Name| name.0 == publisher && name.1 >= last;
            if !self.readers[reader].seen.keys().any(is_later) {
                return finding(format!("the retained message {publisher}/{last} is lost"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QoS::{AtLeastOnce, ExactlyOnce};

    fn ledger(qos: QoS) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.messages.push((0..3).map(|_| Message::new("t/0", qos, true)).collect());
        ledger.add_reader(vec!["t/#"], ExactlyOnce);
        ledger.readers[0].is_subscribed = true;
        (0..3).for_each(|number| ledger.send((0, number)));
        ledger
    }

    fn receive(ledger: &mut Ledger, number: usize, qos: QoS) -> Result<Name, Finding> {
        ledger.receive(0, &payload_of((0, number), 0), "t/0", qos, false)
    }

    #[test]
    fn a_loss_is_found() {
        let mut ledger = ledger(AtLeastOnce);
        assert!(ledger.check_end().is_err(), "never answered");
        (0..3).for_each(|number| ledger.acknowledge((0, number), number == 2).unwrap());
        assert!(ledger.acknowledge((0, 0), false).is_err(), "answered twice");
        receive(&mut ledger, 0, AtLeastOnce).unwrap();
        assert!(ledger.check_end().is_err(), "one is missing");
        assert!(ledger.check_retained(0).is_err(), "the retained one is an older one");
        receive(&mut ledger, 1, AtLeastOnce).unwrap();
        assert_eq!((ledger.check_end(), ledger.check_retained(0)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_repetition_is_found_at_qos_2_alone() {
        for (qos, is_found) in [(AtLeastOnce, false), (ExactlyOnce, true)] {
            let mut ledger = ledger(qos);
            receive(&mut ledger, 0, qos).unwrap();
            assert_eq!(receive(&mut ledger, 0, qos).is_err(), is_found);
        }
    }

    #[test]
    fn a_wrong_order_and_wrong_messages_are_found() {
        let mut ledger = ledger(AtLeastOnce);
        receive(&mut ledger, 1, AtLeastOnce).unwrap();
        assert!(receive(&mut ledger, 2, ExactlyOnce).is_err(), "another QoS");
        assert!(receive(&mut ledger, 0, AtLeastOnce).is_err(), "behind a later one");
        assert!(ledger.receive(0, b"abcdefg", "t/0", AtLeastOnce, false).is_err(), "made up");
        assert!(ledger.receive(0, &payload_of((0, 2), 0), "u", AtLeastOnce, false).is_err(), "another topic");
    }
}
