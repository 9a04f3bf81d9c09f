//! TLS handshakes and records that come late, in pieces, all at once or not as they should, and the ends of connections.

use crate::harness::*;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn handshakes_and_connects_have_a_time_each() {
    let setup = TlsSetup::new().with("handshake_timeout", "1s").set("mqtt.idle_timeout=1h");
    let broker = setup.broker(1);
    let mut silent = connect(tls_address(&broker));
    let mut half = connect(tls_address(&broker));
    half.write_all(&hello(&setup.client())[..100]).expect("the broker reads");
    assert_eq!(read_to_close(&mut silent), b"");
    assert_eq!(read_to_close(&mut half), b"");
    // One that is complete has the other time.
    Login::v5("slow").open_over({
        let stream = setup.client().connect(tls_address(&broker));
        time_passes(1500);
        stream
    });
    let setup = TlsSetup::new().with("handshake_timeout", "1m").set("mqtt.idle_timeout=1s");
    let broker = setup.broker(1);
    let mut without_connect = setup.client().connect(tls_address(&broker));
    // It is cut off: whoever says nothing is owed no farewell.
    assert_eq!(read_to_close(&mut without_connect), b"");
}

/// The first record of a handshake.
fn hello(client: &TlsClient) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.begin().write_tls(&mut bytes).expect("memory");
    bytes
}

#[test]
fn what_is_no_tls_is_refused_and_others_are_served() {
    let setup = TlsSetup::new();
    let broker = setup.broker(2);
    let mut good = Login::v5("good").open_over(setup.client().connect(tls_address(&broker)));
    let whole = hello(&setup.client());
    let mut scrambled = whole.clone();
    scrambled[5..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let mut too_long = vec![0x16, 3, 1, 0xFF, 0xFF];
    too_long.resize(80_000, 7);
    // Handshake messages that go on for ever, each record being good by itself.
    let endless: Vec<u8> =
        (0..20).flat_map(|_| [vec![0x16, 3, 1, 0x40, 0], vec![1; 0x4000]].concat()).collect();
    let cases: Vec<Vec<u8>> = vec![
        Login::v5("plain").encode(),
        Login::v311("plain").encode(),
        b"GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        vec![0; 5],
        vec![0x16, 3, 1, 0, 0],
        vec![0x15, 3, 3, 0, 2, 2, 40],
        vec![0x17, 3, 3, 0, 4, 1, 2, 3, 4],
        [&whole[..], &Login::v5("early").encode()].concat(),
        [&whole[..], &whole[..]].concat(),
        scrambled,
        too_long,
        endless,
    ];
    for bytes in cases {
        let answer = answer_to(tls_address(&broker), &bytes);
        // An alert at most, behind what a good beginning was answered with. Never a packet.
        assert!(
            answer.is_empty() || matches!(answer[0], 0x15 | 0x16),
            "{:02x?}",
            &answer[..answer.len().min(9)]
        );
        good.ping();
    }
    // And the other way round: nobody speaks TLS or HTTP to a listener of plain MQTT.
    let idle = Broker::with(1, &["mqtt.idle_timeout=1s"]);
    for bytes in [&whole[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        assert_eq!(answer_to(idle.mqtt(), bytes), b"");
    }
}

#[test]
fn a_thousand_handshakes_that_never_end_cost_little_and_hold_up_nobody() {
    allow_many_sockets();
    let setup = TlsSetup::new();
    let broker = setup.broker(2);
    let mut good = Login::v5("good").open_over(setup.client().connect(tls_address(&broker)));
    let whole = hello(&setup.client());
    let grown = begin_a_thousand(&broker, &mut good, |number| {
        let mut socket = connect(tls_address(&broker));
        // Some say half of the first message, some all of it, and nobody answers the broker's.
        let length = if number % 4 == 0 { whole.len() } else { whole.len() / 2 };
        socket.write_all(&whole[..length]).expect("the broker reads");
        socket
    });
    assert!(grown < 48 << 20, "{grown} bytes");
    Login::v5("another").open_over(setup.client().connect(tls_address(&broker))).ping();
}

#[test]
fn handshakes_may_come_byte_by_byte() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        for (number, client) in setup.clients(None).into_iter().enumerate() {
            let stream = client.try_over(Trickle(connect(tls_address(broker)))).expect("a handshake");
            let mut client = Login::v5(&format!("c{number}")).open_over(stream);
            client.subscribe("a", 2);
            client.publish(message("a", "b").qos(2));
            client.expect_texts(["b"]);
            client.disconnect();
        }
    });
}

/// Goes through the handshake and returns the connection with what completes it, not sent, and these bytes behind.
fn complete_with(client: &TlsClient, socket: TcpStream, plain: &[u8]) -> (TlsStream, Vec<u8>) {
    let mut stream = TlsStream::new(client.begin(), socket);
    loop {
        let mut outgoing = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut outgoing).expect("memory");
        }
        if !stream.conn.is_handshaking() {
            stream.conn.writer().write_all(plain).expect("room");
            stream.conn.write_tls(&mut outgoing).expect("memory");
            return (stream, outgoing);
        }
        stream.sock.write_all(&outgoing).expect("the broker reads");
        assert!(stream.conn.read_tls(&mut stream.sock).expect("the broker answers") > 0);
        stream.conn.process_new_packets().expect("a good answer");
    }
}

#[test]
fn what_comes_right_behind_the_handshake_moves_to_the_clients_home_with_it() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        // TLS 1.3, in which the client ends the handshake, so that all of this can be one segment.
        let [_, client] = setup.clients(None);
        for round in 0..32 {
            let version = VERSIONS[round % 3];
            let topic = format!("moved/{round}");
            let mut subscribe = vec![0, 1];
            if version == ProtocolVersion::V5 {
                subscribe.push(0);
            }
            subscribe.extend(string_of(&topic));
            subscribe.push(1);
            let plain = [
                Login::new(version, &format!("moving{round}")).encode(),
                frame(0x82, &subscribe),
                message(topic.clone(), "early").qos(1).id(2).encode(version),
                vec![0xC0, 0],
            ]
            .concat();
            let (mut stream, outgoing) = complete_with(&client, connect(tls_address(broker)), &plain);
            match round % 2 {
                0 => stream.sock.write_all(&outgoing).expect("the broker reads"),
                _ => outgoing
                    .iter()
                    .for_each(|byte| stream.sock.write_all(&[*byte]).expect("the broker reads")),
            }
            let mut client = Client::over(stream, version);
            assert!(matches!(client.expect_packet(), Packet::Connack(connack) if connack.code == 0));
            assert_eq!(client.expect_suback(1), [1]);
            client.expect_ack(AckKind::Puback, 2);
            client.expect_texts(["early"]);
            assert_eq!(client.expect_packet(), Packet::Pingresp);
            client.disconnect();
        }
    });
}

fn string_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    string(&mut bytes, text);
    bytes
}

#[test]
fn handshakes_that_come_at_once_are_all_served() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        std::thread::scope(|scope| {
            for number in 0..64 {
                let setup = &setup;
                scope.spawn(move || {
                    let client = setup.clients(None)[number % 2].clone();
                    let stream = client.connect(tls_address(broker));
                    let mut client = Login::v5(&format!("c{number}")).open_over(stream);
                    client.subscribe(&format!("own/{number}"), 1);
                    client.publish(message(format!("own/{number}"), "x").qos(1));
                    client.expect_texts(["x"]);
                });
            }
        });
    });
}

#[test]
fn both_sides_say_that_they_close() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        for client in setup.clients(None) {
            let mut watcher = Login::v5("watcher").open(broker);
            watcher.subscribe("will", 1);
            let login = || Login::v311("leaving").will(Will::new("will", "gone").qos(1)).encode();
            // The client says DISCONNECT, and hears the end of TLS.
            let mut stream = client.connect(tls_address(broker));
            stream.write_all(&[login(), vec![0xE0, 0]].concat()).expect("the broker reads");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("a farewell");
            assert_eq!(answer, [0x20, 2, 0, 0]);
            // The client says the end of TLS, which is no DISCONNECT.
            let mut stream = client.connect(tls_address(broker));
            stream.write_all(&login()).expect("the broker reads");
            stream.read_exact(&mut [0; 4]).expect("CONNACK");
            stream.conn.send_close_notify();
            stream.flush().expect("the broker reads");
            watcher.expect_texts(["gone"]);
            stream.read_to_end(&mut answer).expect("a farewell");
            // The client is cut off in the middle of a record.
            let mut stream = client.connect(tls_address(broker));
            stream.write_all(&login()).expect("the broker reads");
            stream.read_exact(&mut [0; 4]).expect("CONNACK");
            let _ = stream.sock.write_all(&[0x17, 3, 3, 0, 100, 1, 2, 3]);
            drop(stream);
            watcher.expect_texts(["gone"]);
            // Somebody changes what is under way.
            let mut stream = client.connect(tls_address(broker));
            stream.write_all(&login()).expect("the broker reads");
            stream.read_exact(&mut [0; 4]).expect("CONNACK");
            let mut record = Vec::new();
            stream.conn.writer().write_all(&[0xC0, 0]).expect("room");
            stream.conn.write_tls(&mut record).expect("memory");
            *record.last_mut().expect("a record") ^= 1;
            stream.sock.write_all(&record).expect("the broker reads");
            watcher.expect_texts(["gone"]);
            let error = stream.read_to_end(&mut answer).expect_err("an alert");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    });
}

/// What openssl's client hears that sends these bytes; none where there is no openssl.
fn heard_by_openssl(setup: &TlsSetup, broker: &Broker, options: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let authority = setup.write("authority.pem", &setup.authority.certificate());
    let address = tls_address(broker).to_string();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-CAfile", &authority, "-connect", &address]);
    let mut child = command
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // One that is refused may be gone before it has read them.
    let _ = child.stdin.take().expect("it is piped").write_all(bytes);
    Some(child.wait_with_output().expect("a child of ours").stdout)
}

#[test]
fn openssl_is_served_with_what_is_allowed_and_with_nothing_else() {
    let setup = TlsSetup::asking_for_certificates().with("fail_if_no_peer_cert", "true");
    let device = setup.authority.client("device-7");
    let certificate = setup.write("device.pem", &device.certificate);
    let key = setup.write("device.key", &device.key);
    let with_certificate = ["-cert", &*certificate, "-key", &*key];
    let broker = setup.broker(2);
    let packets = [Login::v311("openssl").encode(), vec![0xE0, 0]].concat();
    let cases: [(&[&str], bool); 7] = [
        (&["-tls1_2"], true),
        (&["-tls1_3"], true),
        (&["-tls1_3", "-alpn", "mqtt"], true),
        (&["-servername", "localhost", "-verify_hostname", "localhost"], true),
        (&["-tls1_1"], false),
        (&["-alpn", "h2"], false),
        (&["-tls1_2", "-cipher", "AES128-SHA"], false),
    ];
    for (options, is_served) in cases {
        let Some(heard) =
            heard_by_openssl(&setup, &broker, &[&with_certificate[..], options].concat(), &packets)
        else {
            return eprintln!("skipped: there is no openssl");
        };
        let connack: &[u8] = if is_served { &[0x20, 2, 0, 0] } else { &[] };
        assert_eq!(heard, connack, "{options:?}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        assert_eq!(heard_by_openssl(&setup, &broker, &[version], &packets).as_deref(), Some(&[][..]));
    }
}
