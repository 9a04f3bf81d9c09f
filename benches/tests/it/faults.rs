//! Each fault is found, named and turned into an exit code; a flawless broker passes.

use crate::broker::{FAULT_AT, Fault, start};
use crate::scenarios::at_once;
use serde_json::Value;
use std::process::Command;

/// Runs `pairs` with one pair (the faulty broker swaps neighbours, which are then of the same publisher) and returns
/// exit code and report.
fn pairs(fault: Fault, more: &[&str]) -> (Option<i32>, Value) {
    let port = start(fault).to_string();
    let arguments = ["pairs", "--port", &port, "--publishers", "1", "--subscribers", "1", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
        .args(arguments)
        .args(["--seconds", "0.4", "--warmup", "0", "--payload", "40", "--drain", "2"])
        .args(more)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report)
}

/// The fault is counted as exactly one of `counter`, and nothing else is found.
#[track_caller]
fn check(fault: Fault, more: &[&str], counter: &str, exit_code: i32) {
    let (code, report) = pairs(fault, more);
    assert_eq!(code, Some(exit_code), "{report:#}");
    for key in ["lost", "duplicated", "out_of_order", "damaged", "disconnected", "acks_unexpected"] {
        // A damaged message is not delivered, so it is lost as well.
        let is_expected = key == counter || (counter == "damaged" && key == "lost");
        assert_eq!(report[key], u64::from(is_expected), "{key} in {report:#}");
    }
    assert!(report["delivered"].as_u64() > Some(FAULT_AT), "the fault never happened: {report:#}");
}

#[test]
fn a_flawless_broker_passes_at_every_qos() {
    at_once(["0", "1", "2"], |qos| {
        let (code, report) = pairs(Fault::None, &["--qos", qos]);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["failures"], Value::Array(Vec::new()));
        assert_eq!(report["handshakes_open"], 0);
    });
}

#[test]
fn a_lost_message_is_found() {
    let cases: [(&[&str], i32); 3] = [(&["--qos", "0"], 1), (&["--qos", "1"], 1), (&["--allow-loss"], 0)];
    at_once(cases, |(more, code)| check(Fault::Lose, more, "lost", code));
}

#[test]
fn a_duplicate_is_found_and_forgiven_at_qos_1_only() {
    check(Fault::Duplicate, &["--qos", "0"], "duplicated", 1);
    check(Fault::Duplicate, &["--qos", "1"], "duplicated", 0);
}

#[test]
fn reordering_is_found() {
    check(Fault::Swap, &["--qos", "0"], "out_of_order", 1);
    check(Fault::Swap, &["--qos", "1"], "out_of_order", 1);
}

#[test]
fn damaged_and_misrouted_messages_are_found() {
    check(Fault::Damage, &[], "damaged", 1);
    check(Fault::WrongTopic, &[], "damaged", 1);
}

#[test]
fn a_lost_connection_fails_the_run() {
    let (code, report) = pairs(Fault::Disconnect, &["--drain", "0.5"]);
    assert_eq!((code, &report["disconnected"]), (Some(1), &Value::from(1)), "{report:#}");
}

#[test]
fn a_refused_connection_ends_the_run_at_once() {
    let (code, report) = pairs(Fault::RefuseConnect, &[]);
    assert_eq!((code, report), (Some(2), Value::Null));
}

#[test]
fn connections_are_counted_and_refusals_reported() {
    at_once([(Fault::None, 50, 0), (Fault::RefuseConnect, 0, 1)], |(fault, connected, exit_code)| {
        let port = start(fault).to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
            .args(["conn", "--port", &port, "--connections", "50", "--subscribe", "--json"])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &report["connected"]), (Some(exit_code), &Value::from(connected)));
    });
}
