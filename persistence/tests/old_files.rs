//! Logs of every past version of the format can be read: a directory of each lies in `samples/`, with what it must show.
//!
//! A sample is written once, by the program of its version (`RINGMQ_WRITE_SAMPLE=DIR`), and never again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use ringmq_persistence::record::{
    self, Body, Queued, Received, Record, Retained, Sent, Session, Subscription, Will,
};
use ringmq_persistence::storage::files::{Files, block_on};
use ringmq_persistence::tools::{drain, dump, verify};
use ringmq_persistence::{Id, Level, Options, open_machine};

fn body(topic: &str) -> Body<'_> {
    Body {
        topic,
        payload: b"21.5",
        properties: &[0x01, 0x01],
        qos: 1,
        retain: true,
        expires_at_ms: Some(1_790_000_000_000),
        stored_at_ms: 1_780_000_000_000,
    }
}

fn session() -> Session {
    let will = Will {
        topic: "plant/7/gone".to_owned(),
        payload: b"gone".to_vec(),
        qos: 2,
        retain: true,
        delay_s: 30,
        expiry_interval_s: None,
        properties: Vec::new(),
        due_at_ms: None,
    };
    Session {
        number: 1,
        client_id: "client-1".to_owned(),
        created_ms: 1_780_000_000_000,
        expires_at_ms: None,
        expiry_interval_s: u32::MAX,
        will: Some(will),
    }
}

fn subscription() -> Subscription {
    Subscription {
        session: 1,
        filter: "plant/+/temperature".to_owned(),
        qos: 2,
        no_local: true,
        retain_as_published: true,
        retain_handling: 1,
        identifier: Some(9),
    }
}

/// The records of the sample of version 1, in order; their ids are 1 to 7.
fn version_1() -> Vec<(u16, Vec<u8>)> {
    fn stored<T>(encoded: Result<(u16, T), record::RecordError>) -> (u16, Vec<u8>)
    where
        T: AsRef<[u8]>,
    {
        let (kind, bytes) = encoded.unwrap();
        (kind, bytes.as_ref().to_vec())
    }
    vec![
        stored(record::encode(&session())),
        stored(record::encode(&subscription())),
        stored(record::encode(&body("plant/7/temperature"))),
        stored(record::encode(&Queued {
            session: 1,
            body: 3,
            packet_id: Some(4),
            replaces: 0,
            share: 0,
            qos: 1,
            retain: false,
            identifiers: &[9, 10],
        })),
        stored(record::encode(&Sent { session: 1, packet_id: 5, replaces: 4 })),
        stored(record::encode(&Received { session: 1, packet_id: 6 })),
        stored(record::encode(&Retained { body: body("plant/7/last") })),
    ]
}

/// Segments with copies, removals, padding and a torn end.
fn write_version_1(directory: &Path) {
    let files = Files::open(directory).unwrap();
    let options = Options { segment_bytes: 16 << 10, compaction_bytes_per_s: 0, ..Options::default() };
    let (mut machine, _) = block_on(open_machine(&files, options, |_, _, _| {})).unwrap();
    for (kind, payload) in version_1() {
        machine.put(kind, &payload).unwrap();
    }
    let fillers: Vec<Id> = (0..8_u8).map(|filler| machine.put(0xFF00, &[filler; 1_500]).unwrap()).collect();
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&files, &mut machine)).unwrap();
    for filler in fillers {
        machine.remove(filler).unwrap();
        machine.seal(Level::Fsync).unwrap();
        block_on(drain(&files, &mut machine)).unwrap();
    }
    machine.put(0xFF00, b"not to be found again").unwrap();
    machine.seal(Level::Wal).unwrap();
    block_on(drain(&files, &mut machine)).unwrap();
    drop(machine);
    // The highest segment may be one that was only allocated.
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    let written = |path: &&PathBuf| fs::read(path).unwrap().iter().any(|&byte| byte != 0);
    let last = paths.iter().rfind(written).unwrap();
    let mut bytes = fs::read(last).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end - 3] ^= 1;
    bytes.truncate(end + 1);
    fs::write(last, bytes).unwrap();
}

/// The same records under a checkpoint, with fillers, of which most are removed, in other segments, and one record behind it.
fn write_checkpoint_1(directory: &Path) {
    let files = Files::open(directory).unwrap();
    let options = Options { segment_bytes: 16 << 10, checkpoint_bytes: 1, ..Options::default() };
    let open = || block_on(open_machine(&files, options.clone(), |_, _, _| {})).unwrap().0;
    let mut machine = open();
    for (kind, payload) in version_1() {
        machine.put(kind, &payload).unwrap();
    }
    let fillers: Vec<Id> = (0..24_u8).map(|filler| machine.put(0xFF00, &[filler; 1_500]).unwrap()).collect();
    machine.seal(Level::Fsync).unwrap();
    for filler in fillers.into_iter().filter(|id| id.0 % 3 > 0) {
        machine.remove(filler).unwrap();
        machine.seal(Level::Fsync).unwrap();
    }
    machine.close();
    block_on(drain(&files, &mut machine)).unwrap();
    let without = Options { checkpoint_bytes: 1 << 30, ..options.clone() };
    let (mut machine, _) = block_on(open_machine(&files, without, |_, _, _| {})).unwrap();
    machine.put(0xFF00, b"behind").unwrap();
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&files, &mut machine)).unwrap();
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

fn copied(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(sample(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

fn check<R>(kind: u16, payload: &[u8], expected: &R)
where
    R: Record + PartialEq + std::fmt::Debug,
    R::Archived: rkyv::Portable
        + for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, rkyv::rancor::Error>>
        + rkyv::Deserialize<R, rkyv::api::high::HighDeserializer<rkyv::rancor::Error>>,
{
    let archived = record::access::<R>(kind, payload).unwrap();
    assert_eq!(rkyv::deserialize::<R, rkyv::rancor::Error>(archived).unwrap(), *expected);
}

fn check_body(archived: &record::ArchivedBody<'_>, topic: &str) {
    let expected = body(topic);
    assert_eq!((&*archived.topic, &archived.payload[..]), (topic, expected.payload));
    assert_eq!(archived.expires_at_ms.as_ref().map(|ms| ms.to_native()), expected.expires_at_ms);
    assert_eq!((archived.qos, archived.retain), (expected.qos, expected.retain));
}

#[test]
fn version_1_is_read() {
    if let Ok(directory) = env::var("RINGMQ_WRITE_SAMPLE") {
        write_version_1(Path::new(&directory));
    }
    let report = verify(&sample("v1")).unwrap();
    assert_eq!((report.damages.len(), report.torn.len()), (0, 1), "{report:?}");
    let mut found = Vec::new();
    dump(&sample("v1"), |id, kind, payload| {
        found.push((kind, payload.to_vec()));
        match id.0 {
            1 => check(kind, payload, &session()),
            2 => check(kind, payload, &subscription()),
            3 => check_body(record::access::<Body<'_>>(kind, payload).unwrap(), "plant/7/temperature"),
            7 => check_body(&record::access::<Retained<'_>>(kind, payload).unwrap().body, "plant/7/last"),
            _ => {}
        }
    })
    .unwrap();
    assert_eq!(found, version_1());
}

#[test]
fn version_1_goes_on() {
    let directory = copied("v1");
    let files = Files::open(directory.path()).unwrap();
    let (mut machine, _) = block_on(open_machine(&files, Options::default(), |_, _, _| {})).unwrap();
    let id = machine.put(0xFF00, b"new").unwrap();
    assert!(id.0 > 15);
    machine.seal(Level::Fsync).unwrap();
    block_on(drain(&files, &mut machine)).unwrap();
    assert_eq!(verify(directory.path()).unwrap().live, 8);
}

#[test]
fn a_checkpoint_of_version_1_is_read() {
    if let Ok(directory) = env::var("RINGMQ_WRITE_SAMPLE_CHECKPOINT") {
        write_checkpoint_1(Path::new(&directory));
    }
    let mut found = [Vec::new(), Vec::new()];
    for (found, checkpoint_bytes) in found.iter_mut().zip([1 << 30, 0]) {
        let directory = copied("v1-checkpoint");
        let files = Files::open(directory.path()).unwrap();
        let options = Options { checkpoint_bytes, ..Options::default() };
        let visit = |id: Id, kind, payload: &[u8]| found.push((id, kind, payload.to_vec()));
        let (_, report) = block_on(open_machine(&files, options, visit)).unwrap();
        assert_eq!((report.damages.len(), report.misfits, report.live), (0, 0, 16));
        if checkpoint_bytes > 0 {
            assert_eq!((report.from_checkpoint, report.records), (Some(15), 1));
        } else {
            assert_eq!(report.from_checkpoint, None);
        }
    }
    assert_eq!(found[0], found[1]);
    let records = found[0].iter().map(|(_, kind, payload)| (*kind, payload.clone()));
    assert_eq!(records.take(7).collect::<Vec<_>>(), version_1());
}
