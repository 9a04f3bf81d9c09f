//! What a publisher sends again after a reconnect, and what it must notice, without a broker.

use super::*;

const ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn life() -> Life {
    Life::new(3, ADDRESS, Duration::from_secs(60))
}

/// A publisher that sent messages with these QoS as packet ids 1, 2, and so on, and what looks on.
fn publisher(levels: &[u8]) -> (Publisher, Progress) {
    let (mut one, progress) = (Publisher::new(0, Version::V311, Dice::new(1)), Progress::default());
    for qos in levels {
        one.write_next(&mut Vec::new(), 0, &progress);
        one.sent.last_mut().unwrap().qos = *qos;
    }
    assert_eq!(progress.sent.load(Ordering::SeqCst), levels.len() as u32);
    (one, progress)
}

impl Publisher {
    fn handle(&mut self, progress: &Progress, kind: AckKind, packet_id: u16, reason: u8) -> Vec<u8> {
        let mut out = Vec::new();
        self.handle_packet(Packet::Ack { kind, packet_id, reason }, &mut out, &life(), progress);
        out
    }

    fn faults(&self) -> Vec<Fault> {
        self.found.iter().map(|finding| finding.fault).collect()
    }
}

#[test]
fn a_reconnect_sends_again_what_was_not_acknowledged_with_dup_and_its_packet_id() {
    let (mut one, progress) = publisher(&[1, 2, 2, 1]);
    assert_eq!(one.handle(&progress, AckKind::PubAck, 1, 0), []);
    assert_eq!(one.handle(&progress, AckKind::PubRec, 2, 0), [0x62, 2, 0, 2]);
    let mut out = Vec::new();
    one.write_resends(&mut out);
    let mut again = Vec::new();
    let mut rest = out.as_slice();
    while let Some((packet, length)) = Version::V311.read(rest).unwrap() {
        again.push(packet);
        rest = &rest[length..];
    }
    let release = Packet::Ack { kind: AckKind::PubRel, packet_id: 2, reason: 0 };
    let [first, Packet::Publish(second), Packet::Publish(third)] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!(*first, release);
    assert_eq!((second.packet_id, second.qos, second.is_dup), (3, 2, true));
    assert_eq!((third.packet_id, third.qos, third.is_dup), (4, 1, true));
    assert_eq!(one.sent.iter().map(|sent| sent.sends).collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert_eq!(one.faults(), []);
}

#[test]
fn puback_and_pubrec_are_what_acknowledges() {
    let (mut one, progress) = publisher(&[1, 2]);
    one.handle(&progress, AckKind::PubAck, 1, 0);
    one.handle(&progress, AckKind::PubRec, 2, 0);
    assert_eq!(one.sent.iter().map(|sent| sent.acked_life).collect::<Vec<_>>(), [Some(3), Some(3)]);
    assert_eq!(one.window.len(), 1);
    one.handle(&progress, AckKind::PubComp, 2, 0);
    assert!(one.window.is_empty() && one.faults().is_empty());
}

#[test]
fn a_refused_message_is_not_acknowledged_and_noticed() {
    let (mut one, progress) = publisher(&[1, 2]);
    one.handle(&progress, AckKind::PubAck, 1, 0x97);
    assert_eq!(one.handle(&progress, AckKind::PubRec, 2, 0x97), [], "no PUBREL");
    assert_eq!(one.faults(), [Fault::Broker, Fault::Broker]);
    assert_eq!(one.acknowledged(), 0);
}

#[test]
fn acknowledgements_come_in_the_order_of_their_messages_each_qos_for_itself() {
    let (mut one, progress) = publisher(&[1, 2, 1, 2]);
    one.handle(&progress, AckKind::PubRec, 2, 0);
    one.handle(&progress, AckKind::PubAck, 1, 0);
    assert_eq!(one.faults(), []);
    let (mut one, progress) = publisher(&[1, 2, 1, 2]);
    one.handle(&progress, AckKind::PubAck, 3, 0);
    one.handle(&progress, AckKind::PubRec, 4, 0);
    assert_eq!(one.faults(), [Fault::AckOrder, Fault::AckOrder]);
}

#[test]
fn what_answers_nothing_is_noticed() {
    let (mut one, progress) = publisher(&[1, 2]);
    one.handle(&progress, AckKind::PubAck, 7, 0);
    one.handle(&progress, AckKind::PubAck, 2, 0);
    one.handle(&progress, AckKind::PubComp, 2, 0);
    assert_eq!(one.faults(), [Fault::Broker; 3]);
    one.handle_accepted(false, &life());
    one.handle_accepted(false, &life());
    assert_eq!(one.faults()[3..], [Fault::Session]);
}

#[test]
fn packet_ids_in_flight_are_not_given_again() {
    let (mut one, _progress) = publisher(&[1, 2]);
    one.packet_id = u16::MAX;
    assert_eq!(one.next_packet_id(), 3);
}
