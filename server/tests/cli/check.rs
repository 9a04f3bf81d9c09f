//! `ringmq check`: one line per finding, and nothing is started or left behind.

use crate::process::{ringmq, run};
use std::net::TcpListener;

fn check(settings: &[&str]) -> (Option<i32>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let apart = [
        "--set",
        "listeners.tcp.default.bind=127.0.0.1:0",
        "--set",
        "dashboard.listeners.http.bind=127.0.0.1:0",
    ];
    let outcome = run(ringmq(directory.path(), &[&["check"][..], &apart, &settings].concat()));
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "check left something behind");
    (outcome.code, outcome.stdout.lines().map(str::to_owned).collect())
}

#[test]
fn good_host_has_a_line_for_everything_and_code_0() {
    let (code, lines) = check(&["node.shards=2"]);
    assert_eq!(code, Some(0), "{lines:#?}");
    for name in
        ["config: ", "kernel: ", "io_uring: ", "descriptors: ", "locked memory: ", "data_dir: ", "port: "]
    {
        assert!(lines.iter().any(|line| line[4..].trim_start().starts_with(name)), "no {name} in {lines:#?}");
    }
    assert!(lines.iter().all(|line| line.starts_with("ok    ") || line.starts_with("warn  ")), "{lines:#?}");
}

#[test]
fn taken_port_fails_with_the_key_and_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, lines) = check(&[&format!("listeners.tcp.lan.bind={address}")]);
    assert_eq!(code, Some(1), "{lines:#?}");
    let fail = format!("fail  port: listeners.tcp.lan.bind = \"{address}\": ");
    assert!(lines.iter().any(|line| line.starts_with(&fail)), "{lines:#?}");
}

#[test]
fn promised_clients_beyond_the_limit_are_a_warning() {
    let (code, lines) = check(&["listeners.tcp.default.max_connections=1000000000"]);
    assert_eq!(code, Some(0), "{lines:#?}");
    let warning = lines.iter().find(|line| line.starts_with("warn  descriptors: "));
    let warning = warning.unwrap_or_else(|| panic!("no warning in {lines:#?}"));
    assert!(warning.ends_with("or lower listeners.tcp.default.max_connections"), "{warning}");
}

#[test]
fn data_dir_that_cannot_be_written_fails() {
    let (code, lines) = check(&["node.data_dir=/dev/null/data"]);
    assert_eq!(code, Some(1), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("fail  data_dir: node.data_dir = ")), "{lines:#?}");
}

#[test]
fn wrong_configuration_is_refused_with_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = run(ringmq(directory.path(), &["check", "--set", "mqtt.max_inflight=0"]));
    outcome.assert_refused(1, &["mqtt.max_inflight = 0 (--set): must be a whole number from 1 to 65535"]);
}
