//! What the binary says about itself.

use crate::process::{ringmq, run, run_ringmq};

#[test]
fn version_is_one_line_with_the_name() {
    let outcome = run_ringmq(&["--version"]);
    assert_eq!((outcome.code, outcome.stdout), (Some(0), format!("ringmq {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn help_shows_commands_options_examples_and_exit_codes() {
    let outcome = run_ringmq(&["--help"]);
    assert_eq!(outcome.code, Some(0));
    for text in [
        "serve",
        "check",
        "log",
        "config",
        "--config",
        "--set",
        "Examples:",
        "RINGMQ_MQTT__",
        "kill -HUP",
        "69",
    ] {
        assert!(outcome.stdout.contains(text), "`{text}` is not in {}", outcome.stdout);
    }
}

#[test]
fn help_of_log_shows_its_commands_directories_and_exit_codes() {
    for arguments in [&["log", "--help"][..], &["log", "verify", "--help"], &["log", "compact", "--help"]] {
        let outcome = run_ringmq(arguments);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for text in ["Examples:", "ringmq log dump --client", "shards/00", "75 a broker has it open"] {
            assert!(outcome.stdout.contains(text), "`{text}` is not in {}", outcome.stdout);
        }
    }
}

#[test]
fn wrong_command_line_is_code_2() {
    for arguments in
        [&["--nonsense"][..], &["nonsense"], &["--config"], &["--set"], &["log"], &["log", "verify"]]
    {
        let outcome = run_ringmq(arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("--help"), "{outcome:?}");
    }
}

#[test]
fn printed_configuration_loads() {
    let directory = tempfile::tempdir().unwrap();
    let printed = run(ringmq(directory.path(), &["config"]));
    assert_eq!(printed.code, Some(0));
    let file = directory.path().join("all.toml");
    // The port of the default may be in use on this machine, so the check is told another.
    std::fs::write(&file, printed.stdout.replace(":1883\"", ":0\"").replace(":18083\"", ":0\"")).unwrap();
    let outcome = run(ringmq(directory.path(), &["check", "--config", "all.toml"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
