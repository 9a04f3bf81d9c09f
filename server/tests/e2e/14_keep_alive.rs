//! Keep alive. These tests are about the passage of real time, so they take seconds.

use crate::harness::*;
use std::thread;
use std::time::{Duration, Instant};

/// A keep alive of 1 s allows 1.5 s of silence; the wheel's resolution and a loaded machine come on top.
const ALLOWED: std::ops::Range<Duration> = Duration::from_millis(1400)..Duration::from_millis(5000);

#[test]
fn a_silent_client_is_disconnected_after_one_and_a_half_intervals() {
    at_shards(&[], |broker| {
        let start = Instant::now();
        let mut clients: Vec<Client> = (0..9)
            .map(|i| Login::new(VERSIONS[i % 3], &format!("silent{i}")).keep_alive(1).open(broker))
            .collect();
        for client in &mut clients {
            client.expect_disconnect(ReasonCode::KeepAliveTimeout);
            assert!(ALLOWED.contains(&start.elapsed()), "after {:?}", start.elapsed());
        }
    });
}

#[test]
fn any_packet_keeps_the_connection_alive() {
    at_shards(&[], |broker| {
        thread::scope(|scope| {
            for (i, version) in VERSIONS.into_iter().enumerate() {
                scope.spawn(move || {
                    let mut pinging = Login::new(version, &format!("pinging{i}")).keep_alive(1).open(broker);
                    let mut publishing =
                        Login::new(version, &format!("publishing{i}")).keep_alive(1).open(broker);
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(3500) {
                        pinging.ping();
                        publishing.publish(message("alive", "x"));
                        time_passes(300);
                    }
                    pinging.ping();
                    publishing.ping();
                });
            }
        });
    });
}

#[test]
fn packets_to_the_client_do_not_keep_it_alive() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("listening").keep_alive(1).open(broker);
        client.subscribe("stream", 0);
        let mut publisher = Login::v5("publisher").open(broker);
        let start = Instant::now();
        loop {
            publisher.publish(message("stream", "x"));
            match client.poll(Duration::from_millis(200)) {
                Event::Packet(Packet::Publish(_)) | Event::Silence => {}
                Event::Packet(Packet::Disconnect { reason, .. }) => {
                    assert_eq!(reason, ReasonCode::KeepAliveTimeout);
                    break;
                }
                other => panic!("{other:?}"),
            }
            assert!(start.elapsed() < ALLOWED.end, "still connected");
            time_passes(50);
        }
        assert!(start.elapsed() >= ALLOWED.start);
    });
}

#[test]
fn a_keep_alive_of_0_never_ends_a_connection() {
    at_shards(&[], |broker| {
        let mut clients: Vec<Client> = VERSIONS
            .map(|version| Login::new(version, "").clean())
            .into_iter()
            .enumerate()
            .map(|(i, mut login)| {
                login.client_id = format!("patient{i}");
                login.keep_alive(0).open(broker)
            })
            .collect();
        time_passes(3500);
        clients.iter_mut().for_each(Client::ping);
    });
}

#[test]
fn the_servers_keep_alive_replaces_the_clients() {
    let broker = Broker::with(1, &["mqtt.server_keepalive=1"]);
    let start = Instant::now();
    let mut long = Login::v5("long").keep_alive(600).open(&broker);
    let mut none = Login::v5("none").keep_alive(0).open(&broker);
    assert!(long.connack_properties().contains(&Property::ServerKeepAlive(1)), "[MQTT-3.1.2-21]");
    for client in [&mut long, &mut none] {
        client.expect_disconnect(ReasonCode::KeepAliveTimeout);
        assert!(ALLOWED.contains(&start.elapsed()), "after {:?}", start.elapsed());
    }
}

#[test]
fn the_multiplier_prolongs_the_silence_allowed() {
    let broker = Broker::with(1, &["mqtt.keepalive_multiplier=3.0"]);
    let start = Instant::now();
    let mut client = Login::v5("client").keep_alive(1).open(&broker);
    client.expect_disconnect(ReasonCode::KeepAliveTimeout);
    assert!(start.elapsed() >= Duration::from_millis(2900), "after {:?}", start.elapsed());
}

#[test]
fn pingreq_is_answered() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            for _ in 0..100 {
                client.send_raw(&[0xC0, 0]);
            }
            for _ in 0..100 {
                assert_eq!(client.expect_packet(), Packet::Pingresp);
            }
        }
    });
}

#[test]
fn a_half_open_connection_ends_by_keep_alive_and_its_session_stays() {
    at_shards(&[], |broker| {
        let login = Login::persistent(ProtocolVersion::V5, "half").keep_alive(1);
        let mut client = login.clone().open(broker);
        client.subscribe("half", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        let mut packets = client.read_until_closed();
        assert!(matches!(
            packets.pop(),
            Some(Packet::Disconnect { reason: ReasonCode::KeepAliveTimeout, .. })
        ));
        publisher.publish(message("half", "x").qos(1));
        let mut client = login.open(broker);
        assert!(client.session_present());
        client.expect_texts(["x"]);
    });
}
