//! The protocol, whatever bytes come; commands and what their replies hold; slots.

use super::cluster::slot_of;
use super::command::Command;
use super::resp::{Reply, read_reply, write_command};
use super::tables::rules_of_fields;
use crate::sources::lookup::{Row, rules_of, tests::entry};
use proptest::prelude::*;
use ringmq_core::authorization::{Actions, Permission, TopicMatch};
use serde_json::json;

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

#[test]
fn replies_are_read_whole_or_not_at_all() {
    let cases = [
        ("+OK\r\n", Reply::Simple("OK".into())),
        ("-WRONGPASS no\r\n", Reply::Error("WRONGPASS no".into())),
        (":-7\r\n", Reply::Integer(-7)),
        ("$-1\r\n", Reply::Nil),
        ("*-1\r\n", Reply::Nil),
        ("$0\r\n\r\n", bulk("")),
        ("$4\r\na\r\nb\r\n", bulk("a\r\nb")),
        (
            "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            Reply::Array(vec![bulk("a"), Reply::Array(vec![Reply::Integer(1)])]),
        ),
    ];
    for (text, expected) in cases {
        let bytes = format!("{text}+more");
        assert_eq!(read_reply(bytes.as_bytes()), Ok(Some((expected, text.len()))), "{text:?}");
        for end in 0..text.len() {
            assert_eq!(read_reply(&text.as_bytes()[..end]), Ok(None), "{text:?} up to {end}");
        }
    }
    for text in ["?\r\n", "\r\n", "$x\r\n", "$-2\r\n", "$1\r\nab\r\n", "$99999999999\r\n", ":1x\r\n"] {
        assert!(read_reply(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(read_reply("*1\r\n".repeat(9).as_bytes()).is_err(), "arrays in arrays without end");
    assert!(read_reply(&vec![b'+'; (1 << 20) + 1]).is_err(), "a line without end");
}

proptest! {
    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(prop::sample::select(b"*$+-:019\r\na".to_vec()), 0..64)) {
        if let Ok(Some((_, taken))) = read_reply(&bytes) {
            prop_assert!(taken <= bytes.len());
        }
    }
}

#[test]
fn what_a_client_says_of_itself_is_one_word() {
    let command = Command::parse("hmget mqtt:${username} password_hash salt").unwrap();
    let key = command.key.fill(&entry("c", Some("a b\r\nDEL x"), None)).unwrap();
    let mut bytes = Vec::new();
    write_command(&command.words(&key), &mut bytes);
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "*4\r\n$5\r\nHMGET\r\n$15\r\nmqtt:a b\r\nDEL x\r\n$13\r\npassword_hash\r\n$4\r\nsalt\r\n"
    );
    let reply = Reply::Array(vec![bulk("h"), Reply::Nil]);
    assert_eq!(json!(command.read(reply).unwrap()), json!({"password_hash": "h"}));
    assert!(command.read(Reply::Array(vec![bulk("h")])).is_err());
    for text in [
        "",
        "GET x:${username}",
        "HMGET mqtt:${username}",
        "HGETALL x",
        "HGET k:${clientid} a b",
        "HGETALL ${u}",
    ] {
        assert!(Command::parse(text).unwrap_err().to_string().starts_with("cmd: "), "{text}");
    }
}

#[test]
fn fields_are_rules_that_allow() {
    let fields = json!({
        "a/#": "publish",
        "b": "all",
        "c": r#"{"action": "subscribe", "qos": [1, 2]}"#,
        "A": "everything",
    });
    let rows = rules_of_fields(fields.as_object().cloned().unwrap());
    let mut faults = 0;
    let rules = rules_of(rows, &entry("c", None, None), |_| faults += 1);
    assert_eq!((rules.len(), faults), (4, 1));
    assert!(rules[..3].iter().all(|rule| rule.permission == Permission::Allow));
    assert_eq!(rules[0].actions, Actions::PUBLISH);
    assert_eq!((rules[3].permission, &rules[3].topic), (Permission::Deny, &TopicMatch::Any));
    assert_eq!(rules_of_fields(Row::new()).len(), 0);
}

#[test]
fn keys_belong_to_the_slots_that_the_specification_says() {
    // The check value of CRC16/XMODEM is 0x31C3 = 12739.
    assert_eq!(slot_of(b"123456789"), 12_739);
    assert_eq!(slot_of(b"foo{hash_tag}bar"), slot_of(b"hash_tag"));
    assert_eq!(slot_of(b"foo{}{bar}"), slot_of(b"foo{}{bar}"));
    assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
}
