//! What clients may do: rules at publish, subscribe, will and delivery, and rules that change.

use crate::harness::*;

const DENIED: u8 = 0x87;

/// The codes of a SUBACK in which `0x87` stands for what is denied, as this version has it.
fn codes(version: ProtocolVersion, codes: &[u8]) -> Vec<u8> {
    let denied = if version == ProtocolVersion::V5 { DENIED } else { 0x80 };
    codes.iter().map(|code| if *code == DENIED { denied } else { *code }).collect()
}

#[test]
fn what_may_not_be_published_reaches_nobody_and_leaves_no_trace() {
    let place = Configured::new().set("mqtt.max_awaiting_rel=3").with_rules(
        "{deny, {client, {re, \"^guest\"}}, publish, [\"closed/#\"]}.\n\
         {allow, all}.\n",
    );
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("#", 2);
        for version in VERSIONS {
            let v5 = version == ProtocolVersion::V5;
            let mut guest = Login::new(version, &format!("guest{version:?}")).open(broker);
            let denied = if v5 { ReasonCode::NotAuthorized } else { ReasonCode::Success };
            for round in 0..6 {
                for qos in 0..=2 {
                    let text = format!("{round} {qos}");
                    let closed = message("closed/a", text.clone()).qos(qos);
                    let closed = if round == 5 { closed.retained() } else { closed };
                    let expected = if qos == 0 { ReasonCode::Success } else { denied };
                    assert_eq!(guest.publish(closed), expected, "{version:?} QoS {qos}");
                    // What comes behind it is not lost.
                    assert_eq!(guest.publish(message("open/a", text.clone()).qos(qos)), ReasonCode::Success);
                    watcher.expect_texts([text]);
                }
            }
            // Its packet identifier is free again: the same one stands for another message.
            for qos in 1..=2_u8 {
                assert_eq!(guest.publish(message("closed/a", "again").qos(qos).id(900)), denied);
                assert_eq!(guest.publish(message("open/a", "new").qos(qos).id(900)), ReasonCode::Success);
                watcher.expect_texts(["new"]);
            }
            // More of them than may be unreleased at once, none waiting for another.
            let ids: Vec<u16> = (0..20).map(|_| guest.send(message("closed/a", "x").qos(1))).collect();
            ids.into_iter().for_each(|id| assert_eq!(guest.expect_ack(AckKind::Puback, id), denied));
            watcher.expect_nothing_from(&mut guest);
        }
        let mut late = Login::v5("late").open(broker);
        late.subscribe("closed/#", 1);
        late.expect_nothing_from(&mut watcher);
        assert!(broker.metric("packets.publish.auth_error") >= 3 * 6 * 3);
    });
}

#[test]
fn the_first_rule_that_matches_decides_and_then_what_no_rule_says() {
    let publish = |broker: &Broker, client_id: &str, topic: &str| {
        let mut client = Login::v5(client_id).open(broker);
        client.publish(message(topic, "x").qos(1)) != ReasonCode::NotAuthorized
    };
    let first = "{allow, {client, \"a\"}, publish, [\"t/1\"]}.\n\
                 {deny, all, publish, [\"t/1\"]}.\n\
                 {deny, {client, \"a\"}, publish, [\"t/2\"]}.\n";
    let second = "{allow, all, publish, [\"t/1\", \"t/2\", \"own/${clientid}/#\"]}.\n";
    for (no_match, others) in [("deny", false), ("allow", true)] {
        let place = Configured::new().set(&format!("authorization.no_match={no_match}"));
        let files = [place.write("first.conf", first), place.write("second.conf", second)];
        let sources = files.map(|file| format!("{{type = 'file', path = '{file}'}}")).join(", ");
        let broker = place.set(&format!("authorization.sources=[{sources}]")).broker(1);
        for (client_id, topic, is_allowed) in [
            ("a", "t/1", true),
            ("b", "t/1", false),
            ("a", "t/2", false),
            ("b", "t/2", true),
            ("a", "own/a/x", true),
            ("a", "own/b/x", others),
            // A client id with a wildcard in it opens nothing.
            ("+", "own/a/x", others),
            ("#", "own/a/x", others),
            ("b", "elsewhere", others),
        ] {
            assert_eq!(publish(&broker, client_id, topic), is_allowed, "{no_match}: {client_id} {topic}");
        }
    }
}

#[test]
fn no_rule_is_about_superusers() {
    let place = Configured::new().with_users().with_rules("{deny, all}.\n");
    place.add_user("root", "words", &["--algorithm", "sha256", "--superuser"]);
    place.add_user("alice", "words", &["--algorithm", "sha256"]);
    place.at_shards(|broker| {
        let open = |user: &str| Login::v5(user).user_name(user).password(b"words").open(broker);
        let mut root = open("root");
        let mut alice = open("alice");
        root.subscribe("#", 1);
        assert_eq!(root.publish(message("a", "x").qos(1)), ReasonCode::Success);
        root.expect_texts(["x"]);
        assert_eq!(alice.publish(message("a", "x").qos(1)), ReasonCode::NotAuthorized);
        assert_eq!(alice.subscribe_all(&[("a", 0)], &[]), [DENIED]);
        assert!(root.try_receive(std::time::Duration::from_millis(100)).is_none());
    });
}

#[test]
fn each_filter_of_a_subscribe_has_its_own_answer() {
    let place = Configured::new().with_rules(
        "{allow, all, subscribe, [\"open/+\", \"own/${clientid}\", {eq, \"a/+/b\"}, \"#-not-this\"]}.\n\
         {allow, {client, \"publisher\"}, all, [\"#\"]}.\n",
    );
    // A text with `#` inside is no filter, and the error says so.
    let settings = ["listeners.tcp.default.bind=127.0.0.1:0", "dashboard.listeners.http.enable=false"];
    let settings = settings.into_iter().chain([place.settings[0].as_str()]);
    let outcome = run_to_exit(&settings.flat_map(|setting| ["--set", setting]).collect::<Vec<_>>(), &[]);
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("acl.conf:1:"), "{}", outcome.stderr);
    place.write(
        "acl.conf",
        "{allow, all, subscribe, [\"open/+\", \"own/${clientid}\", {eq, \"a/+/b\"}]}.\n\
         {allow, {client, \"publisher\"}, all, [\"#\"]}.\n",
    );
    place.at_shards(|broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("closed/kept", "kept").retained().qos(1));
        for version in VERSIONS {
            let mut client = Login::new(version, "c").open(broker);
            let filters = [
                ("open/a", 1),
                ("closed/a", 1),
                ("open/+", 2),
                ("own/c", 0),
                ("own/d", 0),
                ("own/+", 0),
                ("open/#", 2),
                ("#", 2),
                ("a/+/b", 1),
                ("a/x/b", 1),
                ("$share/g/open/+", 1),
                ("$share/g/closed/kept", 1),
                ("closed/kept", 1),
            ];
            let expected = [1, DENIED, 2, 0, DENIED, DENIED, DENIED, DENIED, 1, DENIED, 1, DENIED, DENIED];
            assert_eq!(client.subscribe_all(&filters, &[]), codes(version, &expected), "{version:?}");
            for topic in ["closed/a", "own/d", "closed/kept", "a/x"] {
                publisher.publish(message(topic, "denied").qos(1));
            }
            publisher.publish(message("own/c", "own"));
            client.expect_texts(["own"]);
            assert!(client.try_receive(std::time::Duration::from_millis(50)).is_none());
            client.disconnect();
        }
        publisher.publish(message("closed/kept", "").retained().qos(1));
    });
}

#[test]
fn a_million_denied_filters_are_answered_while_others_are_served() {
    let rules = "{deny, all, subscribe, [{eq, \"#\"}]}.\n{allow, all}.\n";
    let broker = Configured::new().set("mqtt.max_packet_size=8MB").with_rules(rules).broker(1);
    let mut client = Login::v5("c").open(&broker);
    let codes =
        client.subscribe_all(&[&[("a", 1)][..], &vec![("#", 0); 1_000_000], &[("b", 2)]].concat(), &[]);
    let denied = codes.iter().filter(|code| **code == DENIED).count();
    assert_eq!((codes[0], denied, codes[codes.len() - 1]), (1, 1_000_000, 2));
}

#[test]
fn a_will_that_may_not_be_published_keeps_its_client_out() {
    let place = Configured::new().with_rules(
        "{deny, {client, {re, \"^guest\"}}, {publish, [{retain, true}]}, [\"wills/kept\"]}.\n\
         {deny, {client, {re, \"^guest\"}}, publish, [\"wills/closed\"]}.\n\
         {allow, all}.\n",
    );
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("wills/#", 1);
        for version in VERSIONS {
            let code = if version == ProtocolVersion::V5 { DENIED } else { 5 };
            let login = |will: Will| Login::persistent(version, &format!("guest{version:?}")).will(will);
            login(Will::new("wills/closed", "x").qos(1)).refused(broker, code);
            login(Will::new("wills/kept", "x").retained()).refused(broker, code);
            let welcome = login(Will::new("wills/kept", "good").qos(1)).open(broker);
            // Whoever is kept out leaves no session.
            assert!(!welcome.session_present());
            welcome.vanish();
            watcher.expect_texts(["good"]);
        }
        watcher.ping();
        assert!(watcher.try_receive(std::time::Duration::from_millis(50)).is_none());
    });
}

#[test]
fn a_will_that_may_not_be_published_any_more_is_not() {
    let guests = "{client, {re, \"^guest\"}}";
    let place = Configured::new().with_rules("");
    for shards in [1, 4] {
        place.write("acl.conf", "{allow, all}.\n");
        let broker = place.broker(shards);
        let mut watcher = Login::v5("watcher").open(&broker);
        watcher.subscribe("wills/+", 1);
        let mut clients: Vec<Client> = (0..12)
            .map(|number| {
                let topic = if number % 2 == 0 { "wills/closed" } else { "wills/open" };
                let login = Login::new(VERSIONS[number % 3], &format!("guest{number}"));
                login.will(Will::new(topic, &number.to_string()).qos(1)).open(&broker)
            })
            .collect();
        place.write("acl.conf", &format!("{{deny, {guests}, all, [\"wills/closed\"]}}.\n{{allow, all}}.\n"));
        broker.reload();
        for client in &mut clients {
            let denied = codes(client.version, &[DENIED]);
            until("it is closed for all", || client.subscribe_all(&[("wills/closed", 0)], &[]) == denied);
        }
        // One after the other: those of different shards have no order among them.
        for (number, client) in clients.into_iter().enumerate() {
            client.vanish();
            if number % 2 == 1 {
                watcher.expect_texts([number.to_string()]);
            }
        }
        watcher.expect_nothing_from(&mut Login::v5("publisher").open(&broker));
    }
}

const SIFTED: &str = "{deny, {client, {re, \"^guest\"}}, subscribe, [\"secret/#\"]}.\n{allow, all}.\n";

#[test]
fn messages_that_may_not_be_received_do_not_come_through_broader_filters() {
    let place = Configured::new().with_rules(SIFTED);
    place.at_shards(|broker| {
        for version in VERSIONS {
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("secret/kept", "secret").retained().qos(1));
            publisher.publish(message("public/kept", "kept").retained().qos(1));
            let mut guests: Vec<Client> =
                (0..4).map(|number| Login::new(version, &format!("guest{number}")).open(broker)).collect();
            let mut all = Login::v5("all").open(broker);
            all.subscribe_all(&[("secret/+", 1 | RETAINED_NEVER)], &[]);
            for (guest, filter) in guests.iter_mut().zip(["#", "+/+", "+/#", "#"]) {
                guest.subscribe(filter, 2);
                guest.expect_texts(["kept"]);
            }
            for number in 0..30 {
                publisher.publish(message("secret/a", format!("{number}")).qos(number % 3));
                all.expect_texts([number.to_string()]);
            }
            publisher.publish(message("public/a", "end").qos(2));
            guests.iter_mut().for_each(|guest| guest.expect_texts(["end"]));
            for topic in ["secret/kept", "public/kept"] {
                publisher.publish(message(topic, "").retained().qos(1));
            }
        }
    });
}

#[test]
fn nothing_is_kept_for_those_who_may_not_receive_it() {
    let place = Configured::new().with_rules(SIFTED);
    place.at_shards(|broker| {
        for version in VERSIONS {
            let login = Login::persistent(version, &format!("guest{version:?}"));
            let mut guest = login.clone().open_new(broker);
            guest.subscribe("#", 2);
            guest.vanish();
            let mut publisher = Login::v5("publisher").open(broker);
            for number in 0..10 {
                publisher.publish(message("secret/a", "secret").qos(number % 3));
                publisher.publish(message("public/a", format!("{number}")).qos(1));
            }
            let mut guest = login.clone().resume().open(broker);
            assert!(
                guest.session_present() || version == ProtocolVersion::V31,
                "CONNACK of 3.1 cannot say it"
            );
            guest.expect_texts((0..10).map(|number| number.to_string()));
            guest.expect_nothing_from(&mut publisher);
            login.clean().open(broker).disconnect();
        }
    });
}

#[test]
fn members_of_a_group_take_what_they_may_receive() {
    let place = Configured::new().with_rules(SIFTED);
    place.at_shards(|broker| {
        let mut member = Login::v5("member").open(broker);
        let mut guest = Login::v5("guest").open(broker);
        member.subscribe("$share/g/+/a", 1);
        guest.subscribe("$share/g/+/a", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        for number in 0..40 {
            publisher.publish(message("public/a", format!("{number}")).qos(1));
            publisher.publish(message("secret/a", "secret").qos(1));
        }
        let drain = |client: &mut Client| {
            let mut texts = Vec::new();
            while let Some(message) = client.try_receive(std::time::Duration::from_millis(300)) {
                texts.push(message.text().to_owned());
            }
            texts
        };
        let (by_member, by_guest) = (drain(&mut member), drain(&mut guest));
        assert!(!by_guest.iter().any(|text| text == "secret"), "{by_guest:?}");
        let public = by_member.iter().chain(&by_guest).filter(|text| *text != "secret").count();
        assert_eq!(public, 40);
        let secret = by_member.iter().filter(|text| *text == "secret").count();
        assert_eq!(secret, 40, "what only one member may receive comes to it");
    });
}

#[test]
fn where_it_is_so_configured_denial_ends_the_connection() {
    let place = Configured::new()
        .set("authorization.deny_action=disconnect")
        .with_rules("{deny, {client, {re, \"^guest\"}}, all, [\"closed/#\"]}.\n{allow, all}.\n");
    place.at_shards(|broker| {
        let mut watcher = Login::v5("watcher").open(broker);
        watcher.subscribe("wills/+", 1);
        for version in VERSIONS {
            for case in 0..4_u8 {
                let login = Login::new(version, "guest").will(Will::new("wills/guest", "gone").qos(1));
                let mut guest = login.open(broker);
                match case {
                    0..=2 => drop(guest.send(message("closed/a", "x").qos(case))),
                    _ => drop(guest.send_subscribe(&[("open/a", 0), ("closed/a", 0)], &[])),
                }
                guest.expect_disconnect(ReasonCode::NotAuthorized);
                watcher.expect_texts(["gone"]);
            }
        }
    });
}

#[test]
fn changed_rules_count_for_connected_clients_and_broken_ones_change_nothing() {
    let place = Configured::new().with_rules("{allow, all}.\n");
    place.at_shards(|broker| {
        let open = "{allow, all}.\n";
        let closed = "{deny, {client, {re, \"^guest\"}}, all, [\"door/#\"]}.\n{allow, all}.\n";
        place.write("acl.conf", open);
        broker.reload();
        let mut guests: Vec<Client> = (0..6)
            .map(|number| Login::new(VERSIONS[number % 3], &format!("guest{number}")).open(broker))
            .collect();
        let mut speaker = Login::v5("guest-speaker").open(broker);
        let mut publisher = Login::v5("publisher").open(broker);
        let is_open =
            |client: &mut Client| client.publish(message("door/a/b", "").qos(1)) != ReasonCode::NotAuthorized;
        until("it is open", || is_open(&mut speaker));
        guests.iter_mut().for_each(|guest| guest.subscribe("door/+", 1));
        for round in 0..3 {
            publisher.publish(message("door/a", format!("{round}")).qos(1));
            guests.iter_mut().for_each(|guest| guest.expect_texts([round.to_string()]));

            place.write("acl.conf", closed);
            broker.reload();
            until("it is closed", || !is_open(&mut speaker));
            // Each shard takes the change up in its own time; a client whose rights are the new ones is told so.
            for guest in &mut guests {
                let denied = codes(guest.version, &[DENIED]);
                until("it is closed for all", || guest.subscribe_all(&[("door/other", 0)], &[]) == denied);
            }
            publisher.publish(message("door/a", "unheard").qos(1));
            // A broken file changes nothing, and is pointed at.
            for (line, broken) in [(2, "{allow, all}.\n{deny, al}.\n"), (1, "{allow"), (3, "\n\nnonsense")] {
                place.write("acl.conf", broken);
                let logged = broker.reload();
                assert!(logged.contains("access control stays as it is: "), "{logged}");
                assert!(logged.contains(&format!("acl.conf:{line}:")), "{logged}");
            }
            assert!(!is_open(&mut speaker));
            publisher.publish(message("door/a", "unheard").qos(1));

            place.write("acl.conf", open);
            broker.reload();
            until("it is open again", || is_open(&mut speaker));
            for guest in &mut guests {
                until("it is open for all", || guest.subscribe_all(&[("door-of-none", 0)], &[]) == [0]);
                until("it is open for all", || guest.subscribe_all(&[("door/a", 1)], &[]) == [1]);
                guest.unsubscribe(&["door/a"]);
            }
        }
        publisher.publish(message("door/a", "end").qos(1));
        guests.iter_mut().for_each(|guest| guest.expect_texts(["end"]));
    });
}

#[test]
fn the_default_rules_protect_what_everybody_would_hear() {
    let place = Configured::new()
        .set("anonymous=everyone")
        .set("listeners.tcp.balanced.bind=127.0.0.1:0")
        .set("listeners.tcp.balanced.proxy_protocol=true");
    place.at_shards(|broker| {
        let far = |login: Login| {
            let mut socket = connect(broker.listener("tcp:balanced"));
            let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 1883\r\n";
            std::io::Write::write_all(&mut socket, header).expect("the broker reads");
            login.open_over(socket)
        };
        let filters = [("#", 0), ("+/#", 0), ("$SYS/#", 0), ("$SYS/brokers", 0), ("a/#", 0), ("+", 0)];
        for version in VERSIONS {
            let mut near = Login::new(version, "near").open(broker);
            assert_eq!(near.subscribe_all(&filters, &[]), [0; 6]);
            let expected = codes(version, &[DENIED, DENIED, DENIED, DENIED, 0, 0]);
            assert_eq!(far(Login::new(version, "far")).subscribe_all(&filters, &[]), expected);
            let mut dashboard = far(Login::new(version, "dashboard").user_name("dashboard"));
            assert_eq!(dashboard.subscribe_all(&filters[2..4], &[]), [0, 0]);
        }
    });
}

#[test]
fn rules_of_mosquitto_are_followed() {
    let place = Configured::new();
    let file = place.write(
        "acl",
        "topic read news/#\npattern readwrite devices/%c/#\n\nuser bob\ntopic readwrite bob/#\ntopic deny bob/secret\n",
    );
    let place =
        place.set(&format!("authorization.sources=[{{type = 'mosquitto_acl_file', path = '{file}'}}]"));
    place.at_shards(|broker| {
        let mut bob = Login::v5("one").user_name("bob").open(broker);
        let mut nobody = Login::v5("two").open(broker);
        let may = |client: &mut Client, topic: &str| {
            client.publish(message(topic, topic).qos(1)) != ReasonCode::NotAuthorized
        };
        bob.subscribe("bob/#", 1);
        for (topic, is_bobs, is_nobodys) in [
            ("bob/a", true, false),
            ("bob/secret", false, false),
            ("devices/one/a", true, false),
            ("devices/two/a", false, true),
            ("news/a", false, false),
        ] {
            assert_eq!((may(&mut bob, topic), may(&mut nobody, topic)), (is_bobs, is_nobodys), "{topic}");
        }
        bob.expect_texts(["bob/a"]);
    });
}

#[test]
fn long_files_of_rules_and_regexes_built_to_backtrack_hold_up_nobody() {
    let mut rules: String = (0..100_000)
        .map(|number| format!("{{allow, {{user, \"u{number}\"}}, publish, [\"own/{number}/#\"]}}.\n"))
        .collect();
    rules.push_str("{allow, {client, {re, \"^(a+)+$\"}}, publish, [\"re/#\"]}.\n");
    rules.push_str("{allow, {client, {re, \"^(a|aa)*(a|aa)*(a|aa)*b$\"}}, publish, [\"re/#\"]}.\n");
    let place = Configured::new().with_rules(&rules);
    let broker = place.broker(2);
    let may = |login: Login, topic: &str| {
        login.open(&broker).publish(message(topic, "x").qos(1)) != ReasonCode::NotAuthorized
    };
    for (user, number, is_allowed) in [("u0", 0, true), ("u99999", 99_999, true), ("u99999", 0, false)] {
        let login = Login::v5("c").user_name(user);
        assert_eq!(may(login, &format!("own/{number}/a")), is_allowed, "{user} {number}");
    }
    let long = "a".repeat(60_000);
    for (client_id, is_allowed) in
        [(long.clone(), true), (format!("{long}!"), false), (format!("{long}b"), true)]
    {
        assert_eq!(may(Login::v5(&client_id), "re/a"), is_allowed);
    }
    broker.reload();
    assert!(may(Login::v5("c").user_name("u5"), "own/5/a"));
}
