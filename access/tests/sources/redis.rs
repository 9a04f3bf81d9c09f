//! Redis: one server, with TLS, behind a sentinel, as a cluster; gone, frozen and back.

use super::asking::{
    Outcome, allowed, ask, ask_until, check_answers, config, entry, rules, run, runtime, superuser,
};
use super::certificates;
use super::server::{Server, folder, free_port, program, run_command};
use ringmq_access::authentication::RemoteAuthenticator;
use ringmq_access::sources::config::{RedisConfig, RedisRulesConfig};
use ringmq_access::sources::redis;
use ringmq_core::authorization::{Actions, QosSet, TopicMatch};
use ringmq_core::codec::QoS;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// SHA-256 over the salt `ab` and `pass1`.
const HASH: &str = "5bccf96a4f6445a83b9485e66a5c9f994ec537ef0b3942e386991fb2cb6077a8";

fn command(program: &Path, port: u16, folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(program);
    let port = port.to_string();
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder).args(more);
    command
}

fn start(more: &[&str]) -> Option<(Server, Command)> {
    let program = program("redis-server", "redis-server")?;
    let (folder, port) = (folder(), free_port());
    let mut command = command(&program, port, folder.path(), more);
    Some((Server::start(folder, port, &mut command), command))
}

fn cli(port: u16, words: &[&str]) -> String {
    run_command(Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(words))
}

fn users(port: u16, more: &str) -> impl RemoteAuthenticator + use<> {
    let text = format!("server = \"127.0.0.1:{port}\"\nquery_timeout = \"2s\"\n{more}");
    redis::users(&config::<RedisConfig>(&text)).unwrap()
}

fn fill(port: u16, login: &[&str]) {
    for (user, superuser) in [("known", "0"), ("root", "1"), ("a b", "0")] {
        let key = format!("mqtt:{user}");
        let words = ["HSET", &key, "password_hash", HASH, "salt", "ab", "is_superuser", superuser];
        cli(port, &[login, &words].concat());
    }
}

fn check_users(element: &dyn RemoteAuthenticator) {
    let cases = [
        (Some("known"), "pass1", allowed()),
        (Some("a b"), "pass1", allowed()),
        (Some("root"), "pass1", superuser()),
        (Some("known"), "pass2", Outcome::WrongPassword),
        (Some("nobody"), "pass1", Outcome::Unknown),
        (Some("known password_hash"), "pass1", Outcome::Unknown),
        (None, "pass1", Outcome::Ignore),
    ];
    check_answers(element, cases);
}

#[test]
fn users_and_rules_are_found() {
    let Some((server, _)) = start(&["--requirepass", "pw", "--databases", "4"]) else { return };
    let login = ["-a", "pw", "--no-auth-warning", "-n", "3"];
    fill(server.port, &login);
    check_users(&users(server.port, "password = \"pw\"\ndatabase = 3"));
    let all = users(server.port, "password = \"pw\"\ndatabase = 3\ncmd = \"HGETALL mqtt:${username}\"");
    check_users(&all);

    let acl = ["HSET", "mqtt_acl:known", "a/#", "publish", "b", r#"{"action":"all","qos":[1,2]}"#];
    cli(server.port, &[&login[..], &acl].concat());
    let text = format!("server = \"127.0.0.1:{}\"\npassword = \"pw\"\ndatabase = 3", server.port);
    let source = redis::rules(&config::<RedisRulesConfig>(&text)).unwrap();
    let runtime = runtime();
    let found = run(&runtime, rules(&source, &entry("c", Some("known"), None)));
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0].topic, found[0].actions), (&TopicMatch::Filter("a/#".into()), Actions::PUBLISH));
    let high = QosSet::NONE.with(QoS::AtLeastOnce).with(QoS::ExactlyOnce);
    assert_eq!(found[1].actions, Actions::ALL.at(high));
    assert!(run(&runtime, rules(&source, &entry("c", Some("nobody"), None))).is_empty());

    for wrong in ["password = \"no\"", "password = \"pw\"\nusername = \"nobody\"", ""] {
        let element = users(server.port, wrong);
        let client = entry("c", Some("known"), Some("pass1"));
        assert_eq!(run(&runtime, ask(&element, &client)), Outcome::Ignore, "{wrong}");
    }
}

#[test]
fn a_server_that_dies_or_hangs_is_passed_over_and_found_again() {
    let Some((mut server, mut command)) = start(&[]) else { return };
    fill(server.port, &[]);
    let element = users(server.port, "");
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    assert_eq!(run(&runtime, ask(&element, &client)), allowed());
    server.kill();
    for _ in 0..100 {
        assert_eq!(run(&runtime, ask(&element, &client)), Outcome::Ignore);
    }
    server.restart(&mut command);
    fill(server.port, &[]);
    run(&runtime, ask_until(&element, &client, &allowed()));
    server.freeze(true);
    for _ in 0..3 {
        assert_eq!(run(&runtime, ask(&element, &client)), Outcome::Ignore);
    }
    server.freeze(false);
    run(&runtime, ask_until(&element, &client, &allowed()));
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let Some(program) = program("redis-server", "redis-server") else { return };
    let (folder, port) = (folder(), free_port());
    let files = certificates::make(folder.path());
    let mut command = Command::new(program);
    command.args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string(), "--save", ""]);
    command.arg("--dir").arg(folder.path()).args(["--tls-auth-clients", "no"]);
    command.arg("--tls-cert-file").arg(&files.certificate).arg("--tls-key-file").arg(&files.key);
    command.arg("--tls-ca-cert-file").arg(&files.authority);
    let server = Server::start(folder, port, &mut command);
    let authority = files.authority.display().to_string();
    let tls = ["--tls", "--cacert", &authority];
    fill(server.port, &tls);
    let trusting = format!("ssl = {{ enable = true, cacertfile = \"{authority}\" }}");
    check_users(&users(server.port, &trusting));
    check_users(&users(server.port, "ssl = { enable = true, verify = \"verify_none\" }"));
    let strict =
        users(server.port, "ssl = { enable = true, cacertfile = \"/etc/ssl/certs/ca-certificates.crt\" }");
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    assert_eq!(run(&runtime, ask(&strict, &client)), Outcome::Ignore, "an authority nobody trusts");
    let renamed = format!(
        "ssl = {{ enable = true, cacertfile = \"{authority}\", server_name_indication = \"elsewhere\" }}"
    );
    assert_eq!(run(&runtime, ask(&users(server.port, &renamed), &client)), Outcome::Ignore, "another name");
}

#[test]
fn sentinels_say_which_server_is_asked() {
    let Some((server, _)) = start(&["--requirepass", "pw"]) else { return };
    fill(server.port, &["-a", "pw", "--no-auth-warning"]);
    let (folder, port) = (folder(), free_port());
    let file = folder.path().join("sentinel.conf");
    let lines = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mine 127.0.0.1 {} 1\nsentinel auth-pass mine pw\n",
        server.port
    );
    std::fs::write(&file, lines).unwrap();
    let program = program("redis-server", "redis-server").unwrap();
    let mut command = Command::new(program);
    command.arg(&file).arg("--sentinel").arg("--dir").arg(folder.path());
    let sentinel = Server::start(folder, port, &mut command);
    let text = format!(
        "redis_type = \"sentinel\"\nservers = \"127.0.0.1:{}, 127.0.0.1:{}\"\nsentinel = \"mine\"\npassword = \"pw\"",
        free_port(),
        sentinel.port
    );
    check_users(&redis::users(&config::<RedisConfig>(&text)).unwrap());
}

#[test]
fn a_cluster_is_asked_where_the_key_is() {
    let bus = [free_port().to_string(), free_port().to_string()];
    let options = |bus: &'static str| ["--cluster-enabled", "yes", "--cluster-port", bus];
    let leaked = bus.clone().map(|port| &*port.leak());
    let Some((first, _)) = start(&options(leaked[0])) else { return };
    let Some((second, _)) = start(&options(leaked[1])) else { return };
    cli(first.port, &["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    cli(second.port, &["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    cli(second.port, &["CONFIG", "SET", "cluster-allow-reads-when-down", "yes"]);
    cli(first.port, &["CLUSTER", "MEET", "127.0.0.1", &second.port.to_string(), &bus[1]]);
    let runtime = runtime();
    run(&runtime, async {
        let is_whole = |port| cli(port, &["CLUSTER", "INFO"]).contains("cluster_state:ok");
        while !is_whole(first.port) || !is_whole(second.port) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for number in 0..20 {
        let key = format!("mqtt:user{number}");
        cli(first.port, &["-c", "HSET", &key, "password_hash", HASH, "salt", "ab"]);
    }
    let text = format!("redis_type = \"cluster\"\nservers = \"127.0.0.1:{}\"", first.port);
    let element = redis::users(&config::<RedisConfig>(&text)).unwrap();
    for number in (0..20).chain(0..20) {
        let client = entry("c", Some(&format!("user{number}")), Some("pass1"));
        assert_eq!(run(&runtime, ask(&element, &client)), allowed(), "user{number}");
    }
    drop(second);
    let outcomes = (0..20).map(|number| {
        let client = entry("c", Some(&format!("user{number}")), Some("pass1"));
        run(&runtime, ask(&element, &client))
    });
    let outcomes: Vec<Outcome> = outcomes.collect();
    assert!(outcomes.contains(&allowed()) && outcomes.contains(&Outcome::Ignore), "{outcomes:?}");
}
