mod population;

use super::*;
use crate::clock::Clock;
use crate::shard::WallClock;
use crate::store::{Kept, Store};
use population::{Client, Held, SEED, Waiting, Writer, put, read, session, write};
use ringmq_core::config::ByteSize;
use ringmq_core::routing::ShardId;
use ringmq_persistence::record::{
    Applied, Body, ForwardTarget, Forwarding, Queued, Record, Session, Subscription,
};
use ringmq_persistence::tools::dump;
use std::collections::BTreeMap;

fn config() -> DataPlaneConfig {
    let mut config = DataPlaneConfig::default();
    config.persistence.segment_bytes = ByteSize(64 << 10);
    config
}

/// A data directory with logs for so many shards, and what they hold.
fn populated(shards: usize, seed: u64) -> (tempfile::TempDir, Place, Held) {
    let data = tempfile::tempdir().unwrap();
    let place = Place::of(data.path());
    let held = write(place.shards(), shards, &mut fastrand::Rng::with_seed(seed));
    (data, place, held)
}

fn rehoming(place: &Place, from: usize, to: usize) -> Rehoming<'_> {
    Rehoming::new(place, Layout { shards: from, seed: SEED }, to, &config())
}

fn beside(data: &Path) -> Vec<String> {
    let mut names = names(data).unwrap();
    names.sort_unstable();
    names
}

/// Starts with so many shards and sees that everything is there.
fn start(data: &Path, shards: usize, held: &Held) {
    let mut store = Store::claim(data, shards).unwrap();
    store.rehome(&config(), shards).unwrap();
    assert_eq!(store.layout, Layout { shards, seed: SEED });
    assert_eq!(Layout::read(store.place.shards()).unwrap(), Some(store.layout));
    assert_eq!(read(store.place.shards()), *held);
    let mut expected: Vec<String> = (0..shards).map(|shard| format!("{shard:02}")).collect();
    expected.push(LAYOUT.to_owned());
    assert_eq!(beside(store.place.shards()), expected);
}

/// Starts with the two shards there were and sees that nothing was touched.
fn start_unchanged(data: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let mut store = Store::claim(data, 2).unwrap();
    store.rehome(&config(), 2).unwrap();
    assert_eq!(store.layout, Layout { shards: 2, seed: SEED });
    assert!(contents(store.place.shards()) == *before);
}

/// All files of a directory and what is in them.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 16, ..Default::default() })]
    #[test]
    fn a_population_survives_any_change_of_shards_as_it_was(seed in proptest::prelude::any::<u64>()) {
        let (data, place, held) = populated(1, seed);
        for (from, to) in [(1, 4), (4, 3), (3, 1)] {
            let layout = rehoming(&place, from, to).run().unwrap();
            assert_eq!(layout, Layout { shards: to, seed: SEED });
            assert_eq!(read(place.shards()), held);
            assert_eq!(beside(data.path()), ["shards"]);
        }
    }
}

#[test]
fn any_crash_is_followed_by_a_start_that_goes_on() {
    for steps in 0..=STEPS.len() {
        for next in [2, 3, 5] {
            let (data, place, held) = populated(2, 7);
            let before = contents(place.shards());
            let mut stopped = rehoming(&place, 2, 3);
            for step in &STEPS[..steps] {
                stopped.take(*step).unwrap();
            }
            let is_swapped = STEPS[..steps].contains(&Step::SetAside);
            if next == 2 && !is_swapped {
                start_unchanged(data.path(), &before);
            } else {
                start(data.path(), next, &held);
            }
            assert_eq!(beside(data.path()), ["lock", "shards"], "{steps} steps, then {next} shards");
        }
    }
}

#[test]
fn a_crash_within_a_step_is_followed_by_a_start_that_goes_on() {
    type Interrupt = fn(&Place);
    let cases: [(usize, Interrupt); 6] = [
        // Amid the copy.
        (1, |place| fs::remove_dir_all(place.beside(NEW).join("01")).unwrap()),
        (1, |place| fs::write(place.beside(NEW).join("00/00000001.seg"), "RINGLOG").unwrap()),
        // Amid the declaration.
        (1, |place| fs::write(place.beside(NEW).join(LAYOUT_NEW), "ringmq lay").unwrap()),
        (1, |place| write_marker(&place.beside(NEW), &place.beside(OLD)).unwrap()),
        // Amid the deletion.
        (4, |place| fs::remove_dir_all(place.beside(OLD).join("00")).unwrap()),
        (4, |place| fs::remove_dir_all(place.beside(OLD)).unwrap()),
    ];
    for (index, (steps, interrupt)) in cases.into_iter().enumerate() {
        let (data, place, held) = populated(2, 11);
        let mut stopped = rehoming(&place, 2, 3);
        for step in &STEPS[..steps] {
            stopped.take(*step).unwrap();
        }
        interrupt(&place);
        start(data.path(), 3, &held);
        assert_eq!(beside(data.path()), ["lock", "shards"], "case {index}");
    }
}

#[test]
fn what_a_person_left_beside_the_logs_is_not_deleted() {
    let (data, place, held) = populated(2, 13);
    fs::create_dir(place.beside(OLD)).unwrap();
    fs::write(place.beside(OLD).join("layout"), "a copy").unwrap();
    start(data.path(), 3, &held);
    assert_eq!(beside(data.path()), ["lock", "shards", "shards.old"]);
    assert_eq!(fs::read_to_string(place.beside(OLD).join("layout")).unwrap(), "a copy");
    fs::create_dir(place.beside(NEW)).unwrap();
    fs::write(place.beside(NEW).join("notes"), "").unwrap();
    let refused = Store::claim(data.path(), 3).unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign { path } if *path == place.beside(NEW)), "{refused}");
}

#[test]
fn logs_behind_a_link_stay_there() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(elsewhere.path().join("logs"), data.path().join("shards")).unwrap();
    let place = Place::of(data.path());
    let held = write(place.shards(), 2, &mut fastrand::Rng::with_seed(17));
    start(data.path(), 3, &held);
    assert_eq!(beside(elsewhere.path()), ["logs"]);
    assert!(data.path().join("shards").is_symlink());
}

#[test]
fn logs_without_their_layout_are_refused_and_kept() {
    let (data, place, _) = populated(2, 19);
    fs::remove_file(place.shards().join(LAYOUT)).unwrap();
    let before = contents(place.shards());
    let refused = Store::claim(data.path(), 2).unwrap_err().to_string();
    for text in ["shards/layout: it is missing", "restore it from a backup", "move the directory away"] {
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(contents(place.shards()), before);
}

#[test]
fn a_record_that_is_not_known_stops_everything_and_changes_nothing() {
    let (data, place, _) = populated(2, 23);
    let mut log = Writer::open(&log_directory(place.shards(), 1));
    let record = log.put(0x7f01, b"from later");
    log.sync();
    drop(log);
    let before = contents(place.shards());
    let mut store = Store::claim(data.path(), 3).unwrap();
    let refused = store.rehome(&config(), 3).unwrap_err().to_string();
    for text in ["shards/01: ", &format!("record {record}"), "0x7f01", "set it to 2 as before"] {
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(contents(place.shards()), before);
    assert_eq!(beside(data.path()), ["lock", "shards"]);
    drop(store);
    start_unchanged(data.path(), &before);
}

/// A log of one shard with two messages for a client, the body of the first one damaged on disk.
fn damaged() -> (tempfile::TempDir, Place, Held) {
    let data = tempfile::tempdir().unwrap();
    let place = Place::of(data.path());
    let log = log_directory(place.shards(), 0);
    Layout { shards: 1, seed: SEED }.write(place.shards()).unwrap();
    let mut writer = Writer::open(&log);
    let session = session("client", &mut fastrand::Rng::with_seed(1));
    let stored = Session { number: 4, ..session.clone() };
    put!(writer, stored);
    for text in ["the first message", "the second message"] {
        let body = writer.body("news", text);
        let (session, packet_id, identifiers) = (4, None, &[][..]);
        let queued =
            Queued { session, body, packet_id, replaces: 0, share: 0, qos: 1, retain: false, identifiers };
        put!(writer, queued);
        writer.sync();
    }
    drop(writer);
    let segment = log.join("00000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|window| window == b"the first").unwrap();
    bytes[at] ^= 1;
    fs::write(segment, bytes).unwrap();
    let waiting = Waiting::Message {
        packet_id: None,
        text: "the second message".to_owned(),
        share: 0,
        qos: 1,
        retain: false,
        identifiers: Vec::new(),
    };
    let client =
        Client { session, subscriptions: BTreeMap::new(), waiting: vec![waiting], received: Vec::new() };
    let held = Held { clients: BTreeMap::from([("client".to_owned(), client)]), retained: BTreeMap::new() };
    (data, place, held)
}

#[test]
fn damaged_logs_are_kept_whatever_interrupts() {
    for steps in 0..=STEPS.len() {
        let (data, place, held) = damaged();
        let before = contents(place.shards());
        fs::create_dir(place.beside(".damaged-1")).unwrap();
        let mut stopped = rehoming(&place, 1, 2);
        for step in &STEPS[..steps] {
            stopped.take(*step).unwrap();
        }
        assert_eq!(stopped.moved.lost, u64::from(steps > 0));
        start(data.path(), 2, &held);
        assert_eq!(beside(data.path()), ["lock", "shards", "shards.damaged-1", "shards.damaged-2"]);
        let kept = contents(&place.beside(".damaged-2"));
        assert!(kept.values().eq(before.values()), "kept as they were");
    }
}

#[test]
fn segments_set_aside_earlier_are_kept() {
    let (data, place, held) = populated(1, 29);
    fs::write(log_directory(place.shards(), 0).join("00000000.seg.damaged"), "an operator's").unwrap();
    start(data.path(), 2, &held);
    assert!(place.beside(".damaged-1").join("00/00000000.seg.damaged").exists());
}

#[test]
fn damage_is_refused_where_it_is_not_tolerated() {
    let (data, place, _) = damaged();
    let before = contents(place.shards());
    let mut strict = config();
    strict.persistence.strict = true;
    let mut store = Store::claim(data.path(), 2).unwrap();
    let refused = store.rehome(&strict, 2).unwrap_err().to_string();
    assert!(refused.contains("shards/00: ") && refused.contains("ringmq log verify"), "{refused}");
    assert_eq!(contents(place.shards()), before);
    assert_eq!(beside(data.path()), ["lock", "shards"]);
}

#[test]
fn a_body_goes_once_to_each_shard_that_needs_it() {
    let data = tempfile::tempdir().unwrap();
    let place = Place::of(data.path());
    Layout { shards: 1, seed: SEED }.write(place.shards()).unwrap();
    let mut writer = Writer::open(&log_directory(place.shards(), 0));
    let body = writer.body("news", "for all");
    for number in 1..=40 {
        let session = session(&format!("client-{number}"), &mut fastrand::Rng::with_seed(number));
        let stored = Session { number, ..session };
        put!(writer, stored);
        let (session, packet_id, identifiers) = (number, None, &[][..]);
        let queued =
            Queued { session, body, packet_id, replaces: 0, share: 0, qos: 1, retain: false, identifiers };
        put!(writer, queued);
    }
    writer.sync();
    let mut going = rehoming(&place, 1, 3);
    STEPS.iter().for_each(|step| going.take(*step).unwrap());
    assert_eq!((going.moved.sessions, going.moved.messages), (40, 40));
    assert!(read(place.shards()).clients.values().all(|client| client.waiting.len() == 1));
    for shard in 0..3 {
        let mut bodies = 0;
        let count = |_, kind, _: &[u8]| bodies += usize::from(kind == Body::KIND);
        dump(&log_directory(place.shards(), shard), count).unwrap();
        assert_eq!(bodies, 1, "shard {shard}");
    }
}

/// Logs of two shards: the first one has two messages on their way to the second one, which has a client for them and stored these
/// texts, the first of the two last, before the crash.
fn on_the_way(stored: &[String]) -> (tempfile::TempDir, Place, String) {
    let data = tempfile::tempdir().unwrap();
    let place = Place::of(data.path());
    Layout { shards: 2, seed: SEED }.write(place.shards()).unwrap();
    let mut names = (0..).map(|number| format!("client-{number}"));
    let client_id = names.find(|name| ShardId::home_of(name, 2) == ShardId(1)).unwrap();
    let mut sender = Writer::open(&log_directory(place.shards(), 0));
    for (sequence, text) in [(1, "one"), (2, "two")] {
        let body = sender.body("news", text);
        let target = ForwardTarget { shard: 1, deliver: true, retain: false, shares: Vec::new() };
        put!(sender, Forwarding { sequence, body, targets: vec![target] });
    }
    let mut receiver = Writer::open(&log_directory(place.shards(), 1));
    let owner = session(&client_id, &mut fastrand::Rng::with_seed(3));
    put!(
        receiver,
        Session { number: 1, will: None, expires_at_ms: None, expiry_interval_s: u32::MAX, ..owner }
    );
    put!(
        receiver,
        Subscription {
            session: 1,
            filter: "news".to_owned(),
            qos: 2,
            no_local: false,
            retain_as_published: false,
            retain_handling: 0,
            identifier: Some(8),
        }
    );
    for text in stored {
        let body = receiver.body("news", text);
        let (session, packet_id, identifiers) = (1, None, &[8][..]);
        let queued =
            Queued { session, body, packet_id, replaces: 0, share: 0, qos: 1, retain: false, identifiers };
        put!(receiver, queued);
    }
    put!(receiver, Applied { from: 0, sequence: 1 });
    sender.sync();
    receiver.sync();
    (data, place, client_id)
}

/// Starts with three shards and sees that the client waits for what was stored, and then for the second of the two messages.
fn start_settled(config: &DataPlaneConfig, stored: &[String]) {
    let (data, place, client_id) = on_the_way(stored);
    let mut store = Store::claim(data.path(), 3).unwrap();
    let unsettled = store.rehome(config, 3).unwrap_err();
    assert!(matches!(unsettled, StoreError::Unsettled { shards: 2 }), "{unsettled}");
    drop(store);
    let mut config = config.clone();
    config.node.data_dir = data.path().to_owned();
    drop(Kept::open(&config, 3, WallClock::at(Clock::start().now())).unwrap());
    let held = read(place.shards());
    let texts = stored.iter().cloned().chain(["two".to_owned()]);
    let expected = texts.map(|text| Waiting::Message {
        packet_id: None,
        text,
        share: 0,
        qos: 1,
        retain: false,
        identifiers: vec![8],
    });
    assert_eq!(held.clients[&client_id].waiting, expected.collect::<Vec<_>>());
    assert_eq!(beside(data.path()), ["lock", "shards"]);
}

#[test]
fn what_was_on_its_way_between_shards_arrives_once() {
    start_settled(&config(), &["one".to_owned()]);
}

#[test]
fn what_was_on_its_way_arrives_in_a_log_that_is_full() {
    let mut config = config();
    config.persistence.max_bytes = ByteSize(16 * config.persistence.segment_bytes.0);
    let large = |number| format!("{number:20000}");
    let stored: Vec<String> = (0..60).map(large).chain(["one".to_owned()]).collect();
    start_settled(&config, &stored);
}
