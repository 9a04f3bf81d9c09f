//! Listeners whose clients are served under other settings (zones), and under levels that stand before their topics
//! (mountpoints).

use crate::harness::*;

/// Listeners of two mountpoints beside the default one.
const MOUNTED: [&str; 4] = [
    "listeners.tcp.devices.bind=127.0.0.1:0",
    "listeners.tcp.devices.mountpoint=dev/${clientid}/",
    "listeners.tcp.plant.bind=127.0.0.1:0",
    "listeners.tcp.plant.mountpoint=plant/",
];
/// A listener of a zone beside the default one.
const ZONED: [&str; 2] = ["listeners.tcp.zoned.bind=127.0.0.1:0", "listeners.tcp.zoned.zone=small"];

/// Opens a client through a listener.
fn through(listener: &str, broker: &Broker, login: Login) -> Client {
    login.open_over(connect(broker.listener(&format!("tcp:{listener}"))))
}

fn answer_through(listener: &str, broker: &Broker, login: Login) -> (Client, Connack) {
    login.answer_over(connect(broker.listener(&format!("tcp:{listener}"))))
}

/// The client receives this message next, and it is not what the one before it was.
#[track_caller]
fn expect(client: &mut Client, topic: &str, text: &str) {
    let received = client.receive();
    assert_eq!((received.topic.as_str(), received.text()), (topic, text), "{received:?}");
}

/// With these settings and a zone `small` that has those.
fn with_zone(general: &[&str], zone: &[&str]) -> Vec<String> {
    let of_zone = zone.iter().map(|setting| format!("zones.small.mqtt.{setting}"));
    ZONED.iter().chain(general).map(|setting| (*setting).to_owned()).chain(of_zone).collect()
}

fn at_shards_with_zone(general: &[&str], zone: &[&str], test: impl Fn(&Broker)) {
    let settings = with_zone(general, zone);
    at_shards(&settings.iter().map(String::as_str).collect::<Vec<_>>(), test);
}

#[test]
fn topics_of_mounted_clients_have_the_mountpoint_for_all_others() {
    at_shards(&MOUNTED, |broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 2);
        for version in VERSIONS {
            let id = format!("d-{version:?}");
            let mut device = through("devices", broker, Login::new(version, &id));
            let mut other = through("devices", broker, Login::new(version, &format!("{id}-other")));
            let mut plant = through("plant", broker, Login::new(version, &format!("{id}-plant")));
            for client in [&mut device, &mut other, &mut plant] {
                client.subscribe("#", 2);
            }
            for qos in 0..=2 {
                let text = format!("{version:?} {qos}");
                device.publish(message("state/a", text.clone()).qos(qos));
                expect(&mut watcher, &format!("dev/{id}/state/a"), &text);
                expect(&mut device, "state/a", &text);
                watcher.publish(message(format!("dev/{id}/command"), text.clone()).qos(qos));
                expect(&mut device, "command", &text);
                expect(&mut watcher, &format!("dev/{id}/command"), &text);
                // What is not behind a mountpoint is not seen there, nor what is the mountpoint itself.
                for topic in ["state/a", "plant", "dev", &format!("dev/{id}"), &format!("dev/{id}/")] {
                    watcher.publish(message(topic, "outside").qos(qos));
                    expect(&mut watcher, topic, "outside");
                }
                // Of all that, the others have seen nothing.
                for (client, topic) in
                    [(&mut other, format!("dev/{id}-other/last")), (&mut plant, "plant/last".into())]
                {
                    watcher.publish(message(topic.clone(), "last").qos(qos));
                    expect(client, "last", "last");
                    expect(&mut watcher, &topic, "last");
                }
            }
            assert!(device.unsubscribe(&["#"]).iter().all(|code| *code == 0));
            watcher.publish(message(format!("dev/{id}/late"), "late").qos(1));
            expect(&mut watcher, &format!("dev/{id}/late"), "late");
            device.subscribe("next", 1);
            watcher.publish(message(format!("dev/{id}/next"), "next").qos(1));
            expect(&mut device, "next", "next");
            expect(&mut watcher, &format!("dev/{id}/next"), "next");
        }
    });
}

#[test]
fn retained_messages_and_no_local_work_behind_the_mountpoint() {
    at_shards(&MOUNTED, |broker| {
        let mut plant = through("plant", broker, Login::v5("plant"));
        let mut plain = Login::v5("plain").open(broker);
        for n in 0..40 {
            plant.publish(message(format!("r/{n}"), n.to_string()).qos(1).retained());
            plain.publish(message(format!("r/{n}"), "outside").qos(1).retained());
        }
        plain.publish(message("plant/r/last", "last").qos(1).retained());
        let mut late = through("plant", broker, Login::v311("late"));
        late.subscribe("r/+", 1);
        let mut seen: Vec<String> = (0..41)
            .map(|_| {
                let message = late.receive();
                assert!(message.retain && message.topic == format!("r/{}", message.text()), "{message:?}");
                message.topic
            })
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 41);
        late.subscribe("r/7", 1);
        expect(&mut late, "r/7", "7");
        plant.publish(message("r/7", "").qos(1).retained());
        expect(&mut late, "r/7", "");
        plain.subscribe("plant/r/7", 1);
        plain.ping();
        plant.subscribe("own/#", 1 | NO_LOCAL);
        plant.publish(message("own/x", "echo").qos(1));
        plain.publish(message("plant/own/x", "from another").qos(1));
        expect(&mut plant, "own/x", "from another");
        plant.publish(message("r/7", "new").qos(1));
        expect(&mut plain, "plant/r/7", "new");
    });
}

#[test]
fn aliases_stand_for_topics_as_the_client_knows_them() {
    at_shards(&MOUNTED, |broker| {
        let mut plain = Login::v5("plain").open(broker);
        plain.subscribe("plant/#", 1);
        let mut plant = through("plant", broker, Login::v5("plant").with(Property::TopicAliasMaximum(3)));
        plant.subscribe("down/#", 1);
        for (topic, text) in [("up/a", "1"), ("", "2"), ("up/b", "3"), ("", "4")] {
            plant.publish(message(topic, text).qos(1).with(Property::TopicAlias(7)));
        }
        for (topic, text) in
            [("plant/up/a", "1"), ("plant/up/a", "2"), ("plant/up/b", "3"), ("plant/up/b", "4")]
        {
            expect(&mut plain, topic, text);
        }
        let mut aliases = Vec::new();
        for text in ["1", "2"] {
            plain.publish(message("plant/down/a", text).qos(1));
            let received = plant.receive();
            assert_eq!(received.text(), text);
            aliases.push((received.topic.clone(), received.alias()));
        }
        assert_eq!(aliases, [("down/a".to_owned(), Some(1)), (String::new(), Some(1))]);
    });
}

#[test]
fn a_will_is_published_behind_the_mountpoint_also_after_its_delay() {
    at_shards(&MOUNTED, |broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("dev/#", 2);
        for version in VERSIONS {
            let will = Will::new("gone", "will").qos(1).retained();
            let id = format!("w-{version:?}");
            through("devices", broker, Login::new(version, &id).will(will)).vanish();
            expect(&mut watcher, &format!("dev/{id}/gone"), "will");
            let mut again = through("devices", broker, Login::new(version, &id));
            again.subscribe("gone", 1);
            expect(&mut again, "gone", "will");
        }
        let will = Will::new("gone", "delayed").with(Property::WillDelay(1));
        let login = Login::persistent(ProtocolVersion::V5, "delayed").will(will);
        through("devices", broker, login).vanish();
        expect(&mut watcher, "dev/delayed/gone", "delayed");
        let long = Will::new(&"x".repeat(65_535 - 5), "will");
        let (_, connack) = answer_through("plant", broker, Login::v5("long").will(long));
        assert_eq!(connack.code, ReasonCode::TopicNameInvalid.as_u8());
    });
}

#[test]
fn a_share_group_has_members_with_and_without_a_mountpoint() {
    at_shards(&MOUNTED, |broker| {
        for (group, outside) in [("$share/g/t/+", "$share/g/plant/t/+"), ("$queue/t/+", "$queue/plant/t/+")] {
            let login = |n: usize| Login::new(VERSIONS[n % 3], &format!("member{n}"));
            let mut members: Vec<Client> = (0..4).map(|n| through("plant", broker, login(n))).collect();
            members.iter_mut().for_each(|member| member.subscribe(group, 1));
            let mut plain = login(4).open(broker);
            plain.subscribe(outside, 1);
            members.push(plain);
            let mut publisher = through("plant", broker, Login::v5("publisher"));
            const COUNT: usize = 50;
            for n in 0..COUNT {
                publisher.publish(message(format!("t/{n}"), n.to_string()).qos(1));
            }
            publisher.settle();
            let mut seen = vec![0; COUNT];
            for (place, member) in members.iter_mut().enumerate() {
                let prefix = if place == 4 { "plant/" } else { "" };
                // What is sent a member comes before the answer to its PINGREQ.
                member.send_raw(&[0xC0, 0]);
                loop {
                    match member.expect_packet() {
                        Packet::Pingresp => break,
                        Packet::Publish(message) => {
                            member.acknowledge(&message);
                            assert_eq!(message.topic, format!("{prefix}t/{}", message.text()));
                            seen[message.text().parse::<usize>().expect("a number")] += 1;
                        }
                        other => panic!("expected PUBLISH, got {other:?}"),
                    }
                }
            }
            assert_eq!(seen, vec![1; COUNT]);
            for mut member in members.into_iter().take(4) {
                assert!(member.unsubscribe(&[group]).iter().all(|code| *code == 0));
                member.disconnect();
            }
        }
    });
}

#[test]
fn a_session_keeps_its_subscriptions_behind_the_mountpoint_it_was_made_at() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let data_dir = format!("node.data_dir={}", data.path().join("data").display());
    let settings = [&MOUNTED[..], &[&data_dir]].concat();
    for (round, version) in VERSIONS.into_iter().enumerate() {
        let login = || Login::persistent(version, "away");
        let broker = Broker::with(2, &settings);
        let mut client = through("plant", &broker, login());
        client.subscribe("q/#", 2);
        let mut publisher = Login::v5("publisher").open(&broker);
        publisher.publish(message("plant/q/1", "sent").qos(2));
        let sent = client.receive_unacked();
        assert_eq!((sent.topic.as_str(), sent.qos), ("q/1", 2));
        client.vanish();
        publisher.publish(message("plant/q/2", "queued").qos(1));
        drop(publisher);
        drop(broker);
        let broker = Broker::with(1 + round, &settings);
        let mut publisher = Login::v5("publisher").open(&broker);
        publisher.publish(message("plant/q/3", "after the restart").qos(1));
        let mut client = through("plant", &broker, login());
        assert!(client.session_present() || version == ProtocolVersion::V31);
        let again = client.receive();
        assert_eq!((again.topic.as_str(), again.text(), again.dup), ("q/1", "sent", true));
        expect(&mut client, "q/2", "queued");
        expect(&mut client, "q/3", "after the restart");
        client.vanish();
        // Without a mountpoint its topics are what they are for all others.
        publisher.publish(message("plant/q/4", "plain").qos(1));
        let mut client = login().open(&broker);
        expect(&mut client, "plant/q/4", "plain");
        client.vanish();
        // At another mountpoint nothing of that is seen, and what was queued is dropped.
        publisher.publish(message("plant/q/5", "unseen").qos(1));
        let mut client = through("devices", &broker, login());
        client.subscribe("q/#", 1);
        publisher.publish(message("plant/q/6", "unseen").qos(1));
        publisher.publish(message("dev/away/q/7", "seen").qos(1));
        expect(&mut client, "q/7", "seen");
        broker.wait_metric("delivery.dropped.mountpoint", 2);
        assert!(client.unsubscribe(&["q/#"]).iter().all(|code| *code == 0));
        client.vanish();
        publisher.publish(message("plant/q/8", "back").qos(1));
        let mut client = through("plant", &broker, login());
        expect(&mut client, "q/8", "back");
        client.disconnect();
        Login::new(version, "away").open(&broker).disconnect();
    }
}

#[test]
fn access_rules_are_asked_about_topics_as_the_client_knows_them() {
    let place = Configured::new().with_rules(
        "{deny, {client, \"m\"}, publish, [\"secret/#\"]}.\n\
         {deny, {client, \"m\"}, subscribe, [\"hidden/#\"]}.\n\
         {deny, all, publish, [\"plant/closed\"]}.\n\
         {allow, all}.\n",
    );
    let place = MOUNTED.iter().fold(place, |place, setting| place.set(setting));
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 1);
        let mut mounted = through("plant", broker, Login::v5("m"));
        for (topic, expected) in [
            ("secret/a", ReasonCode::NotAuthorized),
            ("plant/secret/a", ReasonCode::Success),
            // The rule is about the client's own topics, and this one is `plant/plant/closed` to others.
            ("plant/closed", ReasonCode::NotAuthorized),
            ("closed", ReasonCode::Success),
        ] {
            assert_eq!(mounted.publish(message(topic, topic).qos(1)), expected, "{topic}");
            if expected == ReasonCode::Success {
                expect(&mut watcher, &format!("plant/{topic}"), topic);
            }
        }
        assert_eq!(mounted.subscribe_all(&[("hidden/a", 1), ("#", 1)], &[]), [0x87, 1]);
        watcher.publish(message("plant/hidden/a", "hidden").qos(1));
        watcher.publish(message("plant/open", "open").qos(1));
        expect(&mut mounted, "open", "open");
        // A will may not go round the rules.
        let will = Login::v5("m").will(Will::new("secret/will", "x"));
        let (_, connack) = answer_through("plant", broker, will);
        assert_eq!(connack.code, ReasonCode::NotAuthorized.as_u8());
    });
}

#[test]
fn what_could_leave_the_mountpoint_is_refused() {
    let own = ["listeners.tcp.users.bind=127.0.0.1:0", "listeners.tcp.users.mountpoint=${username}/"];
    at_shards(&[&MOUNTED[..], &own].concat(), |broker| {
        for version in VERSIONS {
            let v5 = version == ProtocolVersion::V5;
            let (bad_id, bad_name) = if v5 { (0x85, 0x86) } else { (2, 4) };
            for id in ["+", "#", "a/b", "../a", "a#"] {
                let (_, connack) = answer_through("devices", broker, Login::new(version, id));
                assert_eq!(connack.code, bad_id, "{version:?} {id}");
                let said = |property: &Property| matches!(property, Property::ReasonString(text) if text.contains("client id"));
                assert!(!v5 || connack.properties.iter().any(said), "{connack:?}");
            }
            for name in [Some("+"), Some("a/b"), Some("$SYS"), Some("$share"), Some(""), None] {
                let login = Login::new(version, "user");
                let login = name.map_or(login.clone(), |name| login.user_name(name));
                let (_, connack) = answer_through("users", broker, login);
                assert_eq!(connack.code, bad_name, "{version:?} {name:?}");
            }
            through("users", broker, Login::new(version, "a/+").user_name("ann")).ping();
        }
        let mut client = through("plant", broker, Login::v5("long"));
        let longest = "x".repeat(65_535 - "plant/".len());
        assert_eq!(client.subscribe_all(&[(&longest, 1), (&format!("{longest}x"), 1)], &[]), [1, 0x8F]);
        assert_eq!(client.publish(message(longest.clone(), "fits").qos(1)), ReasonCode::Success);
        expect(&mut client, &longest, "fits");
        client.send(message(format!("{longest}x"), "does not").qos(1));
        client.expect_disconnect(ReasonCode::TopicNameInvalid);
    });
}

#[test]
fn dollar_topics_lie_behind_the_mountpoint_and_wildcards_do_not_match_them_there() {
    at_shards(&MOUNTED, |broker| {
        let mut plain = Login::v5("plain").open(broker);
        plain.subscribe("plant/#", 1);
        let mut mounted = through("plant", broker, Login::v5("mounted"));
        let mut named = through("plant", broker, Login::v5("named"));
        mounted.subscribe("#", 1);
        named.subscribe("$SYS/#", 1);
        mounted.publish(message("$SYS/x", "own").qos(1));
        expect(&mut plain, "plant/$SYS/x", "own");
        expect(&mut named, "$SYS/x", "own");
        plain.publish(message("plant/last", "last").qos(1));
        expect(&mut mounted, "last", "last");
    });
}

#[test]
fn another_mountpoint_holds_for_new_connections_after_sighup() {
    let place = Configured::new();
    let file = |mountpoint: &str| {
        let text = format!("[listeners.tcp.default]\nmountpoint = \"{mountpoint}\"\n");
        place.write("ringmq.toml", &text)
    };
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.args(["--config", &file("a/"), "--set", "listeners.tcp.default.bind=127.0.0.1:0"]);
    command.args(["--set", "dashboard.listeners.http.bind=127.0.0.1:0", "--set", "node.shards=2"]);
    command.args(["--set", "listeners.tcp.plain.bind=127.0.0.1:0"]).current_dir(data.path());
    let broker = started_with(command, data);
    let mut watcher = through("plain", &broker, Login::v5("watcher"));
    watcher.subscribe("#", 1);
    let mut old = Login::v5("old").open(&broker);
    file("b/");
    assert!(broker.reload().contains("listeners.tcp.default.mountpoint"));
    until("the mountpoint is another one", || {
        let mut new = Login::v5("new").open(&broker);
        new.publish(message("t", "new").qos(1));
        new.disconnect();
        watcher.receive().topic == "b/t"
    });
    old.publish(message("t", "old").qos(1));
    expect(&mut watcher, "a/t", "old");
}

#[test]
fn a_zone_has_limits_of_its_own() {
    let zone = [
        "max_qos_allowed=1",
        "retain_available=false",
        "wildcard_subscription=false",
        "shared_subscription=false",
        "max_packet_size=1KB",
        "max_subscriptions=2",
        "max_topic_levels=2",
        "max_inflight=1",
        "max_awaiting_rel=9",
        "max_topic_alias=4",
        "max_session_expiry_interval=7s",
    ];
    at_shards_with_zone(&["mqtt.max_awaiting_rel=11"], &zone, |broker| {
        let login = || Login::v5("limited").with(Property::SessionExpiry(60));
        let (mut client, connack) = answer_through("zoned", broker, login());
        for property in [
            Property::MaximumQos(1),
            Property::RetainAvailable(0),
            Property::WildcardAvailable(0),
            Property::SharedAvailable(0),
            Property::MaximumPacketSize(1024),
            Property::ReceiveMaximum(9),
            Property::TopicAliasMaximum(4),
            Property::SessionExpiry(7),
        ] {
            assert!(connack.properties.contains(&property), "{property:?} in {connack:?}");
        }
        let codes = client.subscribe_all(&[("a", 2), ("b", 0), ("c", 0), ("d/#", 0), ("e/f/g", 0)], &[]);
        assert_eq!(codes, [1, 0, 0x97, 0xA2, 0x8F]);
        let mut plain = Login::v5("plain").open(broker);
        assert!(plain.connack_properties().contains(&Property::ReceiveMaximum(11)));
        assert_eq!(plain.subscribe_all(&[("#", 2), ("$share/g/a/b/c", 2)], &[]), [2, 2]);
        plain.publish(message("a", vec![b'x'; 2000]).qos(1).retained());
        assert_eq!(plain.receive().payload.len(), 2000);
        // One at a time is on its way to the client of the zone, whatever its own Receive Maximum.
        assert_eq!(client.receive_unacked().payload.len(), 2000);
        plain.publish(message("a", "next").qos(1));
        plain.expect_texts(["next"]);
        plain.settle();
        client.send_raw(&[0xC0, 0]);
        assert_eq!(client.expect_packet(), Packet::Pingresp);
        client.send(message("a", vec![b'x'; 2000]));
        client.read_until_closed();
        let mut client = through("zoned", broker, login());
        client.send(message("a", "x").qos(2));
        client.expect_disconnect(ReasonCode::QosNotSupported);
    });
}

#[test]
fn a_queue_follows_the_zone_its_client_came_through_last() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let data_dir = format!("node.data_dir={}", data.path().join("data").display());
    let general = ["mqtt.max_mqueue_len=2", &data_dir];
    let settings = with_zone(&general, &["max_mqueue_len=5", "mqueue_priorities={\"q/urgent\"=9}"]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let publish = |broker: &Broker, range: std::ops::Range<usize>| {
        let mut publisher = Login::v5("publisher").open(broker);
        for n in range {
            publisher.publish(message("q/a", n.to_string()).qos(1));
        }
        publisher.publish(message("q/urgent", "urgent").qos(1));
        publisher.settle();
    };
    for (round, version) in VERSIONS.into_iter().enumerate() {
        let login = || Login::persistent(version, "away");
        let broker = Broker::with(1 + round, &settings);
        let mut client = through("zoned", &broker, login());
        client.subscribe("q/+", 1);
        client.vanish();
        publish(&broker, 0..5);
        drop(broker);
        // Nothing of that is beyond the bound of its zone, and it still is the zone's.
        let broker = Broker::with(3 - round, &settings);
        publish(&broker, 5..7);
        let mut client = through("zoned", &broker, login());
        client.expect_texts(["urgent", "urgent", "2", "3", "4", "5", "6"]);
        client.vanish();
        // The other zone has no priorities and a shorter queue.
        login().open(&broker).vanish();
        publish(&broker, 0..3);
        let mut client = login().open(&broker);
        client.expect_texts(["2", "urgent"]);
        client.vanish();
        publish(&broker, 0..6);
        let mut client = through("zoned", &broker, login());
        client.expect_texts(["urgent", "5"]);
        client.vanish();
        publish(&broker, 0..6);
        let mut client = through("zoned", &broker, login());
        client.expect_texts(["urgent", "1", "2", "3", "4", "5"]);
        client.disconnect();
        Login::new(version, "away").open(&broker).disconnect();
    }
}

#[test]
fn a_zone_may_refuse_where_others_drop() {
    let zone = ["mqueue_full_policy=reject", "max_mqueue_len=2", "mqueue_reject_v3=drop"];
    at_shards_with_zone(&["mqtt.max_mqueue_len=2"], &zone, |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut old = through("zoned", broker, Login::v311("old"));
        for (listener, refuses) in [("default", false), ("zoned", true), ("default", false), ("zoned", true)]
        {
            let login = || Login::persistent(ProtocolVersion::V5, "away");
            let mut client = through(listener, broker, login());
            client.subscribe("q", 1);
            client.vanish();
            let answers: Vec<ReasonCode> =
                (0..4).map(|n| publisher.publish(message("q", n.to_string()).qos(1))).collect();
            let last = if refuses { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
            assert_eq!(answers, [ReasonCode::Success, ReasonCode::Success, last, last], "{listener}");
            // A 3.x publisher of the zone is told that all is well.
            old.publish(message("q", "old").qos(1));
            let mut client = through(listener, broker, login());
            client.expect_texts(if refuses { ["0", "1"] } else { ["3", "old"] });
            client.disconnect();
        }
        assert_eq!(broker.metric("messages.refused.queue_full"), 4);
    });
}

#[test]
fn keep_alive_has_bounds_of_a_zone() {
    let zone = ["min_keepalive=30", "max_keepalive=1200"];
    at_shards_with_zone(&[], &zone, |broker| {
        for version in VERSIONS {
            for (asked, granted) in
                [(30, 30), (1200, 1200), (0, 1200), (29, 30), (1201, 1200), (65_535, 1200)]
            {
                let login = || Login::new(version, "bounded").keep_alive(asked);
                let (_, connack) = answer_through("zoned", broker, login());
                let told = connack.properties.iter().find_map(|property| match property {
                    Property::ServerKeepAlive(seconds) => Some(*seconds),
                    _ => None,
                });
                let is_other = asked != granted;
                match version {
                    ProtocolVersion::V5 => {
                        assert_eq!((connack.code, told), (0, is_other.then_some(granted)), "{asked}");
                    }
                    _ => assert_eq!(connack.code, if is_other { 3 } else { 0 }, "{version:?} {asked}"),
                }
                login().open(broker).ping();
            }
        }
    });
}

#[test]
fn priorities_messages_had_in_another_zone_are_made_anew() {
    at_shards_with_zone(&[], &["mqueue_priorities={\"q/urgent\"=9}", "max_inflight=1"], |broker| {
        let login = || Login::persistent(ProtocolVersion::V5, "away").with(Property::ReceiveMaximum(1));
        let mut client = login().open_new(broker);
        client.subscribe("q/+", 1);
        client.vanish();
        let mut publisher = Login::v5("publisher").open(broker);
        for (topic, text) in [("q/a", "1"), ("q/a", "2"), ("q/urgent", "3"), ("q/a", "4"), ("q/urgent", "5")]
        {
            publisher.publish(message(topic, text).qos(1));
        }
        publisher.settle();
        let mut client = through("zoned", broker, login());
        client.expect_texts(["3", "5", "1", "2", "4"]);
        client.disconnect();
    });
}

#[test]
fn listeners_of_no_zone_and_mountpoints_that_are_none_keep_the_broker_from_starting() {
    for (setting, expected) in [
        ("listeners.tcp.default.zone=plant", "there is no such zone; add a section [zones.plant.mqtt]"),
        ("listeners.tcp.default.mountpoint=plant", "must be levels of a topic that end with /"),
        ("listeners.tcp.default.mountpoint=plant/#/", "must be levels of a topic that end with /"),
        ("listeners.tcp.default.mountpoint=${password}/", "must be levels of a topic that end with /"),
        ("listeners.tcp.default.mountpoint=$SYS/", "must be levels of a topic that end with /"),
        ("zones.plant.mqtt.max_inflght=3", "did you mean zones.plant.mqtt.max_inflight?"),
    ] {
        let outcome = run_to_exit(&["check", "--set", setting], &[]);
        let (key, _) = setting.split_once('=').expect("a setting");
        assert!(
            !outcome.status.success() && outcome.stderr.contains(expected),
            "{setting}: {}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains(key), "{setting}: {}", outcome.stderr);
    }
}
