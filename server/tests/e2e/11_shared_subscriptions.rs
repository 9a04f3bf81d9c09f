//! Shared subscriptions: `$share/group/filter` and `$queue/filter`.

use crate::harness::*;
use std::collections::BTreeSet;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const STRATEGIES: [&str; 7] =
    ["random", "round_robin", "round_robin_per_group", "sticky", "local", "hash_clientid", "hash_topic"];

fn strategy(name: &str) -> String {
    format!("mqtt.shared_subscription_strategy={name}")
}

fn members(broker: &Broker, filter: &str, count: usize) -> Vec<Client> {
    (0..count)
        .map(|i| {
            let mut member = Login::new(VERSIONS[i % 3], &format!("member{i}")).open(broker);
            member.subscribe(filter, 1);
            member
        })
        .collect()
}

/// Makes topics that no earlier call has used.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Returns what reached each member. Each publisher ends its messages to each member by one to that member alone; the
/// messages of one publisher reach a subscriber in order.
fn collect(members: &mut [Client], publishers: &mut [Client]) -> Vec<Vec<String>> {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let collect_one = |(i, member): (usize, &mut Client)| {
        let end = format!("end/{call}/{i}");
        member.subscribe(&end, 1);
        for publisher in publishers.iter_mut() {
            publisher.publish(message(end.as_str(), "end").qos(1));
        }
        let (mut texts, mut ends) = (Vec::new(), 0);
        while ends < publishers.len() {
            let received = member.receive();
            match received.topic == end {
                true => ends += 1,
                false => texts.push(received.text().to_owned()),
            }
        }
        texts
    };
    members.iter_mut().enumerate().map(collect_one).collect()
}

/// Each of `total` numbered messages must have reached exactly one member.
fn assert_each_once(got: &[Vec<String>], total: usize) {
    let mut numbers: Vec<usize> = got.iter().flatten().map(|text| text.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..total), "{got:?}");
}

fn publish_numbers(publisher: &mut Client, topic: &str, range: std::ops::Range<usize>) {
    publisher.publish_all(range.map(|i| message(topic, format!("{i}")).qos(1)), 20);
}

/// Waits until all shards know that the session of this client ended, by a new one on the same home shard.
fn settle(broker: &Broker, client_id: &str) {
    let mut client = Login::v5(client_id).open(broker);
    client.settle();
    client.disconnect();
}

#[test]
fn every_strategy_gives_each_message_to_one_member() {
    for name in STRATEGIES {
        eprintln!("strategy {name}");
        at_shards(&[&strategy(name)], |broker| {
            let mut members = members(broker, "$share/g/one/+", 5);
            let mut publisher = Login::v5("publisher").open(broker);
            for i in 0..60 {
                let topic = format!("one/{}", i % 10);
                let reason = publisher.publish(message(topic, format!("{i}")).qos(i % 3));
                assert_eq!(reason, ReasonCode::Success);
            }
            let got = collect(&mut members, slice::from_mut(&mut publisher));
            assert_each_once(&got, 60);
        });
    }
}

#[test]
fn round_robin_is_the_default_and_even_for_each_publisher() {
    at_shards(&[], |broker| {
        let mut members = members(broker, "$share/g/even", 4);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "even", 0..40);
        let got = collect(&mut members, slice::from_mut(&mut publisher));
        assert_each_once(&got, 40);
        assert!(got.iter().all(|texts| texts.len() == 10), "{got:?}");
    });
}

#[test]
fn round_robin_per_group_is_even_over_all_publishers() {
    at_shards(&[&strategy("round_robin_per_group")], |broker| {
        let mut members = members(broker, "$share/g/even", 3);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "even", 0..30);
        let got = collect(&mut members, slice::from_mut(&mut publisher));
        assert_each_once(&got, 30);
        assert!(got.iter().all(|texts| texts.len() == 10), "{got:?}");
    });
}

#[test]
fn random_reaches_every_member() {
    at_shards(&[&strategy("random")], |broker| {
        let mut members = members(broker, "$share/g/random", 4);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "random", 0..400);
        let got = collect(&mut members, slice::from_mut(&mut publisher));
        assert_each_once(&got, 400);
        // The chance that a fair choice leaves one of four without any of 400 is below 10^-48.
        assert!(got.iter().all(|texts| !texts.is_empty()), "{got:?}");
    });
}

#[test]
fn sticky_stays_with_one_member_until_it_leaves() {
    for pick in ["random", "local", "hash_clientid", "hash_topic"] {
        let pick = format!("mqtt.shared_subscription_initial_sticky_pick={pick}");
        at_shards(&[&strategy("sticky"), &pick], |broker| {
            let mut members = members(broker, "$share/g/sticky", 3);
            let mut publisher = Login::v5("publisher").open(broker);
            for expected_members in [3, 2, 1] {
                assert_eq!(members.len(), expected_members);
                publish_numbers(&mut publisher, "sticky", 0..20);
                let got = collect(&mut members, slice::from_mut(&mut publisher));
                assert_each_once(&got, 20);
                let chosen = got.iter().position(|texts| texts.len() == 20).expect("one member for all");
                let member = members.remove(chosen);
                let client_id = member.client_id.clone();
                member.disconnect();
                settle(broker, &client_id);
            }
        });
    }
}

#[test]
fn hash_clientid_gives_a_publisher_one_member() {
    at_shards(&[&strategy("hash_clientid")], |broker| {
        let mut members = members(broker, "$share/g/hash", 3);
        let mut chosen = BTreeSet::new();
        for i in 0..16 {
            let mut publisher = Login::v5(&format!("publisher{i}")).open(broker);
            publish_numbers(&mut publisher, "hash", 0..5);
            let got = collect(&mut members, slice::from_mut(&mut publisher));
            assert_each_once(&got, 5);
            chosen.insert(got.iter().position(|texts| texts.len() == 5).expect("one member for all"));
        }
        assert!(chosen.len() > 1, "sixteen publishers all hash to one member");
    });
}

#[test]
fn hash_topic_gives_a_topic_one_member() {
    at_shards(&[&strategy("hash_topic")], |broker| {
        let mut members = members(broker, "$share/g/hash/+", 3);
        let mut publishers: Vec<Client> = (0..3).map(|i| Login::v5(&format!("p{i}")).open(broker)).collect();
        let mut chosen = BTreeSet::new();
        for i in 0..16 {
            let topic = format!("hash/{i}");
            for publisher in &mut publishers {
                publisher.publish(message(topic.as_str(), "x").qos(1));
            }
            let got = collect(&mut members, &mut publishers);
            chosen.insert(got.iter().position(|texts| texts.len() == 3).expect("one member for all three"));
        }
        assert!(chosen.len() > 1, "sixteen topics all hash to one member");
    });
}

#[test]
fn local_prefers_members_of_the_publishers_shard() {
    // With one shard every member is local; with four, 24 members live on all of them, so a local one exists.
    let settings = strategy("local");
    let broker = Broker::with(4, &[&settings]);
    let mut members = members(&broker, "$share/g/local", 24);
    let mut publisher = Login::v5("publisher").open(&broker);
    let before = broker.metric("messages.forward");
    publish_numbers(&mut publisher, "local", 0..50);
    let after = broker.metric("messages.forward");
    assert_eq!(after - before, 0, "no message left its shard");
    assert_each_once(&collect(&mut members, slice::from_mut(&mut publisher)), 50);
}

#[test]
fn every_group_and_every_plain_subscription_gets_a_copy() {
    at_shards(&[], |broker| {
        let mut one = Login::v5("one").open(broker);
        let mut two = Login::v311("two").open(broker);
        let mut queue = Login::v311("queue").open(broker);
        let mut plain = Login::v5("plain").open(broker);
        one.subscribe("$share/one/copy/#", 1);
        two.subscribe("$share/two/copy/+", 1);
        queue.subscribe("$queue/copy/x", 1);
        plain.subscribe("copy/x", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..10 {
            publisher.publish(message("copy/x", format!("{i}")).qos(1));
        }
        for client in [&mut one, &mut two, &mut queue, &mut plain] {
            client.expect_texts((0..10).map(|i| i.to_string()));
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn queue_subscriptions_share_for_every_version() {
    at_shards(&[], |broker| {
        let mut members = members(broker, "$queue/work/+", 3);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "work/x", 0..30);
        let got = collect(&mut members, slice::from_mut(&mut publisher));
        assert_each_once(&got, 30);
        assert!(got.iter().all(|texts| texts.len() == 10), "{got:?}");
    });
}

#[test]
fn share_on_sys_topics_is_granted() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.subscribe("$share/g/$SYS/#", 1);
            client.subscribe("$queue/$SYS/brokers/+/uptime", 0);
        }
    });
}

#[test]
fn share_on_dollar_topics_works() {
    at_shards(&[], |broker| {
        let mut members = members(broker, "$share/g/$internal/+", 2);
        let mut hidden = Login::v5("hidden").open(broker);
        hidden.subscribe("$share/h/#", 0);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "$internal/x", 0..10);
        hidden.expect_nothing_from(&mut publisher);
        assert_each_once(&collect(&mut members, slice::from_mut(&mut publisher)), 10);
    });
}

#[test]
fn invalid_share_names_and_filters_are_refused() {
    let invalid = [
        "$share",
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/g+/a",
        "$share/+/a",
        "$share/g#/a",
        "$share/#",
        "$share/g/a#",
        "$share/g/a/#/b",
        "$queue/",
        "$queue/a/#/b",
    ];
    at_shards(&[], |broker| {
        for (version, code) in [(ProtocolVersion::V311, 0x80), (ProtocolVersion::V5, 0x8F)] {
            let mut client = Login::new(version, "client").open(broker);
            for filter in invalid {
                assert_eq!(client.subscribe_all(&[(filter, 0)], &[]), [code], "{filter}");
            }
        }
    });
}

#[test]
fn members_have_their_own_qos_and_identifier() {
    at_shards(&[], |broker| {
        let mut clients: Vec<Client> = (0..3).map(|i| Login::v5(&format!("c{i}")).open(broker)).collect();
        for (i, client) in clients.iter_mut().enumerate() {
            client.subscribe_id("$share/g/own", i as u8, 10 + i as u32);
        }
        let mut publisher = Login::v5("publisher").open(broker);
        for _ in 0..9 {
            publisher.publish(message("own", "x").qos(2));
        }
        for (i, client) in clients.iter_mut().enumerate() {
            for _ in 0..3 {
                let received = client.receive();
                assert_eq!((received.qos, received.subscription_ids()), (i as u8, vec![10 + i as u32]));
            }
        }
    });
}

#[test]
fn members_that_are_away_are_not_chosen_while_another_is_there() {
    for name in STRATEGIES {
        eprintln!("strategy {name}");
        at_shards(&[&strategy(name)], |broker| {
            for version in VERSIONS {
                let mut away = Login::persistent(version, &format!("away{version:?}")).open(broker);
                away.subscribe("$share/g/there", 1);
                away.vanish();
            }
            let mut members = members(broker, "$share/g/there", 2);
            let mut publisher = Login::v5("publisher").open(broker);
            publish_numbers(&mut publisher, "there", 0..30);
            assert_each_once(&collect(&mut members, slice::from_mut(&mut publisher)), 30);
        });
    }
}

#[test]
fn a_member_that_is_full_is_skipped() {
    at_shards(&["mqtt.max_inflight=1", "mqtt.max_mqueue_len=1"], |broker| {
        let mut stuck = Login::v311("stuck").open(broker);
        let mut free = Login::v311("free").open(broker);
        stuck.subscribe("$share/g/full", 1);
        free.subscribe("$share/g/full", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        let mut numbers = BTreeSet::new();
        for i in 0..40 {
            publisher.publish(message("full", format!("{i}")).qos(1));
            // The free member acknowledges at once, so it always has room; the other keeps what it was sent first.
            while let Some(message) = free.try_receive(Duration::from_millis(30)) {
                numbers.insert(message.text().parse::<usize>().expect("a number"));
            }
        }
        for _ in 0..40 - numbers.len() {
            numbers.insert(stuck.receive().text().parse::<usize>().expect("a number"));
        }
        assert!(numbers.into_iter().eq(0..40));
    });
}

#[test]
fn messages_wait_for_members_that_are_all_away() {
    at_shards(&[], |broker| {
        let login = |i: usize| Login::persistent(VERSIONS[i], &format!("away{i}"));
        for i in 0..3 {
            let mut away = login(i).open(broker);
            away.subscribe("$share/g/wait", 1);
            away.vanish();
        }
        let mut publisher = Login::v5("publisher").open(broker);
        for i in 0..30 {
            let reason = publisher.publish(message("wait", format!("{i}")).qos(1));
            assert_eq!(reason, ReasonCode::Success);
        }
        let mut members: Vec<Client> = (0..3).map(|i| login(i).open(broker)).collect();
        assert_each_once(&collect(&mut members, slice::from_mut(&mut publisher)), 30);
    });
}

#[test]
fn unacknowledged_messages_go_to_another_member_when_one_ends() {
    for name in ["round_robin", "random", "hash_topic"] {
        at_shards(&[&strategy(name)], |broker| {
            let mut members = members(broker, "$share/g/again", 3);
            let mut publisher = Login::v5("publisher").open(broker);
            publish_numbers(&mut publisher, "again", 0..30);
            // Nobody acknowledges; the members leave one by one, until the last one has all of it.
            while members.len() > 1 {
                let mut leaving = members.remove(0);
                if name == "round_robin" {
                    (0..10).for_each(|_| drop(leaving.receive_unacked()));
                }
                leaving.vanish();
            }
            let mut numbers = BTreeSet::new();
            while numbers.len() < 30 {
                numbers.insert(members[0].receive().text().parse::<usize>().expect("a number"));
            }
            assert!(numbers.into_iter().eq(0..30));
            if name == "round_robin" {
                // The first two members had been sent twenty of the thirty.
                broker.wait_metric("messages.redispatched", 20);
            }
        });
    }
}

#[test]
fn messages_waiting_behind_a_full_window_are_redispatched_too() {
    at_shards(&["mqtt.max_inflight=2"], |broker| {
        let mut stuck = Login::v311("stuck").open(broker);
        stuck.subscribe("$share/g/behind", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        publish_numbers(&mut publisher, "behind", 0..20);
        let mut rescuer = Login::v311("rescuer").open(broker);
        rescuer.subscribe("$share/g/behind", 1);
        stuck.vanish();
        let mut numbers = BTreeSet::new();
        while numbers.len() < 20 {
            numbers.insert(rescuer.receive().text().parse::<usize>().expect("a number"));
        }
    });
}

#[test]
fn a_qos_2_message_already_sent_is_not_given_to_another_member() {
    at_shards(&[], |broker| {
        let mut first = Login::v5("first").open(broker);
        first.subscribe("$share/g/exactly", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        publisher.publish(message("exactly", "x").qos(2));
        let id = first.receive_unacked().packet_id();
        first.ack(AckKind::Pubrec, id);
        first.expect_ack(AckKind::Pubrel, id);
        let mut second = Login::v5("second").open(broker);
        second.subscribe("$share/g/exactly", 2);
        first.vanish();
        second.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn a_qos_2_delivery_that_broke_is_completed_when_its_member_returns() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let login = Login::persistent(version, "first");
            let mut first = login.clone().open_new(broker);
            first.subscribe("$share/g/return", 2);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("return", "x").qos(2));
            let id = first.receive_unacked().packet_id();
            let mut second = Login::v5("second").open(broker);
            second.subscribe("$share/g/return", 2);
            first.vanish();
            second.expect_nothing_from(&mut publisher);
            let mut first = login.open(broker);
            let again = first.receive();
            assert_eq!((again.packet_id(), again.text()), (id, "x"), "[MQTT-4.8.2-4]");
            first.unsubscribe(&["$share/g/return"]);
            first.disconnect();
        }
    });
}

#[test]
fn a_message_a_member_rejects_is_dropped() {
    at_shards(&[], |broker| {
        let mut first = Login::v5("first").open(broker);
        first.subscribe("$share/g/reject", 2);
        let mut publisher = Login::v5("publisher").open(broker);
        for qos in [1, 2] {
            publisher.publish(message("reject", "x").qos(qos));
            let id = first.receive_unacked().packet_id();
            let kind = if qos == 1 { AckKind::Puback } else { AckKind::Pubrec };
            first.ack_with(kind, id, ReasonCode::NotAuthorized);
        }
        first.ping();
        let mut second = Login::v5("second").open(broker);
        second.subscribe("$share/g/reject", 2);
        first.disconnect();
        second.expect_nothing_from(&mut publisher);
    });
}

#[test]
fn unsubscribing_leaves_the_group() {
    at_shards(&[], |broker| {
        let mut members = members(broker, "$share/g/leave", 3);
        let mut publisher = Login::v5("publisher").open(broker);
        members[0].unsubscribe(&["$share/g/leave"]);
        members[1].unsubscribe(&["$share/g/leave"]);
        // The group's new size may still travel to the publisher's shard; a message that is sent to a member that is gone
        // must find the one that is left.
        publish_numbers(&mut publisher, "leave", 0..30);
        assert_each_once(&collect(&mut members[2..], slice::from_mut(&mut publisher)), 30);
        members[2].unsubscribe(&["$share/g/leave"]);
        let deadline = std::time::Instant::now() + PATIENCE;
        while publisher.publish(message("leave", "x").qos(1)) != ReasonCode::NoMatchingSubscribers {
            assert!(std::time::Instant::now() < deadline, "the group stays without a member");
        }
    });
}

#[test]
fn members_come_and_go_and_nothing_is_lost() {
    at_shards(&[], |broker| {
        let mut anchor = Login::v5("anchor").open(broker);
        anchor.subscribe("$share/g/churn", 1);
        let mut publisher = Login::v5("publisher").open(broker);
        let mut numbers = BTreeSet::new();
        let mut note = |message: &Message| numbers.insert(message.text().parse::<usize>().expect("a number"));
        for round in 0..20 {
            let mut guest = Login::new(VERSIONS[round % 3], &format!("guest{round}")).open(broker);
            guest.subscribe("$share/g/churn", 1);
            publish_numbers(&mut publisher, "churn", round * 10..round * 10 + 10);
            for _ in 0..2 {
                if let Some(message) = guest.try_receive(Duration::from_millis(200)) {
                    note(&message);
                }
            }
            guest.ping();
            guest.vanish();
        }
        while let Some(message) = anchor.try_receive(Duration::from_secs(2)) {
            note(&message);
        }
        assert!(numbers.into_iter().eq(0..200));
    });
}
