//! What a subscriber must notice by itself, packet by packet and without a broker.

use super::*;

const ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

fn life(number: u32) -> Life {
    Life::new(number, ADDRESS, Duration::from_secs(60))
}

fn publish(number: u32, qos: u8, packet_id: u16, is_dup: bool) -> Publish {
    let payload = MessageId { publisher: 0, number }.to_payload();
    Publish { topic: Topic::Data(0, 0).to_string(), qos, is_dup, is_retained: false, packet_id, payload }
}

/// A subscriber that has connected for the first time.
fn subscriber() -> Subscriber {
    let (name, version, filter) = ("s".to_owned(), Version::V5, Filter::All);
    let mut one = Subscriber::new(Profile { name, version, filter, qos: 2, acks_held: 9, receive_max: 0 });
    one.handle_accepted(false, &life(0));
    one
}

fn faults(subscriber: &Subscriber) -> Vec<Fault> {
    subscriber.found.iter().map(|finding| finding.fault).collect()
}

#[test]
fn a_session_that_is_gone_is_noticed() {
    let mut one = subscriber();
    one.handle_accepted(true, &life(1));
    assert_eq!(faults(&one), []);
    one.handle_accepted(false, &life(2));
    assert_eq!(faults(&one), [Fault::Session]);
}

#[test]
fn qos_2_is_handed_on_once_until_pubrel_ends_the_packet_id() {
    let (mut one, life) = (subscriber(), life(0));
    one.handle_publish(publish(0, 2, 5, false), &life);
    one.handle_publish(publish(0, 2, 5, true), &life);
    one.handle_packet(Packet::Ack { kind: AckKind::PubRel, packet_id: 5, reason: 0 }, &life);
    one.handle_publish(publish(1, 2, 5, false), &life);
    let handed_on: Vec<bool> = one.receipts.iter().map(|receipt| receipt.is_handed_on).collect();
    assert_eq!(handed_on, [true, false, true]);
    assert_eq!(faults(&one), []);
    let mut out = Vec::new();
    one.take_answers(Version::V5, &mut out);
    assert_eq!(out, [0x50, 2, 0, 5, 0x50, 2, 0, 5, 0x70, 2, 0, 5, 0x50, 2, 0, 5]);
}

#[test]
fn a_packet_id_that_is_held_brings_nothing_else_and_nothing_without_dup() {
    let (mut one, life) = (subscriber(), life(0));
    one.handle_publish(publish(0, 2, 5, false), &life);
    one.handle_publish(publish(0, 2, 5, false), &life);
    assert_eq!(faults(&one), [Fault::Flag]);
    one.handle_publish(publish(1, 2, 5, true), &life);
    assert_eq!(faults(&one), [Fault::Flag, Fault::PacketId]);
}

/// A subscriber that read messages 0, 1 and 2 with packet ids 1, 2 and 3, answered none and has reconnected.
fn reconnected() -> Subscriber {
    let mut one = subscriber();
    for number in 0..3 {
        one.handle_publish(publish(number, 1, number as u16 + 1, false), &life(0));
    }
    one.handle_accepted(true, &life(1));
    one
}

/// The packet ids of what was in flight and did not come when it was its turn.
fn skipped(subscriber: &Subscriber) -> Vec<u16> {
    subscriber.skips.iter().flat_map(|skip| &skip.missing).map(|waiting| waiting.packet_id).collect()
}

#[test]
fn what_was_in_flight_comes_first_and_in_its_order() {
    let (mut one, life) = (reconnected(), life(1));
    for number in 0..3 {
        one.handle_publish(publish(number, 1, number as u16 + 1, true), &life);
    }
    one.handle_publish(publish(3, 1, 4, false), &life);
    one.check_drained(&life);
    assert_eq!(skipped(&one), []);

    let mut one = reconnected();
    one.handle_publish(publish(2, 1, 3, true), &life);
    assert_eq!(skipped(&one), [1, 2], "the third before the others");

    let mut one = reconnected();
    one.handle_publish(publish(0, 1, 1, true), &life);
    one.handle_publish(publish(3, 1, 4, false), &life);
    assert_eq!(skipped(&one), [2, 3], "a new message before what was in flight");

    let mut one = reconnected();
    one.check_drained(&life);
    assert_eq!(skipped(&one), [1, 2, 3], "nothing was sent again");
}

#[test]
fn what_was_answered_need_not_come_again() {
    let mut one = subscriber();
    one.handle_publish(publish(0, 1, 1, false), &life(0));
    one.take_answers(Version::V5, &mut Vec::new());
    one.handle_publish(publish(1, 1, 2, false), &life(0));
    one.handle_accepted(true, &life(1));
    assert_eq!(one.resends.len(), 1);
    one.handle_publish(publish(1, 1, 2, true), &life(1));
    one.check_drained(&life(1));
    assert_eq!((faults(&one), skipped(&one)), (vec![], vec![]));
}

#[test]
fn what_the_last_connection_lost_stands_before_what_was_sent_behind_it() {
    let (mut one, life) = (reconnected(), life(1));
    one.handle_publish(publish(0, 1, 1, true), &life);
    one.handle_publish(publish(7, 1, 9, true), &life);
    let ids: Vec<u16> = one.unanswered.iter().map(|waiting| waiting.packet_id).collect();
    assert_eq!((faults(&one), ids), (vec![], vec![1, 9, 2, 3]));
}

#[test]
fn nothing_comes_again_after_a_clean_stop_and_nothing_damaged_at_all() {
    let mut one = subscriber();
    one.handle_publish(publish(0, 1, 1, false), &life(4));
    one.settled_life = Some(4);
    one.handle_publish(publish(1, 1, 2, false), &life(5));
    assert_eq!(faults(&one), []);
    one.handle_publish(publish(0, 1, 1, true), &life(5));
    assert_eq!(faults(&one), [Fault::Again]);
    let mut damaged = publish(2, 1, 3, false);
    damaged.payload.push(0);
    one.handle_publish(damaged, &life(5));
    let retained = Publish { is_retained: true, ..publish(3, 1, 4, false) };
    one.handle_publish(retained, &life(5));
    assert_eq!(faults(&one), [Fault::Again, Fault::Strange, Fault::Strange]);
}

#[test]
fn a_packet_id_that_is_never_released_is_noticed() {
    let mut one = subscriber();
    one.handle_publish(publish(0, 2, 1, false), &life(0));
    one.check_drained(&life(0));
    assert_eq!(faults(&one), [Fault::ResendOrder]);
}
