//! What a new connection of the same session is sent.

use super::*;

// [MQTT-4.4.0-1, MQTT-4.6.0-1, MQTT-3.3.1-1]
#[test]
fn unacknowledged_messages_are_sent_again_in_order_with_their_identifiers() {
    for version in ALL {
        let mut rig = Rig::connected(version);
        for (qos, payload) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (ExactlyOnce, "c"), (AtLeastOnce, "d")]
        {
            rig.deliver(qos, payload);
        }
        rig.ack(AckKind::Puback, 1);
        rig.ack(AckKind::Pubrec, 3);
        rig.deliver(AtMostOnce, "e");
        rig.reconnect(&connect(version));
        let again = ["PUBLISH q2 #2 DUP t=b", "PUBREL #3", "PUBLISH q1 #4 DUP t=d"];
        assert_eq!(rig.sent(), again, "and not the QoS 0 message");
        rig.deliver(AtLeastOnce, "f");
        assert_eq!(rig.sent(), ["PUBLISH q1 #5 t=f"]);
    }
}

#[test]
fn a_smaller_window_is_kept_while_sending_again() {
    let mut rig = Rig::connected(V5);
    for payload in ["a", "b", "c"] {
        rig.deliver(AtLeastOnce, payload);
    }
    rig.session.handle_closed(CloseCause::Lost);
    rig.deliver(AtLeastOnce, "d");
    rig.connect(&connect_with(|properties| properties.receive_maximum = Some(1)));
    rig.deliver(AtLeastOnce, "e");
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 DUP t=a"]);
    rig.ack(AckKind::Puback, 1);
    assert_eq!(rig.sent(), ["PUBLISH q1 #2 DUP t=b"]);
    rig.ack(AckKind::Puback, 2);
    assert_eq!(rig.sent(), ["PUBLISH q1 #3 DUP t=c"]);
    rig.ack(AckKind::Puback, 3);
    assert_eq!(rig.sent(), ["PUBLISH q1 #4 t=d"]);
    rig.ack(AckKind::Puback, 4);
    assert_eq!(rig.sent(), ["PUBLISH q1 #5 t=e"]);
}

#[test]
fn an_acknowledgement_that_overtakes_the_repetition_counts() {
    let mut rig = Rig::connected(V311);
    rig.deliver(AtLeastOnce, "a");
    rig.deliver(ExactlyOnce, "b");
    rig.session.handle_closed(CloseCause::Lost);
    rig.session.attach(rig.terms.clone(), None);
    rig.out = Outbox::new(1 << 20);
    rig.ack(AckKind::Puback, 1);
    rig.pump();
    assert_eq!(rig.sent(), ["PUBLISH q2 #2 DUP t=b"]);
}

// [MQTT-3.1.2-24, -25]
#[test]
fn what_a_new_connection_is_too_small_for_is_given_up() {
    let mut rig = Rig::connected(V5);
    rig.deliver(AtLeastOnce, "a");
    rig.deliver(ExactlyOnce, "a message that is rather long");
    rig.deliver(AtLeastOnce, "another message that is rather long");
    rig.deliver(AtLeastOnce, "b");
    rig.reconnect(&connect_with(|properties| properties.maximum_packet_size = Some(20)));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 DUP t=a", "PUBLISH q1 #4 DUP t=b"]);
    assert_eq!((rig.session.inflight(), rig.count(Metric::DeliveryDroppedTooLarge)), (2, 2));
    rig.ack(AckKind::Puback, 4);
    rig.ack(AckKind::Puback, 1);
    rig.deliver(AtLeastOnce, "c");
    assert_eq!(rig.sent(), ["PUBLISH q1 #5 t=c"]);
}

#[test]
fn a_message_counts_as_delivered_once_however_often_it_is_sent() {
    let mut rig = Rig::connected(V5);
    rig.deliver(AtLeastOnce, "a");
    rig.reconnect(&connect(V5));
    assert_eq!(rig.count(Metric::MessagesDelivered), 1);
    assert_eq!(rig.count(Metric::MessagesQos1Sent), 2);
}

#[test]
fn a_message_sent_again_carries_what_is_left_of_its_interval() {
    let mut rig = Rig::connected(V5);
    let soon = rig.now.after_s(5);
    rig.deliver_with("t", AtLeastOnce, "a", |view| view.expires_at = soon);
    rig.sent();
    rig.now = rig.now.after_s(2);
    rig.reconnect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 DUP t=a expiry 3"]);
    // Delivery has begun, so it is completed even now. [MQTT-4.4.0-1]
    rig.now = rig.now.after_s(9);
    rig.reconnect(&connect(V5));
    assert_eq!(rig.sent(), ["PUBLISH q1 #1 DUP t=a expiry 0"]);
}
