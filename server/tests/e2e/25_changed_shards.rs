//! A broker that is started again with another number of shards: everybody finds everything.

use crate::harness::*;
use std::path::Path;

const SHARDS: [usize; 3] = [2, 5, 1];
const CLIENTS: usize = 6;
/// Messages that may be on their way to a client.
const WINDOW: usize = 3;
const ROUNDS: usize = 5;

fn start(data: &Path, shards: usize) -> Broker {
    let data_dir = format!("node.data_dir={}", data.join("data").display());
    Broker::with(shards, &[&data_dir, &format!("mqtt.max_inflight={WINDOW}")])
}

/// A client that is away most of the time, and what it has to come.
struct Absent {
    version: ProtocolVersion,
    id: String,
    /// Taken over with PUBREC: only PUBREL is to come.
    taken: Vec<u16>,
    /// On its way, with its packet identifier.
    sent: Vec<(u16, String)>,
    queued: Vec<String>,
}

impl Absent {
    fn new(version: ProtocolVersion, number: usize) -> Absent {
        let id = format!("absent-{version:?}-{number}");
        Absent { version, id, taken: Vec::new(), sent: Vec::new(), queued: Vec::new() }
    }

    fn topic(&self) -> String {
        format!("own/{}", self.id)
    }

    fn login(&self) -> Login {
        Login::persistent(self.version, &self.id)
    }

    /// Comes for the first messages, takes one of QoS 2 over, acknowledges nothing else, and goes.
    fn look(&mut self, broker: &Broker) {
        let mut client = self.login().open(broker);
        assert!(client.session_present(), "{}", self.id);
        for text in self.queued.drain(..WINDOW) {
            let message = client.receive_unacked();
            assert_eq!((message.text(), message.dup), (text.as_str(), false));
            if message.qos == 2 {
                client.ack(AckKind::Pubrec, message.packet_id());
                client.expect_ack(AckKind::Pubrel, message.packet_id());
                self.taken.push(message.packet_id());
            } else {
                self.sent.push((message.packet_id(), text));
            }
        }
        client.vanish();
    }

    /// Comes back, and is sent again what it has not acknowledged.
    fn come_back(&self, broker: &Broker) -> Client {
        let mut client = self.login().open(broker);
        assert!(client.session_present(), "{}", self.id);
        let (mut taken, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..WINDOW {
            match client.expect_packet() {
                Packet::Ack { kind: AckKind::Pubrel, packet_id, .. } => taken.push(packet_id),
                Packet::Publish(message) => {
                    assert!(message.dup, "{message:?}");
                    sent.push((message.packet_id(), message.text().to_owned()));
                }
                other => panic!("expected what was not acknowledged, got {other:?}"),
            }
        }
        assert_eq!((&taken, &sent), (&self.taken, &self.sent), "{}", self.id);
        client
    }

    /// Takes everything.
    fn finish(self, broker: &Broker, publisher: &mut Client) {
        let mut client = self.come_back(broker);
        self.taken.iter().for_each(|packet_id| client.ack(AckKind::Pubcomp, *packet_id));
        self.sent.iter().for_each(|(packet_id, _)| client.ack(AckKind::Puback, *packet_id));
        client.expect_texts(&self.queued);
        client.expect_nothing_from(publisher);
        publisher.publish(message(self.topic(), "subscribed").qos(1));
        client.expect_texts(["subscribed"]);
    }
}

/// Sessions with messages that wait, are on their way, and were taken over.
fn populate(broker: &Broker) -> Vec<Absent> {
    let versions = [ProtocolVersion::V311, ProtocolVersion::V5];
    let absent = versions.into_iter().flat_map(|version| (0..CLIENTS).map(move |n| Absent::new(version, n)));
    let mut absent: Vec<Absent> = absent.collect();
    for one in &absent {
        let mut client = one.login().open_new(broker);
        client.subscribe("all/+", 1);
        client.subscribe(&one.topic(), 2);
        client.vanish();
    }
    let mut publisher = Login::v5("publisher").open(broker);
    for round in 0..ROUNDS {
        publisher.publish(message("all/x", format!("all {round}")).qos(2));
        for one in &mut absent {
            let text = format!("{} {round}", one.id);
            publisher.publish(message(one.topic(), text.as_str()).qos(2 - round as u8 % 2));
            one.queued.extend([format!("all {round}"), text]);
        }
    }
    for topic in 0..20 {
        publisher.publish(message(format!("kept/{topic:02}"), format!("kept {topic:02}")).qos(1).retained());
    }
    publisher.settle();
    absent.iter_mut().for_each(|one| one.look(broker));
    absent
}

fn repeat_qos_2(broker: &Broker, topic: &str, is_first: bool) -> Client {
    let login = Login::persistent(ProtocolVersion::V5, "exactly-once");
    let mut client = if is_first { login.open_new(broker) } else { login.open(broker) };
    assert_eq!(client.session_present(), !is_first);
    let once = message(topic, "once").qos(2).id(77);
    client.send(if is_first { once } else { once.dup() });
    assert_eq!(client.expect_ack(AckKind::Pubrec, 77), ReasonCode::Success);
    client
}

#[test]
fn sessions_messages_and_retained_messages_survive_other_numbers_of_shards() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut broker = start(data.path(), SHARDS[0]);
    let mut absent = populate(&broker);
    repeat_qos_2(&broker, &absent[0].topic(), true).vanish();
    absent[0].queued.push("once".to_owned());
    for (shards, signal) in SHARDS[1..].iter().zip([Signal::TERM, Signal::KILL]) {
        broker.signal(signal);
        assert!(broker.wait(PATIENCE).is_some());
        broker = start(data.path(), *shards);
        assert!(broker.stderr().contains("node.shards has changed"), "{}", broker.stderr());
        absent.iter().for_each(|one| one.come_back(&broker).vanish());
        repeat_qos_2(&broker, &absent[0].topic(), false).vanish();
    }
    let mut publisher = repeat_qos_2(&broker, &absent[0].topic(), false);
    publisher.ack(AckKind::Pubrel, 77);
    assert_eq!(publisher.expect_ack(AckKind::Pubcomp, 77), ReasonCode::Success);
    absent.into_iter().for_each(|one| one.finish(&broker, &mut publisher));
    let mut fresh = Login::v5("fresh").open(&broker);
    fresh.subscribe("kept/+", 1);
    let mut kept: Vec<String> = (0..20).map(|_| fresh.receive().text().to_owned()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..20).map(|topic| format!("kept {topic:02}")).collect::<Vec<_>>());
    drop(broker);
    let mut names: Vec<_> = std::fs::read_dir(data.path().join("data"))
        .expect("the data directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["lock", "shards"]);
}

#[test]
fn what_clients_ask_of_their_queues_outlives_the_process_and_moves_with_them() {
    let data = tempfile::tempdir().expect("a temporary directory");
    for (round, shards) in [2, 2, 3].into_iter().enumerate() {
        let broker = start(data.path(), shards);
        let mut publisher = Login::v5("publisher").open(&broker);
        for (policy, kept) in
            [("drop_oldest", ["2", "3"]), ("drop_newest", ["0", "1"]), ("reject", ["0", "1"])]
        {
            let login = || {
                Login::persistent(ProtocolVersion::V5, policy)
                    .with(Property::user("ringmq-mqueue-len", "2"))
                    .with(Property::user("ringmq-mqueue-policy", policy))
            };
            if round == 0 {
                let mut client = login().open_new(&broker);
                client.subscribe(policy, 1);
                client.vanish();
                continue;
            }
            for n in 0..4 {
                let reason = publisher.publish(message(policy, n.to_string()).qos(1));
                assert_eq!(reason.is_error(), policy == "reject" && n >= 2, "{policy} {n}: {reason:?}");
            }
            let mut client = login().open(&broker);
            client.expect_texts(kept);
            client.expect_nothing_from(&mut publisher);
            client.vanish();
        }
    }
}
