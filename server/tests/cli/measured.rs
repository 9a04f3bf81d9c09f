//! What `ringmq capacity` predicts with the coefficients in the binary, beside what a broker takes: memory and descriptors of
//! idle connections, memory of retained messages, memory of messages for clients that are away. It never measures time.

use crate::process::{APART, Running, ringmq, run_ringmq};
use ringmq_core::codec::{Connect, ConnectProperties, Packet, PacketId, ProtocolVersion, Publish};
use ringmq_core::codec::{PublishProperties, QoS, Subscribe, SubscribeFilter, SubscriptionOptions};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A prediction may be off by this part of what is measured.
const TOLERANCE: f64 = 0.2;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory that did not change for this long has come to rest: an idle broker looks every second for what it can give back.
const REST: Duration = Duration::from_secs(3);
const VERSION: ProtocolVersion = ProtocolVersion::V311;
const SHARDS: &str = "node.shards=2";
const PAYLOAD: &[u8] = &[b'.'; 256];
/// Messages published before an answer is awaited; fewer bytes than a socket holds.
const BATCH: u64 = 200;

/// A broker and what it took before its first client.
struct Measured {
    running: Running,
    mqtt: SocketAddr,
    start_bytes: u64,
    start_descriptors: u64,
    _folder: tempfile::TempDir,
}

impl Measured {
    fn start() -> Measured {
        let folder = tempfile::tempdir().unwrap();
        let mut command = ringmq(folder.path(), &["serve"]);
        let running = Running::serving(command.args(APART).args(["--set", SHARDS]));
        let mqtt = running.address("listening on tcp:default ");
        let mut measured = Measured { running, mqtt, start_bytes: 0, start_descriptors: 0, _folder: folder };
        measured.start_bytes = measured.rss_at_rest();
        measured.start_descriptors = measured.descriptors();
        measured
    }

    fn rss_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.running.id())).unwrap();
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// Resident bytes once they stay as they are.
    fn rss_at_rest(&self) -> u64 {
        let begun = Instant::now();
        let (mut bytes, mut changed) = (self.rss_bytes(), begun);
        while changed.elapsed() < REST {
            assert!(begun.elapsed() < PATIENCE, "the broker's memory never comes to rest");
            thread::sleep(Duration::from_millis(50));
            let now = self.rss_bytes();
            if now.abs_diff(bytes) > bytes / 200 {
                (bytes, changed) = (now, Instant::now());
            }
        }
        self.rss_bytes()
    }

    fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.running.id())).unwrap().count() as u64
    }

    /// Compares what the process grew by with everything in the plan that grows with the load.
    #[track_caller]
    fn assert_predicted(&self, line: &str) -> Value {
        let grown = self.rss_at_rest().saturating_sub(self.start_bytes);
        let plan = plan(line);
        let shares = plan["memory"]["process"].as_array().unwrap().iter();
        let predicted: f64 = shares
            .filter(|share| share["is_fixed"] == false)
            .map(|share| share["bytes"].as_f64().unwrap())
            .sum();
        assert_near(predicted, grown as f64, line);
        plan
    }
}

fn plan(line: &str) -> Value {
    let words = ["capacity", "--set", SHARDS, "--json"].into_iter().chain(line.split_whitespace());
    let outcome = run_ringmq(&words.collect::<Vec<_>>());
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

#[track_caller]
fn assert_near(predicted: f64, measured: f64, what: &str) {
    eprintln!("{what}: predicted {predicted:.0}, measured {measured:.0}, ratio {:.3}", predicted / measured);
    assert!(
        (predicted - measured).abs() <= TOLERANCE * measured,
        "{what}: predicted {predicted:.0}, measured {measured:.0}; if the broker has changed, calibrate again: \
         ringmq-bench calibrate --broker PATH -o server/src/capacity/calibration.toml"
    );
}

/// A client that answers nothing and reads only what it waits for.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr, client_id: &str, clean_start: bool) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // No TIME_WAIT is left behind.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        let connect = Connect {
            version: VERSION,
            bridge: false,
            clean_start,
            keep_alive_s: 0,
            client_id: client_id.into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        };
        let mut client = Client(stream);
        client.send(&Packet::Connect(Box::new(connect)));
        client.await_bytes(4);
        client
    }

    fn subscribe(&mut self, filter: &str) {
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::new(1).unwrap(),
            subscription_id: None,
            filters: vec![SubscribeFilter { filter: filter.into(), options }],
            user_properties: Vec::new(),
        }));
        self.await_bytes(5);
    }

    /// Publishes to `topic(0)`, `topic(1)`, ... at QoS 1 and waits for every acknowledgement.
    fn publish(&mut self, messages: u64, retain: bool, topic: impl Fn(u64) -> String) {
        for first in (0..messages).step_by(BATCH as usize) {
            let numbers = first..messages.min(first + BATCH);
            let count = numbers.end - numbers.start;
            for number in numbers {
                self.send(&Packet::Publish(Publish {
                    dup: false,
                    qos: QoS::AtLeastOnce,
                    retain,
                    topic: &topic(number),
                    packet_id: PacketId::new((number - first + 1) as u16),
                    properties: PublishProperties::default(),
                    payload: PAYLOAD,
                }));
            }
            self.await_bytes(4 * count as usize);
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(VERSION, &mut bytes).unwrap();
        self.0.write_all(&bytes).unwrap();
    }

    fn await_bytes(&mut self, bytes: usize) {
        self.0.read_exact(&mut vec![0; bytes]).unwrap();
    }
}

/// Descriptors for the clients of this process; the soft limit is often 1,024.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn idle_connections_take_the_memory_and_descriptors_predicted() {
    const CONNECTIONS: u64 = 8_000;
    raise_descriptor_limit();
    let broker = Measured::start();
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|number| {
            let mut client = Client::connect(broker.mqtt, &format!("bench-{number}"), true);
            client.subscribe(&format!("bench/{number}"));
            client
        })
        .collect();
    let line = format!("--connections {CONNECTIONS}");
    let plan = broker.assert_predicted(&line);
    let predicted = plan["descriptors"].as_f64().unwrap() - plan_of_none()["descriptors"].as_f64().unwrap();
    assert_near(predicted, (broker.descriptors() - broker.start_descriptors) as f64, "descriptors");
    drop(clients);
}

fn plan_of_none() -> Value {
    plan("--connections 0")
}

#[test]
fn retained_messages_take_the_memory_predicted() {
    const MESSAGES: u64 = 50_000;
    let broker = Measured::start();
    let mut client = Client::connect(broker.mqtt, "publisher", true);
    client.publish(MESSAGES, true, |number| format!("bench/r/{number}"));
    broker.assert_predicted(&format!("--connections 1 --retained {MESSAGES} --payload {}", PAYLOAD.len()));
}

#[test]
fn messages_for_clients_that_are_away_take_the_memory_predicted() {
    const SESSIONS: u64 = 200;
    const MESSAGES: u64 = 200;
    let broker = Measured::start();
    for number in 0..SESSIONS {
        let mut client = Client::connect(broker.mqtt, &format!("bench-{number}"), false);
        client.subscribe(&format!("bench/o/{number}"));
    }
    let mut client = Client::connect(broker.mqtt, "publisher", true);
    client.publish(SESSIONS * MESSAGES, false, |number| format!("bench/o/{}", number % SESSIONS));
    broker.assert_predicted(&format!(
        "--connections 1 --offline {} --offline-sessions {SESSIONS} --payload {}",
        SESSIONS * MESSAGES,
        PAYLOAD.len()
    ));
}
