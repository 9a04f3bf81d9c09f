//! MQTT over WebSocket: the handshake, frames however they are cut, and what a client may not send.

use crate::harness::websocket::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, UPGRADE, masked};
use crate::harness::*;
use std::net::SocketAddr;
use std::time::Duration;

const WS: [&str; 2] = ["listeners.ws.default.enable=true", "listeners.ws.default.bind=127.0.0.1:0"];

fn with_ws(shards: usize, settings: &[&str]) -> Broker {
    Broker::with(shards, &[&WS[..], settings].concat())
}

fn address(broker: &Broker) -> SocketAddr {
    broker.listener("ws:default")
}

fn open(broker: &Broker, login: Login) -> Client {
    login.open_over(WebSocket::open(address(broker)))
}

/// A WebSocket on which a client has connected and no packet is under way.
fn connected(broker: &Broker, client_id: &str) -> WebSocket {
    let mut socket = WebSocket::open(address(broker));
    socket.send_frame(FIN | BINARY, &Login::v311(client_id).encode());
    socket.expect_frame(FIN | BINARY, &[0x20, 2, 0, 0]);
    socket
}

fn status_of(address: SocketAddr, request: &[u8]) -> String {
    let answer = String::from_utf8(answer_to(address, request)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 "), "{answer:?}");
    answer[9..12].to_owned()
}

#[test]
fn every_version_speaks_over_websocket_with_clients_of_both_kinds() {
    at_shards(&WS, |broker| {
        for version in VERSIONS {
            let clients = (0..4).map(|number| {
                let login = Login::new(version, &format!("c{number}"));
                if number % 2 == 0 { open(broker, login) } else { login.open(broker) }
            });
            exchange(clients.collect());
        }
    });
}

#[test]
fn handshakes_that_are_not_let_in_are_told_why() {
    let broker = with_ws(1, &[]);
    let address = address(&broker);
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\n{headers}\r\n").into_bytes();
    let mut long = b"GET /mqtt HTTP/1.1\r\nX: ".to_vec();
    long.resize(9000, b'a');
    let cases = [
        ("404", get("/", UPGRADE)),
        (
            "405",
            get("/mqtt", UPGRADE)
                .iter()
                .skip(3)
                .fold(b"PUT".to_vec(), |all, &byte| [all, vec![byte]].concat()),
        ),
        ("426", get("/mqtt", "Host: a\r\n")),
        ("426", get("/mqtt", &UPGRADE.replace("13", "7"))),
        ("400", get("/mqtt", &UPGRADE.replace("==", ""))),
        (
            "400",
            get("/mqtt", &UPGRADE.replace("Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: chat")),
        ),
        ("400", get("/mqtt", &UPGRADE.replace("Sec-WebSocket-Protocol: mqtt\r\n", ""))),
        ("431", long),
        ("400", Login::v5("plain").encode()),
        ("400", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]),
        ("400", b"\0".to_vec()),
    ];
    for (status, request) in cases {
        assert_eq!(status_of(address, &request), status, "{}", String::from_utf8_lossy(&request));
    }
    open(&broker, Login::v5("good")).ping();
}

#[test]
fn http_on_the_mqtt_port_is_bad_input() {
    let broker = with_ws(1, &[]);
    let request = format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n");
    assert_eq!(answer_to(broker.mqtt(), request.as_bytes()), b"");
    Login::v5("good").open(&broker).ping();
}

#[test]
fn the_options_of_a_listener_are_its_own() {
    let own = "listeners.ws.own.websocket";
    let settings = [
        "listeners.ws.own.bind=127.0.0.1:0",
        &format!("{own}.mqtt_path=/other"),
        &format!("{own}.fail_if_no_subprotocol=false"),
        &format!("{own}.check_origin_enable=true"),
        &format!("{own}.check_origins=https://a.example"),
        &format!("{own}.max_frame_size=200"),
    ];
    let broker = with_ws(1, &settings);
    let address = broker.listener("ws:own");
    let request = |headers: &str| format!("GET /other HTTP/1.1\r\n{headers}\r\n");
    assert_eq!(status_of(address, format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n").as_bytes()), "404");
    let foreign = format!("{UPGRADE}Origin: https://b.example\r\n");
    assert_eq!(status_of(address, request(&foreign).as_bytes()), "403");
    let none = UPGRADE.replace("Sec-WebSocket-Protocol: mqtt\r\n", "");
    for headers in [UPGRADE.to_owned(), none, format!("{UPGRADE}Origin: https://a.example\r\n")] {
        let socket = WebSocket::over(connect(address), &request(&headers));
        Login::v5("c").open_over(socket).disconnect();
    }
    let mut socket = WebSocket::over(connect(address), &request(UPGRADE)).in_parts(200);
    socket.send_frame(FIN | BINARY, &Login::v311("long").encode());
    socket.expect_frame(FIN | BINARY, &[0x20, 2, 0, 0]);
    socket.send_raw(&masked(FIN | BINARY, &[0; 201])[..8]);
    socket.expect_close(1009);
}

#[test]
fn packets_may_be_cut_into_frames_anywhere() {
    let broker = with_ws(4, &[]);
    let mut subscriber = Login::v5("subscriber").open(&broker);
    subscriber.subscribe("cut", 1);
    let sizes = [1, 2, 3, 7, 126, 4096, usize::MAX];
    for part_bytes in sizes {
        let socket = WebSocket::open(address(&broker)).in_parts(part_bytes);
        let mut client = Login::v5("parts").open_over(socket);
        let payload: Vec<u8> = (0..5000).map(|at| (at % 251) as u8).collect();
        client.publish(message("cut", payload.clone()).qos(1));
        assert_eq!(subscriber.receive().payload, payload);
        client.disconnect();
    }
    // Several packets in one frame, the last one cut; its rest comes as single bytes, as frames and as segments.
    let mut socket = connected(&broker, "together");
    let publish = [&[0x30, 6, 0, 3][..], b"cut!"].concat();
    let stream = [&publish[..], &publish, &[0xC0, 0], &publish].concat();
    let (together, rest) = stream.split_at(publish.len() * 2 + 3);
    socket.send_frame(FIN | BINARY, together);
    for byte in rest {
        for piece in masked(FIN | BINARY, &[*byte]) {
            socket.send_raw(&[piece]);
        }
    }
    subscriber.expect_texts(["!", "!", "!"]);
    socket.expect_frame(FIN | BINARY, &[0xD0, 0]);
}

#[test]
fn pings_are_answered_also_within_a_message() {
    let broker = with_ws(1, &[]);
    let mut socket = connected(&broker, "pings");
    socket.send_frame(FIN | PING, b"");
    socket.expect_frame(FIN | PONG, b"");
    socket.send_frame(FIN | PONG, b"unasked");
    let pingreq = [0xC0, 0];
    socket.send_frame(BINARY, &pingreq[..1]);
    socket.send_frame(FIN | PING, &[7; 125]);
    socket.expect_frame(FIN | PONG, &[7; 125]);
    socket.send_frame(CONTINUATION, b"");
    socket.send_frame(FIN | CONTINUATION, &pingreq[1..]);
    socket.expect_frame(FIN | BINARY, &[0xD0, 0]);
    // Also before CONNECT.
    let mut early = WebSocket::open(address(&broker));
    early.send_frame(FIN | PING, b"early");
    early.expect_frame(FIN | PONG, b"early");
}

#[test]
fn messages_of_a_megabyte_pass_both_ways() {
    let broker = with_ws(4, &["mqtt.max_packet_size=2MB"]);
    let mut subscriber = open(&broker, Login::v5("subscriber"));
    subscriber.subscribe("large", 2);
    let mut publisher = open(&broker, Login::v5("publisher"));
    for (qos, length) in [(0, 65_000), (1, 66_000), (2, 1 << 20)] {
        let payload: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        publisher.publish(message("large", payload.clone()).qos(qos));
        assert!(subscriber.receive().payload == payload, "{length} bytes at QoS {qos}");
    }
}

#[test]
fn what_a_client_may_not_send_is_told_by_a_close_code_and_ends_the_session() {
    let broker = with_ws(1, &[]);
    let mut watcher = Login::v5("watcher").open(&broker);
    watcher.subscribe("wills/+", 1);
    let plain = vec![FIN | BINARY, 2, 0xC0, 0];
    let cases: [(u16, Vec<u8>); 12] = [
        (1003, masked(FIN | TEXT, b"\xC0\0")),
        (1002, plain),
        (1002, masked(FIN | 0x40 | BINARY, &[0xC0, 0])),
        (1002, masked(FIN | 0x3, b"")),
        (1002, masked(FIN | 0xB, b"")),
        (1002, masked(FIN | CONTINUATION, b"")),
        (1002, [masked(BINARY, b""), masked(FIN | BINARY, b"")].concat()),
        (1002, masked(PING, b"")),
        (1002, masked(FIN | PING, &[0; 126])),
        (1002, masked(FIN | CLOSE, &[3])),
        (1002, masked(FIN | CLOSE, &1005_u16.to_be_bytes())),
        (1007, masked(FIN | CLOSE, &[3, 0xE8, 0xFF])),
    ];
    for (number, (code, bytes)) in cases.into_iter().enumerate() {
        let topic = format!("wills/{number}");
        let login = Login::v311(&format!("bad{number}")).will(Will::new(&topic, "gone").qos(1));
        let mut socket = WebSocket::open(address(&broker));
        socket.send_frame(FIN | BINARY, &login.encode());
        socket.expect_frame(FIN | BINARY, &[0x20, 2, 0, 0]);
        socket.send_raw(&bytes);
        socket.expect_close(code);
        let will = watcher.receive();
        assert_eq!((will.topic.as_str(), will.text()), (topic.as_str(), "gone"));
    }
    open(&broker, Login::v5("good")).ping();
}

#[test]
fn both_sides_say_that_they_close() {
    let broker = with_ws(1, &[]);
    let mut watcher = Login::v5("watcher").open(&broker);
    watcher.subscribe("will", 1);
    // The client leaves as WebSocket has it, without DISCONNECT.
    let mut socket = WebSocket::open(address(&broker));
    let login = Login::v311("leaving").will(Will::new("will", "gone").qos(1));
    socket.send_frame(FIN | BINARY, &login.encode());
    socket.expect_frame(FIN | BINARY, &[0x20, 2, 0, 0]);
    socket.send_frame(FIN | CLOSE, &[&4000_u16.to_be_bytes()[..], b"bye"].concat());
    socket.expect_close(4000);
    watcher.expect_texts(["gone"]);
    // The client leaves as MQTT has it.
    let mut socket = connected(&broker, "polite");
    socket.send_frame(FIN | BINARY, &[0xE0, 0]);
    socket.expect_close(1000);
    // The broker ends the session, and says why in MQTT first.
    let mut socket = WebSocket::open(address(&broker));
    socket.send_frame(FIN | BINARY, &Login::v5("taken").encode());
    socket.read_frame().expect("a frame").expect("CONNACK");
    let _second = Login::v5("taken").open(&broker);
    let (first, disconnect) = socket.read_frame().expect("a frame").expect("DISCONNECT");
    assert_eq!((first, &disconnect[..1]), (FIN | BINARY, &[0xE0][..]));
    assert_eq!(disconnect[2], ReasonCode::SessionTakenOver.as_u8());
    socket.expect_close(1000);
}

#[test]
fn bad_mqtt_in_good_frames_is_told_as_mqtt_has_it() {
    let broker = with_ws(1, &[]);
    let mut client = open(&broker, Login::v5("bad"));
    client.send_raw(&[0x36, 4, 0, 1, b'a', 0]);
    client.expect_disconnect(ReasonCode::MalformedPacket);
    let mut client = open(&broker, Login::v311("bad"));
    client.send_raw(&[0xF0, 0]);
    client.expect_disconnect(ReasonCode::MalformedPacket);
}

#[test]
fn a_handshake_that_does_not_go_on_is_ended() {
    let broker = with_ws(1, &["mqtt.idle_timeout=1s"]);
    let mut silent = connect(address(&broker));
    let mut half = connect(address(&broker));
    std::io::Write::write_all(&mut half, b"GET /mqtt HTTP/1.1\r\nHost: a\r\n").expect("sent");
    let mut without_connect = WebSocket::open(address(&broker));
    assert_eq!(read_to_close(&mut silent), b"");
    read_to_close(&mut half);
    read_to_close(&mut without_connect);
}

#[test]
fn a_session_goes_on_over_another_transport() {
    at_shards(&WS, |broker| {
        let session = || Login::persistent(ProtocolVersion::V5, "moving");
        let mut first = open(broker, session());
        first.subscribe("moving", 1);
        first.vanish();
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("moving", "offline").qos(1));
        let mut second = session().resume().open(broker);
        assert!(second.session_present());
        second.expect_texts(["offline"]);
        // The answer says that PUBACK has come too; else the message would be sent again.
        second.ping();
        // Taken over from TCP by WebSocket, on whichever shard it is accepted.
        let mut third = open(broker, session().resume());
        second.expect_disconnect(ReasonCode::SessionTakenOver);
        assert!(third.session_present());
        publisher.publish(message("moving", "live").qos(1));
        third.expect_texts(["live"]);
        third.expect_silence(Duration::from_millis(50));
    });
}

#[test]
fn a_thousand_handshakes_that_never_end_cost_little_and_hold_up_nobody() {
    allow_many_sockets();
    let broker = with_ws(2, &[]);
    let mut good = open(&broker, Login::v5("good"));
    let grown = begin_a_thousand(&broker, &mut good, |number| {
        let mut socket = connect(address(&broker));
        let mut request = b"GET /mqtt HTTP/1.1\r\nX: ".to_vec();
        request.resize(if number % 10 == 0 { 8000 } else { 100 }, b'a');
        std::io::Write::write_all(&mut socket, &request).expect("the broker reads");
        socket
    });
    assert!(grown < 16 << 20, "{grown} bytes");
    open(&broker, Login::v5("another")).ping();
}
