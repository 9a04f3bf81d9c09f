//! `compare` as a user runs it: brokers are processes, here this test binary started again.

use crate::broker::{Fault, start, start_on};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// A broker entry that starts this test binary with only the test below.
fn entry(name: &str, more_env: &str) -> String {
    let executable = std::env::current_exe().unwrap();
    format!(
        "[[broker]]\nname = \"{name}\"\ncommand = ['{}', \"--exact\", \"compare::{SERVE}\", \"--nocapture\"]\n\
         env = {{ BENCH_TEST_PORT = \"{{port}}\", BENCH_TEST_DIR = \"{{dir}}\" {more_env} }}\n",
        executable.display()
    )
}

const SERVE: &str = "a_broker_on_a_port_of_choice_serves_there";

/// In a process that `compare` starts, this serves until it is ended; in the others it is a test of its own.
#[test]
fn a_broker_on_a_port_of_choice_serves_there() {
    let Ok(port) = std::env::var("BENCH_TEST_PORT") else {
        let port = start(Fault::None);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        return;
    };
    let fault = if std::env::var_os("BENCH_TEST_LOSES").is_some() { Fault::Lose } else { Fault::None };
    if let Ok(listener) = std::env::var("BENCH_TEST_TELLS") {
        TcpStream::connect(listener).unwrap().write_all(&std::process::id().to_be_bytes()).unwrap();
    }
    assert!(Path::new(&std::env::var("BENCH_TEST_DIR").unwrap()).is_dir());
    start_on(port.parse().unwrap(), fault);
    loop {
        thread::park();
    }
}

fn compare(recipe: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringmq-bench"))
        .arg("compare")
        .arg(recipe)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn brokers_are_compared_and_every_failure_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("compare.toml");
    let flags =
        "\"--publishers\", \"1\", \"--subscribers\", \"1\", \"--seconds\", \"0.4\", \"--warmup\", \"0\"";
    let text = entry("good", "")
        + &entry("loses", ", BENCH_TEST_LOSES = \"1\"")
        + "[[broker]]\nname = \"absent\"\ncommand = [\"no-such-broker\", \"{port}\"]\nremedy = \"get it\"\n"
        + "[[broker]]\nname = \"ends\"\ncommand = [\"sh\", \"-c\", \"echo no room; exit 7\", \"{port}\"]\n"
        + &format!("[[scenario]]\nname = \"One pair\"\ncommand = [\"pairs\", {flags}]\n");
    fs::write(&recipe, text).unwrap();
    let saved = folder.path().join("saved");
    let output = compare(&recipe, &["--json", "--rounds", "1", "--save", saved.to_str().unwrap()])
        .wait_with_output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{json:#}");
    assert_eq!(json["left_out"][0], "absent is left out: no program no-such-broker; remedy: get it");
    let results = json["scenarios"][0]["results"].as_array().unwrap();
    let names: Vec<&str> = results.iter().map(|result| result["broker"].as_str().unwrap()).collect();
    assert_eq!(names, ["good", "loses", "ends"]);
    assert!(results[0]["values"]["delivered_per_s"]["median"].as_f64() > Some(0.0), "{json:#}");
    assert_eq!(results[0]["failures"], Value::Array(Vec::new()));
    assert_eq!(results[1]["failures"][0], "round 1: 1 lost", "{json:#}");
    let reason = results[2]["failures"][0].as_str().unwrap();
    assert!(reason.contains("did not start") && reason.contains("no room"), "{reason}");
    // Nobody listens any more where the broker did.
    let target = results[0]["runs"][0]["target"].as_str().unwrap();
    assert!(TcpStream::connect(target).is_err(), "{target}");
    let kept: Value = serde_json::from_slice(&fs::read(saved.join("one-pair-good-1.json")).unwrap()).unwrap();
    assert_eq!((kept["broker"].as_str(), kept["round"].as_u64()), (Some("good"), Some(1)));
}

#[test]
fn an_interrupted_comparison_ends_its_broker_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("compare.toml");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = entry("a", &format!(", BENCH_TEST_TELLS = '{}'", listener.local_addr().unwrap()))
        + "[[scenario]]\nname = \"s\"\ncommand = [\"conn\", \"--connections\", \"1\", \"--hold\", \"600\"]\n";
    fs::write(&recipe, text).unwrap();
    let child = compare(&recipe, &["--quiet"]);
    let (sender, told) = mpsc::channel();
    thread::spawn(move || {
        let mut id = [0; 4];
        listener.accept().unwrap().0.read_exact(&mut id).unwrap();
        sender.send(u32::from_be_bytes(id)).unwrap();
    });
    let broker = told.recv_timeout(WAIT_MAX).expect("the broker starts");
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(!Path::new("/proc").join(broker.to_string()).exists(), "the broker outlived the comparison");
}

#[test]
fn a_wrong_recipe_ends_the_comparison_with_file_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("compare.toml");
    fs::write(&recipe, "rounds = 0\n").unwrap();
    let output = compare(&recipe, &[]).wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("compare.toml") && said.contains("from 1 to 1000"), "{said}");
}
