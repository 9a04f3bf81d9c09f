//! MQTT over TLS: what is served, to whom, and with which certificates.

use crate::harness::*;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::HandshakeKind::{Full, Resumed};
use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
use std::io::Write;
use std::process::Command;

#[test]
fn every_version_of_mqtt_is_spoken_over_both_versions_of_tls() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        let [old, new] = setup.clients(None).map(|client| client.offering(&["mqtt"]));
        for version in VERSIONS {
            let clients: Vec<Client> = (0..6)
                .map(|number| {
                    let login = Login::new(version, &format!("c{number}"));
                    let (client, spoken) = if number % 3 == 0 { (&old, TLSv1_2) } else { (&new, TLSv1_3) };
                    if number % 3 == 2 {
                        return login.open(broker);
                    }
                    let stream = client.connect(tls_address(broker));
                    assert_eq!(stream.conn.protocol_version(), Some(spoken));
                    assert_eq!(stream.conn.alpn_protocol(), Some(&b"mqtt"[..]));
                    login.open_over(stream)
                })
                .collect();
            exchange(clients);
        }
    });
}

#[test]
fn every_backend_carries_tls() {
    for setting in ["node.net_backend=glommio", "node.private_fd_tables=true"] {
        let setup = TlsSetup::new().set(setting);
        let broker = setup.broker(4);
        let clients: Vec<Client> = (0..8)
            .map(|number| {
                let stream = setup.clients(None)[number % 2].connect(tls_address(&broker));
                Login::v5(&format!("c{number}")).open_over(stream)
            })
            .collect();
        exchange(clients);
    }
}

#[test]
fn only_versions_that_are_configured_are_spoken() {
    let setup = TlsSetup::new().with("versions", r#"["tlsv1.3"]"#);
    let broker = setup.broker(1);
    let [old, new] = setup.clients(None);
    assert!(
        old.refusal(tls_address(&broker)).contains("ProtocolVersion"),
        "{}",
        old.refusal(tls_address(&broker))
    );
    Login::v5("new").open_over(new.connect(tls_address(&broker))).ping();
}

#[test]
fn clients_that_offer_other_protocols_only_are_refused() {
    let setup = TlsSetup::new();
    let broker = setup.broker(1);
    let refusal = setup.client().offering(&["h2"]).refusal(tls_address(&broker));
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");
    let stream = setup.client().offering(&["h2", "mqtt"]).connect(tls_address(&broker));
    Login::v5("both").open_over(stream).ping();
}

#[test]
fn messages_of_a_megabyte_cross_both_ways() {
    let setup = TlsSetup::new().set("mqtt.max_packet_size=2MB");
    let payload: Vec<u8> =
        (0..1 << 20).map(|number: u32| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    setup.at_shards(|broker| {
        for client in setup.clients(None) {
            let mut plain = Login::v5("plain").open(broker);
            let mut wrapped = Login::v311("wrapped").open_over(client.connect(tls_address(broker)));
            plain.subscribe("large", 2);
            wrapped.subscribe("large", 2);
            for qos in 0..=2 {
                wrapped.publish(message("large", payload.clone()).qos(qos));
                for receiver in [&mut plain, &mut wrapped] {
                    let received = receiver.receive();
                    assert!(received.payload == payload, "{} bytes at QoS {qos}", received.payload.len());
                }
            }
        }
    });
}

#[test]
fn a_client_that_reads_late_gets_every_message() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        let mut late = Login::v5("late").open_over(setup.client().connect(tls_address(broker)));
        late.subscribe("many", 1);
        let mut publisher = Login::v5("publisher").open_over(setup.client().connect(tls_address(broker)));
        let payload = |number: u32| [&number.to_be_bytes()[..], &[b'x'; 20_000]].concat();
        publisher.publish_all((0..300).map(|number| message("many", payload(number)).qos(1)), 20);
        for number in 0..300 {
            assert!(late.receive().payload == payload(number), "message {number}");
        }
    });
}

/// A key that openssl makes, in PKCS#8 and in PKCS#1; none where there is no openssl.
fn rsa_keys() -> Option<[String; 2]> {
    let run = |arguments: &[&str], input: &str| {
        let mut command = Command::new("openssl");
        let piped = std::process::Stdio::piped;
        let mut child =
            command.args(arguments).stdin(piped()).stdout(piped()).stderr(piped()).spawn().ok()?;
        child.stdin.take()?.write_all(input.as_bytes()).ok()?;
        let output = child.wait_with_output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).expect("PEM"))
    };
    let modern = run(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "")?;
    let old = run(&["rsa", "-traditional"], &modern)?;
    assert!(old.contains("BEGIN RSA PRIVATE KEY"), "{old}");
    Some([modern, old])
}

/// The key alone, as openssl's `ec` writes it: the last part of PKCS#8.
fn sec1(key: &KeyPair) -> String {
    use base64::Engine;
    let whole = key.serialize_der();
    let start = whole.windows(2).rposition(|pair| pair == [0x30, 0x6B]).expect("an ECPrivateKey of P-256");
    let text = base64::engine::general_purpose::STANDARD.encode(&whole[start..]);
    format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n")
}

/// Certificates with keys of every kind and form, each for a server of its own.
fn identities(authority: &Authority) -> Vec<(String, Identity)> {
    let p256 = KeyPair::generate().expect("random bytes");
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("random bytes");
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).expect("random bytes");
    let mut keys =
        vec![("sec1", sec1(&p256)), ("p384", p384.serialize_pem()), ("ed25519", ed25519.serialize_pem())];
    let mut pairs = vec![p256, p384, ed25519];
    match rsa_keys() {
        Some([modern, old]) => {
            pairs.push(KeyPair::from_pem(&modern).expect("a key"));
            pairs.push(KeyPair::from_pem(&modern).expect("a key"));
            keys.extend([("rsa", modern), ("pkcs1", old)]);
        }
        None => eprintln!("without RSA: there is no openssl"),
    }
    let named = keys.into_iter().zip(pairs).map(|((name, pem), pair)| {
        let server = format!("{name}.example");
        let identity = authority.server_with_key(&[&server], &pair, pem);
        (server, identity)
    });
    named.collect()
}

#[test]
fn keys_of_every_kind_are_read_and_the_servers_name_chooses_among_them() {
    let setup = TlsSetup::new();
    let mut identities = identities(&setup.authority);
    identities.push(("a.wild.example".to_owned(), setup.authority.server(&["*.wild.example"])));
    let files: Vec<String> = identities
        .iter()
        .map(|(name, identity)| {
            let certificate = setup.write(&format!("{name}.pem"), &identity.certificate);
            let key = setup.write(&format!("{name}.key"), &identity.key);
            format!("{{certfile = '{certificate}', keyfile = '{key}'}}")
        })
        .collect();
    let setup = setup.with("certificates", &format!("[{}]", files.join(", ")));
    let broker = setup.broker(1);
    for client in setup.clients(None) {
        let shown = |name: &str| {
            let stream = client.clone().asking_for(name).connect(tls_address(&broker));
            let shown = stream.conn.peer_certificates().expect("a certificate")[0].clone();
            Login::v5("c").open_over(stream).ping();
            shown
        };
        for (name, identity) in &identities {
            assert_eq!(&shown(name), identity.der(), "{name}");
            assert_eq!(&shown(&name.to_uppercase()), identity.der(), "{name}");
        }
        // No name, and one that no certificate has.
        assert_eq!(&shown("127.0.0.1"), setup.server.der());
        for name in ["wild.example", "b.a.wild.example", "unknown.example"] {
            let refusal = client.clone().asking_for(name).refusal(tls_address(&broker));
            assert!(refusal.contains("\"localhost\""), "{refusal}");
        }
    }
}

#[test]
fn clients_show_certificates_that_are_good_or_none() {
    for is_needed in [false, true] {
        let setup = TlsSetup::asking_for_certificates().with("fail_if_no_peer_cert", &is_needed.to_string());
        let revoked = setup.authority.client("revoked");
        let list = setup.write("crl.pem", &setup.authority.revoking(&[&revoked]));
        let setup = setup.with("crlfile", &list);
        let good = setup.authority.client("good");
        let stranger = Authority::new("another").client("good");
        // An authority that calls itself the same.
        let forged = Authority::new("tests").client("good");
        let broker = setup.broker(1);
        for version in 0..2 {
            let client = |identity| setup.clients(identity)[version].clone();
            Login::v5("good").open_over(client(Some(&good)).connect(tls_address(&broker))).ping();
            let refusal = |identity| client(identity).refusal(tls_address(&broker));
            let refused = |identity, reasons: &[&str]| {
                let refusal = refusal(identity);
                assert!(reasons.iter().any(|reason| refusal.contains(reason)), "{refusal}");
            };
            refused(Some(&revoked), &["CertificateRevoked"]);
            refused(Some(&stranger), &["UnknownCA"]);
            refused(Some(&forged), &["UnknownCA", "DecryptError", "BadCertificate"]);
            // A certificate that is made for servers.
            refused(Some(&setup.server), &["UnsupportedCertificate", "BadCertificate", "CertificateUnknown"]);
            match is_needed {
                true => refused(None, &["CertificateRequired", "HandshakeFailure", "BadCertificate"]),
                false => Login::v5("none").open_over(client(None).connect(tls_address(&broker))).ping(),
            }
        }
    }
}

#[test]
fn certificates_name_clients() {
    let expected = [("cn", "device-7"), ("dn", "CN=device-7, O=Plant"), ("san", "device-7.example")];
    for (field, name) in expected {
        let setup = TlsSetup::asking_for_certificates()
            .set(&format!("mqtt.peer_cert_as_clientid={field}"))
            .set(&format!("mqtt.peer_cert_as_username={field}"));
        let rules = "{allow, all, publish, [\"names/${username}\"]}.\n";
        let setup = TlsSetup { configured: setup.configured.with_rules(rules), ..setup };
        let device = setup.authority.client("device-7");
        setup.at_shards(|broker| {
            for client in setup.clients(Some(&device)) {
                // The second time, the session is resumed, and the certificate is not shown again.
                for kind in [Full, Resumed] {
                    let stream = client.connect(tls_address(broker));
                    assert_eq!(stream.conn.handshake_kind(), Some(kind));
                    let login = Login::v5("ignored").user_name("ignored");
                    let mut named = login.clone().open_over(stream);
                    let mut publish =
                        |name: &str| named.publish(message(format!("names/{name}"), "x").qos(1));
                    assert_eq!(publish("ignored"), ReasonCode::NotAuthorized);
                    assert_eq!(publish(name), ReasonCode::NoMatchingSubscribers);
                    // The same client id without a certificate, and the one that was ignored.
                    let mut other = login.open(broker);
                    let mut second = Login::v5(name).open(broker);
                    named.expect_disconnect(ReasonCode::SessionTakenOver);
                    other.ping();
                    second.ping();
                }
            }
        });
    }
}

#[test]
fn a_whole_certificate_names_a_client() {
    let setup = TlsSetup::asking_for_certificates().set("mqtt.peer_cert_as_clientid=pem");
    let device = setup.authority.client("device-7");
    let name: String = device.certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    setup.at_shards(|broker| {
        for client in setup.clients(Some(&device)) {
            let mut named = Login::v5("ignored").open_over(client.connect(tls_address(broker)));
            let mut second = Login::v5(&name).open(broker);
            named.expect_disconnect(ReasonCode::SessionTakenOver);
            second.ping();
        }
    });
}

#[test]
fn a_certificate_whose_name_no_string_should_be_is_refused() {
    for (key, code, code_v3) in [("username", 0x86, 4), ("clientid", 0x85, 2)] {
        let setup = TlsSetup::asking_for_certificates().set(&format!("mqtt.peer_cert_as_{key}=cn"));
        let device = setup.authority.client("device\u{7}7");
        let broker = setup.broker(1);
        for client in setup.clients(Some(&device)) {
            for (login, code) in [(Login::v5("c"), code), (Login::v311("c"), code_v3)] {
                let (mut client, connack) = login.answer_over(client.connect(tls_address(&broker)));
                assert_eq!(connack.code, code, "{key}");
                client.expect_closed();
            }
        }
    }
}

#[test]
fn sessions_are_resumed_by_tickets_where_that_is_allowed() {
    for is_allowed in [true, false] {
        let setup = TlsSetup::new().with("reuse_sessions", &is_allowed.to_string());
        setup.at_shards(|broker| {
            for client in setup.clients(None) {
                for attempt in 0..6 {
                    let stream = client.connect(tls_address(broker));
                    let expected = if attempt > 0 && is_allowed { Resumed } else { Full };
                    assert_eq!(stream.conn.handshake_kind(), Some(expected), "attempt {attempt}");
                    // Tickets of TLS 1.3 come behind the handshake.
                    let mut client = Login::v5("c").open_over(stream);
                    client.ping();
                    client.disconnect();
                }
            }
        });
    }
}

#[test]
fn new_certificates_are_shown_after_sighup_and_open_connections_stay() {
    let setup = TlsSetup::new();
    setup.at_shards(|broker| {
        let renewed_by = Authority::new("renewed");
        let renewed = renewed_by.server(&["localhost"]);
        let new = TlsClient::new(&renewed_by).forgetful();
        let old = setup.client().forgetful();
        let mut early = Login::v5("early").open_over(old.connect(tls_address(broker)));
        early.subscribe("a", 1);
        assert!(new.refusal(tls_address(broker)).contains("UnknownIssuer"));

        setup.write("server.pem", &renewed.certificate);
        setup.write("server.key", &renewed.key);
        broker.reload();
        // Each shard has its listening socket, and takes the change up by itself.
        until("every shard shows the new certificate", || {
            (0..16).all(|_| new.try_over(connect(tls_address(broker))).is_ok())
        });
        let mut late = Login::v5("late").open_over(new.connect(tls_address(broker)));
        assert!(old.refusal(tls_address(broker)).contains("UnknownIssuer"));
        late.publish(message("a", "after").qos(1));
        early.expect_texts(["after"]);

        for broken in ["", "nonsense", &setup.server.certificate] {
            setup.write("server.pem", broken);
            let logged = broker.reload();
            assert!(
                logged.contains("listeners stay as they are: ") && logged.contains(TLS_OPTIONS),
                "{logged}"
            );
            assert!((0..8).all(|_| new.try_over(connect(tls_address(broker))).is_ok()));
            early.ping();
            late.ping();
        }
        // For the next broker.
        setup.write("server.pem", &setup.server.certificate);
        setup.write("server.key", &setup.server.key);
    });
}

#[test]
fn a_certificate_that_is_revoked_meanwhile_opens_no_new_connection() {
    let setup = TlsSetup::asking_for_certificates();
    let stolen = setup.authority.client("stolen");
    let list = setup.write("crl.pem", &setup.authority.revoking(&[]));
    let setup = setup.with("crlfile", &list);
    let broker = setup.broker(2);
    let client = TlsClient::with(&setup.authority, &TLS_VERSIONS, Some(&stolen));
    let mut early = Login::v5("early").open_over(client.connect(tls_address(&broker)));
    setup.write("crl.pem", &setup.authority.revoking(&[&stolen]));
    broker.reload();
    // Neither with its certificate nor with the ticket that it was given for it.
    until("it is refused", || client.refusal(tls_address(&broker)).contains("CertificateRevoked"));
    early.ping();
}

#[test]
fn files_that_are_missing_or_do_not_belong_together_are_named_by_their_keys() {
    let setup = TlsSetup::asking_for_certificates();
    let other = setup.write("other.key", &setup.authority.server(&["other"]).key);
    let nonsense = setup.write("nonsense.pem", "nonsense");
    let second =
        format!("[{{certfile = '{}', keyfile = 'absent.key'}}]", setup.configured.path("server.pem"));
    let cases: [(&str, &[(&str, &str)]); 11] = [
        ("certfile", &[("certfile", "")]),
        ("certfile", &[("certfile", "absent.pem")]),
        ("certfile", &[("certfile", &nonsense)]),
        ("keyfile", &[("keyfile", "")]),
        ("keyfile", &[("keyfile", "absent.key")]),
        ("keyfile", &[("keyfile", &nonsense)]),
        ("keyfile", &[("keyfile", &other)]),
        ("cacertfile", &[("cacertfile", "")]),
        ("crlfile", &[("crlfile", &nonsense)]),
        ("fail_if_no_peer_cert", &[("verify", "verify_none"), ("fail_if_no_peer_cert", "true")]),
        ("certificates[0].keyfile", &[("certificates", &second)]),
    ];
    for (key, changes) in cases {
        let mut settings = setup.configured.settings.clone();
        settings.extend(changes.iter().map(|(key, value)| format!("{TLS_OPTIONS}.{key}={value}")));
        settings.push("listeners.tcp.default.enable=false".to_owned());
        settings.push("dashboard.listeners.http.enable=false".to_owned());
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let outcome = run_to_exit(&arguments, &[]);
        assert_eq!(outcome.status.code(), Some(1), "{changes:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("{TLS_OPTIONS}.{key}")), "{changes:?}: {}", outcome.stderr);
        assert!(
            !outcome.stderr.contains("PRIVATE") && !outcome.stderr.contains("panicked"),
            "{}",
            outcome.stderr
        );
    }
    // A listener of another name does not speak plainly because nothing was said about TLS.
    let settings = [
        "listeners.ssl.other.bind=127.0.0.1:0",
        "listeners.tcp.default.enable=false",
        "dashboard.listeners.http.enable=false",
    ];
    let arguments: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let outcome = run_to_exit(&arguments, &[]);
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("listeners.ssl.other.ssl_options.certfile"), "{}", outcome.stderr);
}

#[test]
fn the_server_that_a_client_asks_for_is_known_and_resumed_sessions_and_failed_handshakes_change_nothing() {
    let setup = TlsSetup::new().set("listeners.ssl.default.mountpoint=${sni}/");
    let identity = setup.authority.server(&["*.wild.example"]);
    let certificate = setup.write("star.pem", &identity.certificate);
    let key = setup.write("star.key", &identity.key);
    let setup = setup.with("certificates", &format!("[{{certfile = '{certificate}', keyfile = '{key}'}}]"));
    setup.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 1);
        for client in setup.clients(None) {
            for (attempt, server) in
                ["plant.wild.example", "home.wild.example"].repeat(3).into_iter().enumerate()
            {
                let client = client.clone().asking_for(server);
                let stream = client.connect(tls_address(broker));
                let expected = if attempt < 2 { Full } else { Resumed };
                assert_eq!(stream.conn.handshake_kind(), Some(expected), "attempt {attempt}");
                let mut client = Login::v5("c").open_over(stream);
                client.publish(message("a", "x").qos(1));
                assert_eq!(watcher.receive().topic, format!("{server}/a"));
            }
            // Refused behind the name, by what no server of this listener speaks.
            let refusal = client
                .clone()
                .asking_for("other.wild.example")
                .offering(&["h2"])
                .refusal(tls_address(broker));
            assert!(!refusal.ends_with(" bytes"), "{refusal}");
            // For an address no name is sent, and this listener's topics need one.
            let stream = client.clone().asking_for("127.0.0.1").connect(tls_address(broker));
            let (_, connack) = Login::v5("nowhere").answer_over(stream);
            assert_eq!(connack.code, ReasonCode::NotAuthorized.as_u8());
        }
    });
}
