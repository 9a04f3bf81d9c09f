//! Log lines on standard error: their form, and levels that change while the broker runs.

use crate::process::{APART, PATIENCE, Running, ringmq};
use rustix::process::Signal;

#[test]
fn json_lines_are_json_and_standard_output_is_not_logged_to() {
    let directory = tempfile::tempdir().unwrap();
    let json = ["--set", "log.formatter=json"];
    let mut running = Running::serving(&mut ringmq(directory.path(), &[&APART[..], &json].concat()));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0));
    let stderr = running.stderr();
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in ["started", "stopping", "stopped"] {
        let line = lines.iter().find(|line| line["message"] == message && line["target"] == "ringmq::start");
        let line = line.unwrap_or_else(|| panic!("no {message} in {stderr}"));
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
    assert!(running.stdout().lines().all(|line| !line.starts_with('{')), "{}", running.stdout());
}

#[test]
fn levels_are_read_again_on_sighup() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("r.toml");
    std::fs::write(&file, "[log]\nlevel = \"error\"\n").unwrap();
    let mut running =
        Running::serving(&mut ringmq(directory.path(), &[&["--config", "r.toml"], &APART[..]].concat()));
    assert_eq!(running.stderr(), "");

    std::fs::write(&file, "[log]\nlevel = \"info\"\ntargets = { ringmq_control = \"off\" }\n").unwrap();
    running.signal(Signal::HUP);
    running.wait_for("the new levels", |running| running.stderr().contains("were read again"));
    for key in ["log.level", "log.targets.ringmq_control"] {
        assert!(running.stderr().contains(&format!("changed key=\"{key}\"")), "{}", running.stderr());
    }

    std::fs::write(&file, "[log]\nlevel = \"loud\"\n").unwrap();
    running.signal(Signal::HUP);
    running.wait_for("the refusal", |running| {
        running.stderr().contains("the configuration stays as it is: log.level = \"loud\"")
    });

    running.signal(Signal::TERM);
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0));
    assert!(running.stderr().contains("stopped"), "{}", running.stderr());
}

#[test]
fn levels_of_the_environment_win() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = ringmq(directory.path(), &APART);
    let mut running = Running::serving(command.env("RUST_LOG", "ringmq=off"));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0));
    assert!(!running.stderr().contains("started"), "{}", running.stderr());
    let mut command = ringmq(directory.path(), &APART);
    command.env("RUST_LOG", "ringmq=loud");
    crate::process::run(command).assert_refused(1, &["RUST_LOG: ", "unset it"]);
}
