//! The opening handshake: what is let in, what is refused and how, and that it does not matter how bytes are cut.

use crate::transport::websocket::upgrade::{HEADERS_MAX, REQUEST_BYTES_MAX, Upgraded};
use crate::transport::websocket::{Upgrade, UpgradeError, WebSocketOptions};
use proptest::prelude::*;

/// The example of RFC 6455, 1.2, with MQTT's path and subprotocols.
const HEADERS: [(&str, &str); 7] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "http://example.com"),
    ("Sec-WebSocket-Protocol", "chat, mqtt"),
    ("Sec-WebSocket-Version", "13"),
];

fn request(line: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{line}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// The example with one header set to another value, or left out.
fn with(name: &str, value: Option<&str>) -> Vec<u8> {
    let mut headers: Vec<_> = HEADERS.iter().copied().filter(|(known, _)| *known != name).collect();
    headers.extend(value.map(|value| (name, value)));
    request("GET /mqtt HTTP/1.1", &headers)
}

/// The example with one header more.
fn and(name: &str, value: &str) -> Vec<u8> {
    let mut headers = HEADERS.to_vec();
    headers.push((name, value));
    request("GET /mqtt HTTP/1.1", &headers)
}

fn answer(bytes: &[u8], options: &WebSocketOptions) -> Result<Option<Upgraded>, UpgradeError> {
    Upgrade::new().handle_bytes(bytes, options)
}

/// What comes of bytes cut after every one of them.
fn answer_by_bytes(bytes: &[u8], options: &WebSocketOptions) -> Result<Option<Upgraded>, UpgradeError> {
    let mut upgrade = Upgrade::new();
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(upgraded) = upgrade.handle_bytes(std::slice::from_ref(byte), options)? {
            assert_eq!(upgraded.used, 1);
            return Ok(Some(Upgraded { used: at + 1, ..upgraded }));
        }
    }
    Ok(None)
}

fn response(bytes: &[u8], options: &WebSocketOptions) -> String {
    let upgraded = answer(bytes, options).unwrap().expect("complete");
    assert_eq!(upgraded.used, bytes.len());
    assert_eq!(answer_by_bytes(bytes, options).unwrap().expect("complete"), upgraded);
    String::from_utf8(upgraded.response).unwrap()
}

fn refusal(bytes: &[u8], options: &WebSocketOptions) -> UpgradeError {
    let error = answer(bytes, options).unwrap_err();
    assert_eq!(answer_by_bytes(bytes, options).unwrap_err(), error);
    error
}

#[test]
fn the_example_of_the_rfc_is_let_in() {
    let response = response(&request("GET /mqtt HTTP/1.1", &HEADERS), &WebSocketOptions::default());
    assert_eq!(
        response,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
}

#[test]
fn clients_write_their_requests_in_many_ways() {
    let cases = [
        with("Upgrade", Some("h2c, WebSocket")),
        with("Connection", Some("keep-alive, Upgrade")),
        with("Content-Length", Some("0")),
        with("Origin", None),
        request("GET /mqtt?token=%2F HTTP/1.1", &HEADERS),
        request("GET /mqtt HTTP/1.1", &HEADERS.map(lower)),
        String::from_utf8(request("GET /mqtt HTTP/1.1", &HEADERS)).unwrap().replace('\r', "").into_bytes(),
    ];
    for bytes in cases {
        let response = response(&bytes, &WebSocketOptions::default());
        assert!(response.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"), "{response}");
    }
}

fn lower(header: (&'static str, &'static str)) -> (&'static str, &'static str) {
    (header.0.to_ascii_lowercase().leak(), header.1)
}

#[test]
fn what_follows_the_request_is_left_to_frames() {
    let mut bytes = request("GET /mqtt HTTP/1.1", &HEADERS);
    let length = bytes.len();
    bytes.extend([0x82, 0x80, 0, 0, 0, 0]);
    let upgraded = answer(&bytes, &WebSocketOptions::default()).unwrap().expect("complete");
    assert_eq!(upgraded.used, length);
}

#[test]
fn the_clients_first_known_subprotocol_is_taken() {
    let options = WebSocketOptions::default();
    let lenient = WebSocketOptions { fail_if_no_subprotocol: false, ..options.clone() };
    for (offered, chosen) in [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqttv3.1"),
        ("x,mqtt-v5,mqtt", "mqtt-v5"),
    ] {
        let bytes = with("Sec-WebSocket-Protocol", Some(offered));
        for options in [&options, &lenient] {
            let response = response(&bytes, options);
            assert!(response.contains(&format!("\r\nSec-WebSocket-Protocol: {chosen}\r\n")), "{response}");
        }
    }
    let mut twice = HEADERS.to_vec();
    twice[5].1 = "chat";
    twice.push(("sec-websocket-protocol", "mqtt"));
    assert!(response(&request("GET /mqtt HTTP/1.1", &twice), &options).contains("-Protocol: mqtt\r\n"));
    for unknown in ["chat", "MQTT", ""] {
        let bytes = with("Sec-WebSocket-Protocol", Some(unknown));
        assert_eq!(refusal(&bytes, &options), UpgradeError::Subprotocol);
        assert_eq!(refusal(&bytes, &lenient), UpgradeError::Subprotocol);
    }
    let none = with("Sec-WebSocket-Protocol", None);
    assert_eq!(refusal(&none, &options), UpgradeError::Subprotocol);
    assert!(!response(&none, &lenient).contains("Protocol:"));
}

#[test]
fn origins_are_compared_where_that_is_asked_for() {
    let strict = WebSocketOptions {
        check_origin_enable: true,
        check_origins: "https://a.example, http://b.example:8080".parse().unwrap(),
        ..WebSocketOptions::default()
    };
    let stricter = WebSocketOptions { allow_origin_absence: false, ..strict.clone() };
    for origin in ["https://a.example", "HTTPS://A.Example", "http://b.example:8080"] {
        response(&with("Origin", Some(origin)), &stricter);
    }
    for origin in ["http://a.example", "https://a.example.evil", "http://b.example", "null", ""] {
        let bytes = with("Origin", Some(origin));
        assert_eq!(refusal(&bytes, &strict), UpgradeError::Origin);
        response(&bytes, &WebSocketOptions::default());
    }
    assert_eq!(refusal(&and("Origin", "https://a.example"), &strict), UpgradeError::Origin);
    response(&with("Origin", None), &strict);
    assert_eq!(refusal(&with("Origin", None), &stricter), UpgradeError::Origin);
}

#[test]
fn refusals_have_the_status_that_says_why() {
    let options = WebSocketOptions::default();
    let line = |line: &str| request(line, &HEADERS);
    let many = (0..=HEADERS_MAX).map(|_| ("X", "y")).collect::<Vec<_>>();
    let cases = [
        (line("GET / HTTP/1.1"), 404, UpgradeError::Path),
        (line("GET /mqtt/ HTTP/1.1"), 404, UpgradeError::Path),
        (line("GET /MQTT HTTP/1.1"), 404, UpgradeError::Path),
        (line("POST /mqtt HTTP/1.1"), 405, UpgradeError::Method),
        (line("GET /mqtt HTTP/1.0"), 400, UpgradeError::Http),
        (with("Host", None), 400, UpgradeError::Http),
        (with("Content-Length", Some("5")), 400, UpgradeError::Body),
        (with("Transfer-Encoding", Some("chunked")), 400, UpgradeError::Body),
        (with("Upgrade", None), 426, UpgradeError::NotUpgrade),
        (with("Upgrade", Some("websockets")), 426, UpgradeError::NotUpgrade),
        (with("Connection", Some("close")), 426, UpgradeError::NotUpgrade),
        (with("Sec-WebSocket-Version", None), 426, UpgradeError::Version),
        (with("Sec-WebSocket-Version", Some("8")), 426, UpgradeError::Version),
        (and("Sec-WebSocket-Version", "13"), 426, UpgradeError::Version),
        (with("Sec-WebSocket-Key", None), 400, UpgradeError::Key),
        (with("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ")), 400, UpgradeError::Key),
        (with("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25!ZQ==")), 400, UpgradeError::Key),
        (and("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), 400, UpgradeError::Key),
        (line("GET /mqtt HTTP/2.0"), 400, UpgradeError::Malformed),
        (line("GET  HTTP/1.1"), 400, UpgradeError::Malformed),
        (b"GET /mqtt HTTP/1.1\r\nNo colon\r\n\r\n".to_vec(), 400, UpgradeError::Malformed),
        (b"GET /mqtt HTTP/1.1\r\nHost: \0".to_vec(), 400, UpgradeError::Malformed),
        (request("GET /mqtt HTTP/1.1", &many), 431, UpgradeError::Long),
    ];
    for (bytes, status, expected) in cases {
        let error = refusal(&bytes, &options);
        assert_eq!(error, expected, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(error.status(), status);
        let response = String::from_utf8(error.response()).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(head.contains("\r\nSec-WebSocket-Version: 13\r\n"), status == 426);
        assert_eq!(head.contains("\r\nAllow: GET\r\n"), status == 405);
    }
}

#[test]
fn what_is_not_http_is_refused_at_its_first_byte() {
    let options = WebSocketOptions::default();
    // MQTT, TLS, a PROXY header of version 2, lower case, a space, an empty line.
    for bytes in [&b"\x10"[..], b"\x16", b"\r", b"g", b" ", b"\n", b"\0"] {
        assert_eq!(refusal(bytes, &options), UpgradeError::NotHttp);
    }
    assert_eq!(refusal(b"PROXY\r", &options), UpgradeError::NotHttp);
    assert_eq!(refusal(&[b'A'; 17], &options), UpgradeError::NotHttp);
    assert_eq!(answer(&[b'A'; 16], &options), Ok(None));
}

#[test]
fn a_request_is_bounded_however_long_it_goes_on() {
    let options = WebSocketOptions::default();
    let padded = |length: usize| {
        let plain = and("X", "").len();
        and("X", &"a".repeat(length - plain))
    };
    let longest = padded(REQUEST_BYTES_MAX);
    assert_eq!(longest.len(), REQUEST_BYTES_MAX);
    response(&longest, &options);
    assert_eq!(refusal(&padded(REQUEST_BYTES_MAX + 1), &options), UpgradeError::Long);
    // Neither a line nor headers without an end are collected.
    let endless = format!("GET /{}", "a".repeat(REQUEST_BYTES_MAX));
    assert_eq!(refusal(endless.as_bytes(), &options), UpgradeError::Long);
    let headers = format!("GET /mqtt HTTP/1.1\r\n{}", "a: b\r\n".repeat(REQUEST_BYTES_MAX / 6));
    assert_eq!(refusal(headers.as_bytes(), &options), UpgradeError::Long);
}

proptest! {
    #[test]
    fn a_request_changed_anywhere_is_answered_the_same_however_it_is_cut(
        at in 0_usize..260,
        byte in any::<u8>(),
        cut in 0_usize..260,
    ) {
        let options = WebSocketOptions { check_origin_enable: true, ..WebSocketOptions::default() };
        let mut bytes = request("GET /mqtt HTTP/1.1", &HEADERS);
        let at = at % bytes.len();
        bytes[at] = byte;
        let whole = answer(&bytes, &options);
        prop_assert_eq!(&answer_by_bytes(&bytes, &options), &whole);
        let (first, second) = bytes.split_at(cut % bytes.len());
        let mut upgrade = Upgrade::new();
        let in_two = match upgrade.handle_bytes(first, &options) {
            Ok(None) => upgrade.handle_bytes(second, &options).map(|upgraded| {
                upgraded.map(|it| Upgraded { used: it.used + first.len(), ..it })
            }),
            done => done,
        };
        prop_assert_eq!(in_two, whole);
    }
}
