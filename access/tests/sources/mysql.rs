//! MariaDB, by the protocol it shares with MySQL: tables as their users keep them; gone and back; with TLS.

use super::asking::{
    Outcome, allowed, ask, check_answers, check_return, check_tls, config, entry, rules, run, runtime,
    superuser,
};
use super::certificates;
use super::server::{Server, folder, free_port, program, run_command};
use ringmq_access::authentication::RemoteAuthenticator;
use ringmq_access::sources::config::{SqlConfig, SqlRulesConfig};
use ringmq_access::sources::mysql;
use ringmq_core::authorization::{Actions, Permission, TopicMatch};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// SHA-256 over the salt `ab` and `pass1`.
const HASH: &str = "5bccf96a4f6445a83b9485e66a5c9f994ec537ef0b3942e386991fb2cb6077a8";

const TABLES: &str = "
CREATE DATABASE mqtt;
CREATE USER broker@'127.0.0.1' IDENTIFIED BY 'pw';
GRANT SELECT ON mqtt.* TO broker@'127.0.0.1';
USE mqtt;
CREATE TABLE mqtt_user (
    id int AUTO_INCREMENT PRIMARY KEY, username varchar(100) UNIQUE, password_hash varchar(100), salt varchar(35),
    is_superuser tinyint(1), flag bit(1));
CREATE TABLE mqtt_acl (
    id int AUTO_INCREMENT PRIMARY KEY, ipaddress varchar(60) NOT NULL DEFAULT '', username varchar(255),
    action ENUM('publish', 'subscribe', 'all'), permission ENUM('allow', 'deny'), topic varchar(255),
    qos tinyint(1), retain tinyint(1));
INSERT INTO mqtt_user (username, password_hash, salt, is_superuser, flag) VALUES
    ('known', 'HASH', 'ab', 0, b'0'), ('root', 'HASH', 'ab', 1, b'1'), ('o\\'brien', 'HASH', 'ab', NULL, NULL);
INSERT INTO mqtt_acl (username, permission, action, topic, qos, retain, ipaddress) VALUES
    ('known', 'deny', 'publish', 'a/secret', NULL, NULL, ''), ('known', 'allow', 'all', 'a/#', NULL, NULL, ''),
    ('known', 'allow', 'all', 'elsewhere', NULL, NULL, '10.0.0.0/8');
";

/// Held by the test that fills its folder.
static PREPARING: Mutex<()> = Mutex::new(());

struct Mysql {
    server: Server,
    command: Command,
}

fn start(with_tls: bool) -> Option<(Mysql, Option<PathBuf>)> {
    let program = |name| program(name, "mariadb-server");
    let (install, mariadbd) = (program("mariadb-install-db")?, program("mariadbd")?);
    let (folder, port) = (folder(), free_port());
    let data = folder.path().join("data");
    let authority = with_tls.then(|| certificates::make(folder.path()).authority);
    let user = run_command(Command::new("id").arg("-un"));
    let mut prepare = Command::new(install);
    prepare.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    prepare.arg("--innodb-use-native-aio=0");
    {
        // Several at a time can ask more of the kernel than it gives.
        let _turn = PREPARING.lock().unwrap_or_else(PoisonError::into_inner);
        run_command(
            prepare.arg(format!("--user={}", user.trim())).arg(format!("--datadir={}", data.display())),
        );
    }
    let tables = folder.path().join("tables.sql");
    // Statements of a start-up file stand on one line each.
    let statements = TABLES.replace("HASH", HASH).replace('\n', " ").replace(';', ";\n");
    std::fs::write(&tables, statements).unwrap();
    let mut command = Command::new(mariadbd);
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
    command.arg(format!("--user={}", user.trim())).arg(format!("--port={port}"));
    command.arg(format!("--datadir={}", data.display()));
    command.arg(format!("--socket={}", folder.path().join("socket").display()));
    command.arg(format!("--pid-file={}", folder.path().join("pid").display()));
    command.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]);
    command.arg("--innodb-use-native-aio=0");
    if with_tls {
        for (option, file) in [("ssl-ca", "ca.pem"), ("ssl-cert", "server.pem"), ("ssl-key", "server.key")] {
            command.arg(format!("--{option}={}", folder.path().join(file).display()));
        }
        command.arg("--require-secure-transport=on");
    }
    let mut first = Command::new(command.get_program());
    first.args(command.get_args()).arg(format!("--init-file={}", tables.display()));
    let server = Server::start(folder, port, &mut first);
    Some((Mysql { server, command }, authority))
}

impl Mysql {
    fn text(&self, more: &str) -> String {
        let server = format!("server = \"127.0.0.1:{}\"\nquery_timeout = \"2s\"", self.server.port);
        format!("{server}\ndatabase = \"mqtt\"\nusername = \"broker\"\n{more}")
    }

    fn users(&self, more: &str) -> Box<dyn RemoteAuthenticator> {
        Box::new(mysql::users(&config::<SqlConfig>(&self.text(more))).unwrap())
    }
}

#[test]
fn users_and_rules_are_found() {
    let Some((mysql, _)) = start(false) else { return };
    let element = mysql.users("password = \"pw\"");
    let runtime = runtime();
    let cases = [
        (Some("known"), "pass1", allowed()),
        (Some("root"), "pass1", superuser()),
        (Some("o'brien"), "pass1", allowed()),
        (Some("known"), "pass2", Outcome::WrongPassword),
        (Some("x' OR '1'='1"), "pass1", Outcome::Unknown),
        (Some("known\\' OR 1=1 -- "), "pass1", Outcome::Unknown),
        (None, "pass1", Outcome::Ignore),
    ];
    check_answers(&*element, cases);
    let query =
        "SELECT password_hash, salt, flag AS is_superuser FROM mqtt_user WHERE username = ${username}";
    let flagged = mysql.users(&format!("password = \"pw\"\nquery = \"{query}\""));
    for (user, expected) in [("known", allowed()), ("root", superuser())] {
        assert_eq!(run(&runtime, ask(&*flagged, &entry("c", Some(user), Some("pass1")))), expected, "{user}");
    }
    let source = mysql::rules(&config::<SqlRulesConfig>(&mysql.text("password = \"pw\""))).unwrap();
    let found = run(&runtime, rules(&source, &entry("c", Some("known"), None)));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].permission, found[0].actions), (Permission::Deny, Actions::PUBLISH));
    assert_eq!(found[1].topic, TopicMatch::Filter("a/#".into()));
    for wrong in [
        "password = \"no\"",
        "",
        "password = \"pw\"\nquery = \"SELECT a FROM nowhere WHERE a = ${username}\"",
    ] {
        let client = entry("c", Some("known"), Some("pass1"));
        assert_eq!(run(&runtime, ask(&*mysql.users(wrong), &client)), Outcome::Ignore, "{wrong}");
    }
}

#[test]
fn a_server_that_dies_or_hangs_is_passed_over_and_found_again() {
    let Some((mut mysql, _)) = start(false) else { return };
    let element = mysql.users("password = \"pw\"");
    check_return(&mut mysql.server, &mut mysql.command, &[element]);
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let Some((mysql, authority)) = start(true) else { return };
    check_tls(&authority.unwrap(), |more| mysql.users(more));
    let without = mysql.users("password = \"pw\"\nssl = { enable = false }");
    let client = entry("c", Some("known"), Some("pass1"));
    assert_eq!(run(&runtime(), ask(&*without, &client)), Outcome::Ignore);
}
