//! What keeps the broker from starting, each time one line on standard error that names the key and the remedy.

use crate::process::{APART, Outcome, Running, ringmq, run, run_ringmq};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;

fn set(settings: &[&str]) -> Outcome {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    run_ringmq(&APART.into_iter().chain(settings).collect::<Vec<_>>())
}

#[test]
fn unknown_key_is_refused_from_every_source() {
    set(&["mqtt.max_paket_size=1"])
        .assert_refused(1, &["unknown key mqtt.max_paket_size (--set)", "mqtt.max_packet_size?"]);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("r.toml"), "[mqtt]\n\nmax_paket_size = 1\n").unwrap();
    let named = run(ringmq(directory.path(), &["--config", "r.toml"]));
    named.assert_refused(1, &["unknown key mqtt.max_paket_size (r.toml:3)", "mqtt.max_packet_size?"]);
    let mut command = ringmq(directory.path(), &[]);
    command.env("RINGMQ_CONFIG", "r.toml");
    run(command).assert_refused(1, &["(r.toml:3)"]);
    let mut command = ringmq(directory.path(), &[]);
    command.env("RINGMQ_MQTT__MAX_PAKET_SIZE", "1");
    run(command).assert_refused(1, &["RINGMQ_MQTT__MAX_PAKET_SIZE", "RINGMQ_MQTT__MAX_PACKET_SIZE"]);
}

#[test]
fn wrong_value_is_refused_with_its_bounds() {
    set(&["mqtt.max_qos_allowed=3"])
        .assert_refused(1, &["mqtt.max_qos_allowed = 3 (--set): must be a whole number from 0 to 2"]);
    set(&["node.data_dir=/proc/ringmq"])
        .assert_refused(1, &["node.data_dir = \"/proc/ringmq\"", "may write to"]);
}

#[test]
fn missing_file_is_refused() {
    run_ringmq(&["--config", "nowhere.toml"]).assert_refused(1, &["nowhere.toml", "--config"]);
}

#[test]
fn port_in_use_is_refused_by_the_key_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["listeners.tcp.default.bind", "dashboard.listeners.http.bind", "listeners.tcp.lan.bind"] {
        let outcome = set(&[&format!("{key}={address}")]);
        outcome.assert_refused(1, &[&format!("{key} = \"{address}\""), "in use", "choose another address"]);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn data_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = Running::serving(&mut ringmq(directory.path(), &APART));
    let second = run(ringmq(directory.path(), &APART));
    second
        .assert_refused(1, &["node.data_dir = \"", "/data\" is in use by another broker", "choose another"]);
    first.signal(rustix::process::Signal::TERM);
}

#[test]
fn logs_without_their_layout_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("data/shards/00")).unwrap();
    run(ringmq(directory.path(), &APART)).assert_refused(
        1,
        &["data/shards/layout: it is missing, and logs lie beside it", "restore it from a backup"],
    );
}

#[test]
fn address_of_another_host_is_refused() {
    set(&["listeners.tcp.default.bind=192.0.2.1:1883"])
        .assert_refused(1, &["listeners.tcp.default.bind = \"192.0.2.1:1883\""]);
}

/// Runs the broker under a limit that the shell sets.
fn limited(limit: &str, settings: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("/bin/sh");
    command.current_dir(directory.path());
    command.args(["-c", &format!("{limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_ringmq")]);
    command.args(APART).args(settings.iter().flat_map(|setting| ["--set", setting]));
    run(command)
}

#[test]
fn too_few_descriptors_are_told_with_the_limit_and_the_remedy() {
    limited("ulimit -n 100", &["node.shards=8"])
        .assert_refused(1, &["RLIMIT_NOFILE is 100", "8 shards", "ulimit -n", "LimitNOFILE=", "node.shards"]);
}

#[test]
fn too_little_locked_memory_is_told_with_the_limit_and_the_remedy() {
    limited("ulimit -l 64", &[])
        .assert_refused(1, &["RLIMIT_MEMLOCK is 65536 bytes", "ulimit -l", "LimitMEMLOCK="]);
}

/// Runs the binary where io_uring_setup fails with `errno`, as it does in a container with the usual seccomp profile.
fn without_io_uring(errno: rustix::io::Errno, arguments: &'static [&'static str]) -> Outcome {
    let rules = BTreeMap::from([(libc::SYS_io_uring_setup, vec![])]);
    let refuse = SeccompAction::Errno(errno.raw_os_error() as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap();
    // The filter holds for one thread and what it starts, for good; so the thread is one of its own.
    std::thread::spawn(move || {
        apply_filter(&filter).unwrap();
        run_ringmq(&[arguments, &APART].concat())
    })
    .join()
    .unwrap()
}

#[test]
fn no_io_uring_is_code_69_and_says_who_forbids_it() {
    use rustix::io::Errno;
    without_io_uring(Errno::PERM, &[]).assert_refused(69, &["io_uring is not available: ", "seccomp"]);
    without_io_uring(Errno::NOSYS, &["serve"])
        .assert_refused(69, &["io_uring is not available: ", "has no io_uring"]);
    let outcome = without_io_uring(Errno::PERM, &["check"]);
    assert_eq!(outcome.code, Some(69), "{outcome:?}");
    assert!(outcome.stdout.lines().any(|line| line.starts_with("fail  io_uring: ")), "{outcome:?}");
}
