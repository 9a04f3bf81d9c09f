//! One message to all clients of a run: their subscriptions to its topic, and its arrival at each of one worker's clients.

use crate::load::histogram::Histogram;
use crate::load::payload::{STAMP_BYTES, Stamp};
use crate::net::client::Clients;
use crate::net::wire::{self, PublishTemplate};
use anyhow::{Result, ensure};
use ringmq_core::codec::{ProtocolVersion, Publish, QoS, Suback};

/// The broadcast as one worker's clients see it.
#[derive(Debug)]
pub struct Broadcast {
    qos: QoS,
    template: PublishTemplate,
    subscribe: Vec<u8>,
    /// Clients that are asked to subscribe, and how many of them were not answered.
    asked: u32,
    unanswered: u32,
    unanswered_max: u32,
    /// How often it arrived at each client; counting ends at 255.
    arrivals: Vec<u8>,
    /// SUBACKs.
    pub gathered: u64,
    /// Clients at which it arrived.
    pub arrived: u64,
    /// Arrivals at a client where it had arrived.
    pub duplicated: u64,
    /// PUBACKs, of which one is expected at QoS 1 where it was published.
    pub acknowledged: u64,
    is_published: bool,
    /// From publishing to each arrival.
    pub latency: Histogram,
}

impl Broadcast {
    /// A broadcast on `topic` to `clients`, of which at most `unanswered_max` have their SUBSCRIBE on the way at once.
    ///
    /// # Errors
    /// When a packet cannot be encoded.
    pub fn new(topic: &str, version: ProtocolVersion, qos: QoS, unanswered_max: u32) -> Result<Broadcast> {
        Ok(Broadcast {
            qos,
            template: PublishTemplate::new(version, topic, qos, false, STAMP_BYTES)?,
            subscribe: wire::subscribe(version, &[topic.to_owned()], qos)?,
            asked: 0,
            unanswered: 0,
            unanswered_max: unanswered_max.max(1),
            arrivals: Vec::new(),
            gathered: 0,
            arrived: 0,
            duplicated: 0,
            acknowledged: 0,
            is_published: false,
            latency: Histogram::default(),
        })
    }

    /// Has further clients subscribe.
    pub fn gather(&mut self, clients: &mut Clients, count: u32) {
        self.arrivals.resize(count as usize, 0);
        while self.asked < count && self.unanswered < self.unanswered_max {
            if !clients.is_closed(self.asked) {
                clients.out(self.asked).extend_from_slice(&self.subscribe);
                self.unanswered += 1;
            }
            self.asked += 1;
        }
    }

    /// Takes the answer to a subscription.
    ///
    /// # Errors
    /// When the broker refused it.
    pub fn handle_suback(&mut self, suback: &Suback) -> Result<()> {
        wire::check_granted(suback)?;
        self.unanswered = self.unanswered.saturating_sub(1);
        self.gathered += 1;
        Ok(())
    }

    /// Publishes it, the first time it is asked for.
    pub fn publish(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_published, true) {
            let packet_id = (self.qos != QoS::AtMostOnce).then_some(1);
            self.template.write_as(packet_id, Stamp { publisher: 0, number: 0, sent_ns: now_ns }, out);
        }
    }

    /// Whether this is its topic.
    pub fn is_topic(&self, topic: &str) -> bool {
        topic.as_bytes() == self.template.topic()
    }

    /// Counts an arrival.
    ///
    /// # Errors
    /// When it is not what was published.
    pub fn handle_publish(&mut self, index: u32, publish: &Publish<'_>, now_ns: u64) -> Result<()> {
        let stamp = Stamp::read(publish.payload, &[])?;
        ensure!(
            (stamp.publisher, stamp.number) == (0, 0),
            "the broadcast says it is message {}",
            stamp.number
        );
        ensure!(publish.qos == self.qos, "broadcast at {:?}, published at {:?}", publish.qos, self.qos);
        let Some(arrivals) = self.arrivals.get_mut(index as usize) else {
            anyhow::bail!("the broadcast came to a client that did not subscribe")
        };
        *arrivals = arrivals.saturating_add(1);
        if *arrivals == 1 {
            self.arrived += 1;
            self.latency.record(now_ns.saturating_sub(stamp.sent_ns));
        } else {
            self.duplicated += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Client;
    use ringmq_core::codec::{Packet, PacketId, decode_frame, decode_packet};
    use ringmq_core::reason::ReasonCode;

    const VERSION: ProtocolVersion = ProtocolVersion::V5;

    fn suback(reason: ReasonCode) -> Suback {
        let packet_id = PacketId::new(1).unwrap();
        Suback { packet_id, reasons: vec![reason], reason_string: None, user_properties: Vec::new() }
    }

    #[test]
    fn arrivals_are_counted_for_each_client() {
        let mut broadcast = Broadcast::new("all", VERSION, QoS::AtLeastOnce, 1).unwrap();
        let mut clients = Clients::default();
        clients.push(Client::closed(0));
        broadcast.gather(&mut clients, 1);
        assert_eq!(broadcast.gathered, 0);
        broadcast.handle_suback(&suback(ReasonCode::GrantedQos1)).unwrap();
        assert!(broadcast.handle_suback(&suback(ReasonCode::NotAuthorized)).is_err());
        let mut out = Vec::new();
        broadcast.publish(7, &mut out);
        broadcast.publish(8, &mut out);
        let frame = decode_frame(&out, u32::MAX).unwrap().unwrap();
        assert_eq!(frame.bytes, out.len(), "published once");
        let Packet::Publish(publish) = decode_packet(frame, VERSION).unwrap() else { panic!("no PUBLISH") };
        assert!(broadcast.is_topic(publish.topic) && !broadcast.is_topic("al"));
        broadcast.handle_publish(0, &publish, 17).unwrap();
        broadcast.handle_publish(0, &publish, 18).unwrap();
        assert!(broadcast.handle_publish(9, &publish, 18).is_err());
        assert_eq!((broadcast.gathered, broadcast.arrived, broadcast.duplicated), (1, 1, 1));
        assert_eq!(broadcast.latency.quantile_ns(1.0), 10);
    }
}
