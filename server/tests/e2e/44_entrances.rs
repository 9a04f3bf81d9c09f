//! Who comes through a listener at all: by address, by how often, and with the secret of a device.

use crate::harness::*;
use ring::hmac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};

/// An address of this host at the port of a listener.
fn at(broker: &Broker, listener: &str, address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, broker.listener(listener).port())
}

#[test]
fn addresses_that_are_not_served_are_closed_before_they_have_said_a_word() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("skipped: this host has no IPv6");
    }
    let settings = [
        "listeners.tcp.both.bind=[::]:0",
        "listeners.tcp.both.access_rules=['deny 127.0.0.0/8', 'allow all']",
        "listeners.tcp.few.bind=127.0.0.1:0",
        "listeners.tcp.few.access_rules=['allow 127.0.0.1', 'deny all']",
        "listeners.ws.nobody.bind=127.0.0.1:0",
        "listeners.ws.nobody.access_rules=['deny all']",
    ];
    at_shards(&settings, |broker| {
        let (old, new) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
        for address in [at(broker, "tcp:both", old), at(broker, "ws:nobody", old)] {
            assert_eq!(read_to_close(&mut connect(address)), b"");
        }
        for address in [at(broker, "tcp:both", new), at(broker, "tcp:few", old)] {
            Login::v5("served").open_over(connect(address)).ping();
        }
        broker.wait_metric("connections.refused", 2);
    });
}

#[test]
fn other_addresses_are_served_after_sighup_and_what_needs_a_restart_is_named() {
    let place = Configured::new();
    let file = |rule: &str, max_connections: &str| {
        let listener = "[listeners.tcp.watched]\nbind = \"127.0.0.1:0\"\n";
        let text = format!("{listener}access_rules = [\"{rule}\"]\nmax_connections = {max_connections}\n");
        place.write("ringmq.toml", &text)
    };
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.args(["--config", &file("allow all", "10"), "--set", "listeners.tcp.default.bind=127.0.0.1:0"]);
    command.args(["--set", "dashboard.listeners.http.bind=127.0.0.1:0", "--set", "node.shards=2"]);
    command.current_dir(data.path());
    let broker = started_with(command, data);
    let address = broker.listener("tcp:watched");
    let mut early = Login::v5("early").open_over(connect(address));
    file("deny all", "11");
    let logged = broker.reload();
    for (key, fate) in [
        ("listeners.tcp.watched.access_rules", "changed"),
        ("listeners.tcp.watched.max_connections", "it needs a restart"),
    ] {
        let line =
            logged.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{key}: {logged}"));
        assert!(line.contains(fate), "{line}");
    }
    until("nobody is served", || (0..8).all(|_| read_to_close(&mut connect(address)).is_empty()));
    early.ping();
}

#[test]
fn clients_that_come_and_go_too_often_are_banned_and_stay_so_after_a_restart() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let data_dir = format!("node.data_dir={}", data.path().display());
    let settings = [
        data_dir.as_str(),
        "flapping_detect.enable=true",
        "flapping_detect.max_count=3",
        "flapping_detect.window_time=1h",
        "flapping_detect.ban_time=1h",
    ];
    let broker = Broker::with(2, &settings);
    for _ in 0..3 {
        Login::v5("restless").open(&broker).disconnect();
    }
    for _ in 0..2 {
        Login::v5("calm").open(&broker).disconnect();
    }
    until("it is banned", || Login::v5("restless").answer(&broker).1.code == 0x8A);
    Login::v311("restless").refused(&broker, 5);
    Login::v5("calm-2").open(&broker).ping();
    drop(broker);
    let broker = Broker::with(1, &settings);
    Login::v5("restless").refused(&broker, 0x8A);
    Login::v5("calm").open(&broker).ping();
}

/// A device that signs in with this secret, by this method; what it signs is of the moment 789, whatever it says.
fn device_at(moment: &str, version: ProtocolVersion, method: &str, secret: &str) -> Login {
    let algorithm =
        if method == "hmacsha1" { hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY } else { hmac::HMAC_SHA256 };
    let signed = b"clientId12345deviceNamelampproductKeyp1timestamp789";
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed);
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let client_id = format!("12345|securemode=3,signmethod={method},timestamp={moment}|");
    Login::new(version, &client_id).user_name("lamp&p1").password(digits.as_bytes())
}

#[test]
fn devices_enter_with_their_secret_and_are_told_that_another_is_wrong() {
    let place = Configured::new();
    let file = place.write("devices.csv", "product_key,device_name,device_secret\np1,lamp,hush-hush\n");
    let place = place.set(&format!("authentication=[{{mechanism = 'device_secret', file = '{file}'}}]"));
    place.at_shards(|broker| {
        for version in VERSIONS {
            let v5 = version == ProtocolVersion::V5;
            let wrong = if v5 { 0x86 } else { 4 };
            let device = |version, method, secret| device_at("789", version, method, secret);
            for method in ["hmacsha1", "hmacsha256"] {
                device(version, method, "hush-hush").open(broker).ping();
                let good = device(version, method, "hush-hush");
                for login in [
                    device(version, method, "another"),
                    good.clone().password(b""),
                    good.clone().user_name("lamp&p2"),
                    good.clone().user_name("fan&p1"),
                    device_at("790", version, method, "hush-hush"),
                ] {
                    login.refused(broker, wrong);
                }
            }
            // No device, and nobody else is asked.
            Login::new(version, "plain").user_name("lamp&p1").refused(broker, if v5 { 0x87 } else { 5 });
        }
    });
}

#[test]
fn clients_enter_whose_ids_are_on_a_list() {
    let place = Configured::new();
    let file = place.write("ids.txt", "# sensors\nsensor-*\ncontrol\n");
    let element = format!("{{mechanism = 'client_ids', file = '{file}', no_match = 'deny'}}");
    place.set(&format!("authentication=[{element}]")).at_shards(|broker| {
        for version in VERSIONS {
            for id in ["sensor-", "sensor-7", "control"] {
                Login::new(version, id).open(broker).disconnect();
            }
            for id in ["control-7", "Control", "my-sensor-7", "*", "sensor"] {
                let code = if version == ProtocolVersion::V5 { 0x86 } else { 4 };
                Login::new(version, id).refused(broker, code);
            }
        }
    });
}

/// Keeps the passes of a shard long until `is_over`: each round is 10,000 messages to each of 100 subscribers, and another
/// publisher's round waits already when one is done.
fn keep_busy(broker: &Broker, number: usize, is_over: &AtomicBool) {
    let mut publisher = Login::v5(&format!("busy-{number}")).open(broker);
    let mut body = Vec::new();
    string(&mut body, "busy");
    // No properties, no payload.
    body.push(0);
    let round = frame(0x30, &body).repeat(10_000);
    for _ in 0..1000 {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        publisher.send_raw(&round);
        publisher.ping();
    }
}

/// What 900 clients are told that come at once.
fn rush(broker: &Broker) -> Vec<(ProtocolVersion, Connack)> {
    let mut clients: Vec<(ProtocolVersion, Client)> = (0..900)
        .map(|number| VERSIONS[number % VERSIONS.len()])
        .map(|version| (version, Client::unconnected(broker, version)))
        .collect();
    for (number, (version, client)) in clients.iter_mut().enumerate() {
        client.send_raw(&Login::new(*version, &format!("rush-{number}")).encode());
    }
    let answer = |(version, client): &mut (ProtocolVersion, Client)| match client.poll(PATIENCE) {
        Event::Packet(Packet::Connack(connack)) => (*version, connack),
        other => panic!("expected CONNACK, got {other:?}"),
    };
    clients.iter_mut().map(answer).collect()
}

#[test]
fn who_has_waited_too_long_in_a_rush_is_told_that_the_broker_is_busy_and_may_come_again() {
    let settings = ["overload_protection.max_lag=1ms", "overload_protection.max_wait=100ms"];
    let broker = Broker::with(1, &settings);
    let mut subscribers: Vec<Client> =
        (0..100).map(|number| Login::v5(&format!("s{number}")).open(&broker)).collect();
    subscribers.iter_mut().for_each(|client| client.subscribe("busy", 0));
    let is_over = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        for number in 0..2 {
            let (broker, is_over) = (&broker, &is_over);
            scope.spawn(move || keep_busy(broker, number, is_over));
        }
        broker.wait_metric("messages.received", 20_000);
        let answers = rush(&broker);
        is_over.store(true, Ordering::Relaxed);
        answers
    });
    let busy: Vec<_> = answers.iter().filter(|(_, connack)| connack.code != 0).collect();
    assert!(!busy.is_empty() && busy.len() < answers.len(), "{} of {}", busy.len(), answers.len());
    for (version, connack) in &busy {
        let is_v5 = *version == ProtocolVersion::V5;
        assert_eq!(connack.code, if is_v5 { 0x89 } else { 3 }, "{connack:?}");
        assert!(!is_v5 || format!("{connack:?}").contains("try again in some seconds"), "{connack:?}");
    }
    broker.wait_metric("overload_protection.delay.timeout", busy.len() as u64);
    until("it is over", || Login::v5("late").answer(&broker).1.code == 0);
}
