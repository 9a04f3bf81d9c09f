//! Clients and retained messages as logs hold them: made up, written, and read back without the code under test.

use crate::store::layout::Layout;
use crate::store::log_directory;
use ringmq_core::routing::ShardId;
use ringmq_persistence::record::{
    Body, Queued, Received, Record, Retained, Sent, Session, Subscription, Will, access, decode,
};
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::tools::{drain, dump};
use ringmq_persistence::{Id, Level, Machine, Options, open_machine};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub const SEED: [u64; 4] = [3, 1, 4, 1];

/// Puts a record into a log; its id.
macro_rules! put {
    ($log:expr, $record:expr) => {{
        let (kind, bytes) = ringmq_persistence::record::encode(&$record).unwrap();
        $log.put(kind, &bytes)
    }};
}
pub(super) use put;

/// What a client has to come.
#[derive(Debug, Clone, PartialEq)]
pub enum Waiting {
    Message { packet_id: Option<u16>, text: String, share: u64, qos: u8, retain: bool, identifiers: Vec<u32> },
    Taken(u16),
}

/// A client; what names its session is 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    pub session: Session,
    pub subscriptions: BTreeMap<String, Subscription>,
    pub waiting: Vec<Waiting>,
    pub received: Vec<u16>,
}

/// Everything that logs hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Held {
    pub clients: BTreeMap<String, Client>,
    /// Texts by topic.
    pub retained: BTreeMap<String, String>,
}

/// A log that a broker wrote.
pub struct Writer {
    files: Files,
    machine: Machine,
    numbers: u64,
}

impl Writer {
    pub fn open(directory: &Path) -> Writer {
        let options = Options { segment_bytes: 64 << 10, ..Options::default() };
        let files = Files::open(directory).unwrap();
        let (machine, _) = block_on(open_machine(&files, options, |_, _, _| {})).unwrap();
        Writer { files, machine, numbers: 0 }
    }

    pub fn put(&mut self, kind: u16, payload: &[u8]) -> u64 {
        self.machine.put(kind, payload).unwrap().0
    }

    pub fn body(&mut self, topic: &str, text: &str) -> u64 {
        put!(self, Body { expires_at_ms: None, ..body(topic, text) })
    }

    pub fn sync(&mut self) {
        self.machine.seal(Level::Fsync).unwrap();
        block_on(drain(&self.files, &mut self.machine)).unwrap();
    }
}

fn body<'a>(topic: &'a str, text: &'a str) -> Body<'a> {
    let (payload, properties) = (text.as_bytes(), &[][..]);
    Body { topic, payload, properties, qos: 1, retain: false, expires_at_ms: Some(9), stored_at_ms: 5 }
}

pub fn session(client_id: &str, rng: &mut fastrand::Rng) -> Session {
    let will = Will {
        topic: format!("gone/{client_id}"),
        payload: vec![7; rng.usize(0..9)],
        qos: rng.u8(0..3),
        retain: rng.bool(),
        delay_s: rng.u32(..),
        expiry_interval_s: rng.bool().then(|| rng.u32(..)),
        properties: vec![1, 1],
        due_at_ms: rng.bool().then(|| rng.u64(..)),
    };
    Session {
        number: 0,
        client_id: client_id.to_owned(),
        created_ms: rng.u64(..),
        expires_at_ms: rng.bool().then(|| rng.u64(..)),
        expiry_interval_s: rng.u32(..),
        will: rng.bool().then_some(will),
    }
}

/// Writes logs for so many shards, with leftovers as crashes leave them, and says what they hold.
pub fn write(shards_dir: &Path, shards: usize, rng: &mut fastrand::Rng) -> Held {
    Layout { shards, seed: SEED }.write(shards_dir).unwrap();
    let mut logs: Vec<Writer> =
        (0..shards).map(|shard| Writer::open(&log_directory(shards_dir, shard))).collect();
    let mut held = Held::default();
    let mut members: Vec<Vec<(u64, String)>> = vec![Vec::new(); shards];
    for client in 0..rng.usize(1..14) {
        let client_id = format!("client-{client}");
        let home = ShardId::home_of(&client_id, shards).index();
        let (number, client) = write_client(&mut logs[home], &client_id, rng);
        members[home].push((number, client_id.clone()));
        held.clients.insert(client_id, client);
    }
    for (log, members) in logs.iter_mut().zip(&members) {
        write_messages(log, members, &mut held, rng);
    }
    for topic in 0..rng.usize(0..20) {
        let topic = format!("kept/{topic}");
        let log = &mut logs[ShardId::home_of(&topic, shards).index()];
        for version in 0..rng.usize(1..3) {
            let text = format!("{topic} {version} {}", rng.u16(..));
            put!(log, Retained { body: body(&topic, &text) });
            held.retained.insert(topic.clone(), text);
        }
    }
    logs.iter_mut().for_each(Writer::sync);
    held
}

fn write_client(log: &mut Writer, client_id: &str, rng: &mut fastrand::Rng) -> (u64, Client) {
    log.numbers += rng.u64(1..4);
    let number = log.numbers;
    let (mut subscriptions, mut received) = (BTreeMap::new(), Vec::new());
    let mut counts = session(client_id, rng);
    for _ in 0..rng.usize(0..3) {
        // Records of the session that were replaced, the latter one without a removal.
        let earlier = put!(log, Session { number, ..counts });
        counts = session(client_id, rng);
        if rng.bool() {
            log.machine.remove(Id(earlier)).unwrap();
        }
    }
    for _ in 0..rng.usize(0..6) {
        let filter = format!("filter/{}/#", rng.u8(..5));
        let subscription = Subscription {
            session: 0,
            filter: filter.clone(),
            qos: rng.u8(0..3),
            no_local: rng.bool(),
            retain_as_published: rng.bool(),
            retain_handling: rng.u8(0..3),
            identifier: rng.bool().then(|| rng.u32(..)),
        };
        put!(log, Subscription { session: number, ..subscription.clone() });
        subscriptions.insert(filter, subscription);
    }
    for packet_id in 0..rng.u16(0..4) {
        put!(log, Received { session: number, packet_id: packet_id + 1 });
        received.push(packet_id + 1);
    }
    put!(log, Session { number, ..counts.clone() });
    (number, Client { session: counts, subscriptions, waiting: Vec::new(), received })
}

fn write_messages(log: &mut Writer, members: &[(u64, String)], held: &mut Held, rng: &mut fastrand::Rng) {
    for message in 0..rng.usize(0..40) {
        let text = format!("{message} {}", rng.u32(..));
        let body = log.body("news", &text);
        for (number, client_id) in members.iter().filter(|_| fastrand::Rng::with_seed(body).bool()) {
            let identifiers: Vec<u32> = (0..rng.u32(0..3)).collect();
            let (share, qos, retain) = (rng.u64(0..3), rng.u8(1..3), rng.bool());
            let queued = Queued {
                session: *number,
                body,
                packet_id: None,
                replaces: 0,
                share,
                qos,
                retain,
                identifiers: &identifiers,
            };
            let first = put!(log, queued);
            let packet_id = message as u16 + 1;
            let waiting = match rng.u8(0..4) {
                0 | 1 => {
                    Waiting::Message { packet_id: None, text: text.clone(), share, qos, retain, identifiers }
                }
                // What a record has taken the place of was not removed, or was.
                2 => {
                    put!(log, Queued { packet_id: Some(packet_id), replaces: first, ..queued });
                    let packet_id = Some(packet_id);
                    Waiting::Message { packet_id, text: text.clone(), share, qos, retain, identifiers }
                }
                _ => {
                    put!(log, Sent { session: *number, packet_id, replaces: first });
                    log.machine.remove(Id(first)).unwrap();
                    Waiting::Taken(packet_id)
                }
            };
            held.clients.get_mut(client_id).unwrap().waiting.push(waiting);
        }
        if rng.u8(0..8) == 0 {
            // Its session is gone.
            let (packet_id, share) = (None, 0);
            let session = 1000;
            put!(
                log,
                Queued {
                    session,
                    body,
                    packet_id,
                    replaces: 0,
                    share,
                    qos: 1,
                    retain: false,
                    identifiers: &[]
                }
            );
            put!(log, Received { session, packet_id: 1 });
        }
        if rng.u8(0..4) == 0 {
            log.sync();
        }
    }
}

/// What logs hold, each thing at its home and no body that nobody needs.
pub fn read(shards_dir: &Path) -> Held {
    let Layout { shards, seed } = Layout::read(shards_dir).unwrap().unwrap();
    assert_eq!(seed, SEED);
    let mut held = Held::default();
    for shard in 0..shards {
        read_log(&log_directory(shards_dir, shard), ShardId(shard as u8), shards, &mut held);
    }
    held
}

fn read_log(directory: &Path, shard: ShardId, shards: usize, held: &mut Held) {
    let mut records = Vec::new();
    let report = dump(directory, |id, kind, payload| records.push((id.0, kind, payload.to_vec()))).unwrap();
    assert_eq!((report.damages.len(), report.torn.len()), (0, 0));
    let mut log = Reader { shard, shards, ..Reader::default() };
    records.iter().for_each(|(id, kind, payload)| log.read_named(*id, *kind, payload, held));
    records.iter().for_each(|(_, kind, payload)| log.read_naming(*kind, payload, held));
    assert_eq!(log.used.len(), log.bodies.len(), "no body that nobody needs");
}

#[derive(Default)]
struct Reader {
    shard: ShardId,
    shards: usize,
    /// Clients by the numbers of their sessions.
    names: BTreeMap<u64, String>,
    bodies: BTreeMap<u64, String>,
    used: BTreeSet<u64>,
}

impl Reader {
    /// Takes what other records name.
    fn read_named(&mut self, id: u64, kind: u16, payload: &[u8], held: &mut Held) {
        match kind {
            Session::KIND => {
                let session: Session = decode(kind, payload).unwrap();
                assert_eq!(ShardId::home_of(&session.client_id, self.shards), self.shard);
                let name = session.client_id.clone();
                assert_eq!(self.names.insert(session.number, name.clone()), None, "one record a session");
                let (subscriptions, waiting, received) = Default::default();
                let session = Session { number: 0, ..session };
                let client = Client { session, subscriptions, waiting, received };
                assert_eq!(held.clients.insert(name, client), None, "one session a client");
            }
            Body::KIND => {
                let text = access::<Body<'_>>(kind, payload).unwrap().payload.to_vec();
                self.bodies.insert(id, String::from_utf8(text).unwrap());
            }
            _ => {}
        }
    }

    /// Takes what names others.
    fn read_naming(&mut self, kind: u16, payload: &[u8], held: &mut Held) {
        match kind {
            Subscription::KIND => {
                let stored: Subscription = decode(kind, payload).unwrap();
                let subscription = Subscription { session: 0, ..stored };
                let filter = subscription.filter.clone();
                self.client(stored.session, held).subscriptions.insert(filter, subscription);
            }
            Received::KIND => {
                let stored: Received = decode(kind, payload).unwrap();
                self.client(stored.session, held).received.push(stored.packet_id);
            }
            Sent::KIND => {
                let stored: Sent = decode(kind, payload).unwrap();
                assert_eq!(stored.replaces, 0);
                self.client(stored.session, held).waiting.push(Waiting::Taken(stored.packet_id));
            }
            Queued::KIND => {
                let stored = access::<Queued<'_>>(kind, payload).unwrap();
                assert_eq!(stored.replaces, 0);
                self.used.insert(stored.body.to_native());
                let message = Waiting::Message {
                    packet_id: stored.packet_id.as_ref().map(|id| id.to_native()),
                    text: self.bodies[&stored.body.to_native()].clone(),
                    share: stored.share.to_native(),
                    qos: stored.qos,
                    retain: stored.retain,
                    identifiers: stored.identifiers.iter().map(|id| id.to_native()).collect(),
                };
                self.client(stored.session.to_native(), held).waiting.push(message);
            }
            Retained::KIND => {
                let body = &access::<Retained<'_>>(kind, payload).unwrap().body;
                assert_eq!(ShardId::home_of(&body.topic, self.shards), self.shard);
                assert_eq!((body.expires_at_ms.as_ref().map(|ms| ms.to_native()), body.qos), (Some(9), 1));
                let text = String::from_utf8(body.payload.to_vec()).unwrap();
                held.retained.insert(body.topic.to_string(), text);
            }
            _ => {}
        }
    }

    fn client<'a>(&self, number: u64, held: &'a mut Held) -> &'a mut Client {
        held.clients.get_mut(&self.names[&number]).expect("a session that is there")
    }
}
