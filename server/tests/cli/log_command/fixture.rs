//! Stores made with the log's library, as a broker leaves them, and harm done to their files.

use ringmq_persistence::log::Machine;
use ringmq_persistence::record::{
    Body, Queued, Received, RecordError, Retained, Sent, Session, Subscription, Will, encode,
};
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::tools::drain;
use ringmq_persistence::{Id, Level, Options, open_machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// 2033-05-18T03:33:20Z.
const EXPIRES_AT_MS: u64 = 2_000_000_000_000;
/// Numbers of sessions, which are no ids of records.
const FIRST_SESSION: u64 = 41;
const SECOND_SESSION: u64 = 42;

/// A data directory.
pub struct Stored {
    pub root: tempfile::TempDir,
}

impl Stored {
    /// Two shards. In the first, `sensor-7` has a will, a subscription, a message queued and one sent, `other` has the
    /// first message queued too, and a message is retained; in the second, `third` has a session.
    pub fn two_shards() -> Stored {
        let stored = Stored { root: tempfile::tempdir().unwrap() };
        let mut log = stored.log("00");
        log.put(encode(&session(FIRST_SESSION, "sensor-7", true)));
        log.put(encode(&Subscription {
            session: FIRST_SESSION,
            filter: "plant/+/temperature".to_owned(),
            qos: 2,
            no_local: true,
            retain_as_published: false,
            retain_handling: 1,
            identifier: Some(77),
        }));
        let text = log.put(encode(&body("plant/7/temperature", b"21.5")));
        let binary = log.put(encode(&body("plant/7/image", &[0xAB; 1_000])));
        log.put(encode(&Session {
            expires_at_ms: None,
            expiry_interval_s: u32::MAX,
            ..session(SECOND_SESSION, "other", false)
        }));
        log.put(encode(&Queued { packet_id: Some(9), identifiers: &[77], ..queued(FIRST_SESSION, text) }));
        log.put(encode(&Queued { share: 0xFEED, ..queued(SECOND_SESSION, text) }));
        log.put(encode(&queued(FIRST_SESSION, binary)));
        log.put(encode(&Sent { session: FIRST_SESSION, packet_id: 10, replaces: 0 }));
        log.put(encode(&Received { session: FIRST_SESSION, packet_id: 1_234 }));
        log.put(encode(&Retained { body: body("plant/7/state", b"on") }));
        stored.log("01").put(encode(&session(FIRST_SESSION, "third", false)));
        stored
    }

    /// One shard with a hundred messages, of which every tenth is left.
    pub fn mostly_removed() -> Stored {
        let stored = Stored { root: tempfile::tempdir().unwrap() };
        let mut log = stored.log("00");
        let bodies: Vec<u64> = (0..100).map(|_| log.put(encode(&body("many", &[7; 5_000])))).collect();
        let removed: Vec<u64> = bodies.into_iter().filter(|id| id % 10 != 0).collect();
        log.remove(&removed);
        stored
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The directory of a shard's log.
    pub fn shard(&self, name: &str) -> PathBuf {
        self.path().join("shards").join(name)
    }

    /// A log of this store, opened to append.
    pub fn log(&self, name: &str) -> Appending {
        let files = Files::open(&self.shard(name)).unwrap();
        let options = Options { segment_bytes: 64 << 10, compaction_bytes_per_s: 1, ..Options::default() };
        let (machine, _) = block_on(open_machine(&files, options, |_, _, _| {})).unwrap();
        Appending { files, machine }
    }

    /// Flips a bit of the first byte that spells `text` in a file of shard 00.
    pub fn flip(&self, file: &str, text: &str) {
        let path = self.shard("00").join(file);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        bytes[at.expect("the text is there")] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Every file with its bytes, by its path.
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else {
                    let bytes = fs::read(&entry).unwrap();
                    found.insert(entry, bytes);
                }
            }
        }
        found
    }
}

/// A log that is appended to, each record in a synced write of its own.
pub struct Appending {
    files: Files,
    machine: Machine,
}

impl Appending {
    pub fn put(&mut self, record: Result<(u16, impl AsRef<[u8]>), RecordError>) -> u64 {
        let (kind, bytes) = record.unwrap();
        self.put_bytes(kind, bytes.as_ref())
    }

    pub fn put_bytes(&mut self, kind: u16, payload: &[u8]) -> u64 {
        let id = self.machine.put(kind, payload).unwrap();
        self.sync();
        id.0
    }

    fn remove(&mut self, ids: &[u64]) {
        for id in ids {
            assert!(self.machine.remove(Id(*id)).unwrap());
        }
        self.sync();
    }

    fn sync(&mut self) {
        self.machine.seal(Level::Fsync).unwrap();
        // No segment is compacted or deleted here: what is tested is what does so.
        self.machine.close();
        block_on(drain(&self.files, &mut self.machine)).unwrap();
    }
}

fn session(number: u64, client: &str, has_will: bool) -> Session {
    let will = Will {
        topic: "plant/7/gone".to_owned(),
        payload: b"bye".to_vec(),
        qos: 1,
        retain: true,
        delay_s: 30,
        expiry_interval_s: None,
        properties: Vec::new(),
        due_at_ms: None,
    };
    Session {
        number,
        client_id: client.to_owned(),
        created_ms: 1_700_000_000_000,
        expires_at_ms: Some(EXPIRES_AT_MS),
        expiry_interval_s: 3_600,
        will: has_will.then_some(will),
    }
}

fn body<'a>(topic: &'a str, payload: &'a [u8]) -> Body<'a> {
    Body {
        topic,
        payload,
        properties: &[],
        qos: 1,
        retain: false,
        expires_at_ms: Some(EXPIRES_AT_MS),
        stored_at_ms: 1_700_000_000_000,
    }
}

fn queued(session: u64, body: u64) -> Queued<'static> {
    Queued { session, body, packet_id: None, replaces: 0, share: 0, qos: 1, retain: false, identifiers: &[] }
}
