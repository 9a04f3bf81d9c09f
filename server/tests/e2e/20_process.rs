//! The process: start, signals, command line, endpoints.

use crate::harness::*;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn sigterm_tells_clients_of_5_that_the_broker_goes_and_ends_with_0() {
    for shards in [1, 4] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut broker = Broker::start(shards);
            let mut clients: Vec<Client> =
                (0..9).map(|i| Login::new(VERSIONS[i % 3], &format!("c{i}")).open(&broker)).collect();
            let start = Instant::now();
            broker.signal(signal);
            clients.iter_mut().for_each(|client| client.expect_disconnect(ReasonCode::ServerShuttingDown));
            let status = broker.wait(Duration::from_secs(6)).expect("the process ends");
            assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
            assert_eq!(status.code(), Some(0), "{}", broker.stderr());
        }
    }
}

#[test]
fn messages_acknowledged_before_sigterm_are_delivered() {
    for shards in [1, 4] {
        let mut broker = Broker::start(shards);
        let mut subscriber = Login::v5("subscriber").open(&broker);
        subscriber.subscribe("flush", 0);
        let mut publisher = Login::v5("publisher").open(&broker);
        publisher.publish_all((0..200).map(|i| message("flush", format!("{i}")).qos(1)), 50);
        broker.signal(Signal::TERM);
        subscriber.expect_texts((0..200).map(|i| i.to_string()));
        subscriber.expect_disconnect(ReasonCode::ServerShuttingDown);
        assert!(broker.wait(Duration::from_secs(6)).is_some());
    }
}

#[test]
fn a_stopped_broker_accepts_no_connection() {
    // An address of its own: elsewhere another test's broker could be given the same port meanwhile.
    let mut broker = Broker::with(4, &["listeners.tcp.default.bind=127.0.0.20:0"]);
    let address = broker.mqtt();
    broker.signal(Signal::TERM);
    assert!(broker.wait(Duration::from_secs(6)).is_some());
    // The kernel takes a ring apart after its process has ended, and the listening socket with it.
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "somebody still listens on {address}");
    }
}

#[test]
fn any_number_of_shards_works_also_more_than_cores() {
    for shards in [1, 2, 3, 8, 13] {
        let broker = Broker::start(shards);
        let mut clients: Vec<Client> =
            (0..16).map(|i| Login::new(VERSIONS[i % 3], &format!("c{i}")).open(&broker)).collect();
        clients.iter_mut().for_each(|client| client.subscribe("all/+", 1));
        let mut publisher = Login::v5("publisher").open(&broker);
        for i in 0..20 {
            publisher.publish(message(format!("all/{i}"), format!("{i}")).qos(1));
        }
        clients.iter_mut().for_each(|client| client.expect_texts((0..20).map(|i| i.to_string())));
    }
}

#[test]
fn counters_are_exported() {
    at_shards(&[], |broker| {
        let mut subscribers: Vec<Client> = (0..4).map(|i| Login::v5(&format!("s{i}")).open(broker)).collect();
        subscribers.iter_mut().for_each(|subscriber| subscriber.subscribe("count", 2));
        let mut publisher = Login::v311("publisher").open(broker);
        for qos in 0..=2 {
            publisher.publish(message("count", "x").qos(qos));
            subscribers.iter_mut().for_each(|subscriber| {
                subscriber.receive();
            });
        }
        publisher.publish(message("nobody", "x").qos(1));
        publisher.ping();
        for (name, count) in [
            ("client.connected", 5),
            ("session.created", 5),
            ("packets.connect.received", 5),
            ("packets.subscribe.received", 4),
            ("packets.suback.sent", 4),
            ("packets.publish.received", 4),
            ("packets.publish.sent", 12),
            ("packets.puback.received", 4),
            ("packets.pubrel.sent", 4),
            ("packets.pingreq.received", 1),
            ("messages.received", 4),
            ("messages.qos0.received", 1),
            ("messages.qos1.received", 2),
            ("messages.qos2.received", 1),
            ("messages.sent", 12),
            ("messages.dropped.no_subscribers", 1),
        ] {
            broker.wait_metric(name, count);
            assert_eq!(broker.metric(name), count, "{name}");
        }
        assert!(broker.metric("bytes.received") > 0 && broker.metric("bytes.sent") > 0);
        publisher.disconnect();
        broker.wait_metric("client.disconnected", 1);
    });
}

#[test]
fn status_says_that_the_broker_runs() {
    let broker = Broker::start(1);
    let (head, body) = broker.http_get("/api/v5/status");
    assert!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{head}");
    assert!(body.contains("is running"), "{body}");
    let (head, body) = broker.http_get("/api/v5/status?format=json");
    assert!(head.contains(" 200 "), "{head}");
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert!(json["broker_status"].is_string(), "{json}");
    let (head, _) = broker.http_get("/nothing/here");
    assert!(head.contains(" 404 "), "{head}");
}

/// The program must end with an error whose one line contains all of these.
fn fails(arguments: &[&str], wanted: &[&str]) {
    let outcome = run_to_exit(arguments, &[]);
    assert!(!outcome.status.success(), "{arguments:?}");
    for text in wanted {
        assert!(outcome.stderr.contains(text), "{arguments:?}: `{text}` is not in: {}", outcome.stderr);
    }
    assert!(
        !outcome.stderr.contains("panicked") && !outcome.stderr.contains("backtrace"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn wrong_settings_are_named() {
    fails(&["--set", "mqtt.max_inflght=5"], &["max_inflght", "max_inflight"]);
    fails(&["--set", "mqtt.max_inflight=many"], &["mqtt.max_inflight"]);
    fails(&["--set", "mqtt.max_inflight=0"], &["mqtt.max_inflight"]);
    fails(&["--set", "mqtt.idle_timeout=15"], &["mqtt.idle_timeout"]);
    fails(&["--set", "mqtt.max_qos_allowed=3"], &["mqtt.max_qos_allowed"]);
    fails(&["--set", "node.shards=257"], &["node.shards"]);
    fails(&["--set", "nonsense"], &["nonsense"]);
    fails(&["--config", "does-not-exist.toml"], &["does-not-exist.toml"]);
}

#[test]
fn a_port_in_use_is_named() {
    let broker = Broker::start(1);
    let bind = format!("listeners.tcp.default.bind={}", broker.mqtt());
    let arguments =
        ["--set", &bind, "--set", "dashboard.listeners.http.bind=127.0.0.1:0", "--set", "node.shards=1"];
    fails(&arguments, &["listeners.tcp.default.bind", &broker.mqtt().to_string()]);
}

#[test]
fn version_and_help_are_printed() {
    for arguments in [&["--version"][..], &["--help"][..]] {
        let outcome = run_to_exit(arguments, &[]);
        assert!(outcome.status.success() && outcome.stdout.contains("ringmq"), "{}", outcome.stdout);
    }
}

#[test]
fn check_reports_on_configuration_and_host() {
    let arguments = ["check", "--set", "listeners.tcp.default.bind=127.0.0.1:0"];
    let outcome = run_to_exit(&arguments, &[]);
    assert!(outcome.stdout.contains("io_uring"), "{}{}", outcome.stdout, outcome.stderr);
    let outcome = run_to_exit(&["check", "--set", "mqtt.max_inflght=5"], &[]);
    assert!(!outcome.status.success() && outcome.stderr.contains("max_inflight"), "{}", outcome.stderr);
}

#[test]
fn set_wins_over_environment_which_wins_over_the_file() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let config = data.path().join("ringmq.toml");
    let text =
        "[mqtt]\nmax_awaiting_rel = 11\nmax_topic_alias = 12\nserver_keepalive = 13\n\n[node]\nshards = 1\n";
    std::fs::write(&config, text).expect("a new file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.args(["serve", "--config"]).arg(&config);
    command.env("RINGMQ_MQTT__MAX_TOPIC_ALIAS", "22").env("RINGMQ_MQTT__SERVER_KEEPALIVE", "23");
    for setting in [
        "mqtt.server_keepalive=33",
        "listeners.tcp.default.bind=127.0.0.1:0",
        "dashboard.listeners.http.bind=127.0.0.1:0",
    ] {
        command.args(["--set", setting]);
    }
    command.current_dir(data.path());
    let broker = started_with(command, data);
    let client = Login::v5("client").open(&broker);
    for wanted in
        [Property::ReceiveMaximum(11), Property::TopicAliasMaximum(22), Property::ServerKeepAlive(33)]
    {
        assert!(
            client.connack_properties().contains(&wanted),
            "{wanted:?} in {:?}",
            client.connack_properties()
        );
    }
}

#[test]
fn clients_on_all_shards_work_while_others_come_and_go() {
    let broker = Broker::start(4);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let broker = &broker;
            scope.spawn(move || {
                for round in 0..40 {
                    let version = VERSIONS[(worker + round) % 3];
                    let id = format!("worker{worker}-{}", round % 7);
                    let mut client = Login::new(version, &id).open(broker);
                    let topic = format!("busy/{worker}/{round}");
                    client.subscribe(&topic, 2);
                    for qos in 0..=2 {
                        client.publish(message(topic.as_str(), format!("{qos}")).qos(qos));
                    }
                    client.expect_texts(["0", "1", "2"]);
                    if round % 2 == 0 { client.vanish() } else { client.disconnect() }
                }
            });
        }
    });
}

/// Clock ticks of CPU time a process has used.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number of ticks")).sum()
}

#[test]
fn without_a_free_descriptor_clients_are_served_and_new_ones_wait() {
    for shards in [1, 4] {
        let broker = Broker::start(shards);
        let mut subscriber = Login::v5("subscriber").open(&broker);
        subscriber.subscribe("served", 1);
        let mut publisher = Login::v311("publisher").open(&broker);
        let open =
            std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).expect("a running process").count();
        let limit = format!("--nofile={}", open + 8);
        let limited = Command::new("prlimit").args(["--pid", &broker.pid().to_string(), &limit]).status();
        assert!(limited.expect("prlimit of util-linux").success());
        let crowd: Vec<_> =
            (0..64).map(|_| std::net::TcpStream::connect(broker.mqtt()).expect("a backlog")).collect();
        let before = cpu_ticks(broker.pid());
        for i in 0..20 {
            publisher.publish(message("served", format!("{i}")).qos(1));
            time_passes(50);
        }
        subscriber.expect_texts((0..20).map(|i| i.to_string()));
        let used = cpu_ticks(broker.pid()) - before;
        assert!(used < 50, "{used} ticks in a second: the listener is polled without rest");
        drop(crowd);
        Login::v5("late").open(&broker).ping();
    }
}
