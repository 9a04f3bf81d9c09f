//! The messages of one worker to those of its clients that are active: one a second to each, verified on arrival.

use crate::load::histogram::Histogram;
use crate::load::payload::{STAMP_BYTES, Stamp};
use crate::load::sequence::{Findings, Sequence};
use crate::net::wire::PublishTemplate;
use anyhow::{Context, Result, ensure};
use ringmq_core::codec::{PacketId, ProtocolVersion, Publish, QoS};
use std::collections::HashSet;

/// Time between two messages to the same client.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Unacknowledged messages of a publisher, unless the broker allows fewer.
const INFLIGHT_MAX: u32 = 1_000;

/// Which of a worker's clients are active, counted so that the whole run has `percent` of all.
pub fn chosen(percent: u32, clients_before: u32, clients: u32) -> Vec<u32> {
    let upto = |count: u32| (u64::from(count) * u64::from(percent) / 100) as u32;
    let active = upto(clients_before + clients) - upto(clients_before);
    let position = |number: u32| u64::from(number) * u64::from(clients) / u64::from(active.max(1));
    (0..active).map(|number| position(number) as u32).collect()
}

/// One active client.
#[derive(Debug)]
struct Receiver {
    client: u32,
    /// Its number in the run, which its messages carry.
    connection: u32,
    template: PublishTemplate,
    sequence: Sequence,
    published: u64,
}

/// The active clients of one worker, in the order of their numbers.
#[derive(Debug)]
pub struct Active {
    qos: QoS,
    receivers: Vec<Receiver>,
    begun_ns: Option<u64>,
    /// Messages published, which is also the number of the next in the order they are due.
    published: u64,
    delivered: u64,
    packet_id: u16,
    unacknowledged: HashSet<u16>,
    inflight_max: u32,
    /// Acknowledgements of nothing, or that say no.
    pub acks_wrong: u64,
    /// From the time a message was due to its arrival.
    pub latency: Histogram,
}

impl Active {
    /// `clients` are pairs of a client's index and its number in the run; `topic` names the topic of a number.
    ///
    /// # Errors
    /// When a message cannot be encoded.
    pub fn new(
        clients: impl Iterator<Item = (u32, u32)>,
        topic: impl Fn(u32) -> String,
        version: ProtocolVersion,
        qos: QoS,
    ) -> Result<Active> {
        let receivers = clients.map(|(client, connection)| {
            let template = PublishTemplate::new(version, &topic(connection), qos, false, STAMP_BYTES)?;
            Ok(Receiver { client, connection, template, sequence: Sequence::default(), published: 0 })
        });
        Ok(Active {
            qos,
            receivers: receivers.collect::<Result<_>>()?,
            begun_ns: None,
            published: 0,
            delivered: 0,
            packet_id: 0,
            unacknowledged: HashSet::new(),
            inflight_max: INFLIGHT_MAX,
            acks_wrong: 0,
            latency: Histogram::default(),
        })
    }

    /// The broker takes no more unacknowledged messages than this.
    pub fn restrict(&mut self, receive_maximum: u16) {
        self.inflight_max = self.inflight_max.min(u32::from(receive_maximum));
    }

    /// Appends the messages that are due to `out`.
    pub fn write_due(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let begun_ns = *self.begun_ns.get_or_insert(now_ns);
        let receivers = self.receivers.len() as u64;
        while receivers > 0 && self.unacknowledged.len() < self.inflight_max as usize {
            let due_ns = begun_ns
                + (u128::from(self.published) * u128::from(INTERVAL_NS) / u128::from(receivers)) as u64;
            if due_ns > now_ns {
                return;
            }
            let receiver = &mut self.receivers[(self.published % receivers) as usize];
            let stamp = Stamp { publisher: receiver.connection, number: receiver.published, sent_ns: due_ns };
            let packet_id = (self.qos != QoS::AtMostOnce).then(|| next_packet_id(&mut self.packet_id));
            receiver.template.write_as(packet_id, stamp, out);
            self.unacknowledged.extend(packet_id);
            receiver.published += 1;
            self.published += 1;
        }
    }

    /// Verifies a message that client `index` received.
    ///
    /// # Errors
    /// When it is not a message of ours to this client.
    pub fn handle_publish(&mut self, index: u32, publish: &Publish<'_>, now_ns: u64) -> Result<()> {
        let position = self.receivers.binary_search_by_key(&index, |receiver| receiver.client).ok();
        let receiver = position.and_then(|position| self.receivers.get_mut(position));
        let receiver =
            receiver.with_context(|| format!("an idle client received a message on {}", publish.topic))?;
        let stamp = Stamp::read(publish.payload, &[])?;
        ensure!(
            publish.topic.as_bytes() == receiver.template.topic() && stamp.publisher == receiver.connection,
            "connection {} received a message to connection {} on {}",
            receiver.connection,
            stamp.publisher,
            publish.topic
        );
        ensure!(publish.qos == self.qos, "delivered at {:?}, published at {:?}", publish.qos, self.qos);
        ensure!(stamp.number < receiver.published, "message {} was never published", stamp.number);
        receiver.sequence.handle_delivery(stamp.number);
        self.delivered += 1;
        self.latency.record(now_ns.saturating_sub(stamp.sent_ns));
        Ok(())
    }

    /// Takes an acknowledgement of the publisher's messages.
    pub fn handle_puback(&mut self, id: PacketId, is_refused: bool) {
        let is_known = self.unacknowledged.remove(&id.as_u16());
        self.acks_wrong += u64::from(is_refused || !is_known);
    }

    /// Messages published so far.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages of which nothing more is expected.
    pub fn settled(&self) -> u64 {
        self.delivered.saturating_sub(self.unacknowledged.len() as u64)
    }

    /// What was lost, duplicated or out of order, and how many messages were never acknowledged.
    pub fn findings(&self) -> (Findings, u64) {
        let mut findings = Findings::default();
        for receiver in &self.receivers {
            findings.add(receiver.sequence.findings(receiver.published));
        }
        (findings, self.unacknowledged.len() as u64)
    }
}

/// Identifiers are used in turn; with at most [`INFLIGHT_MAX`] unacknowledged none is used twice at once.
fn next_packet_id(last: &mut u16) -> u16 {
    *last = if *last == u16::MAX { 1 } else { *last + 1 };
    *last
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::codec::{Packet, decode_frame, decode_packet};

    const VERSION: ProtocolVersion = ProtocolVersion::V311;

    fn active(qos: QoS) -> Active {
        let clients = [(3, 30), (7, 70)].into_iter();
        Active::new(clients, |connection| format!("t/{connection}"), VERSION, qos).unwrap()
    }

    /// Writes what is due and delivers it to the clients of `deliver_to`.
    fn exchange(active: &mut Active, now_ns: u64, deliver_to: &[u32]) -> Vec<(String, Option<u16>)> {
        let mut out = Vec::new();
        active.write_due(now_ns, &mut out);
        let (mut used, mut seen) = (0, Vec::new());
        while let Some(frame) = decode_frame(&out[used..], u32::MAX).unwrap() {
            used += frame.bytes;
            let Packet::Publish(publish) = decode_packet(frame, VERSION).unwrap() else {
                panic!("no PUBLISH")
            };
            seen.push((publish.topic.to_owned(), publish.packet_id.map(PacketId::as_u16)));
            let client = if publish.topic == "t/30" { 3 } else { 7 };
            if deliver_to.contains(&client) {
                active.handle_publish(client, &publish, now_ns).unwrap();
            }
            assert!(active.handle_publish(4, &publish, now_ns).is_err());
            assert!(active.handle_publish(10 - client, &publish, now_ns).is_err());
        }
        seen
    }

    #[test]
    fn the_parts_of_all_workers_make_the_percentage_of_the_whole() {
        let counts = [17_858, 17_857, 1, 0, 49, 964_235];
        let (mut before, mut active) = (0, 0);
        for count in counts {
            let chosen = chosen(1, before, count);
            assert!(
                chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.iter().all(|&index| index < count)
            );
            active += chosen.len();
            before += count;
        }
        assert_eq!((before, active), (1_000_000, 10_000));
        assert_eq!((chosen(100, 5, 3), chosen(0, 5, 3)), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn each_client_gets_one_message_a_second_in_turn() {
        let mut active = active(QoS::AtMostOnce);
        assert_eq!(exchange(&mut active, 5, &[3, 7]), [("t/30".to_owned(), None)]);
        assert_eq!(exchange(&mut active, 500_000_004, &[3, 7]), []);
        assert_eq!(exchange(&mut active, 500_000_005, &[3, 7]), [("t/70".to_owned(), None)]);
        assert_eq!(exchange(&mut active, 2_000_000_005, &[3, 7]).len(), 3);
        assert_eq!(
            (active.published(), active.settled(), active.findings()),
            (5, 5, (Findings::default(), 0))
        );
    }

    #[test]
    fn what_does_not_arrive_is_lost_and_what_is_not_acknowledged_is_not_settled() {
        let mut active = active(QoS::AtLeastOnce);
        active.restrict(3);
        let ids: Vec<Option<u16>> = exchange(&mut active, 9, &[3])
            .into_iter()
            .chain(exchange(&mut active, 9_000_000_000, &[3]))
            .map(|seen| seen.1)
            .collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)]);
        assert_eq!((active.settled(), active.findings().1), (0, 3));
        active.handle_puback(PacketId::new(2).unwrap(), false);
        active.handle_puback(PacketId::new(2).unwrap(), false);
        active.handle_puback(PacketId::new(1).unwrap(), true);
        assert_eq!((active.acks_wrong, active.settled()), (2, 1));
        assert_eq!(active.findings(), (Findings { lost: 1, ..Findings::default() }, 1));
    }
}
