//! The verdict of every scenario with messages can be either: a flawless broker passes, and each fault is named.

use crate::broker::{Fault, start};
use serde_json::Value;
use std::process::Command;
use std::thread;

/// Runs a scenario against the faulty broker and returns exit code and report.
fn run(fault: Fault, command: &str) -> (Option<i32>, Value) {
    let port = start(fault).to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
        .args(command.split(' '))
        .args(["--port", &port, "--json"])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), report)
}

#[track_caller]
fn passes(command: &str) -> Value {
    let (code, report) = run(Fault::None, command);
    assert_eq!((code, &report["failures"]), (Some(0), &Value::Array(Vec::new())), "{command}: {report:#}");
    report
}

/// With a timeout for runs that miss something, which end by it.
fn in_time(command: &str) -> String {
    format!("{command} --timeout 2")
}

/// Runs what mostly waits beside one another.
pub fn at_once<T: Send, const N: usize>(cases: [T; N], run: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| run(case));
        }
    });
}

/// The same for several faults, one broker each.
fn fail<const N: usize>(cases: [(Fault, &str, &str); N]) {
    at_once(cases, |(fault, command, counter)| fails(fault, command, counter));
}

/// The fault is counted as exactly one of `counter`, and nothing else is found.
fn fails(fault: Fault, command: &str, counter: &str) {
    let (code, report) = run(fault, command);
    assert_eq!(code, Some(1), "{command}: {report:#}");
    for key in ["lost", "duplicated", "out_of_order", "damaged", "disconnected", "acks_unexpected"] {
        assert_eq!(report[key], u64::from(key == counter), "{command}: {key} in {report:#}");
    }
}

const FANOUT: &str = "fanout --subscribers 3 --seconds 0.4 --warmup 0 --drain 2";
const FANIN: &str = "fanin --publishers 6 --subscribers 3 --seconds 0.4 --warmup 0 --drain 2";
const SHARED: &str = "fanin --publishers 6 --subscribers 3 --shared g --seconds 0.4 --warmup 0 --drain 2";
const WILD: &str =
    "wild --publishers 4 --clients 6 --filters 60 --matching 4 --seconds 0.4 --warmup 0 --drain 2";
const RETAIN: &str = "retain --messages 200 --publishers 3";
const OFFLINE: &str = "offline --sessions 5 --messages 20 --publishers 2";

#[test]
fn a_flawless_broker_passes_every_scenario_at_every_qos_and_version() {
    at_once(["--qos 0 --mqtt 4", "--qos 1 --mqtt 5", "--qos 2 --mqtt 4 --threads 2"], |more| {
        for scenario in [FANOUT, FANIN, SHARED, WILD] {
            let report = passes(&format!("{scenario} {more}"));
            assert!(report["delivered"].as_u64() > Some(50), "{report:#}");
        }
        let report = passes(&format!("{RETAIN} {more} --subscribers 2"));
        assert_eq!(report["delivered"], 400, "{report:#}");
        if !more.contains("--qos 0") {
            let report = passes(&format!("{OFFLINE} {more}"));
            assert_eq!((&report["queued"], &report["delivered"]), (&Value::from(100), &Value::from(100)));
            let report = passes(&format!("{OFFLINE} {more} --fanout 2"));
            assert_eq!((&report["queued"], &report["delivered"]), (&Value::from(60), &Value::from(100)));
        }
    });
}

#[test]
fn durable_starts_only_what_is_ringmq_and_gives_each_publisher_a_topic() {
    for (options, said) in
        [("--fanout 1", "is not RingMQ"), ("--fanout 20", "100 publishers need a topic each")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
            .args(["durable", "--broker", "/bin/true"])
            .args(options.split(' '))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
}

#[test]
fn a_group_that_loses_or_shares_a_message_fails() {
    let acknowledged = format!("{SHARED} --qos 1");
    fail([
        (Fault::Lose, SHARED, "lost"),
        (Fault::Duplicate, &acknowledged, "duplicated"),
        (Fault::Stray, &acknowledged, "duplicated"),
    ]);
}

#[test]
fn a_match_too_few_or_too_many_fails() {
    fail([
        (Fault::Lose, WILD, "lost"),
        (Fault::Stray, WILD, "damaged"),
        (Fault::Lose, FANOUT, "lost"),
        (Fault::Lose, FANIN, "lost"),
    ]);
}

#[test]
fn retained_messages_that_are_missing_doubled_or_not_flagged_fail() {
    at_once([Fault::Lose, Fault::Duplicate, Fault::Unflagged], |fault| match fault {
        Fault::Lose => fails(fault, &in_time(RETAIN), "lost"),
        Fault::Duplicate => fails(fault, &in_time(RETAIN), "duplicated"),
        _ => {
            let (code, report) = run(fault, &in_time(RETAIN));
            let found = (code, &report["damaged"], &report["lost"]);
            assert_eq!(found, (Some(1), &Value::from(200), &Value::from(200)));
        }
    });
}

#[test]
fn retained_messages_are_cleared_unless_kept() {
    at_once([("", 0), (" --keep", 7)], |(more, left)| {
        let port = start(Fault::None).to_string();
        let bench = |command: &str| {
            let mut process = Command::new(env!("CARGO_BIN_EXE_ringmq-bench"));
            let output = process.args(command.split(' ')).args(["--port", &port, "--json"]).output().unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.code(), report)
        };
        assert_eq!(bench(&format!("retain --messages 20{more}")).0, Some(0));
        // The topics beyond the 13 of this run are still there if the first one kept them.
        let (code, report) = bench("retain --messages 13 --timeout 30");
        assert_eq!((code, &report["damaged"]), (Some(i32::from(left > 0)), &Value::from(left)), "{report:#}");
    });
}

#[test]
fn queued_messages_that_are_missing_doubled_or_swapped_fail() {
    fail([
        (Fault::Lose, &in_time(OFFLINE), "lost"),
        (Fault::Duplicate, &in_time(OFFLINE), "duplicated"),
        (Fault::Swap, &in_time(OFFLINE), "out_of_order"),
    ]);
}

#[test]
fn a_forgotten_session_fails() {
    let (code, report) = run(Fault::Forget, &in_time(OFFLINE));
    assert_eq!(code, Some(1), "{report:#}");
    assert!(
        report["first_failure"].as_str().is_some_and(|cause| cause.contains("session present")),
        "{report:#}"
    );
}

#[test]
fn an_open_loop_counts_the_wait_of_messages_that_could_not_be_sent() {
    let command = "pairs --publishers 2 --subscribers 2 --rate 1000 --seconds 1 --warmup 0";
    let report = passes(command);
    assert_eq!(report["offered_per_s"], 1000.0);
    assert!(report["send_lag_max_us"].is_number() && report["achieved_of_offered"].is_number(), "{report:#}");
    // The broker sleeps for 400 of 1,000 ms. In a closed loop no more than the 64 messages in the windows would notice;
    // here every message that was due meanwhile does, which is about 400 of 1,000, 300 of them by 100 ms or more.
    let (code, report) = run(Fault::Pause, command);
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["latency_p90_us"].as_f64() > Some(100_000.0), "{report:#}");
}

#[test]
fn clients_with_nothing_to_say_stay_within_their_keep_alive() {
    at_once(["storm --connections 4 --within 6", "conn --connections 4 --hold 5"], |scenario| {
        passes(&format!("{scenario} --keep-alive 2"));
    });
}

#[test]
fn every_report_says_where_and_how_it_was_made() {
    let report = passes(&format!("{FANOUT} --mqtt 5 --seconds 1.1"));
    assert!(report["command_line"].as_str().is_some_and(|line| line.contains(FANOUT)), "{report:#}");
    assert!(report["host"]["kernel"].is_string() && report["latency_p9999_us"].is_number(), "{report:#}");
    assert!(report["latency_cdf"].as_array().is_some_and(|curve| curve.len() > 100), "{report:#}");
    assert!(report["series"].as_array().is_some_and(|series| !series.is_empty()), "{report:#}");
}

#[test]
fn named_scenarios_and_files_run_with_options_beside_them() {
    let (code, report) =
        run(Fault::None, "run fanout-1-1K --subscribers 5 --seconds 0.5 --warmup 0 --rate 100");
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!((&report["scenario"], &report["subscribers"]), (&Value::from("fanout"), &Value::from(5)));
    assert_eq!(run(Fault::None, "run fanout-1-1K --subscriber 5").0, Some(2));
    assert_eq!(run(Fault::None, "run nothing").0, Some(2));
}
