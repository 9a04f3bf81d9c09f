//! Looks at the retained messages as a new subscriber would: each must be the last acknowledged one or a later
//! one. It makes no session and leaves none.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Attempt, Connection, Life};
use super::ledger::{Fault, Finding};
use super::message::{MessageId, Topic};
use super::publisher::Progress;
use super::wire::{Hello, Packet, Version};

/// How long the retained messages may take to come after SUBSCRIBE.
const LIMIT: Duration = Duration::from_secs(20);

/// What a look at the retained messages gave.
#[derive(Default)]
pub struct Look {
    /// Whether it came to an end before the broker's did.
    pub is_whole: bool,
    /// What is wrong.
    pub found: Vec<Finding>,
}

/// Subscribes to all retained messages and compares them with what was acknowledged before.
pub fn look(life: &Life, progress: &[Progress]) -> Look {
    let hello = Hello { client_id: "kill9-retained", is_clean: true, receive_max: 0 };
    let Attempt::Accepted { mut connection, .. } = Connection::open(life, Version::V311, &hello) else {
        return Look::default();
    };
    let floors: Vec<u32> = progress.iter().map(|one| one.retained.load(Ordering::SeqCst)).collect();
    Version::V311.write_subscribe(1, "kill9/retained/+", 0, connection.output());
    connection.flush();
    let Some(values) = read_values(&mut connection, &floors, life) else { return Look::default() };
    let sent: Vec<u32> = progress.iter().map(|one| one.sent.load(Ordering::SeqCst)).collect();
    let found = judge(&floors, &sent, &values);
    let found =
        found.into_iter().map(|text| Finding::new(Fault::Retained, format!("life {}: {text}", life.number)));
    Look { is_whole: true, found: found.collect() }
}

/// The retained message of each publisher, as far as they came; `None` where the broker ended before.
fn read_values(connection: &mut Connection, floors: &[u32], life: &Life) -> Option<BTreeMap<usize, u32>> {
    let mut values = BTreeMap::new();
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let is_due = |(publisher, floor): (usize, &u32)| *floor > 0 && !values.contains_key(&publisher);
        if !floors.iter().enumerate().any(is_due) {
            break;
        }
        let packet = connection.poll(Duration::from_millis(20)).ok()?;
        // What is published meanwhile comes without the flag.
        if let Some(Packet::Publish(publish)) = packet.filter(is_retained) {
            let id = MessageId::from_payload(&publish.payload);
            match (id, Topic::from_name(&publish.topic)) {
                (Some(id), Some(Topic::Retained(publisher))) if publisher == id.publisher => {
                    values.insert(publisher, id.number);
                }
                // Beyond every message that was sent, so that it is found below.
                (_, Some(Topic::Retained(publisher))) => drop(values.insert(publisher, u32::MAX)),
                _ => {}
            }
        }
    }
    (!life.is_ended()).then_some(values)
}

fn is_retained(packet: &Packet) -> bool {
    matches!(packet, Packet::Publish(publish) if publish.is_retained)
}

/// `floors`: one more than the last acknowledged number; `sent`: how many messages there are.
fn judge(floors: &[u32], sent: &[u32], values: &BTreeMap<usize, u32>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (publisher, (floor, sent)) in
        floors.iter().zip(sent).enumerate().filter(|(_, (floor, _))| **floor > 0)
    {
        let acknowledged = floor - 1;
        match values.get(&publisher) {
            None => wrong.push(format!("publisher {publisher} has none; {acknowledged} was acknowledged")),
            Some(&u32::MAX) => wrong.push(format!("that of publisher {publisher} is damaged")),
            Some(value) if value < &acknowledged => {
                wrong.push(format!("publisher {publisher} has {value}; {acknowledged} was acknowledged"));
            }
            Some(value) if value >= sent => {
                wrong.push(format!("publisher {publisher} has {value}, but sent only {sent} messages"));
            }
            Some(_) => {}
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retained_message_is_the_last_acknowledged_or_later() {
        let judge = |floor, value: Option<u32>| {
            judge(&[floor], &[100], &value.map(|value| (0, value)).into_iter().collect()).len()
        };
        assert_eq!(judge(50, Some(49)) + judge(50, Some(74)) + judge(0, None), 0);
        assert_eq!(judge(50, Some(24)), 1, "an older one");
        assert_eq!(judge(50, None), 1, "none");
        assert_eq!(judge(50, Some(100)), 1, "one that was never sent");
        assert_eq!(judge(50, Some(u32::MAX)), 1, "one that is damaged");
    }
}
