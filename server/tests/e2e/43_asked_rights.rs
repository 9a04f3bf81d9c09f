//! What clients may do where a service on another host is asked for each topic: packets wait for its answers, and nobody else.

use crate::harness::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A service that allows topics with `yes` in them, denies those with `no`, and does not know others. It says nothing about
/// those with `late` until told to.
struct Judge {
    port: u16,
    /// What it was asked, as `CLIENT ACTION TOPIC MOUNTPOINT`.
    asked: Arc<Mutex<Vec<String>>>,
    /// Locked while late answers wait.
    lateness: Arc<Mutex<()>>,
}

impl Judge {
    fn start() -> Judge {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (asked, lateness) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<()>>::default());
        let (notes, late) = (Arc::clone(&asked), Arc::clone(&lateness));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, late) = (Arc::clone(&notes), Arc::clone(&late));
                std::thread::spawn(move || judge_all(stream, &notes, &late));
            }
        });
        Judge { port, asked, lateness }
    }

    /// A broker that asks it, and behind it has these rules.
    fn place(&self, cache: &str, rules: &str) -> Configured {
        let place = Configured::new().set(cache);
        let path = place.write("acl.conf", rules);
        let query = "who=${clientid}&does=${action}&topic=${topic}&at=${mountpoint}";
        let url = format!("http://127.0.0.1:{}/acl?{query}", self.port);
        place.set(&format!(
            "authorization.sources=[{{type = 'http', method = 'get', url = '{url}'}}, {{type = 'file', path = '{path}'}}]"
        ))
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("no test failed").len()
    }

    /// What it was asked since the last time.
    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("no test failed"))
    }
}

fn judge_all(stream: TcpStream, notes: &Mutex<Vec<String>>, late: &Mutex<()>) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let of = |name: &str| {
            let value = request.split(['?', '&', ' ']).find_map(|part| part.strip_prefix(name));
            value.unwrap_or("").replace("%2F", "/")
        };
        let topic = &*of("topic=");
        let note = [&*of("who="), &*of("does="), topic, &*of("at=")].join(" ");
        notes.lock().expect("no test failed").push(note);
        if topic.contains("late") {
            drop(late.lock());
        }
        let said = match topic {
            topic if topic.contains("yes") => "allow",
            topic if topic.contains("no") => "deny",
            _ => "ignore",
        };
        let body = format!("{{\"result\":\"{said}\"}}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

const CACHED: &str = "authorization.cache.ttl=1h";
const UNCACHED: &str = "authorization.cache.enable=false";
const RULES: &str =
    "{allow, all, publish, [\"behind/#\", \"marker/#\"]}.\n{allow, all, subscribe, [\"#\"]}.\n{deny, all}.\n";

#[test]
fn a_service_decides_and_rules_behind_it_where_it_does_not_know() {
    let judge = Judge::start();
    judge.place(CACHED, RULES).at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 2);
        for version in VERSIONS {
            let v5 = version == ProtocolVersion::V5;
            let denied = if v5 { ReasonCode::NotAuthorized } else { ReasonCode::Success };
            let mut client = Login::new(version, &format!("{version:?}")).open(broker);
            for qos in 0..=2 {
                for (topic, is_allowed) in
                    [("yes/a", true), ("no/a", false), ("behind/a", true), ("unknown/a", false)]
                {
                    let expected = if is_allowed || qos == 0 { ReasonCode::Success } else { denied };
                    let text = format!("{topic} {qos}");
                    assert_eq!(
                        client.publish(message(topic, text.clone()).qos(qos)),
                        expected,
                        "{topic} {qos}"
                    );
                    if is_allowed {
                        watcher.expect_texts([text]);
                    }
                }
            }
            watcher.expect_nothing_from(&mut client);
            let refused = if v5 { 0x87 } else { 0x80 };
            let filters =
                [("yes/+", 1), ("no/c", 1), ("$share/g/yes/b", 0), ("$share/g/no/b", 0), ("else/#", 2)];
            assert_eq!(client.subscribe_all(&filters, &[]), [1, refused, 0, refused, 2]);
        }
    });
}

#[test]
fn answers_are_remembered_for_a_connection_and_only_there() {
    let judge = Judge::start();
    let place = judge.place(CACHED, RULES);
    let broker = place.broker(1);
    let mut client = Login::v5("a").open(&broker);
    let publish = |client: &mut Client, topic: &str| client.publish(message(topic, "x").qos(1));
    let before = judge.asked();
    for _ in 0..5 {
        assert_eq!(publish(&mut client, "no/x"), ReasonCode::NotAuthorized);
        assert_ne!(publish(&mut client, "behind/x"), ReasonCode::NotAuthorized);
    }
    assert_eq!(judge.asked() - before, 2, "each topic once");
    assert_eq!(client.publish(message("no/x", "x").qos(2)), ReasonCode::NotAuthorized);
    assert_eq!(judge.asked() - before, 3, "another action is another question");
    broker.reload();
    until("changed rules forget what was answered", || {
        publish(&mut client, "no/x");
        judge.asked() - before > 3
    });
    assert_eq!(judge.asked() - before, 4);
    let mut other = Login::v5("b").open(&broker);
    publish(&mut other, "no/x");
    assert_eq!(judge.asked() - before, 5, "another client is asked about itself");

    let place = judge.place(UNCACHED, RULES);
    let broker = place.broker(1);
    let mut client = Login::v5("a").open(&broker);
    let before = judge.asked();
    for _ in 0..3 {
        assert_eq!(publish(&mut client, "no/x"), ReasonCode::NotAuthorized);
    }
    assert_eq!(judge.asked() - before, 3);
}

#[test]
fn a_packet_waits_for_its_answer_and_what_follows_with_it_and_nobody_else() {
    let judge = Judge::start();
    judge.place(UNCACHED, RULES).at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 0);
        let late = judge.lateness.lock().expect("no test failed");
        let mut slow = Login::v5("slow").keep_alive(1).open(broker);
        slow.send(message("yes/late", "1"));
        slow.send(message("yes/2", "2"));
        // It leaves as it should before it is known whether it may do what it did.
        slow.send_disconnect(ReasonCode::Success, &[]);
        let mut parted = Login::v5("parted").open(broker);
        parted.send(message("yes/late", "never").qos(1));
        drop(parted);
        let mut other = Login::v5("other").open(broker);
        other.publish(message("yes/other", "meanwhile"));
        watcher.expect_texts(["meanwhile"]);
        drop(late);
        let mut texts: Vec<String> = Vec::new();
        while texts.last().is_none_or(|text| text != "2") {
            texts.push(String::from_utf8(watcher.receive().payload).expect("text"));
        }
        texts.retain(|text| text != "never");
        assert_eq!(texts, ["1", "2"]);
    });
}

#[test]
fn a_will_is_asked_about_before_its_client_is_let_in() {
    let judge = Judge::start();
    judge.place(CACHED, RULES).at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 0);
        for version in VERSIONS {
            let code = if version == ProtocolVersion::V5 { 0x87 } else { 5 };
            let login = |topic: &str| Login::new(version, "c").will(Will::new(topic, topic));
            login("no/will").refused(broker, code);
            login("unknown/will").refused(broker, code);
            for topic in ["yes/will", "behind/will", "yes/late/will"] {
                let mut client = login(topic).open(broker);
                client.ping();
                client.vanish();
                watcher.expect_texts([topic]);
            }
        }
    });
}

#[test]
fn a_service_that_does_not_answer_leaves_it_to_the_rules_behind() {
    let judge = Judge::start();
    let _late = judge.lateness.lock().expect("no test failed");
    let place = judge.place(CACHED, RULES);
    let sources = format!(
        "authorization.sources=[{{type = 'http', method = 'get', request_timeout = '100ms', \
         url = 'http://127.0.0.1:{}/acl?topic=${{topic}}'}}, {{type = 'file', path = '{}'}}]",
        judge.port,
        place.path("acl.conf"),
    );
    let broker = place.set(&sources).broker(1);
    let mut client = Login::v5("c").open(&broker);
    assert_ne!(client.publish(message("behind/late", "x").qos(1)), ReasonCode::NotAuthorized);
    assert_eq!(client.publish(message("yes/late", "x").qos(1)), ReasonCode::NotAuthorized);
}

#[test]
fn behind_a_mountpoint_it_is_asked_about_topics_as_the_client_knows_them() {
    // Were it asked about the whole topic, it would allow everything.
    let listener =
        ["listeners.tcp.devices.bind=127.0.0.1:0", "listeners.tcp.devices.mountpoint=yes/${clientid}/"];
    let judge = Judge::start();
    let place = listener.iter().fold(judge.place(CACHED, RULES), |place, setting| place.set(setting));
    place.at_shards(|broker| {
        let through = |login: Login| login.open_over(connect(broker.listener("tcp:devices")));
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 0);
        let mut device = through(Login::persistent(ProtocolVersion::V5, "d"));
        judge.take_asked();
        for _ in 0..3 {
            assert_eq!(device.publish(message("no/a", "x").qos(1)), ReasonCode::NotAuthorized);
            assert_eq!(device.publish(message("a/yes", "x").qos(1)), ReasonCode::Success);
            assert_eq!(watcher.receive().topic, "yes/d/a/yes");
        }
        device.publish(message("b/yes", "x").qos(1).with(Property::TopicAlias(1)));
        device.publish(message("", "x").qos(1).with(Property::TopicAlias(1)));
        for _ in 0..2 {
            assert_eq!(watcher.receive().topic, "yes/d/b/yes");
        }
        let filters = [("c/yes", 1), ("no/c", 1), ("$share/g/no/b", 0)];
        assert_eq!(device.subscribe_all(&filters, &[]), [1, 0x87, 0x87]);
        let topics = ["publish no/a", "publish a/yes", "publish b/yes"];
        let filters = ["subscribe c/yes", "subscribe no/c", "subscribe no/b"];
        let mut expected: Vec<String> =
            topics.iter().chain(&filters).map(|what| format!("d {what} yes/d/")).collect();
        let mut asked = judge.take_asked();
        expected.sort();
        asked.sort();
        assert_eq!(asked, expected, "each once");
        device.vanish();

        // What was answered for the mountpoint is not believed elsewhere, nor the other way round.
        let mut device = Login::persistent(ProtocolVersion::V5, "d").open(broker);
        device.publish(message("a/yes", "x").qos(1));
        assert_eq!(watcher.receive().topic, "a/yes");
        assert_eq!(judge.take_asked(), ["d publish a/yes "]);
        device.disconnect();

        let will = |topic: &str| Login::v5("w").will(Will::new(topic, "will"));
        let (_, connack) = will("no/will").answer_over(connect(broker.listener("tcp:devices")));
        assert_eq!(connack.code, 0x87);
        through(will("yes/will")).vanish();
        assert_eq!(watcher.receive().topic, "yes/w/yes/will");
        assert_eq!(judge.take_asked(), ["w publish no/will yes/w/", "w publish yes/will yes/w/"]);
    });
}

#[test]
fn a_packet_asks_a_bounded_number_of_questions_and_the_rest_is_denied() {
    let judge = Judge::start();
    judge.place(CACHED, RULES).at_shards(|broker| {
        let mut client = Login::v5("c").open(broker);
        judge.take_asked();
        let filters: Vec<String> = (0..1500).map(|number| format!("yes/{number}")).collect();
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 1)).collect();
        let codes = client.subscribe_all(&filters, &[]);
        assert_eq!(judge.take_asked().len(), 1024);
        assert_eq!((&codes[..1024], &codes[1024..]), (&[1; 1024][..], &[0x87; 476][..]));
        // What follows is asked about as ever.
        assert_eq!(client.subscribe_all(&filters[1024..], &[]), [1; 476]);
        assert_eq!(judge.take_asked().len(), 476);
    });
}
