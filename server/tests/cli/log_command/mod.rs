//! `ringmq log`: what is printed of stores that are whole, damaged and torn, what is changed, and what is refused.

mod fixture;

use crate::process::{Outcome, ringmq, run};
use fixture::Stored;
use ringmq_persistence::record::Received;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

const FIRST: &str = "00000001.seg";

fn log(arguments: &[&str], directory: &Path) -> Outcome {
    let directory = directory.to_str().unwrap();
    run(ringmq(Path::new("/"), &[&["log"], arguments, &[directory]].concat()))
}

/// The lines of a command that is to end with this exit code and no error.
fn lines(arguments: &[&str], directory: &Path, code: i32) -> Vec<String> {
    let outcome = log(arguments, directory);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(code), ""), "{outcome:?}");
    outcome.stdout.lines().map(str::to_owned).collect()
}

fn has(lines: &[String], begin: &str, texts: &[&str]) {
    let is_it = |line: &&String| line.starts_with(begin) && texts.iter().all(|text| line.contains(text));
    assert!(lines.iter().any(|line| is_it(&line)), "no `{begin}` with {texts:?} in {lines:#?}");
}

#[test]
fn whole_store_is_verified_from_each_of_its_directories_and_not_changed() {
    let stored = Stored::two_shards();
    let before = stored.contents();
    for (directory, shards) in
        [(stored.path().to_owned(), 2), (stored.path().join("shards"), 2), (stored.shard("00"), 1)]
    {
        let lines = lines(&["verify"], &directory, 0);
        assert_eq!(lines.len(), shards + 1, "{lines:#?}");
        has(&lines, "shard 00: segments 1, ", &["live 11", "torn tails 0, damaged 0, unreadable 0"]);
        has(&lines, &format!("ok: shards {shards}, live {}", shards + 10), &["damaged 0"]);
    }
    assert!(stored.contents() == before);
}

#[test]
fn flipped_byte_is_damage_with_its_place_and_code_1() {
    let stored = Stored::two_shards();
    stored.flip(FIRST, "21.5");
    let before = stored.contents();
    let verified = lines(&["verify"], stored.path(), 1);
    has(&verified, "shard 00: ", &["live 10", "damaged 1"]);
    let file = stored.shard("00").join(FIRST);
    has(&verified, &format!("shard 00: damaged: {}, bytes ", file.display()), &[" to ", ", record 3"]);
    has(&verified, "shard 01: ", &["live 1", "damaged 0"]);
    has(&verified, "not ok: shards 2, live 11", &["damaged 1"]);
    has(&verified, "remedy: ", &["backup", "persistence.strict = false"]);
    assert!(stored.contents() == before);
    // What is gone is said, and what names it is still shown.
    let dumped = lines(&["dump"], stored.path(), 0);
    has(&dumped, "damaged id=3 shard=00 segment=00000001.seg from=", &[" to="]);
    has(&dumped, "queued id=7 shard=00 client=\"other\"", &["body=3", "topic=?"]);
}

#[test]
fn torn_tail_is_told_and_is_fine() {
    let stored = Stored::two_shards();
    stored.flip(FIRST, "plant/7/state");
    let verified = lines(&["verify"], stored.path(), 0);
    has(&verified, "shard 00: ", &["live 10", "torn tails 1, damaged 0"]);
    has(&verified, "shard 00: torn tail in 00000001.seg at byte ", &[]);
    has(&verified, "ok: ", &["torn tails 1"]);
}

#[test]
fn dump_has_a_line_for_every_live_record() {
    let stored = Stored::two_shards();
    let dumped = lines(&["dump"], stored.path(), 0);
    assert_eq!(dumped.len(), 12, "{dumped:#?}");
    let expires = "expires_at=2033-05-18T03:33:20.000Z";
    has(
        &dumped,
        "session id=1 shard=00 client=\"sensor-7\"",
        &[
            expires,
            "session=41",
            "expiry_interval_s=3600",
            "will_topic=\"plant/7/gone\"",
            "will_payload=\"bye\"",
        ],
    );
    has(&dumped, "session id=5 shard=00 client=\"other\"", &["expires_at=never", "expiry_interval_s=never"]);
    has(&dumped, "session id=1 shard=01 client=\"third\"", &[]);
    has(
        &dumped,
        "subscription id=2 shard=00 client=\"sensor-7\"",
        &["filter=\"plant/+/temperature\"", "qos=2", "no_local=true", "identifier=77"],
    );
    has(
        &dumped,
        "body id=3 ",
        &["topic=\"plant/7/temperature\"", "payload_bytes=4 payload=\"21.5\"", expires],
    );
    has(&dumped, "body id=4 ", &["payload_bytes=1000", &format!("payload_hex={}", "ab".repeat(32))]);
    has(
        &dumped,
        "queued id=6 ",
        &[
            "client=\"sensor-7\"",
            "state=sent packet_id=9",
            "body=3",
            "topic=\"plant/7/temperature\"",
            "\"21.5\"",
        ],
    );
    has(&dumped, "queued id=7 ", &["client=\"other\"", "state=waits", "share=000000000000feed"]);
    has(&dumped, "queued id=8 ", &["client=\"sensor-7\"", "topic=\"plant/7/image\"", "payload_bytes=1000"]);
    has(&dumped, "sent id=9 ", &["client=\"sensor-7\"", "packet_id=10", "awaits=PUBCOMP"]);
    has(&dumped, "received id=10 ", &["client=\"sensor-7\"", "packet_id=1234"]);
    has(&dumped, "retained id=11 ", &["topic=\"plant/7/state\"", "payload=\"on\""]);
}

#[test]
fn dump_of_one_client_has_what_is_its_own() {
    let stored = Stored::two_shards();
    let dumped = lines(&["dump", "--client", "sensor-7"], stored.path(), 0);
    let kinds: Vec<&str> = dumped.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(kinds, ["session", "subscription", "queued", "queued", "sent", "received"], "{dumped:#?}");
    assert!(dumped.iter().all(|line| line.contains("client=\"sensor-7\"")), "{dumped:#?}");
    assert_eq!(lines(&["dump", "--client", "third"], stored.path(), 0).len(), 1);
    let nobody = log(&["dump", "--client", "sensor"], stored.path());
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(1), ""), "{nobody:?}");
    assert!(nobody.stderr.starts_with("ringmq: no session of client \"sensor\" in "), "{nobody:?}");
}

#[test]
fn dump_as_json_is_one_object_a_line() {
    let stored = Stored::two_shards();
    let dumped = lines(&["dump", "--json"], stored.path(), 0);
    let objects: Vec<Value> = dumped.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 12);
    let find = |kind: &str, id: u64| {
        objects
            .iter()
            .find(|object| object["kind"] == kind && object["id"] == id && object["shard"] == "00")
            .unwrap()
    };
    let queued = find("queued", 6);
    assert_eq!((&queued["client"], &queued["topic"]), (&"sensor-7".into(), &"plant/7/temperature".into()));
    assert_eq!((&queued["payload"], &queued["identifiers"]), (&"21.5".into(), &vec![77].into()));
    assert_eq!(find("session", 5)["expires_at"], Value::Null);
    assert_eq!(find("session", 1)["expires_at"], "2033-05-18T03:33:20.000Z");
}

#[test]
fn records_that_cannot_be_read_are_listed() {
    let stored = Stored::two_shards();
    let mut appending = stored.log("00");
    appending.put_bytes(0x7f01, b"from a later release");
    let received = <Received as ringmq_persistence::record::Record>::KIND;
    appending.put_bytes(received, b"!");
    drop(appending);
    let dumped = lines(&["dump"], stored.path(), 0);
    assert_eq!(dumped.len(), 14, "{dumped:#?}");
    has(&dumped, "unreadable id=12 shard=00 record_kind=0x7f01 record_bytes=20", &["reason=\"", "0x7f01\""]);
    has(&dumped, "unreadable id=13 ", &["record_bytes=1", "malformed"]);
    let verified = lines(&["verify"], stored.path(), 1);
    has(&verified, "shard 00: unreadable: record 12: ", &["0x7f01"]);
    has(&verified, "shard 00: unreadable: record 13: ", &["malformed"]);
    has(&verified, "not ok: ", &["damaged 0, unreadable 2"]);
    has(&verified, "remedy: ", &["release", "defect"]);
}

#[test]
fn compact_keeps_what_is_live_and_gives_back_the_rest() {
    let stored = Stored::mostly_removed();
    let bytes = |stored: &Stored| stored.contents().values().map(Vec::len).sum::<usize>();
    let (dumped, before) = (lines(&["dump"], stored.path(), 0), bytes(&stored));
    assert_eq!(dumped.len(), 10);
    let compacted = lines(&["compact"], stored.path(), 0);
    let after = bytes(&stored);
    assert!(after < before / 3, "{before} -> {after}");
    has(&compacted, &format!("shard 00: bytes {before} -> {after}, segments "), &["live 10"]);
    has(&compacted, &format!("compacted: shards 1, bytes {before} -> {after}"), &[]);
    assert_eq!(lines(&["dump"], stored.path(), 0), dumped);
    has(&lines(&["verify"], stored.path(), 0), "ok: shards 1, live 10", &[]);
}

#[test]
fn compact_of_a_damaged_store_keeps_the_file_and_says_so() {
    let stored = Stored::two_shards();
    stored.flip(FIRST, "21.5");
    let compacted = lines(&["compact"], stored.path(), 1);
    has(&compacted, "shard 00: damaged: ", &["record 3"]);
    has(&compacted, "shard 00: what can be read ", &[]);
    assert!(stored.shard("00").join("00000001.seg.damaged").exists());
    let verified = lines(&["verify"], stored.path(), 0);
    has(&verified, "shard 00: set aside by an earlier start: ", &["00000001.seg.damaged"]);
    has(&verified, "ok: shards 2, live 11", &[]);
}

#[test]
fn compact_refuses_while_a_broker_has_the_store() {
    let stored = Stored::two_shards();
    let lock = File::create(stored.path().join("lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let before = stored.contents();
    for directory in [stored.path().to_owned(), stored.path().join("shards"), stored.shard("01")] {
        log(&["compact"], &directory).assert_refused(75, &["lock is locked", "stop the broker"]);
        has(&lines(&["verify"], &directory, 0), "ok: ", &[]);
    }
    assert!(stored.contents() == before);
    drop(lock);
    assert_eq!(log(&["compact"], stored.path()).code, Some(0));
}

#[test]
fn directories_without_a_log_are_refused_with_what_was_expected() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("shards")).unwrap();
    for command in ["verify", "dump", "compact"] {
        log(&[command], directory.path())
            .assert_refused(66, &["holds no log", "shards/00", "*.seg", "node.data_dir"]);
        log(&[command], &directory.path().join("nowhere"))
            .assert_refused(66, &["nowhere", "existing directory"]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn log_of_a_later_release_is_refused() {
    let stored = Stored::two_shards();
    let file = stored.shard("01").join(FIRST);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 9;
    bytes[12..16].fill(0);
    let number: u32 = 1;
    let crc = crc_of_header(&bytes[..48], number);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes).unwrap();
    let outcome = log(&["verify"], stored.path());
    outcome.assert_refused(66, &["version 9", "a later one"]);
    assert!(outcome.stdout.starts_with("shard 00: segments 1"), "{outcome:?}");
    assert!(outcome.stdout.contains("\nnot ok: shards 2 (1 cannot be read), live 11"), "{outcome:?}");
}

/// The checksum of a header whose own four bytes are zero.
fn crc_of_header(header: &[u8], number: u32) -> u32 {
    use ringmq_persistence::format::{SegmentNumber, frame::Salt};
    Salt::of(SegmentNumber(number)).checksum(header)
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let stored = Stored::two_shards();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" log dump \"$1\" > /dev/full", env!("CARGO_BIN_EXE_ringmq")])
        .arg(stored.path());
    run(command).assert_refused(66, &["standard output", "No space left"]);
}
