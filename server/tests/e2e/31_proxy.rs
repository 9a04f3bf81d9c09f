//! Listeners that expect the PROXY protocol: what they take, and what they refuse.

use crate::harness::websocket::UPGRADE;
use crate::harness::*;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

const SETTINGS: [&str; 7] = [
    // Those whom the headers name are not on this host.
    "anonymous=everyone",
    "listeners.tcp.balanced.bind=127.0.0.1:0",
    "listeners.tcp.balanced.proxy_protocol=true",
    "listeners.tcp.balanced.proxy_protocol_timeout=1s",
    "listeners.ws.balanced.bind=127.0.0.1:0",
    "listeners.ws.balanced.proxy_protocol=true",
    "listeners.tcp.default.proxy_protocol=false",
];
const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883\r\n";

/// A header of version 2 with this command, family and what follows them.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("short").to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, block].concat()
}

/// 192.0.2.7:50000 to 198.51.100.1:1883, and a field that nobody knows.
fn addresses() -> Vec<u8> {
    vec![192, 0, 2, 7, 198, 51, 100, 1, 0xC3, 0x50, 0x07, 0x5B, 0xEA, 0, 2, b'?', b'!']
}

fn headers() -> Vec<Vec<u8>> {
    vec![
        TEXT.to_vec(),
        b"PROXY TCP6 2001:db8::7 ::1 50000 1883\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(1, 0x11, &addresses()),
        binary(1, 0x21, &[7; 36]),
        binary(1, 0x31, &[b'/'; 216]),
        binary(0, 0, &[]),
    ]
}

fn begun_with(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut socket = connect(address);
    socket.write_all(header).expect("the broker reads");
    socket
}

#[test]
fn mqtt_follows_the_header() {
    at_shards(&SETTINGS, |broker| {
        let address = broker.listener("tcp:balanced");
        let mut subscriber = Login::v5("subscriber").open(broker);
        subscriber.subscribe("a", 1);
        for (number, header) in headers().into_iter().enumerate() {
            let login = Login::v5(&format!("c{number}"));
            let mut client = login.open_over(begun_with(address, &header));
            client.publish(message("a", format!("{number}")).qos(1));
            subscriber.expect_texts([number.to_string()]);
            client.disconnect();
        }
    });
}

#[test]
fn a_client_counts_as_one_from_where_the_header_says() {
    let broker = Broker::with(1, &[&SETTINGS[..], &["anonymous=loopback"]].concat());
    let address = broker.listener("tcp:balanced");
    for (header, names_somebody) in headers().into_iter().zip([true, true, false, true, true, false, false]) {
        let mut client = Client::over(begun_with(address, &header), ProtocolVersion::V5);
        client.send_raw(&Login::v5("c").encode());
        let Packet::Connack(connack) = client.expect_packet() else { panic!("expected CONNACK") };
        // A proxy that names nobody passes on its own address, which is this host's.
        let expected = if names_somebody { ReasonCode::NotAuthorized.as_u8() } else { 0 };
        assert_eq!(connack.code, expected, "{header:02x?}");
    }
}

/// A request that says where it came from.
fn forwarded(broker: &Broker, name: &str, headers: &str) -> WebSocket {
    let request = format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}{headers}\r\n");
    WebSocket::over(connect(broker.listener(name)), &request)
}

#[test]
fn a_client_counts_as_one_from_where_a_proxy_that_is_believed_says() {
    let header = "websocket.proxy_address_header=x-forwarded-for";
    let settings = [
        "listeners.ws.proxied.bind=127.0.0.1:0".to_owned(),
        format!("listeners.ws.proxied.{header}"),
        "listeners.ws.proxied.websocket.trusted_proxies=['127.0.0.1', '10.0.0.0/8']".to_owned(),
        "listeners.ws.elsewhere.bind=127.0.0.1:0".to_owned(),
        format!("listeners.ws.elsewhere.{header}"),
        "listeners.ws.elsewhere.websocket.trusted_proxies=['192.0.2.0/24']".to_owned(),
        "listeners.ws.plain.bind=127.0.0.1:0".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    at_shards(&settings, |broker| {
        for (name, headers, is_of_this_host) in [
            ("proxied", "X-Forwarded-For: 192.0.2.7\r\n", false),
            ("proxied", "X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.2\r\n", false),
            ("proxied", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.7\r\n", false),
            ("proxied", "X-Forwarded-For: [2001:db8::7]:5000\r\n", false),
            ("proxied", "X-Forwarded-For: 127.0.0.1\r\n", true),
            ("proxied", "X-Forwarded-For: nonsense\r\n", true),
            ("proxied", "", true),
            // Nobody is believed who is not on the list.
            ("elsewhere", "X-Forwarded-For: 192.0.2.7\r\n", true),
            ("plain", "X-Forwarded-For: 192.0.2.7\r\n", true),
        ] {
            let socket = forwarded(broker, &format!("ws:{name}"), headers);
            let (client, connack) = Login::v5("c").answer_over(socket);
            // Anonymous clients are of this host.
            let expected = if is_of_this_host { 0 } else { ReasonCode::NotAuthorized.as_u8() };
            assert_eq!(connack.code, expected, "{name} {headers}");
            drop(client);
        }
    });
    let outcome = run_to_exit(&["--set", &format!("listeners.ws.x.{header}")], &[]);
    assert!(outcome.stderr.contains("listeners.ws.x.websocket.trusted_proxies"), "{}", outcome.stderr);
}

#[test]
fn the_header_may_come_in_any_pieces() {
    let broker = Broker::with(4, &SETTINGS);
    let address = broker.listener("tcp:balanced");
    for header in headers() {
        // Byte by byte, and in one piece with what follows.
        let mut socket = connect(address);
        for byte in &header {
            socket.write_all(&[*byte]).expect("the broker reads");
        }
        Login::v5("bytes").open_over(socket).disconnect();
        let whole = [&header[..], &Login::v311("whole").encode(), &[0xC0, 0]].concat();
        let mut client = Client::over(begun_with(address, &whole), ProtocolVersion::V311);
        assert!(matches!(client.expect_packet(), Packet::Connack(connack) if connack.code == 0));
        assert_eq!(client.expect_packet(), Packet::Pingresp);
    }
}

#[test]
fn websocket_follows_the_header() {
    let broker = Broker::with(4, &SETTINGS);
    let address = broker.listener("ws:balanced");
    for header in headers() {
        let socket = begun_with(address, &header);
        let socket = WebSocket::over(socket, &format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n"));
        Login::v5("c").open_over(socket).ping();
    }
    let request = format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n");
    assert_eq!(answer_to(address, request.as_bytes()), b"");
}

#[test]
fn peers_without_a_good_header_are_refused_in_silence() {
    let broker = Broker::with(1, &SETTINGS);
    let address = broker.listener("tcp:balanced");
    let mut not_v2 = binary(1, 0x11, &addresses());
    not_v2[12] = 0x31;
    let checksum = [&addresses()[..12], &[0x03, 0, 4, 0, 0, 0, 0]].concat();
    let cases = [
        Login::v5("plain").encode(),
        Login::v311("plain").encode(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1],
        vec![0],
        b"PROXY TCP4 300.0.0.1 198.51.100.1 50000 1883\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883\n".to_vec(),
        [&b"PROXY UNKNOWN "[..], &[b'a'; 200]].concat(),
        not_v2,
        binary(1, 0x11, &addresses()[..11]),
        binary(1, 0x12, &addresses()),
        binary(1, 0x11, &checksum),
        binary(1, 0x11, &[0; 9000]),
    ];
    for bytes in cases {
        // What would be good if it came first does not help.
        let all = [&bytes[..], &Login::v311("later").encode()].concat();
        assert_eq!(answer_to(address, &all), b"", "{bytes:02x?}");
    }
    Login::v5("good").open_over(begun_with(address, TEXT)).ping();
}

#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let broker = Broker::with(1, &[&SETTINGS[..], &["mqtt.idle_timeout=1h"]].concat());
    let address = broker.listener("tcp:balanced");
    let mut silent = connect(address);
    let mut half = begun_with(address, &TEXT[..20]);
    assert_eq!(read_to_close(&mut silent), b"");
    assert_eq!(read_to_close(&mut half), b"");
}

#[test]
fn a_header_where_none_is_expected_is_bad_input() {
    // `P` begins a PUBREC, which is only seen to be out of place when it is complete.
    let broker = Broker::with(1, &[&SETTINGS[..], &["mqtt.idle_timeout=1s"]].concat());
    for header in headers() {
        assert_eq!(answer_to(broker.mqtt(), &[&header[..], &Login::v311("c").encode()].concat()), b"");
    }
}

/// A header of version 2 that tells of TLS and of a certificate with this common name, found good or not.
fn with_certificate(common_name: &str, is_good: bool) -> Vec<u8> {
    let name = [&[0x22, 0, common_name.len() as u8][..], common_name.as_bytes()].concat();
    let told = [&[0x03, 0, 0, 0, u8::from(!is_good)][..], &name].concat();
    let field = [&[0x20, 0, told.len() as u8][..], &told].concat();
    binary(1, 0x11, &[&addresses()[..12], &field].concat())
}

#[test]
fn a_certificate_that_the_balancer_has_found_good_names_the_client() {
    at_shards(&[&SETTINGS[..], &["mqtt.peer_cert_as_clientid=cn"]].concat(), |broker| {
        let address = broker.listener("tcp:balanced");
        let mut first = Login::v5("one").open_over(begun_with(address, &with_certificate("device-7", true)));
        let mut bad = Login::v5("two").open_over(begun_with(address, &with_certificate("device-7", false)));
        let mut other = Login::v5("one").open_over(begun_with(address, &with_certificate("device-8", true)));
        let mut named = Login::v5("three").open_over(begun_with(address, TEXT));
        for client in [&mut first, &mut bad, &mut other, &mut named] {
            client.ping();
        }
        let mut second =
            Login::v5("four").open_over(begun_with(address, &with_certificate("device-7", true)));
        first.expect_disconnect(ReasonCode::SessionTakenOver);
        for client in [&mut second, &mut bad, &mut other, &mut named] {
            client.ping();
        }
    });
}

#[test]
fn the_server_that_a_client_asked_its_balancer_for_is_known() {
    let mountpoint = "listeners.tcp.balanced.mountpoint=${sni}/";
    at_shards(&[&SETTINGS[..], &[mountpoint]].concat(), |broker| {
        let address = broker.listener("tcp:balanced");
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 1);
        for server in ["plant.example", "home.example"] {
            let field = [&[0x02, 0, server.len() as u8][..], server.as_bytes()].concat();
            let header = binary(1, 0x11, &[&addresses()[..12], &field].concat());
            let mut client = Login::v5(server).open_over(begun_with(address, &header));
            client.publish(message("a", "x").qos(1));
            assert_eq!(watcher.receive().topic, format!("{server}/a"));
        }
        let (_, connack) = Login::v5("nowhere").answer_over(begun_with(address, TEXT));
        assert_eq!(connack.code, ReasonCode::NotAuthorized.as_u8());
    });
}
