//! PostgreSQL: tables as its users keep them; gone, frozen and back; with TLS.

use super::asking::{
    Outcome, allowed, ask, ask_until, check_answers, check_tls, config, entry, rules, run, runtime, superuser,
};
use super::certificates;
use super::server::{Server, folder, free_port, program, run_command};
use ringmq_access::authentication::RemoteAuthenticator;
use ringmq_access::sources::config::{SqlConfig, SqlRulesConfig};
use ringmq_access::sources::postgresql;
use ringmq_core::authorization::{Actions, Permission, TopicMatch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// SHA-256 over the salt `ab` and `pass1`.
const HASH: &str = "5bccf96a4f6445a83b9485e66a5c9f994ec537ef0b3942e386991fb2cb6077a8";

const TABLES: &str = "
CREATE TABLE mqtt_user (
    id serial PRIMARY KEY, username text UNIQUE, password_hash text, salt text, is_superuser boolean);
CREATE TYPE action AS ENUM ('publish', 'subscribe', 'all');
CREATE TYPE permission AS ENUM ('allow', 'deny');
CREATE TABLE mqtt_acl (
    id serial PRIMARY KEY, ipaddress varchar(60), username varchar(255), action action, permission permission,
    topic varchar(255), qos smallint, retain smallint, net inet);
INSERT INTO mqtt_user (username, password_hash, salt, is_superuser) VALUES
    ('known', 'HASH', 'ab', false), ('root', 'HASH', 'ab', true), ('o''brien', 'HASH', 'ab', NULL),
    ('empty', NULL, NULL, NULL);
INSERT INTO mqtt_acl (username, permission, action, topic, qos, retain, ipaddress, net) VALUES
    ('known', 'deny', 'publish', 'a/secret', NULL, NULL, '', NULL),
    ('known', 'allow', 'all', 'a/#', NULL, NULL, NULL, NULL),
    ('known', 'allow', 'all', 'elsewhere', NULL, NULL, '10.0.0.0/8', NULL),
    ('known', 'allow', 'publish', 'b', 1, 0, NULL, '192.0.2.0/24');
";

struct Postgres {
    server: Server,
    command: Command,
    psql: PathBuf,
}

/// PostgreSQL refuses to run as root, so as root it runs as the user that Debian's package makes.
fn as_postgres(program: &Path) -> Command {
    let is_root = run_command(Command::new("id").arg("-u")).trim() == "0";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

fn start(with_tls: bool) -> Option<(Postgres, Option<PathBuf>)> {
    let program = |name| program(name, "postgresql");
    let (initdb, postgres, psql) = (program("initdb")?, program("postgres")?, program("psql")?);
    let (folder, port) = (folder(), free_port());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let authority = with_tls.then(|| {
        let files = certificates::make(folder.path());
        std::fs::copy(&files.certificate, data.join("../server.crt")).unwrap();
        files.authority
    });
    run_command(Command::new("chmod").arg("-R").arg("go-rwx").arg(folder.path()));
    let is_root = run_command(Command::new("id").arg("-u")).trim() == "0";
    if is_root {
        run_command(Command::new("chown").args(["-R", "postgres"]).arg(folder.path()));
    }
    let password = folder.path().join("password");
    std::fs::write(&password, "pw").unwrap();
    run_command(Command::new("chmod").arg("a+r").arg(&password));
    let mut initdb = as_postgres(&initdb);
    initdb.args([
        "--auth",
        "scram-sha-256",
        "--username",
        "broker",
        "--no-sync",
        "--encoding",
        "UTF8",
        "--pwfile",
    ]);
    run_command(initdb.arg(&password).arg("--pgdata").arg(&data).current_dir(folder.path()));
    let mut command = as_postgres(&postgres);
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]).current_dir(folder.path());
    if with_tls {
        command.args(["-c", "ssl=on"]);
        command.arg("-c").arg(format!("ssl_cert_file={}", folder.path().join("server.pem").display()));
        command.arg("-c").arg(format!("ssl_key_file={}", folder.path().join("server.key").display()));
    }
    let server = Server::start(folder, port, &mut command);
    let postgres = Postgres { server, command, psql };
    postgres.wait();
    postgres.run(&TABLES.replace("HASH", HASH));
    Some((postgres, authority))
}

impl Postgres {
    fn psql(&self, text: &str) -> Command {
        let mut command = Command::new(&self.psql);
        let port = self.server.port.to_string();
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "broker",
            "-d",
            "postgres",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        command.args(["-q", "-c", text]).env("PGPASSWORD", "pw");
        command
    }

    fn run(&self, text: &str) {
        run_command(&mut self.psql(text));
    }

    /// A server that listens may still be starting.
    fn wait(&self) {
        let begin = std::time::Instant::now();
        while !self.psql("SELECT 1").output().unwrap().status.success() {
            assert!(begin.elapsed() < super::asking::PATIENCE, "the server does not start");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn text(&self, more: &str) -> String {
        let server = format!("server = \"127.0.0.1:{}\"\nquery_timeout = \"2s\"", self.server.port);
        format!("{server}\ndatabase = \"postgres\"\nusername = \"broker\"\n{more}")
    }

    fn users(&self, more: &str) -> Box<dyn RemoteAuthenticator> {
        Box::new(postgresql::users(&config::<SqlConfig>(&self.text(more))).unwrap())
    }
}

#[test]
fn users_and_rules_are_found() {
    let Some((postgres, _)) = start(false) else { return };
    let element = postgres.users("password = \"pw\"");
    let runtime = runtime();
    let cases = [
        (Some("known"), "pass1", allowed()),
        (Some("root"), "pass1", superuser()),
        (Some("o'brien"), "pass1", allowed()),
        (Some("known"), "pass2", Outcome::WrongPassword),
        (Some("empty"), "pass1", Outcome::Unknown),
        (Some("x' OR '1'='1"), "pass1", Outcome::Unknown),
        (Some("known'; DROP TABLE mqtt_user; --"), "pass1", Outcome::Unknown),
        (None, "pass1", Outcome::Ignore),
    ];
    check_answers(&*element, cases);
    let query = "query = \"SELECT * FROM mqtt_acl WHERE username = ${username} AND (net IS NULL OR net >> ${peerhost}) \
                 ORDER BY id\"";
    let text = postgres.text(&format!("password = \"pw\"\n{query}"));
    let source = postgresql::rules(&config::<SqlRulesConfig>(&text)).unwrap();
    let found = run(&runtime, rules(&source, &entry("c", Some("known"), None)));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].permission, found[0].actions), (Permission::Deny, Actions::PUBLISH));
    assert_eq!(found[1].topic, TopicMatch::Filter("a/#".into()));
    assert!(run(&runtime, rules(&source, &entry("c", Some("nobody"), None))).is_empty());

    for wrong in [
        "password = \"no\"",
        "",
        "password = \"pw\"\nquery = \"SELECT nothing FROM nowhere WHERE a = ${username}\"",
    ] {
        let client = entry("c", Some("known"), Some("pass1"));
        assert_eq!(run(&runtime, ask(&*postgres.users(wrong), &client)), Outcome::Ignore, "{wrong}");
    }
    let bad_cast = postgres
        .users("password = \"pw\"\nquery = \"SELECT * FROM mqtt_user WHERE id = ${username}::text::int\"");
    let strange = entry("c", Some("not-a-number"), Some("pass1"));
    assert_eq!(run(&runtime, ask(&*bad_cast, &strange)), Outcome::Ignore, "the server refuses the value");
    assert_eq!(run(&runtime, ask(&*bad_cast, &entry("c", Some("1"), Some("pass1")))), allowed());
}

#[test]
fn a_server_that_dies_or_hangs_is_passed_over_and_found_again() {
    let Some((mut postgres, _)) = start(false) else { return };
    let element = postgres.users("password = \"pw\"");
    let client = entry("c", Some("known"), Some("pass1"));
    let runtime = runtime();
    assert_eq!(run(&runtime, ask(&*element, &client)), allowed());
    postgres.server.freeze(true);
    // The process that answers this connection goes on; a new connection finds nobody.
    let fresh = postgres.users("password = \"pw\"");
    for _ in 0..3 {
        assert_eq!(run(&runtime, ask(&*fresh, &client)), Outcome::Ignore);
    }
    postgres.server.freeze(false);
    run(&runtime, ask_until(&*fresh, &client, &allowed()));
    postgres.server.kill();
    run(&runtime, ask_until(&*element, &client, &Outcome::Ignore));
    for _ in 0..100 {
        assert_eq!(run(&runtime, ask(&*element, &client)), Outcome::Ignore);
    }
    postgres.server.restart(&mut postgres.command);
    run(&runtime, ask_until(&*element, &client, &allowed()));
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let Some((postgres, authority)) = start(true) else { return };
    check_tls(&authority.unwrap(), |more| postgres.users(more));
}
