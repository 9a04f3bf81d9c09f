//! What comes before CONNECT, over whatever carries MQTT: what ends the connection, how soon, and how it ends.

use crate::harness::websocket::UPGRADE;
use crate::harness::*;
use std::io::{Read, Write};

#[test]
fn a_first_packet_that_is_not_connect_is_refused_at_its_first_byte() {
    let setup =
        TlsSetup::new().set("listeners.ws.default.enable=true").set("listeners.ws.default.bind=127.0.0.1:0");
    let broker = setup.broker(2);
    // PUBLISH, PINGREQ, HTTP, and what is no packet at all.
    for first in [0x30, 0xC0, b'G', 0x00] {
        let mut streams: Vec<Box<dyn Stream>> = vec![
            Box::new(connect(broker.mqtt())),
            Box::new(setup.client().connect(tls_address(&broker))),
            Box::new(WebSocket::open(broker.listener("ws:default"))),
        ];
        for stream in &mut streams {
            stream.socket().set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
            stream.write_all(&[first]).expect("the broker reads");
            assert!(matches!(stream.read(&mut [0; 16]), Ok(0)), "{first:02x}");
        }
    }
    Login::v5("c").open(&broker).ping();
}

#[test]
fn tls_ends_in_order_for_clients_that_are_closed_before_they_have_entered() {
    let setup = TlsSetup::new().set("mqtt.idle_timeout=1s");
    let broker = setup.broker(1);
    let endings: [(&str, &[u8]); 4] = [
        ("not CONNECT", b"\xC0\x00"),
        ("nothing in time", b""),
        ("half a CONNECT in time", b"\x10\x20\x00\x04MQ"),
        ("no protocol that is known", b"\x10\x0c\x00\x06nobody\x04\x02\x00\x00\x00\x00"),
    ];
    for client in setup.clients(None) {
        for (what, bytes) in endings {
            let mut stream = client.connect(tls_address(&broker));
            stream.sock.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
            stream.write_all(bytes).expect("the broker reads");
            let mut answer = Vec::new();
            // Without close_notify this would be an error: somebody may have cut the rest off.
            let end = stream.read_to_end(&mut answer);
            assert!(end.is_ok(), "{what}: {end:?} after {answer:02x?}");
        }
    }
}

#[test]
fn every_version_speaks_over_websocket_over_tls() {
    let setup = TlsSetup::new();
    let (certificate, key) =
        (setup.write("wss.pem", &setup.server.certificate), setup.write("wss.key", &setup.server.key));
    let options = "listeners.wss.default.ssl_options";
    let setup = setup
        .set("listeners.wss.default.enable=true")
        .set("listeners.wss.default.bind=127.0.0.1:0")
        .set(&format!("{options}.certfile={certificate}"))
        .set(&format!("{options}.keyfile={key}"));
    setup.at_shards(|broker| {
        let request = format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n");
        for client in setup.clients(None) {
            let open = |login: Login| {
                let stream = client.connect(broker.listener("wss:default"));
                login.open_over(WebSocket::over(stream, &request))
            };
            for version in VERSIONS {
                let mut subscriber = open(Login::new(version, "subscriber"));
                let mut plain = Login::v5("plain").open(broker);
                subscriber.subscribe("w/#", 2);
                plain.subscribe("w/#", 1);
                let mut publisher = open(Login::new(version, "publisher"));
                // Longer than a record of TLS.
                let texts = ["short".to_owned(), "x".repeat(100_000)];
                for (text, qos) in texts.iter().flat_map(|text| (0..=2).map(move |qos| (text, qos))) {
                    publisher.publish(message("w/a", text.clone()).qos(qos));
                    subscriber.expect_texts([text]);
                    plain.expect_texts([text]);
                }
                subscriber.ping();
                for client in [subscriber, publisher, plain] {
                    client.disconnect();
                }
            }
        }
    });
}
