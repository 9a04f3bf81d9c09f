//! `ringmq capacity`: what is printed, what is refused, and that this host's limits are judged.

use crate::process::{Outcome, run_ringmq};
use serde_json::Value;

const BROKER: [&str; 2] = ["--set", "node.shards=2"];

fn capacity(line: &str) -> Outcome {
    let words: Vec<&str> = ["capacity"].into_iter().chain(BROKER).chain(line.split_whitespace()).collect();
    run_ringmq(&words)
}

fn json(line: &str) -> Value {
    let outcome = capacity(&format!("{line} --json"));
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.stdout))
}

#[test]
fn a_small_load_fits_and_the_plan_has_every_part() {
    let outcome = capacity("--connections 10 --rate 1/s --qos 1");
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    for part in
        ["memory of the process", "memory of the kernel", "cores kept busy", "descriptors", "network in"]
    {
        assert!(outcome.stdout.contains(part), "`{part}` is not in {}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("note: measured on another machine"), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with("\nthis host can\n"), "{}", outcome.stdout);
}

#[test]
fn a_load_no_host_carries_is_code_1_with_the_first_limit_first() {
    let plan = json(
        "--connections 900M --rate 5G/s --payload 1k --retained 10G --offline 100M --durability wal --tls",
    );
    assert_eq!(plan["fits"], false);
    let reached: Vec<f64> = plan["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|limit| limit["reached_at"].as_f64().unwrap())
        .collect();
    assert!(reached[0] < 1.0 && reached.is_sorted(), "{reached:?}");
    let outcome = capacity("--connections 900M");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains("tune.sh apply --connections 900000000"), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with("\nthis host cannot: see the remedies above\n"), "{}", outcome.stdout);
}

#[test]
fn twice_the_clients_take_twice_what_is_not_fixed() {
    let share = |plan: &Value, name: &str| {
        let shares = plan["memory"]["process"].as_array().unwrap();
        shares.iter().find(|share| share["purpose"] == name).unwrap()["bytes"].as_f64().unwrap()
    };
    let (one, two) = (json("--connections 50k"), json("--connections 100k"));
    for purpose in ["connections", "sessions", "subscriptions"] {
        assert!((share(&two, purpose) - 2.0 * share(&one, purpose)).abs() <= 1.0, "{purpose}: {one} {two}");
    }
    assert_eq!(share(&two, "process and shards"), share(&one, "process and shards"));
}

#[test]
fn bounds_are_those_of_the_zone_that_the_clients_come_through() {
    let queue_of = |line: &str| {
        let settings = "--set mqtt.max_mqueue_len=100 --set zones.small.mqtt.max_mqueue_len=10";
        let plan = json(&format!("{settings} --connections 10 --offline 500 --offline-sessions 10 {line}"));
        let limits = plan["limits"].as_array().unwrap();
        let limit = limits.iter().find(|limit| limit["name"] == "queue of one session").unwrap();
        (limit["available"].as_f64().unwrap(), limit["remedy"].as_str().unwrap().to_owned())
    };
    assert_eq!(queue_of(""), (100.0, "raise mqtt.max_mqueue_len".to_owned()));
    assert_eq!(queue_of("--zone small"), (10.0, "raise zones.small.mqtt.max_mqueue_len".to_owned()));
    let general = queue_of("--set zones.default.mqtt.max_mqueue_len=20");
    assert_eq!(general, (20.0, "raise zones.default.mqtt.max_mqueue_len".to_owned()));
    capacity("--connections 1 --zone nowhere").assert_refused(1, &["--zone nowhere", "\"default\""]);
}

#[test]
fn wrong_numbers_and_files_are_refused() {
    for line in [
        "",
        "--connections many",
        "--connections 1.5",
        "--connections 1 --rate 5/m",
        "--connections 1 --qos 3",
    ] {
        let outcome = capacity(line);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
    }
    capacity("--connections 1 --calibration nowhere.toml")
        .assert_refused(1, &["--calibration \"nowhere.toml\"", "ringmq-bench calibrate"]);
}
