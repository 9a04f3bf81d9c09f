//! `ringmq users`: what is stored, what is printed, what is refused. No password is ever printed.

use crate::process::{Outcome, ringmq, run};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Runs `ringmq users` with something on its standard input.
fn users(directory: &Path, arguments: &[&str], input: &str) -> Outcome {
    let mut command = ringmq(directory, &[&["users"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that needs no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(
        !outcome.stdout.contains("secret-word") && !outcome.stderr.contains("secret-word"),
        "{outcome:?}"
    );
    outcome
}

fn done(directory: &Path, arguments: &[&str], input: &str) -> String {
    let outcome = users(directory, arguments, input);
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""), "{outcome:?}");
    outcome.stdout
}

#[test]
fn users_are_added_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    assert_eq!(done(at, &["list"], ""), "");
    let added = done(at, &["add", "alice", "--superuser"], "secret-word\n");
    assert!(added.starts_with("alice added to ./data/users.db\n") && added.contains("SIGHUP"), "{added}");
    fs::write(at.join("password"), "secret-word").unwrap();
    let scram = ["add", "bob", "--password-file", "password", "--scram", "sha256", "--scram", "sha512"];
    done(at, &scram, "");
    done(at, &["add", "a\tb", "--algorithm", "bcrypt"], "secret-word");
    done(at, &["add", "carol", "--scram", "sha256", "--scram-only"], "secret-word");
    assert!(done(at, &["add", "alice"], "secret-word2").starts_with("alice replaced in"));
    assert_eq!(
        done(at, &["list"], ""),
        "bob\t-\targon2id\tSCRAM-SHA-256,SCRAM-SHA-512\na\\tb\t-\tbcrypt\t-\ncarol\t-\t-\tSCRAM-SHA-256\n\
         alice\t-\targon2id\t-\n"
    );
    done(at, &["del", "alice", "bob", "a\tb"], "");
    assert_eq!(
        done(at, &["list", "--json"], ""),
        "{\"is_superuser\":false,\"password\":null,\"scram\":[\"SCRAM-SHA-256\"],\"user_id\":\"carol\"}\n"
    );
    let gone = users(at, &["del", "carol", "alice"], "");
    gone.assert_refused(1, &["has no user \"alice\"", "nothing was changed"]);
    assert!(done(at, &["list"], "").starts_with("carol"));
}

#[test]
fn the_file_is_the_brokers_own_and_is_named_by_configuration_or_option() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(
        at.join("r.toml"),
        "[[authentication]]\nmechanism = 'password_based'\nbackend = 'built_in_database'\nfile = 'mine.db'\n\
         password_hash_algorithm = { name = 'sha256', salt_position = 'suffix' }\n\
         [node]\ndata_dir = 'd'\n",
    )
    .unwrap();
    done(at, &["add", "alice", "--config", "r.toml"], "secret-word");
    let text = fs::read_to_string(at.join("d/mine.db")).unwrap();
    assert!(text.contains("\nalice\t-\t$sha256$pos=suffix$"), "{text}");
    let mode = fs::metadata(at.join("d/mine.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    done(at, &["add", "bob", "--file", "other/u.db"], "secret-word");
    assert_eq!(done(at, &["list", "--file", "other/u.db"], "").lines().count(), 1);
    fs::write(at.join("other/u.db"), "nonsense\n").unwrap();
    let damaged = users(at, &["add", "x", "--file", "other/u.db"], "secret-word");
    damaged.assert_refused(66, &["other/u.db:line 1: expected `ringmq-users 1`"]);
}

#[test]
fn files_of_other_systems_are_imported_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("u.csv"), "user_id,password,is_superuser\na,secret-word,true\nb,secret-word,\n")
        .unwrap();
    let told = done(at, &["import", "u.csv", "--algorithm", "sha256"], "");
    assert!(told.starts_with("u.csv: 2 users added, 0 replaced, 0 kept; ./data/users.db has 2\n"), "{told}");
    fs::write(at.join("u.json"), r#"[{"user_id":"b","password":"x"},{"user_id":"c","password":"x"}]"#)
        .unwrap();
    let told = done(at, &["import", "u.json", "--keep", "--algorithm", "sha256"], "");
    assert!(told.contains("1 users added, 0 replaced, 1 kept"), "{told}");
    // As mosquitto_passwd of Mosquitto 2.0 writes it, for the password `pw`.
    let line = "\
dev:$6$GYu2cKKe02RsvAcB$QSQcGl6smBHvK1Ulg6ocu8UtXxKG5QrsaDLx9UfxBQn/Bn0oJccv8nZCde4iIK6ZghijZY2PpomstMXkRKfUmQ==\n";
    fs::write(at.join("passwd"), line).unwrap();
    assert!(done(at, &["import", "passwd"], "").contains("1 users added"));
    let before = fs::read(at.join("data/users.db")).unwrap();
    fs::write(at.join("bad.csv"), "user_id,password_hash,salt,is_superuser\nd,secret-word,s,true\n").unwrap();
    let arguments = ["import", "bad.csv", "--type", "hash", "--algorithm", "sha512"];
    users(at, &arguments, "").assert_refused(1, &["bad.csv:2: ", "sha512", "nothing was imported"]);
    users(at, &["import", "absent.csv"], "").assert_refused(1, &["absent.csv cannot be read"]);
    assert_eq!(fs::read(at.join("data/users.db")).unwrap(), before);
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    users(at, &["add", "alice"], "").assert_refused(1, &["the password is empty"]);
    users(at, &["add", "alice"], "two\nlines\n")
        .assert_refused(1, &["standard input: it has more than one line"]);
    users(at, &["add", ""], "secret-word").assert_refused(1, &["a user name must be"]);
    users(at, &["add", "x", "--password-file", "absent"], "").assert_refused(1, &["from absent"]);
    let arguments = ["add", "x", "--salt-position", "suffix"];
    users(at, &arguments, "secret-word").assert_refused(1, &["--salt-position is for"]);
    users(at, &["add", "x", "--scram", "sha256"], "\u{7}").assert_refused(1, &["SCRAM does not allow"]);
    assert_eq!(users(at, &["add", "x", "--scram-only"], "").code, Some(2));
    assert!(!at.join("data/users.db").exists());
}

#[test]
fn a_chain_that_is_wrong_is_named_without_its_values() {
    let directory = tempfile::tempdir().unwrap();
    let check = |chain: &str| {
        let set = format!("authentication={chain}");
        run(ringmq(directory.path(), &["check", "--set", &set]))
    };
    let cases = [
        ("[{mechanism='magic', secret='secret-word'}]", "authentication[0] (--set): unknown variant `magic`"),
        ("[{mechanism='jwt', secrets='secret-word'}]", "authentication[0] (--set): unknown field `secrets`"),
        ("[{mechanism='jwt', disconnect_after_expire='secret-word'}]", "a value has the wrong type or form"),
        ("'secret-word'", "authentication (--set): must be a list of elements"),
        ("[{secret='secret-word'}]", "authentication[0] (--set): missing field `mechanism`"),
    ];
    for (chain, expected) in cases {
        let outcome = check(chain);
        outcome.assert_refused(1, &[expected, "docs/authentication.md"]);
        assert!(!outcome.stderr.contains("secret-word"), "{outcome:?}");
    }
    fs::write(
        directory.path().join("r.toml"),
        "[[listeners.tcp.lan.authentication]]\nmechanism = 'jwt'\nsecrets = 'secret-word'\n",
    )
    .unwrap();
    let outcome = run(ringmq(directory.path(), &["check", "--config", "r.toml"]));
    outcome.assert_refused(1, &["listeners.tcp.lan.authentication[0] (r.toml:1): unknown field `secrets`"]);
}
