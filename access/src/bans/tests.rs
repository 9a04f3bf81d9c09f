//! Who is found, what is kept, and what is refused.

use super::*;
use ringmq_core::authorization::Subject;
use ringmq_core::config::Duration;
use ringmq_core::time::Timestamp;
use std::net::IpAddr;

fn subject(client_id: &str, user_name: Option<&str>, address: &str) -> Subject {
    Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new(client_id, (address.parse::<IpAddr>().unwrap(), 1000).into())
    }
}

fn ban(kind: BannedKind, who: &str, until_s: Option<u64>) -> Ban {
    Ban { who: Banned::parse(kind, who).unwrap(), by: "test".into(), reason: "why".into(), at_s: 1, until_s }
}

const KINDS: [(BannedKind, &str); 6] = [
    (BannedKind::Client, "c1"),
    (BannedKind::User, "bob"),
    (BannedKind::Host, "::ffff:10.0.0.1"),
    (BannedKind::Network, "10.7.3.4/16"),
    (BannedKind::ClientPattern, "^dev-[0-9]+$"),
    (BannedKind::UserPattern, "evil"),
];

#[test]
fn each_kind_finds_whom_it_is_for_while_it_holds() {
    let subjects = [
        subject("c1", None, "1.1.1.1"),
        subject("x", Some("bob"), "1.1.1.1"),
        subject("x", None, "10.0.0.1"),
        subject("x", Some("y"), "::ffff:10.7.200.1"),
        subject("dev-77", None, "1.1.1.1"),
        subject("x", Some("devilish"), "1.1.1.1"),
    ];
    for ((kind, who), meant) in KINDS.into_iter().zip(&subjects) {
        let mut bans = Bans::default();
        bans.add(ban(kind, who, Some(100))).unwrap();
        for other in &subjects {
            let found = bans.find(other, 99).map(|ban| ban.who.kind());
            assert_eq!(found, (other == meant).then_some(kind), "{kind:?} {other:?}");
            assert!(bans.find(other, 100).is_none(), "{kind:?}");
        }
        bans.add(ban(kind, who, None)).unwrap();
        assert_eq!((bans.len(), bans.remove_expired(u64::MAX)), (1, 0), "{kind:?}");
        assert!(bans.find(meant, u64::MAX).is_some(), "{kind:?}");
        assert!(
            bans.remove(kind, who).is_some() && bans.is_empty() && bans.find(meant, 0).is_none(),
            "{kind:?}"
        );
    }
}

#[test]
fn the_file_keeps_what_holds() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Bans::load(folder.path(), 0).unwrap().is_empty());
    let mut bans = Bans::default();
    for (at, (kind, who)) in KINDS.into_iter().enumerate() {
        bans.add(ban(kind, who, (at > 0).then_some(at as u64 * 10))).unwrap();
    }
    bans.save(folder.path()).unwrap();
    let describe = |bans: &Bans| {
        let mut all: Vec<_> =
            bans.iter().map(|ban| format!("{:?} {} {:?}", ban.who.kind(), ban.who, ban.until_s)).collect();
        all.sort();
        all
    };
    assert_eq!(describe(&Bans::load(folder.path(), 9).unwrap()), describe(&bans));
    let mut later = Bans::load(folder.path(), 30).unwrap();
    assert_eq!(bans.remove_expired(30), 3);
    assert_eq!(describe(&later), describe(&bans));
    assert_eq!(later.remove_expired(1000), 2);
    assert_eq!(later.len(), 1);
}

#[test]
fn a_wrong_file_names_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Bans::FILE_NAME);
    let header = "{\"format\":\"ringmq-banned\",\"version\":1}\n";
    for (text, expected) in [
        ("".to_owned(), "banned.jsonl:1: the first line must be"),
        (format!("{header}\n{{\"as\":\"clientid\"}}\n"), "banned.jsonl:3: not a ban: missing field `who`"),
        (
            format!("{header}{{\"as\":\"peerhost\",\"who\":\"x\",\"at\":1}}"),
            "banned.jsonl:2: peerhost \"x\" is not an IP address",
        ),
        (
            format!("{header}{{\"as\":\"clientid_re\",\"who\":\"(?=a)\",\"at\":1}}"),
            "banned.jsonl:2: look-around",
        ),
        (
            format!("{header}{{\"as\":\"clientid\",\"who\":\"\",\"at\":1}}"),
            "banned.jsonl:2: a clientid of 0 bytes",
        ),
        (format!("{header}{}", " ".repeat(2 << 20)), "banned.jsonl:2: the line has more than 1048576 bytes"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = Bans::load(folder.path(), 0).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_list_is_bounded() {
    let mut bans = Bans::default();
    for number in 0..PATTERNS_MAX {
        bans.add(ban(BannedKind::UserPattern, &format!("x{number}."), None)).unwrap();
    }
    let changes = bans.changes();
    assert!(matches!(bans.add(ban(BannedKind::ClientPattern, "y.", None)), Err(BanError::TooManyPatterns)));
    let long = Ban { reason: "x".repeat(5000).into(), ..ban(BannedKind::User, "a", None) };
    assert!(matches!(bans.add(long), Err(BanError::TooLong("reason", 4096))));
    assert_eq!(bans.changes(), changes);
    bans.add(ban(BannedKind::UserPattern, "x0.", Some(5))).unwrap();
    assert_eq!(bans.len(), PATTERNS_MAX);
}

#[test]
fn a_client_that_parts_too_often_within_the_window_is_noticed_once() {
    let config = FlappingConfig { enable: true, max_count: 3, ..FlappingConfig::default() };
    assert!(Flapping::new(&FlappingConfig::default()).is_none());
    let mut flapping = Flapping::new(&config).unwrap();
    let at = Timestamp::from_ms;
    for (client, ms, is_banned) in [
        ("a", 0, false),
        ("b", 0, false),
        ("a", 10, false),
        ("a", 59_999, true),
        ("a", 60_000, false),
        ("b", 59_000, false),
        // Its window began at 0 and is over.
        ("b", 60_000, false),
        ("b", 61_000, false),
        ("b", 62_000, true),
    ] {
        assert_eq!(flapping.handle_parting(client, at(ms)), is_banned, "{client} {ms}");
    }
}

#[test]
fn any_number_of_clients_takes_the_same_memory() {
    let config = FlappingConfig {
        enable: true,
        max_count: 2,
        window_time: Duration::INFINITY,
        ..FlappingConfig::default()
    };
    let mut flapping = Flapping::new(&config).unwrap();
    for number in 0..300_000_u64 {
        assert!(!flapping.handle_parting(&format!("client-{number}"), Timestamp::from_ms(number)));
    }
    // Those that came last are still known.
    let known = (299_000..300_000)
        .filter(|number| flapping.handle_parting(&format!("client-{number}"), Timestamp::from_ms(300_000)));
    assert!(known.count() > 900);
}
