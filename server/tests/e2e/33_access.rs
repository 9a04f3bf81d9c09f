//! Who is let in: passwords, chains, bans, and what clients may do while they wait for their verdict.

use crate::harness::*;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const BAD_LOGIN: [u8; 2] = [4, 0x86];
const NOT_AUTHORIZED: [u8; 2] = [5, 0x87];
const BANNED: [u8; 2] = [5, 0x8A];
const BUSY: [u8; 2] = [3, 0x89];

/// The code that clients of this version are sent, of one pair.
fn code(version: ProtocolVersion, codes: [u8; 2]) -> u8 {
    codes[usize::from(version == ProtocolVersion::V5)]
}

fn refused(broker: &Broker, login: &Login, codes: [u8; 2]) {
    login.clone().refused(broker, code(login.version, codes));
}

/// A connection that a balancer says comes from elsewhere.
fn from_elsewhere(broker: &Broker, address: &str) -> TcpStream {
    let mut socket = connect(broker.listener("tcp:balanced"));
    let header = format!("PROXY TCP4 {address} 198.51.100.1 50000 1883\r\n");
    socket.write_all(header.as_bytes()).expect("the broker reads");
    socket
}

/// Connects on this socket and returns the code of CONNACK.
fn code_on(socket: TcpStream, login: &Login) -> u8 {
    let mut client = Client::over(socket, login.version);
    client.send_raw(&login.encode());
    match client.expect_packet() {
        Packet::Connack(connack) => connack.code,
        other => panic!("expected CONNACK, got {other:?}"),
    }
}

fn balanced() -> Configured {
    Configured::new()
        .set("listeners.tcp.balanced.bind=127.0.0.1:0")
        .set("listeners.tcp.balanced.proxy_protocol=true")
}

#[test]
fn users_enter_with_their_password_and_the_answer_does_not_tell_who_is_one() {
    let place = Configured::new().with_users();
    place.add_user("alice", "correct horse", &["--algorithm", "sha256"]);
    place.add_user("bob", "battery staple", &[]);
    place.at_shards(|broker| {
        for version in VERSIONS {
            let login = |user: &str| Login::new(version, &format!("c-{user}")).user_name(user);
            let mut alice = login("alice").password(b"correct horse").open(broker);
            let mut bob = login("bob").password(b"battery staple").open(broker);
            alice.subscribe("a", 1);
            bob.publish(message("a", "x").qos(1));
            alice.expect_texts(["x"]);
            for (user, password) in [
                ("alice", &b"battery staple"[..]),
                ("alice", b""),
                ("alice", b"correct horse "),
                ("alice", &[b'x'; 5000]),
                ("alice", &[0xFF, 0]),
                ("Alice", b"correct horse"),
                ("bob", b"correct horse"),
                ("nobody", b"correct horse"),
                ("nobody", b""),
            ] {
                refused(broker, &login(user).password(password), BAD_LOGIN);
            }
            let answer = |user| answer_to(broker.mqtt(), &login(user).password(b"wrong").encode());
            assert_eq!(answer("alice"), answer("nobody"));
            // The chain has nothing to ask of a client without a user name.
            refused(broker, &Login::new(version, "anonymous"), NOT_AUTHORIZED);
            // Who is kept out takes no session over.
            refused(broker, &Login::new(version, "c-alice").user_name("bob").password(b"x"), BAD_LOGIN);
            alice.ping();
        }
    });
}

#[test]
fn without_a_chain_clients_of_this_host_enter_and_no_others() {
    for (anonymous, codes_here, codes_elsewhere) in [
        (None, [0, 0], NOT_AUTHORIZED),
        (Some("loopback"), [0, 0], NOT_AUTHORIZED),
        (Some("everyone"), [0, 0], [0, 0]),
        (Some("nobody"), NOT_AUTHORIZED, NOT_AUTHORIZED),
    ] {
        let mut place = balanced();
        place.settings.extend(anonymous.map(|who| format!("anonymous={who}")));
        let broker = place.broker(1);
        for version in VERSIONS {
            let login = Login::new(version, "c").user_name("somebody").password(b"anything");
            assert_eq!(code_on(connect(broker.mqtt()), &login), code(version, codes_here));
            for (address, codes) in
                [("192.0.2.7", codes_elsewhere), ("127.0.0.1", codes_here), ("127.8.8.8", codes_here)]
            {
                let socket = from_elsewhere(&broker, address);
                assert_eq!(code_on(socket, &login), code(version, codes), "{anonymous:?} {address}");
            }
        }
    }
}

#[test]
fn a_listener_may_have_a_chain_of_its_own_or_none() {
    let place = Configured::new().with_users();
    let ids = place.write("ids.txt", "sensor-*\n# not for others\ngateway\n");
    let place = place
        .set("listeners.tcp.lan.bind=127.0.0.1:0")
        .set(&format!(
            "listeners.tcp.lan.authentication=[{{mechanism = 'client_ids', file = '{ids}', no_match = 'deny'}}]"
        ))
        .set("listeners.tcp.free.bind=127.0.0.1:0")
        .set("listeners.tcp.free.authentication=[]");
    place.add_user("alice", "correct horse", &["--algorithm", "sha256"]);
    let broker = place.broker(2);
    let enter = |listener: &str, login: Login| code_on(connect(broker.listener(listener)), &login);
    let alice = || Login::v5("any").user_name("alice").password(b"correct horse");
    assert_eq!(enter("tcp:default", alice()), 0);
    assert_eq!(enter("tcp:default", Login::v5("sensor-1")), 0x87);
    assert_eq!(enter("tcp:lan", alice()), 0x86);
    for (client_id, code) in [("sensor-1", 0), ("gateway", 0), ("gateway2", 0x86), ("a sensor-1", 0x86)] {
        assert_eq!(enter("tcp:lan", Login::v5(client_id)), code, "{client_id}");
    }
    assert_eq!(enter("tcp:lan", Login::v311("gateway2")), 4);
    assert_eq!(enter("tcp:free", Login::v5("any")), 0);
}

#[test]
fn changed_users_count_after_sighup_and_a_damaged_file_changes_nothing() {
    let place = Configured::new().with_users();
    let quick = ["--algorithm", "sha256"];
    place.add_user("alice", "first", &quick);
    place.add_user("bob", "first", &quick);
    let broker = place.broker(4);
    let login = |user: &str, password: &str| {
        Login::v5(&format!("{user} {password}")).user_name(user).password(password.as_bytes())
    };
    let mut alice = login("alice", "first").open(&broker);
    place.add_user("alice", "second", &quick);
    place.add_user("carol", "first", &quick);
    place.users(&["del", "bob"]);
    // Nothing has changed before the broker is told.
    login("bob", "first").open(&broker).disconnect();
    refused(&broker, &login("alice", "second"), BAD_LOGIN);
    broker.reload();
    until("every shard knows the new users", || {
        (0..16).all(|_| login("carol", "first").answer(&broker).1.code == 0)
    });
    refused(&broker, &login("bob", "first"), BAD_LOGIN);
    refused(&broker, &login("alice", "first"), BAD_LOGIN);
    login("alice", "second").open(&broker).disconnect();
    place.write("users.db", "nonsense\n");
    let logged = broker.reload();
    assert!(logged.contains("access control stays as it is: ") && logged.contains("users.db"), "{logged}");
    login("carol", "first").open(&broker).disconnect();
    refused(&broker, &login("bob", "first"), BAD_LOGIN);
    // Who was let in before stays.
    alice.ping();
}

/// CONNECT with what follows it in the same piece.
fn with_packets(login: &Login, topic: &str) -> Vec<u8> {
    let version = login.version;
    let mut bytes = login.encode();
    let mut subscribe = vec![0, 1];
    if version == ProtocolVersion::V5 {
        subscribe.push(0);
    }
    string(&mut subscribe, topic);
    subscribe.push(2);
    bytes.extend(frame(0x82, &subscribe));
    for qos in 0..=2_u8 {
        let mut sent = message(topic, format!("{qos}")).qos(qos);
        sent.packet_id = (qos > 0).then_some(u16::from(qos) + 10);
        bytes.extend(sent.encode(version));
    }
    bytes.extend([0xC0, 0]);
    bytes
}

#[test]
fn packets_behind_connect_wait_for_the_verdict_and_are_handled_in_order() {
    let place = Configured::new().with_users();
    place.add_user("alice", "correct horse", &[]);
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").user_name("alice").password(b"correct horse").open(broker);
        watcher.subscribe("behind/#", 0);
        for (number, version) in VERSIONS.into_iter().cycle().take(9).enumerate() {
            let topic = format!("behind/{number}");
            let login = Login::new(version, &format!("c{number}")).user_name("alice");
            let bytes = with_packets(&login.clone().password(b"correct horse"), &topic);
            let mut client = Client::unconnected(broker, version);
            match number % 3 {
                0 => client.send_raw(&bytes),
                1 => bytes.chunks(7).for_each(|piece| client.send_raw(piece)),
                _ => {
                    // What comes later, while it waits.
                    client.send_raw(&bytes[..40]);
                    time_passes(5);
                    client.send_raw(&bytes[40..]);
                }
            }
            assert!(matches!(client.expect_packet(), Packet::Connack(connack) if connack.code == 0));
            assert_eq!(client.expect_suback(1), [2]);
            client.expect_ack(AckKind::Puback, 11);
            client.expect_ack(AckKind::Pubrec, 12);
            client.expect_texts(["0", "1", "2"]);
            assert_eq!(client.expect_packet(), Packet::Pingresp);
            watcher.expect_texts(["0", "1", "2"]);
            // Of one that is kept out, nothing is handled.
            let mut wrong = Client::unconnected(broker, version);
            wrong.send_raw(&with_packets(&login.password(b"wrong"), &topic));
            let packets = wrong.read_until_closed();
            assert!(
                matches!(&packets[..], [Packet::Connack(connack)] if connack.code == code(version, BAD_LOGIN))
            );
            client.ping();
        }
        watcher.expect_nothing_from(
            &mut Login::v5("publisher").user_name("alice").password(b"correct horse").open(broker),
        );
    });
}

#[test]
fn clients_that_leave_while_they_wait_leave_nothing_behind() {
    let place = Configured::new().with_users();
    place.add_user("alice", "correct horse", &[]);
    place.at_shards(|broker| {
        let login = |client_id: &str| Login::v5(client_id).user_name("alice").password(b"correct horse");
        let mut watcher = login("watcher").open(broker);
        watcher.subscribe("will", 1);
        for round in 0..20 {
            let mut leaving = connect(broker.mqtt());
            let login = login("leaving").will(Will::new("will", "gone"));
            let bytes = if round % 2 == 0 { login.encode() } else { with_packets(&login, "will") };
            leaving.write_all(&bytes).expect("the broker reads");
        }
        let mut staying = login("leaving").open(broker);
        staying.ping();
        watcher.ping();
    });
}

#[test]
fn five_hundred_passwords_at_once_hold_up_nobody_who_is_connected() {
    allow_many_sockets();
    // A hash of a tenth of what is usual, so that all have their turn in a test's time.
    let place = Configured::new();
    let chain = place.users_element().replace(
        '}',
        ", password_hash_algorithm = {name = 'argon2id', memory_kib = 4096, iterations = 1, parallelism = 1}}",
    );
    let place = place.set(&format!("authentication=[{chain}]"));
    let settings = place.write("ringmq.toml", &format!("authentication = [{chain}]\n"));
    let password = place.write("password", "correct horse");
    let arguments = ["users", "add", "alice", "--password-file", &password, "--config", &settings];
    let outcome = run_to_exit(&arguments, &[]);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let broker = place.broker(2);
    let login = |client_id: &str| Login::v5(client_id).user_name("alice").password(b"correct horse");
    let mut connected = login("connected").open(&broker);
    connected.subscribe("flowing", 1);
    let mut storm: Vec<Client> = (0..500)
        .map(|number| {
            let mut client = Client::unconnected(&broker, ProtocolVersion::V5);
            let login = login(&format!("storm{number}"));
            let login = if number % 10 == 0 { login.password(b"wrong") } else { login };
            client.send_raw(&login.encode());
            client
        })
        .collect();
    for number in 0..100 {
        connected.publish(message("flowing", format!("{number}")).qos(1));
        connected.expect_texts([number.to_string()]);
    }
    let mut let_in = 0;
    for (number, client) in storm.iter_mut().enumerate() {
        let Event::Packet(Packet::Connack(connack)) = client.poll(Duration::from_secs(60)) else {
            panic!("no CONNACK for {number}");
        };
        let expected = if number % 10 == 0 { BAD_LOGIN[1] } else { 0 };
        assert!([expected, BUSY[1]].contains(&connack.code), "{number}: {connack:?}");
        let_in += u32::from(connack.code == 0);
    }
    assert!(let_in > 0, "nobody was let in");
    connected.ping();
}

#[test]
fn the_banned_are_kept_out_whatever_they_prove() {
    let place = balanced();
    let header = r#"{"format":"ringmq-banned","version":1}"#;
    let bans = [
        r#"{"as":"clientid","who":"thief","by":"admin","reason":"stolen","at":1}"#,
        r#"{"as":"username","who":"mallory","at":1}"#,
        r#"{"as":"peerhost","who":"192.0.2.7","at":1}"#,
        r#"{"as":"peerhost_net","who":"198.51.100.0/24","at":1}"#,
        r#"{"as":"clientid_re","who":"^bot-","at":1}"#,
        r#"{"as":"clientid","who":"forgiven","at":1,"until":2}"#,
    ];
    place.write("data/banned.jsonl", &[&[header], &bans[..], &[""]].concat().join("\n"));
    let data = place.path("data");
    let place = place.set("anonymous=everyone").set(&format!("node.data_dir={data}"));
    let broker = place.broker(2);
    for version in VERSIONS {
        let login = |client_id| Login::new(version, client_id);
        for kept_out in [login("thief"), login("bot-7"), login("c").user_name("mallory")] {
            refused(&broker, &kept_out, BANNED);
        }
        for let_in in [login("forgiven"), login("a bot-"), login("mallory"), login("c").user_name("thief")] {
            let_in.open(&broker).disconnect();
        }
        for (address, codes) in [
            ("192.0.2.7", BANNED),
            ("192.0.2.8", [0, 0]),
            ("198.51.100.255", BANNED),
            ("198.51.101.1", [0, 0]),
        ] {
            let socket = from_elsewhere(&broker, address);
            assert_eq!(code_on(socket, &login("c")), code(version, codes), "{address}");
        }
    }
    place.write(
        "data/banned.jsonl",
        &format!("{header}\n{{\"as\":\"clientid\",\"who\":\"other\",\"at\":1}}\n"),
    );
    broker.reload();
    until("the list is the new one", || Login::v5("thief").answer(&broker).1.code == 0);
    refused(&broker, &Login::v5("other"), BANNED);
    place.write("data/banned.jsonl", &format!("{header}\nnonsense\n"));
    let logged = broker.reload();
    assert!(
        logged.contains("access control stays as it is: ") && logged.contains("banned.jsonl:2: "),
        "{logged}"
    );
    refused(&broker, &Login::v5("other"), BANNED);
}

/// Everything a client could let slip, and the files of users could.
fn secrets(place: &Configured, address: SocketAddr) -> Vec<String> {
    let users = std::fs::read_to_string(place.path("users.db")).expect("a file of users");
    let mut secrets: Vec<String> = users
        .lines()
        .flat_map(|line| line.split(['\t', '$', ' ', ':']))
        .filter(|field| field.len() >= 20)
        .map(ToOwned::to_owned)
        .collect();
    assert!(secrets.len() >= 4, "{users}");
    secrets.extend(["correct horse", "battery staple", "shared secret of the issuer"].map(ToOwned::to_owned));
    // Spent on clients that are let in and that are not.
    for version in VERSIONS {
        for (user, password) in
            [("alice", "correct horse"), ("alice", "battery staple"), ("bob", "battery staple")]
        {
            let login = Login::new(version, "c").user_name(user).password(password.as_bytes());
            answer_to(address, &[login.encode(), vec![0xE0, 0]].concat());
        }
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlc2lnbmF0dXJl";
        let login = Login::new(version, "c").user_name("carol").password(token.as_bytes());
        answer_to(address, &login.encode());
        secrets.push(token[21..].to_owned());
    }
    secrets
}

#[test]
fn no_secret_is_ever_logged() {
    for formatter in ["text", "json"] {
        let place = Configured::new();
        let users = place.users_element();
        let token = "{mechanism = 'jwt', secret = 'shared secret of the issuer'}";
        let scram = format!("{{mechanism = 'scram', file = '{}'}}", place.path("users.db"));
        let place = place
            .set(&format!("authentication=[{users}, {token}, {scram}]"))
            .set("log.level=trace")
            .set(&format!("log.formatter={formatter}"));
        place.add_user("alice", "correct horse", &["--algorithm", "sha256", "--scram", "sha256"]);
        place.add_user("bob", "other words", &["--algorithm", "bcrypt"]);
        let broker = place.broker(2);
        let secrets = secrets(&place, broker.mqtt());
        broker.reload();
        // Neither is a value that cannot be read.
        place.write("users.db", "ringmq-users 1 correct horse\nalice\t-\tbattery staple\n");
        assert!(broker.reload().contains("access control stays as it is"));
        let logged = broker.stderr();
        assert!(logged.contains("connection refused"), "{logged}");
        for secret in secrets {
            assert!(!logged.contains(&secret), "{secret:?} was logged");
        }
    }
}
