//! Which topic names a filter matches.

use crate::harness::*;

const TOPICS: &[&str] = &[
    "a",
    "A",
    "/a",
    "a/",
    "/",
    "//",
    "a/b",
    "a//b",
    "a/b/",
    "a/b/c",
    "a/b/c/d",
    "/finance",
    "sport/tennis/player1",
    "sport/tennis/player1/ranking",
    "sport",
    "sport/",
    " ",
    "a b/c d",
    "ä/ö",
    "$data",
    "$data/a",
    "$data/a/b",
    "$",
    "a/$data",
    "\u{feff}a",
];

const FILTERS: &[&str] = &[
    "#",
    "+",
    "/#",
    "/+",
    "+/#",
    "+/+",
    "+/+/#",
    "+/",
    "//",
    "a",
    "A",
    "a/#",
    "a/+",
    "a/+/c",
    "a/+/#",
    "a//b",
    "a/+/b",
    "+/b/+",
    "sport/tennis/player1",
    "sport/tennis/player1/#",
    "sport/tennis/+",
    "sport/#",
    "sport/+",
    "+/tennis/#",
    "ä/+",
    "a b/#",
    " ",
    "$data",
    "$data/#",
    "$data/+",
    "$data/+/b",
    "$/#",
    "+/a",
    "+/$data",
    "a/$data",
    "\u{feff}a",
];

/// The rules of section 4.7, level by level.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let topic: Vec<&str> = topic.split('/').collect();
    let filter: Vec<&str> = filter.split('/').collect();
    for (i, level) in filter.iter().enumerate() {
        match *level {
            "#" => return true,
            "+" if i < topic.len() => {}
            level if topic.get(i) == Some(&level) => {}
            _ => return false,
        }
    }
    filter.len() == topic.len()
}

#[test]
fn each_topic_reaches_exactly_the_filters_that_match_it() {
    at_shards(&[], |broker| {
        for subscriber in 0..3 {
            let mut client = Login::v5(&format!("subscriber{subscriber}")).open(broker);
            for (i, filter) in FILTERS.iter().enumerate() {
                client.subscribe_id(filter, 0, 1 + i as u32);
            }
            let mut publisher = Login::v5("publisher").open(broker);
            for topic in TOPICS {
                let wanted: Vec<u32> = (1_u32..)
                    .zip(FILTERS)
                    .filter(|(_, filter)| matches(filter, topic))
                    .map(|(id, _)| id)
                    .collect();
                publisher.publish(message(*topic, *topic));
                if wanted.is_empty() {
                    continue;
                }
                let received = client.receive();
                assert_eq!(received.topic, *topic);
                let names = |ids: &[u32]| ids.iter().map(|id| FILTERS[*id as usize - 1]).collect::<Vec<_>>();
                assert_eq!(names(&received.subscription_ids()), names(&wanted), "{topic}");
            }
            client.disconnect();
        }
    });
}

#[test]
fn each_filter_alone_receives_exactly_the_topics_that_match_it() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v311("publisher").open(broker);
        let mut clients: Vec<Client> = FILTERS
            .iter()
            .enumerate()
            .map(|(i, filter)| {
                let mut client = Login::new(VERSIONS[i % 3], &format!("subscriber{i}")).open(broker);
                client.subscribe(filter, 0);
                client
            })
            .collect();
        for topic in TOPICS {
            publisher.publish(message(*topic, *topic));
        }
        for (client, filter) in clients.iter_mut().zip(FILTERS) {
            for topic in TOPICS.iter().filter(|topic| matches(filter, topic)) {
                assert_eq!(client.receive().topic, *topic, "{filter}");
            }
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn retained_messages_follow_the_same_rules() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        for topic in TOPICS {
            publisher.publish(message(*topic, "x").qos(1).retained());
        }
        for (i, filter) in FILTERS.iter().enumerate() {
            let mut client = Login::new(VERSIONS[i % 3], &format!("subscriber{i}")).open(broker);
            client.subscribe(filter, 0);
            let mut wanted: Vec<&str> =
                TOPICS.iter().copied().filter(|topic| matches(filter, topic)).collect();
            let mut received: Vec<String> = wanted.iter().map(|_| client.receive().topic).collect();
            wanted.sort_unstable();
            received.sort_unstable();
            assert_eq!(received, wanted, "{filter}");
            client.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn leading_wildcards_do_not_see_dollar_topics() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut hidden = Login::new(version, "hidden").open(broker);
            let mut seen = Login::new(version, "seen").open(broker);
            hidden.subscribe_all(&[("#", 0), ("+/x", 0), ("+/#", 0), ("+/+", 0)], &[]);
            seen.subscribe("$internal/#", 0);
            let mut publisher = Login::v5("publisher").open(broker);
            publisher.publish(message("$internal/x", "x"));
            seen.expect_texts(["x"]);
            hidden.expect_nothing_from(&mut publisher);
        }
    });
}

#[test]
fn dollar_inside_a_topic_is_not_special() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        client.subscribe("+/$x", 0);
        client.publish(message("a/$x", "one"));
        client.subscribe("#", 0);
        client.publish(message("b/$y", "two"));
        client.expect_texts(["one", "two"]);
    });
}

#[test]
fn sys_filters_are_granted() {
    at_shards(&[], |broker| {
        for version in VERSIONS {
            let mut client = Login::new(version, "client").open(broker);
            client.subscribe("$SYS/#", 0);
            client.subscribe("$SYS/brokers/+/uptime", 1);
        }
    });
}

#[test]
fn filters_with_a_hundred_levels_match() {
    at_shards(&[], |broker| {
        let mut client = Login::v5("client").open(broker);
        let topic = vec!["l"; 100].join("/");
        let mut levels = vec!["+"; 100];
        client.subscribe_id(&levels.join("/"), 0, 1);
        levels[50] = "l";
        client.subscribe_id(&levels.join("/"), 0, 2);
        levels[51] = "other";
        client.subscribe_id(&levels.join("/"), 0, 3);
        levels.truncate(51);
        levels.push("#");
        client.subscribe_id(&levels.join("/"), 0, 4);
        client.publish(message(topic, "x"));
        assert_eq!(client.receive().subscription_ids(), [1, 2, 4]);
    });
}

#[test]
fn matching_changes_with_the_subscriptions() {
    at_shards(&[], |broker| {
        let mut publisher = Login::v5("publisher").open(broker);
        let mut client = Login::v5("client").open(broker);
        for round in 0..3 {
            for (i, filter) in FILTERS.iter().enumerate().filter(|(i, _)| i % 3 != round) {
                client.subscribe_id(filter, 0, 1 + i as u32);
            }
            for topic in TOPICS {
                let wanted: Vec<u32> = (0..FILTERS.len())
                    .filter(|i| i % 3 != round && matches(FILTERS[*i], topic))
                    .map(|i| 1 + i as u32)
                    .collect();
                publisher.publish(message(*topic, *topic));
                if !wanted.is_empty() {
                    let received = client.receive();
                    assert_eq!((received.topic.as_str(), received.subscription_ids()), (*topic, wanted));
                }
            }
            client.unsubscribe(FILTERS);
            client.expect_nothing_from(&mut publisher);
        }
    });
}
