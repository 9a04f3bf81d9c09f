//! Messages whose bodies a memory has put away: what is sent waits for them, in order.

use super::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// Remembers everything in this process, and has at hand what it is told to.
#[derive(Debug, Default)]
struct Archive {
    bodies: BTreeMap<BodyKey, (crate::publication::Publication, usize)>,
    away: BTreeSet<BodyKey>,
    lost: BTreeSet<BodyKey>,
    asked: Vec<BodyKey>,
    waiting: Vec<SessionNumber>,
    records: u64,
    looked: Cell<u64>,
}

impl Archive {
    fn put_away(&mut self) {
        self.away.extend(self.bodies.keys());
    }

    /// What was asked for comes.
    fn bring(&mut self, most: usize) -> usize {
        let count = self.asked.len().min(most);
        for key in self.asked.drain(..count) {
            self.away.remove(&key);
        }
        count
    }

    fn next(&mut self, body: BodyKey) -> Stored {
        self.records += 1;
        Stored { record: NonZeroU64::new(self.records).expect("above zero"), body }
    }
}

impl Memory for Archive {
    fn keep(&mut self, _: SessionNumber, message: &Outgoing, _: Option<PacketId>) -> Option<Stored> {
        let key = BodyKey(self.records as u32);
        let publication = message.publication().expect("a message that is new").clone();
        self.bodies.insert(key, (publication, 1));
        Some(self.next(key))
    }

    fn sent(&mut self, _: SessionNumber, _: &Outgoing, stored: Stored, _: PacketId) -> Stored {
        self.next(stored.body)
    }

    fn taken(&mut self, _: SessionNumber, stored: Stored, _: PacketId) -> Option<Stored> {
        self.forget(stored);
        Some(self.next(BodyKey::NONE))
    }

    fn begun(&mut self, _: SessionNumber, _: PacketId) -> Option<Stored> {
        Some(self.next(BodyKey::NONE))
    }

    fn forget(&mut self, stored: Stored) {
        if stored.body != BodyKey::NONE {
            self.bodies.remove(&stored.body).expect("forgotten once");
        }
    }

    fn body(&self, key: BodyKey) -> Body {
        self.looked.set(self.looked.get() + 1);
        match () {
            () if self.lost.contains(&key) => Body::Lost,
            () if self.away.contains(&key) => Body::Away,
            () => Body::Here(self.bodies[&key].0.clone()),
        }
    }

    fn want(&mut self, key: BodyKey, weight_bytes: usize, waiting: Option<SessionNumber>) -> bool {
        assert_eq!(weight_bytes, self.bodies[&key].0.weight_bytes());
        self.waiting.extend(waiting);
        let is_news = self.away.contains(&key) && !self.asked.contains(&key);
        self.asked.extend(is_news.then_some(key));
        is_news
    }
}

/// A remembered session without connection, and its memory.
fn remembered(config: MqttConfig) -> (Rig, Archive) {
    let mut rig = Rig::offline(config);
    rig.session.remember_as(SessionNumber(NonZeroU64::MIN));
    (rig, Archive::default())
}

fn deliver(rig: &mut Rig, archive: &mut Archive, qos: QoS, payload: &str) -> Delivered {
    let view = PublicationRef {
        topic: "t",
        properties: &[],
        payload: payload.as_bytes(),
        qos,
        retain: false,
        expires_at: Timestamp::NEVER,
        origin: NOBODY,
    };
    let message = LazyPublication::borrowed(view);
    let delivery = Delivery { message: &message, qos, retain: false, subscription_ids: &[], share: None };
    let mut cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: archive };
    let out = rig.session.is_online().then_some(&mut rig.out);
    rig.session.handle_delivery(delivery, &mut rig.templates, &mut cx, out)
}

fn pump(rig: &mut Rig, archive: &mut Archive) -> Vec<String> {
    let mut cx = Cx { now: rig.now, config: &rig.config, tally: &mut rig.tally, memory: archive };
    rig.session.pump(&mut cx, &mut rig.out);
    rig.sent()
}

fn attach(rig: &mut Rig) {
    rig.terms = Terms::negotiate(&connect(V5), &rig.config);
    rig.session.attach(rig.terms.clone(), None);
}

#[test]
fn a_session_sends_in_order_as_bodies_come() {
    let (mut rig, mut archive) = remembered(MqttConfig::default());
    for payload in ["a", "b", "c", "d"] {
        assert_eq!(deliver(&mut rig, &mut archive, AtLeastOnce, payload), Delivered::Queued);
    }
    archive.put_away();
    archive.away.remove(&BodyKey(1));
    attach(&mut rig);
    assert_eq!(pump(&mut rig, &mut archive), [""; 0]);
    assert_eq!((archive.asked.len(), archive.waiting.len()), (3, 1), "what is at hand is not asked for");
    assert_eq!(deliver(&mut rig, &mut archive, AtLeastOnce, "e"), Delivered::Queued, "behind the others");
    assert_eq!(archive.bring(1), 1);
    assert_eq!(pump(&mut rig, &mut archive), ["PUBLISH q1 #1 t=a", "PUBLISH q1 #2 t=b"]);
    archive.bring(9);
    assert_eq!(pump(&mut rig, &mut archive), ["PUBLISH q1 #3 t=c", "PUBLISH q1 #4 t=d", "PUBLISH q1 #5 t=e"]);
    assert_eq!(rig.session.queued(), 0);
}

#[test]
fn what_was_sent_before_comes_first_even_if_it_must_be_read() {
    let (mut rig, mut archive) = remembered(MqttConfig { max_inflight: 2, ..MqttConfig::default() });
    attach(&mut rig);
    for payload in ["a", "b", "c"] {
        deliver(&mut rig, &mut archive, ExactlyOnce, payload);
    }
    assert_eq!(rig.sent().len(), 2);
    rig.session.handle_closed(CloseCause::Lost);
    archive.put_away();
    archive.away.remove(&BodyKey(2));
    attach(&mut rig);
    assert_eq!(pump(&mut rig, &mut archive), [""; 0]);
    assert_eq!(archive.bring(9), 2);
    let sent = pump(&mut rig, &mut archive);
    assert_eq!(sent, ["PUBLISH q2 #1 DUP t=a", "PUBLISH q2 #2 DUP t=b"]);
}

#[test]
fn a_body_that_is_lost_costs_one_message() {
    let (mut rig, mut archive) = remembered(MqttConfig { max_inflight: 1, ..MqttConfig::default() });
    attach(&mut rig);
    for payload in ["a", "b", "c"] {
        deliver(&mut rig, &mut archive, AtLeastOnce, payload);
    }
    rig.session.handle_closed(CloseCause::Lost);
    rig.sent();
    archive.lost.extend([BodyKey(0), BodyKey(1)]);
    attach(&mut rig);
    assert_eq!(pump(&mut rig, &mut archive), ["PUBLISH q1 #2 t=c"]);
    assert_eq!((rig.count(Metric::DeliveryDroppedStoreLost), rig.count(Metric::DeliveryDropped)), (2, 2));
    assert_eq!(archive.bodies.len(), 1, "what is lost is forgotten");
}

#[test]
fn a_long_queue_asks_for_bodies_in_steps_ahead_of_their_turn() {
    let (mut rig, mut archive) = remembered(MqttConfig { max_inflight: 10, ..MqttConfig::default() });
    for number in 0..1000 {
        deliver(&mut rig, &mut archive, AtMostOnce, &format!("{number:04}"));
    }
    archive.put_away();
    rig.out = Outbox::new(64);
    attach(&mut rig);
    let mut sent = 0;
    let mut most = 0;
    for _ in 0..10_000 {
        sent += pump(&mut rig, &mut archive).len();
        most = most.max(archive.asked.len());
        archive.bring(100);
    }
    assert_eq!(sent, 1000);
    assert!(most <= 256, "{most} asked for at once");
    assert!(archive.waiting.len() <= 3, "it waited {} times", archive.waiting.len());
    assert!(archive.looked.get() < 2_000, "{} looks", archive.looked.get());
    assert!(archive.bodies.is_empty());
}

#[test]
fn large_bodies_are_asked_for_a_few_at_a_time() {
    let (mut rig, mut archive) = remembered(MqttConfig::default());
    let payload = "x".repeat(400 << 10);
    for _ in 0..10 {
        deliver(&mut rig, &mut archive, AtLeastOnce, &payload);
    }
    archive.put_away();
    attach(&mut rig);
    assert_eq!(pump(&mut rig, &mut archive), [""; 0]);
    assert_eq!(archive.asked.len(), 2);
}
