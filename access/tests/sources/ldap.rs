//! OpenLDAP: users with hashes, users that are logged in, topics; gone and back; with TLS.

use super::asking::{
    Outcome, allowed, ask, check_return, check_tls, config, entry, rules, run, runtime, superuser,
};
use super::certificates;
use super::server::{Server, folder, free_port, program, run_command};
use ringmq_access::authentication::RemoteAuthenticator;
use ringmq_access::sources::config::{LdapConfig, LdapRulesConfig};
use ringmq_access::sources::ldap::{self, LdapBinding};
use ringmq_core::authorization::{Actions, Permission};
use ringmq_core::reason::ReasonCode;
use std::path::PathBuf;
use std::process::Command;

const SCHEMA: &str = "
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.1.3 NAME 'isSuperuser'
    EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.1 NAME ( 'mqttPublishTopic' )
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.2 NAME ( 'mqttSubscriptionTopic' )
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4.4 NAME ( 'mqttAclRule' )
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.11.2.53.2.2.3.1.2.3.4 NAME 'mqttUser' SUP top STRUCTURAL
    MUST uid MAY ( isSuperuser $ userPassword $ mqttPublishTopic $ mqttSubscriptionTopic $ mqttAclRule ) )
";

const ENTRIES: &str = r#"
dn: dc=example
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: uid=known,dc=example
objectClass: mqttUser
uid: known
userPassword: SSHA_OF_PASS1
mqttPublishTopic: a/#
mqttSubscriptionTopic: b
mqttAclRule: {"permission": "deny", "action": "publish", "topic": "a/secret"}

dn: uid=root,dc=example
objectClass: mqttUser
uid: root
userPassword: SSHA_OF_PASS1
isSuperuser: TRUE

dn: uid=bare,dc=example
objectClass: mqttUser
uid: bare
"#;

struct Directory {
    server: Server,
    command: Command,
    authority: PathBuf,
}

fn start(with_tls: bool) -> Option<Directory> {
    let program = |name| program(name, "slapd");
    let (slapd, slapadd, slappasswd) = (program("slapd")?, program("slapadd")?, program("slappasswd")?);
    let (folder, port) = (folder(), free_port());
    let path = |name: &str| folder.path().join(name);
    let authority = certificates::make(folder.path()).authority;
    std::fs::create_dir(path("data")).unwrap();
    std::fs::write(path("mqtt.schema"), SCHEMA).unwrap();
    let hash = run_command(Command::new(slappasswd).args(["-h", "{SSHA}", "-s", "pass1"]));
    let lines = [
        "include /etc/ldap/schema/core.schema".to_owned(),
        format!("include {}", path("mqtt.schema").display()),
        "modulepath /usr/lib/ldap\nmoduleload back_mdb".to_owned(),
        format!("TLSCertificateFile {}", path("server.pem").display()),
        format!("TLSCertificateKeyFile {}", path("server.key").display()),
        "database mdb\nmaxsize 16777216\nsuffix dc=example\nrootdn cn=broker,dc=example\nrootpw pw"
            .to_owned(),
        format!("directory {}\ndbnosync", path("data").display()),
        "access to * by anonymous auth by self read by * none\n".to_owned(),
    ];
    std::fs::write(path("slapd.conf"), lines.join("\n")).unwrap();
    std::fs::write(path("entries"), ENTRIES.trim_start().replace("SSHA_OF_PASS1", hash.trim())).unwrap();
    run_command(Command::new(slapadd).arg("-f").arg(path("slapd.conf")).arg("-l").arg(path("entries")));
    let mut command = Command::new(slapd);
    let scheme = if with_tls { "ldaps" } else { "ldap" };
    command.args(["-d", "0", "-h", &format!("{scheme}://127.0.0.1:{port}/"), "-f"]).arg(path("slapd.conf"));
    let server = Server::start(folder, port, &mut command);
    Some(Directory { server, command, authority })
}

impl Directory {
    fn text(&self, more: &str) -> String {
        let server = format!("server = \"127.0.0.1:{}\"\nquery_timeout = \"2s\"", self.server.port);
        format!("{server}\nbase_dn = \"dc=example\"\nusername = \"cn=broker,dc=example\"\n{more}")
    }

    fn hashing(&self, more: &str) -> Box<dyn RemoteAuthenticator> {
        Box::new(ldap::users(&config::<LdapConfig>(&self.text(more))).unwrap())
    }

    fn binding(&self, more: &str) -> Box<dyn RemoteAuthenticator> {
        let text = self.text(&format!("{more}\nmethod = {{ type = \"bind\" }}"));
        Box::new(LdapBinding::new(&config::<LdapConfig>(&text)).unwrap())
    }
}

#[test]
fn users_and_rules_are_found() {
    let Some(directory) = start(false) else { return };
    let runtime = runtime();
    let refused = || Outcome::Deny(ReasonCode::BadUserNameOrPassword);
    let elements = [
        (directory.hashing("password = \"pw\""), Outcome::WrongPassword, Outcome::Unknown),
        (directory.binding("password = \"pw\""), refused(), refused()),
    ];
    for (element, wrong, bare) in elements {
        let ask = |user: Option<&str>, password: &str| {
            run(&runtime, ask(&*element, &entry("c", user, Some(password))))
        };
        assert_eq!(ask(Some("known"), "pass1"), allowed());
        assert_eq!(ask(Some("root"), "pass1"), superuser());
        assert_eq!(ask(Some("known"), "pass2"), wrong);
        assert_eq!(ask(Some("known"), ""), wrong, "an empty password is a wrong one");
        assert_eq!(ask(Some("bare"), "pass1"), bare);
        for user in ["nobody", "*", "known)(uid=*", "k*"] {
            assert_eq!(ask(Some(user), "pass1"), Outcome::Unknown, "{user}");
        }
        assert_eq!(ask(None, "pass1"), Outcome::Ignore);
        assert_eq!(ask(Some("known"), "pass1"), allowed());
    }
    let text = directory.text("password = \"pw\"");
    let source = ldap::rules(&config::<LdapRulesConfig>(&text)).unwrap();
    let found = run(&runtime, rules(&source, &entry("c", Some("known"), None)));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].permission, found[0].actions), (Permission::Deny, Actions::PUBLISH));
    assert_eq!((found[2].permission, found[2].actions), (Permission::Allow, Actions::SUBSCRIBE));
    for element in [directory.hashing("password = \"no\""), directory.binding("password = \"no\"")] {
        let client = entry("c", Some("known"), Some("pass1"));
        assert_eq!(run(&runtime, ask(&*element, &client)), Outcome::Ignore, "the broker's own password");
    }
}

#[test]
fn a_server_that_dies_or_hangs_is_passed_over_and_found_again() {
    let Some(mut directory) = start(false) else { return };
    let elements = [directory.hashing("password = \"pw\""), directory.binding("password = \"pw\"")];
    check_return(&mut directory.server, &mut directory.command, &elements);
}

#[test]
fn tls_is_spoken_and_certificates_are_checked() {
    let Some(directory) = start(true) else { return };
    check_tls(&directory.authority, |more| directory.binding(more));
}
