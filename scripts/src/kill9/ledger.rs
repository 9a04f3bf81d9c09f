//! What was published and acknowledged, what arrived, and what of it breaks the promise. Pure: it looks at what
//! the clients wrote down and speaks to nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display};

use super::message::{Filter, MessageId, Topic};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An acknowledged message never arrived.
    Lost,
    /// A QoS 2 message was handed on twice.
    Doubled,
    /// First occurrences do not ascend.
    Disordered,
    /// A message came again without the DUP flag, or what was never sent came with it.
    Flag,
    /// A message came again with another packet id, or two with one.
    PacketId,
    /// A message that nobody published, that this subscriber does not want, or at a wrong QoS.
    Strange,
    /// A message came again although its acknowledgement arrived before a clean stop.
    Again,
    /// The session of a persistent client was not there.
    Session,
    /// What was in flight did not come first, or not in its order.
    ResendOrder,
    /// Acknowledgements in another order than their messages.
    AckOrder,
    /// The retained message is older than the last acknowledged one, or none.
    Retained,
    /// The broker refused or closed while it lived, or sent what the protocol does not allow.
    Broker,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind it is.
    pub fault: Fault,
    /// Whom and what it concerns.
    pub text: String,
}

impl Finding {
    /// A finding, in words.
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.text)
    }
}

/// A published message; its number is its place in the publisher's list.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its topic.
    pub topic: Topic,
    /// 1 or 2.
    pub qos: u8,
    /// The packet id it always had.
    pub packet_id: u16,
    /// How often it was written to a socket.
    pub sends: u32,
    /// The life of the broker in which it was first sent.
    pub sent_life: u32,
    /// The life in which PUBACK or PUBREC came.
    pub acked_life: Option<u32>,
}

/// A PUBLISH that a subscriber read.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    /// The message in it.
    pub id: MessageId,
    /// The topic it came on.
    pub topic: Topic,
    /// 1 or 2.
    pub qos: u8,
    /// Its packet id.
    pub packet_id: u16,
    /// Its DUP flag.
    pub is_dup: bool,
    /// False where a receiver of QoS 2 still held the packet id and only answered.
    pub is_handed_on: bool,
    /// The life of the broker in which it came.
    pub life: u32,
}

/// A message that a subscriber read and did not answer: it is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub id: MessageId,
    /// Its packet id.
    pub packet_id: u16,
    /// The QoS it came at.
    pub qos: u8,
    /// The life of the broker in which it came.
    pub life: u32,
}

/// Messages in flight that did not come again when it was their turn.
#[derive(Clone, Debug)]
pub struct Skip {
    /// Them.
    pub missing: Vec<Waiting>,
    /// When and whom it concerns.
    pub text: String,
}

/// A subscriber, for the checks.
pub struct Audience<'a> {
    /// Its client id.
    pub name: &'a str,
    /// What it wants.
    pub filter: Filter,
    /// At which QoS at most.
    pub qos: u8,
    /// For each publisher the number of the first message that was sent after SUBACK.
    pub since: &'a [u32],
    /// All it read, in order.
    pub receipts: &'a [Receipt],
    /// What it missed when it came back.
    pub skips: &'a [Skip],
}

/// All messages of all publishers.
pub type Published<'a> = [&'a [Sent]];

impl Audience<'_> {
    /// The messages it must have by the end: wanted, acknowledged, and sent after it subscribed.
    pub fn due(&self, published: &Published<'_>) -> BTreeSet<MessageId> {
        let mut due = BTreeSet::new();
        for (publisher, list) in published.iter().enumerate() {
            let since = self.since.get(publisher).copied().unwrap_or(0);
            let numbered = (0..).zip(list.iter()).skip(since as usize);
            let wanted =
                numbered.filter(|(_, sent)| sent.acked_life.is_some() && self.filter.wants(sent.topic));
            due.extend(wanted.map(|(number, _)| MessageId { publisher, number }));
        }
        due
    }

    /// Everything that is wrong with what it read.
    pub fn check(&self, published: &Published<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut copies: BTreeMap<MessageId, Vec<&Receipt>> = BTreeMap::new();
        for receipt in self.receipts {
            match find(published, receipt.id) {
                Some(sent) => {
                    self.check_alone(sent, receipt, &mut found);
                    copies.entry(receipt.id).or_default().push(receipt);
                }
                None => found.push(Finding::new(
                    Fault::Strange,
                    format!("{} got {}, which nobody published", self.name, receipt.id),
                )),
            }
        }
        for id in self.due(published).iter().filter(|id| !copies.contains_key(id)) {
            if let Some(sent) = find(published, *id) {
                let text = format!("{} never got {}", self.name, tell(*id, sent));
                found.push(Finding::new(Fault::Lost, text));
            }
        }
        for (id, receipts) in &copies {
            if let Some(sent) = find(published, *id) {
                self.check_copies(*id, sent, receipts, &mut found);
            }
        }
        self.check_order(published, &mut found);
        found.extend(self.skips.iter().filter_map(|skip| check_skip(published, skip)));
        found
    }

    fn check_alone(&self, sent: &Sent, receipt: &Receipt, found: &mut Vec<Finding>) {
        let qos = sent.qos.min(self.qos);
        if receipt.topic != sent.topic || receipt.qos != qos || !self.filter.wants(receipt.topic) {
            let text = format!(
                "{} got {} on {} at QoS {}, wanted QoS {qos}",
                self.name,
                tell(receipt.id, sent),
                receipt.topic,
                receipt.qos
            );
            found.push(Finding::new(Fault::Strange, text));
        }
    }

    /// A publisher that resends may make as many messages of one as it sent, unless both it and the subscriber have
    /// QoS 2: then it makes one. Each message made is sent once without DUP and has one packet id on its way.
    fn check_copies(&self, id: MessageId, sent: &Sent, receipts: &[&Receipt], found: &mut Vec<Finding>) {
        let is_exact = sent.qos == 2 && self.qos == 2;
        let made = if is_exact { 1 } else { sent.sends as usize };
        let mut report = |fault, what: String| {
            let text = format!("{} got {} {what}", self.name, tell(id, sent));
            found.push(Finding::new(fault, text));
        };
        let handed_on: Vec<_> = receipts.iter().filter(|receipt| receipt.is_handed_on).collect();
        if is_exact && handed_on.len() > 1 {
            let copies: Vec<String> = handed_on.iter().map(|receipt| tell_copy(receipt)).collect();
            report(Fault::Doubled, format!("{} times: {}", handed_on.len(), copies.join("; ")));
        }
        let unmarked: Vec<_> = receipts.iter().filter(|receipt| !receipt.is_dup).collect();
        if unmarked.len() > made {
            let copies: Vec<String> = unmarked.iter().map(|receipt| tell_copy(receipt)).collect();
            report(Fault::Flag, format!("{} times without DUP: {}", unmarked.len(), copies.join("; ")));
        }
        let ids: BTreeSet<u16> = receipts.iter().map(|receipt| receipt.packet_id).collect();
        if ids.len() > made {
            let copies: Vec<String> = receipts.iter().map(|receipt| tell_copy(receipt)).collect();
            report(Fault::PacketId, format!("with {} packet ids: {}", ids.len(), copies.join("; ")));
        }
    }

    fn check_order(&self, published: &Published<'_>, found: &mut Vec<Finding>) {
        let mut seen: BTreeSet<MessageId> = BTreeSet::new();
        let mut last: HashMap<(Topic, u8), Receipt> = HashMap::new();
        for receipt in self.receipts.iter().filter(|receipt| receipt.is_handed_on) {
            let Some(sent) = find(published, receipt.id) else { continue };
            if !seen.insert(receipt.id) {
                continue;
            }
            let before = last.entry((sent.topic, sent.qos)).or_insert(*receipt);
            if before.id.number > receipt.id.number {
                let text = format!(
                    "{} got {} ({}) after message {} ({})",
                    self.name,
                    tell(receipt.id, sent),
                    tell_copy(receipt),
                    before.id.number,
                    tell_copy(before)
                );
                found.push(Finding::new(Fault::Disordered, text));
            } else {
                *before = *receipt;
            }
        }
    }
}

fn find<'a>(published: &Published<'a>, id: MessageId) -> Option<&'a Sent> {
    published.get(id.publisher)?.get(id.number as usize)
}

/// A publication that was not acknowledged may be forgotten, and with it that it was on its way at QoS 1: its
/// publisher sends it again. Everything else that is in flight must come first.
fn check_skip(published: &Published<'_>, skip: &Skip) -> Option<Finding> {
    let is_promised = |waiting: &&Waiting| {
        let acked_life = find(published, waiting.id).and_then(|sent| sent.acked_life);
        waiting.qos == 2 || acked_life.is_some_and(|life| life <= waiting.life)
    };
    let promised = skip.missing.iter().filter(is_promised);
    let missing: Vec<String> = promised
        .map(|waiting| format!("{} (packet id {}, life {})", waiting.id, waiting.packet_id, waiting.life))
        .collect();
    let text = format!("{}: {}", skip.text, missing.join(", "));
    (!missing.is_empty()).then(|| Finding::new(Fault::ResendOrder, text))
}

fn tell(id: MessageId, sent: &Sent) -> String {
    let acked = match sent.acked_life {
        Some(life) => format!("acknowledged in life {life}"),
        None => "never acknowledged".to_owned(),
    };
    format!(
        "{id} ({}, QoS {}, packet id {}, sent {} times from life {}, {acked})",
        sent.topic, sent.qos, sent.packet_id, sent.sends, sent.sent_life
    )
}

fn tell_copy(receipt: &Receipt) -> String {
    let dup = if receipt.is_dup { ", DUP" } else { "" };
    format!("life {}, packet id {}{dup}", receipt.life, receipt.packet_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Topic = Topic::Data(0, 0);

    fn sent(qos: u8, sends: u32, acked_life: Option<u32>) -> Sent {
        Sent { topic: TOPIC, qos, packet_id: 9, sends, sent_life: 0, acked_life }
    }

    fn receipt(number: u32, qos: u8, packet_id: u16) -> Receipt {
        let id = MessageId { publisher: 0, number };
        Receipt { id, topic: TOPIC, qos, packet_id, is_dup: false, is_handed_on: true, life: 1 }
    }

    fn dup(receipt: Receipt) -> Receipt {
        Receipt { is_dup: true, ..receipt }
    }

    /// The faults that a subscriber at `qos` to everything finds.
    fn faults(qos: u8, published: &[Sent], receipts: &[Receipt]) -> Vec<Fault> {
        let audience = Audience { name: "s", filter: Filter::All, qos, since: &[0], receipts, skips: &[] };
        audience.check(&[published]).iter().map(|finding| finding.fault).collect()
    }

    #[test]
    fn what_arrived_once_and_in_order_is_right() {
        let published = [sent(1, 1, Some(0)), sent(2, 3, Some(0)), sent(2, 1, None)];
        assert_eq!(faults(2, &published, &[receipt(0, 1, 1), receipt(1, 2, 2)]), []);
        assert_eq!(faults(1, &published, &[receipt(0, 1, 1), receipt(1, 1, 2), receipt(2, 1, 3)]), []);
    }

    #[test]
    fn an_acknowledged_message_that_is_missing_is_lost() {
        let published = [sent(1, 1, Some(3)), sent(2, 1, None), sent(2, 1, Some(0))];
        assert_eq!(faults(2, &published, &[receipt(2, 2, 1)]), [Fault::Lost]);
        let text =
            Audience { name: "s", filter: Filter::All, qos: 2, since: &[1], receipts: &[], skips: &[] }
                .check(&[&published])
                .iter()
                .map(Finding::to_string)
                .collect::<Vec<_>>();
        let wanted = "Lost: s never got message 2 of publisher 0 (kill9/data/0/0, QoS 2, packet id 9, sent 1 \
                      times from life 0, acknowledged in life 0)";
        assert_eq!(text, [wanted], "message 0 was sent before the subscription");
    }

    #[test]
    fn a_second_delivery_of_qos_2_is_a_double_whatever_its_flags() {
        let published = [sent(2, 4, Some(0))];
        let first = receipt(0, 2, 1);
        assert_eq!(faults(2, &published, &[first, dup(first)]), [Fault::Doubled]);
        let other = dup(receipt(0, 2, 7));
        assert_eq!(faults(2, &published, &[first, other]), [Fault::Doubled, Fault::PacketId]);
        let held = Receipt { is_handed_on: false, ..dup(first) };
        assert_eq!(faults(2, &published, &[first, held]), [], "an answer to a resend is no delivery");
    }

    #[test]
    fn a_resend_at_qos_1_has_dup_and_the_same_packet_id() {
        let published = [sent(1, 1, Some(0))];
        let first = receipt(0, 1, 1);
        assert_eq!(faults(1, &published, &[first, dup(first)]), []);
        assert_eq!(faults(1, &published, &[first, first]), [Fault::Flag]);
        assert_eq!(faults(1, &published, &[first, dup(receipt(0, 1, 2))]), [Fault::PacketId]);
        let exact = [sent(2, 1, Some(0))];
        assert_eq!(faults(1, &exact, &[first, receipt(0, 1, 2)]), [Fault::Flag, Fault::PacketId]);
        let held = Receipt { is_handed_on: false, ..receipt(0, 2, 1) };
        let again = [sent(2, 5, Some(0))];
        assert_eq!(faults(2, &again, &[receipt(0, 2, 1), held]), [Fault::Flag], "QoS 2 makes one message");
    }

    #[test]
    fn a_publisher_that_sent_twice_at_qos_1_may_have_made_two_messages() {
        let published = [sent(1, 2, Some(0))];
        assert_eq!(faults(1, &published, &[receipt(0, 1, 1), receipt(0, 1, 2)]), []);
        let three = [receipt(0, 1, 1), receipt(0, 1, 2), receipt(0, 1, 3)];
        assert_eq!(faults(1, &published, &three), [Fault::Flag, Fault::PacketId]);
    }

    #[test]
    fn first_occurrences_ascend_per_topic_and_qos() {
        let published = [sent(1, 2, Some(0)), sent(1, 1, Some(0)), sent(2, 1, Some(0))];
        let [zero, one, two] = [receipt(0, 1, 1), receipt(1, 1, 2), receipt(2, 2, 3)];
        assert_eq!(faults(2, &published, &[one, zero, two]), [Fault::Disordered]);
        assert_eq!(faults(2, &published, &[two, zero, one]), [], "another QoS has an order of its own");
        let again = receipt(0, 1, 4);
        assert_eq!(faults(2, &published, &[zero, one, again, two]), [], "only first occurrences count");
    }

    #[test]
    fn what_nobody_published_or_asked_for_is_strange() {
        let published = [sent(1, 1, None)];
        assert_eq!(faults(1, &published, &[receipt(5, 1, 1)]), [Fault::Strange]);
        assert_eq!(faults(1, &published, &[receipt(0, 2, 1)]), [Fault::Strange]);
        let elsewhere = Receipt { topic: Topic::Data(0, 1), ..receipt(0, 1, 1) };
        assert_eq!(faults(1, &published, &[elsewhere]), [Fault::Strange]);
        let receipts = [receipt(0, 1, 1)];
        let narrow = Audience {
            name: "s",
            filter: Filter::OneOfEach(2),
            qos: 1,
            since: &[],
            receipts: &receipts,
            skips: &[],
        };
        assert_eq!(narrow.check(&[&published]).len(), 1);
    }

    #[test]
    fn what_is_in_flight_comes_first_unless_its_publication_was_forgotten() {
        let skipped = |qos, life, acked_life| {
            let waiting = Waiting { id: MessageId { publisher: 0, number: 0 }, packet_id: 1, qos, life };
            let skip = Skip { missing: vec![waiting], text: "s".to_owned() };
            check_skip(&[&[sent(2, 2, acked_life)]], &skip).map(|finding| finding.fault)
        };
        assert_eq!(skipped(1, 3, Some(3)), Some(Fault::ResendOrder));
        assert_eq!(skipped(1, 3, Some(4)), None, "acknowledged after the kill");
        assert_eq!(skipped(1, 3, None), None);
        assert_eq!(
            skipped(2, 3, None),
            Some(Fault::ResendOrder),
            "at QoS 2 it must not come under another id"
        );
    }
}
