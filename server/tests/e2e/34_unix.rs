//! MQTT over a unix-domain socket.

use crate::harness::*;
use std::fs;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

fn place() -> Configured {
    let place = Configured::new();
    let socket = place.path("mqtt.sock");
    place.set("listeners.unix.default.enable=true").set(&format!("listeners.unix.default.bind={socket}"))
}

/// A socket of the other family under the name of the usual one: reading, writing and closing are the same.
fn dial(place: &Configured) -> TcpStream {
    let socket = UnixStream::connect(place.path("mqtt.sock")).expect("the listener accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket.set_write_timeout(Some(PATIENCE)).expect("a valid timeout");
    TcpStream::from(OwnedFd::from(socket))
}

#[test]
fn every_version_is_spoken_over_unix_sockets() {
    let place = place();
    place.at_shards(|broker| {
        for version in VERSIONS {
            let clients = (0..6).map(|number| {
                let login = Login::new(version, &format!("c{number}"));
                if number % 2 == 0 { login.open_over(dial(&place)) } else { login.open(broker) }
            });
            exchange(clients.collect());
        }
    });
}

#[test]
fn every_backend_serves_unix_sockets() {
    for setting in ["node.net_backend=glommio", "node.private_fd_tables=true"] {
        let place = place().set(setting);
        let _broker = place.broker(4);
        for number in 0..16 {
            let mut client = Login::v5(&format!("c{number}")).open_over(dial(&place));
            client.subscribe("a", 1);
            client.publish(message("a", vec![b'x'; 300_000]).qos(1));
            assert_eq!(client.receive().payload.len(), 300_000);
            client.disconnect();
        }
    }
}

#[test]
fn clients_of_the_socket_are_clients_of_this_host() {
    // Nobody but clients of this host enters without a chain, and the default rules let only those subscribe to everything.
    let place = place();
    let broker = place.broker(2);
    let mut client = Login::v5("local").open_over(dial(&place));
    client.subscribe("#", 0);
    let mut other = Login::v5("other").open(&broker);
    other.publish(message("a", "x"));
    client.expect_texts(["x"]);
    // The same session over either socket.
    let _second = Login::v5("local").open(&broker);
    client.expect_disconnect(ReasonCode::SessionTakenOver);
    let third = Login::v5("local").open_over(dial(&place));
    third.disconnect();
    let place = self::place().set("anonymous=nobody");
    let _broker = place.broker(1);
    let mut kept_out = Client::over(dial(&place), ProtocolVersion::V5);
    kept_out.send_raw(&Login::v5("local").encode());
    assert!(matches!(kept_out.expect_packet(), Packet::Connack(connack) if connack.code == 0x87));
    kept_out.expect_closed();
}

#[test]
fn ends_of_connections_are_seen() {
    let place = place();
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("will", 1);
        let dying = || Login::v5("dying").will(Will::new("will", "gone").qos(1)).open_over(dial(&place));
        dying().vanish();
        watcher.expect_texts(["gone"]);
        drop(dying());
        watcher.expect_texts(["gone"]);
        let mut bad = dying();
        bad.send_raw(&[0xF7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        bad.expect_disconnect(ReasonCode::MalformedPacket);
        watcher.expect_texts(["gone"]);
        let silent = dial(&place);
        silent.shutdown(Shutdown::Both).expect("an open socket");
        dying().disconnect();
        watcher.ping();
    });
}

#[test]
fn the_socket_of_a_killed_broker_is_replaced_and_nothing_else_is() {
    let place = place();
    let path = place.path("mqtt.sock");
    let is_socket = |path: &str| fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let mut killed = place.broker(2);
    assert!(is_socket(&path));
    killed.signal(Signal::KILL);
    assert!(killed.wait(PATIENCE).is_some());
    assert!(is_socket(&path), "a killed process removes nothing");
    // The kernel takes a ring apart after its process has ended, and the listening socket with it.
    until("nobody listens any more", || UnixStream::connect(&path).is_err());
    let broker = place.broker(2);
    Login::v5("c").open_over(dial(&place)).ping();
    // Somebody listens there.
    let refusal = |bind: &str| {
        let bind = format!("listeners.unix.default.bind={bind}");
        let other = [
            "listeners.tcp.default.enable=false",
            "dashboard.listeners.http.enable=false",
            "listeners.unix.default.enable=true",
            "node.shards=1",
            &bind,
        ];
        let arguments: Vec<&str> = other.iter().flat_map(|setting| ["--set", setting]).collect();
        let outcome = run_to_exit(&arguments, &[]);
        assert!(!outcome.status.success(), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("listeners.unix.default.bind"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    };
    refusal(&path);
    Login::v5("c").open_over(dial(&place)).ping();
    drop(broker);
    // What is no socket stays as it is.
    let file = place.write("precious", "data");
    refusal(&file);
    assert_eq!(fs::read_to_string(&file).expect("still there"), "data");
    refusal(&place.path("absent/mqtt.sock"));
    refusal(&place.path(&"long".repeat(60)));
}

#[test]
fn the_folder_says_who_may_connect() {
    let place = Configured::new();
    let folder = place.path("private");
    fs::create_dir(&folder).expect("a folder of the test's own");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("the test's own");
    let place = place
        .set("listeners.unix.default.enable=true")
        .set(&format!("listeners.unix.default.bind={folder}/mqtt.sock"));
    let mut broker = place.broker(1);
    let mode = fs::metadata(&folder).expect("the folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    broker.signal(Signal::TERM);
    assert!(broker.wait(PATIENCE).is_some());
    // A broker that has stopped does not answer; one that starts again takes its place.
    let path = Path::new(&folder).join("mqtt.sock");
    until("nobody listens any more", || UnixStream::connect(&path).is_err());
    let _broker = place.broker(1);
    assert!(UnixStream::connect(&path).is_ok());
}
