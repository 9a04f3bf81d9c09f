//! `report` as a user runs it: files in, one page out.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn report(folder: &Path, files: &[(&str, &Value)]) -> Output {
    for (name, result) in files {
        fs::write(folder.join(name), result.to_string()).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
        .current_dir(folder)
        .arg("report")
        .args(files.iter().map(|(name, _)| name))
        .args(["-o", "page.html"])
        .output()
        .unwrap()
}

#[test]
fn results_become_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let run = |p50: f64| {
        json!({ "scenario": "pairs", "delivered_per_s": 4_000, "latency_cdf": [[0.5, p50], [0.99, 90.0]],
                "series": [{ "t_s": 1, "connections": 2, "published_per_s": 9, "delivered_per_s": 9, "broker_rss_bytes": 8 }],
                "command_line": "ringmq-bench pairs", "host": { "kernel": "6.1" }, "passed": true, "failures": [] })
    };
    let output = report(folder.path(), &[("first.json", &run(3.0)), ("second.json", &run(6.0))]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    for part in
        ["<!DOCTYPE html>", "first", "second", "Latency by quantile", "4,000", "ringmq-bench pairs", "6.1"]
    {
        assert!(page.contains(part), "{part} is missing");
    }
}

#[test]
fn a_file_that_is_no_result_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = report(folder.path(), &[("other.json", &json!({ "a": 1 }))]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("other.json") && said.contains("--json"), "{said}");
    assert!(!folder.path().join("page.html").exists());
}
