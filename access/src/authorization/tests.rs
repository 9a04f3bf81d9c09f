//! Rules from file to verdict: against a naive reading of the grammar, with hostile files, and through all sources.

use super::*;
use crate::authorization::built_in::{PlainAction, PlainPermission};
use crate::authorization::files::{DEFAULT_RULES, Format, parse};
use proptest::prelude::*;
use ringmq_core::authorization::{
    Action, Actions, ClientRule, Decision, DenyAction, Permission, Policy, SourceIndex, Subject, TopicMatch,
};
use ringmq_core::codec::QoS;
use ringmq_core::topic::filter_matches;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PUBLISH: Action = Action::Publish { qos: QoS::AtMostOnce, retain: false };
const SUBSCRIBE: Action = Action::Subscribe { qos: QoS::AtMostOnce };

fn subject(client_id: &str, user_name: Option<&str>, address: &str) -> Subject {
    Subject {
        user_name: user_name.map(Into::into),
        ..Subject::new(client_id, (address.parse::<std::net::IpAddr>().unwrap(), 1000).into())
    }
}

fn rule_set(text: &str, no_match: Permission) -> RuleSet {
    let mut builder = RuleSet::builder(no_match, DenyAction::Ignore);
    builder.extend(parse(text, Format::AclConf, &mut Wordings::default()).unwrap());
    builder.build()
}

fn mosquitto(text: &str) -> RuleSet {
    let mut builder = RuleSet::builder(Permission::Deny, DenyAction::Ignore);
    builder.extend(parse(text, Format::Mosquitto, &mut Wordings::default()).unwrap());
    builder.build()
}

fn may(policy: &Policy, action: Action, topic: &str) -> bool {
    policy.verdict(action, topic) == Decision::Allow
}

#[test]
fn default_rules_mean_what_they_mean_in_emqx() {
    let rules = rule_set(DEFAULT_RULES, Permission::Deny);
    let local = rules.reduce(&subject("a", None, "127.0.0.1"), &[]);
    let remote = rules.reduce(&subject("a", None, "10.0.0.1"), &[]);
    let dashboard = rules.reduce(&subject("a", Some("dashboard"), "10.0.0.1"), &[]);
    for policy in [&local, &remote, &dashboard] {
        assert!(policy.publishes_freely() && policy.delivers_freely());
        assert!(may(policy, SUBSCRIBE, "a/#") && may(policy, SUBSCRIBE, "+"));
    }
    assert!(may(&local, SUBSCRIBE, "#") && may(&local, SUBSCRIBE, "$SYS/#"));
    assert!(
        !may(&remote, SUBSCRIBE, "#")
            && !may(&remote, SUBSCRIBE, "$SYS/a")
            && !may(&remote, SUBSCRIBE, "+/#")
    );
    assert!(!may(&dashboard, SUBSCRIBE, "#") && may(&dashboard, SUBSCRIBE, "$SYS/#"));
    assert!(
        Arc::ptr_eq(&remote, &rules.reduce(&subject("b", Some("c"), "::1"), &[])),
        "one policy for all others"
    );
}

#[test]
fn placeholders_are_filled_in_and_never_become_wildcards() {
    let rules = rule_set(
        r##"{allow, all, all, ["c/${clientid}/#", "u/${username}", "${$}{x}/${client_attrs.site}", {eq, "e/${clientid}/#"}]}."##,
        Permission::Deny,
    );
    let mut known = subject("dev1", Some("bob"), "10.0.0.1");
    known.attributes.push(("site".into(), "s7".into()));
    let policy = rules.reduce(&known, &[]);
    for topic in ["c/dev1/x", "c/dev1", "u/bob", "${x}/s7"] {
        assert!(may(&policy, PUBLISH, topic), "{topic}");
    }
    for topic in ["c/dev2/x", "u/alice", "${x}/s8", "e/dev1/a"] {
        assert!(!may(&policy, PUBLISH, topic), "{topic}");
    }
    assert!(may(&policy, SUBSCRIBE, "e/dev1/#") && !may(&policy, SUBSCRIBE, "e/dev1/+"));
    let policy = rules.reduce(&subject("#", Some("+"), "10.0.0.1"), &[]);
    assert!(policy.is_empty(), "what could be a wildcard matches nothing");
    let policy = rules.reduce(&subject("x", None, "10.0.0.1"), &[]);
    assert_eq!(
        policy.len(),
        3,
        "no user name and no attribute: the client id with its two topics, one also for messages"
    );
}

#[test]
fn rules_of_the_client_come_first_and_superusers_have_none() {
    let authorizer = Authorizer::new(rule_set("{deny, all}.", Permission::Deny));
    let own = [ClientRule {
        permission: Permission::Allow,
        actions: Actions::PUBLISH,
        topic: TopicMatch::Filter("own/${clientid}".into()),
    }];
    let client = subject("c", None, "10.0.0.1");
    let policy = authorizer.policy(&client, false, &own);
    assert!(
        may(&policy, PUBLISH, "own/c")
            && !may(&policy, PUBLISH, "own/d")
            && !may(&policy, SUBSCRIBE, "own/c")
    );
    assert!(!may(&authorizer.policy(&client, false, &[]), PUBLISH, "own/c"));
    assert!(authorizer.policy(&client, true, &[]).publishes_freely());
}

#[test]
fn what_a_certificate_and_a_balancer_say_stands_in_topics() {
    let rules = rule_set(
        "{allow, all, publish, [\"${cert_san}/${sni}/${zone}\"]}.\n{deny, all}.\n",
        Permission::Deny,
    );
    let publish = Action::Publish { qos: QoS::AtMostOnce, retain: false };
    let mut client = subject("c", None, "127.0.0.1");
    assert!(!may(&rules.reduce(&client, &[]), publish, "device.example/broker.example/default"));
    client.alternative_name = Some("device.example".into());
    client.server_name = Some("broker.example".into());
    assert!(may(&rules.reduce(&client, &[]), publish, "device.example/broker.example/default"));
}

#[test]
fn rules_look_at_listeners_and_their_zones() {
    let text = "{deny, {zone, sensors}, publish, [\"a\"]}.\n{deny, {listener, \"ssl:lan\"}, publish, [\"b\"]}.\n\
                {deny, {'and', [{zone, \"sensors\"}, {client, \"c\"}]}, publish, [\"d\"]}.";
    let rules = rule_set(text, Permission::Allow);
    let publish = Action::Publish { qos: QoS::AtMostOnce, retain: false };
    for (listener, zone, allowed) in
        [("tcp:default", "default", "abd"), ("ssl:lan", "default", "ad"), ("tcp:default", "sensors", "b")]
    {
        let mut subject = subject("c", None, "127.0.0.1");
        (subject.listener, subject.zone) = (listener.into(), zone.into());
        let policy = rules.reduce(&subject, &[]);
        for topic in ["a", "b", "d"] {
            assert_eq!(may(&policy, publish, topic), allowed.contains(topic), "{listener} {zone} {topic}");
        }
    }
}

#[test]
fn an_external_source_keeps_its_place_among_sources() {
    let mut builder = RuleSet::builder(Permission::Deny, DenyAction::Disconnect);
    let mut wordings = Wordings::default();
    builder.extend(parse(r##"{deny, all, all, ["a"]}."##, Format::AclConf, &mut wordings).unwrap());
    builder.ask(SourceIndex(0));
    builder.extend(parse(r##"{allow, {user, "u"}, all, ["b"]}."##, Format::AclConf, &mut wordings).unwrap());
    let policy = builder.build().reduce(&subject("c", Some("u"), "::1"), &[]);
    assert_eq!(policy.verdict(PUBLISH, "a"), Decision::Deny);
    assert_eq!(policy.verdict(PUBLISH, "b"), Decision::Ask(SourceIndex(0)));
    assert_eq!(policy.verdict_after(SourceIndex(0), PUBLISH, "b"), Decision::Allow);
    assert_eq!(policy.verdict_after(SourceIndex(0), PUBLISH, "c"), Decision::Deny);
    assert_eq!(policy.deny_action(), DenyAction::Disconnect);
}

#[test]
fn mosquitto_rules_sift_messages_and_deny_first() {
    let rules = mosquitto(
        "# comment\ntopic read open/#\n\nuser bob\ntopic readwrite b/#\ntopic deny b/secret\ntopic readwrite a b\n\
         user eve\ntopic write e\npattern write p/%c/%u\npattern deny p/x/#\n",
    );
    let bob = rules.reduce(&subject("c1", Some("bob"), "::1"), &[]);
    assert!(bob.subscribes_freely() && !bob.publishes_freely() && !bob.delivers_freely());
    assert!(may(&bob, PUBLISH, "b/x") && !may(&bob, PUBLISH, "b/secret") && may(&bob, PUBLISH, "p/c1/bob"));
    assert!(bob.may_receive("b/x") && !bob.may_receive("b/secret") && !bob.may_receive("open/a"));
    assert!(!bob.filter_is_safe("#") && !bob.filter_is_safe("b/#") && bob.filter_is_safe("a b"));
    let nobody = rules.reduce(&subject("x", None, "::1"), &[]);
    assert!(
        nobody.may_receive("open/a") && !may(&nobody, PUBLISH, "open/a") && !may(&nobody, PUBLISH, "p/x/")
    );
    let eve = rules.reduce(&subject("x", Some("eve"), "::1"), &[]);
    assert!(may(&eve, PUBLISH, "e") && !eve.may_receive("e") && !may(&eve, PUBLISH, "p/x/eve"));
    let eve = rules.reduce(&subject("+", Some("eve"), "::1"), &[]);
    assert!(!may(&eve, PUBLISH, "p/+/eve"));
}

#[test]
fn a_hundred_thousand_rules_load_and_cost_a_client_only_its_own() {
    let mut text = String::new();
    for number in 0..100_000 {
        writeln!(text, r##"{{allow, {{user, "u{number}"}}, all, ["t/{number}/#", "x/${{clientid}}"]}}."##)
            .unwrap();
    }
    let begin = Instant::now();
    let rules = rule_set(&text, Permission::Deny);
    // A second on an idle machine; the bound only catches what grows faster than the file.
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let policy = rules.reduce(&subject("c", Some("u77777"), "::1"), &[]);
    assert_eq!(policy.len(), 2);
    assert!(
        may(&policy, PUBLISH, "t/77777/a") && may(&policy, PUBLISH, "x/c") && !may(&policy, PUBLISH, "t/1/a")
    );
    assert!(rules.reduce(&subject("c", Some("other"), "::1"), &[]).is_empty());
}

#[test]
fn a_hundred_thousand_rules_for_all_are_one_policy_that_is_searched_by_level() {
    let mut text = String::new();
    for number in 0..100_000 {
        let permission = if number % 2 == 0 { "allow" } else { "deny" };
        writeln!(text, r##"{{{permission}, all, publish, ["t/{number}/+/#"]}}."##).unwrap();
    }
    let rules = rule_set(&text, Permission::Deny);
    let policy = rules.reduce(&subject("a", None, "::1"), &[]);
    assert!(Arc::ptr_eq(&policy, &rules.reduce(&subject("b", Some("u"), "::1"), &[])));
    for number in (0..100_000).step_by(997) {
        assert_eq!(may(&policy, PUBLISH, &format!("t/{number}/a/b")), number % 2 == 0);
    }
}

#[test]
fn what_many_clients_share_is_shared_again_after_many_that_share_nothing() {
    let mut text = String::new();
    for number in 0..5000 {
        writeln!(text, r##"{{allow, {{user, "u{number}"}}, all, ["t/{number}"]}}."##).unwrap();
    }
    let rules = rule_set(&text, Permission::Deny);
    let common = || rules.reduce(&subject("c", None, "::1"), &[]);
    let before = common();
    for number in 0..5000 {
        let policy = rules.reduce(&subject("c", Some(&format!("u{number}")), "::1"), &[]);
        assert!(may(&policy, PUBLISH, &format!("t/{number}")));
    }
    let after = common();
    assert!(!Arc::ptr_eq(&before, &after) && Arc::ptr_eq(&after, &common()));
}

#[test]
fn every_source_is_loaded_in_order_and_an_error_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acl.conf");
    std::fs::write(&path, r##"{deny, {client, "bad"}, all, ["#"]}."##).unwrap();
    let mut built_in = BuiltInRules::default();
    let plain = |topic: &str, permission| PlainRule {
        topic: topic.to_owned(),
        permission,
        action: PlainAction::All,
        qos: None,
        retain: None,
    };
    let allowed = |topic: &str| vec![plain(topic, PlainPermission::Allow)];
    built_in.set(Holder::Client("bad".into()), allowed("a")).unwrap();
    built_in.set(Holder::User("u".into()), allowed("u/${username}")).unwrap();
    built_in
        .set(Holder::All, vec![plain("eq #", PlainPermission::Deny), plain("all/#", PlainPermission::Allow)])
        .unwrap();
    built_in.save(folder.path()).unwrap();
    assert_eq!(BuiltInRules::load(folder.path()).unwrap(), built_in);
    let named = |path: &std::path::Path| FileConfig { path: Some(path.into()), ..FileConfig::default() };
    let mut config = AuthorizationConfig {
        sources: vec![SourceConfig::File(named(&path)), SourceConfig::BuiltInDatabase(FileConfig::default())],
        ..AuthorizationConfig::default()
    };
    let authorizer = Authorizer::load(&config, folder.path()).unwrap();
    let policy = authorizer.policy(&subject("bad", Some("u"), "::1"), false, &[]);
    assert!(!may(&policy, PUBLISH, "a") && !may(&policy, PUBLISH, "u/u"));
    let policy = authorizer.policy(&subject("good", Some("u"), "::1"), false, &[]);
    assert!(may(&policy, PUBLISH, "u/u") && may(&policy, SUBSCRIBE, "all/+") && !may(&policy, PUBLISH, "a"));

    std::fs::write(&path, "{allow, all}.\n{deny, al}.").unwrap();
    let error = Authorizer::load(&config, folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("acl.conf:2:8: expected all, or an action and topics behind it, found `al`"),
        "{error}"
    );
    std::fs::write(&path, b"{allow, all}.\n\n\xff").unwrap();
    assert!(
        Authorizer::load(&config, folder.path())
            .unwrap_err()
            .to_string()
            .contains("acl.conf:3: the rules are not")
    );
    config.sources.remove(0);
    std::fs::write(folder.path().join(BuiltInRules::FILE_NAME), "{}\n").unwrap();
    let error = Authorizer::load(&config, folder.path()).unwrap_err().to_string();
    assert!(error.contains("authorization.jsonl:1: the first line must be"), "{error}");
    config.sources = vec![SourceConfig::MosquittoAclFile(FileConfig::default())];
    let error = Authorizer::load(&config, folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("authorization.sources[0] (mosquitto_acl_file) names no file"), "{error}");
}

#[test]
fn built_in_rules_are_bounded_and_checked() {
    let rule = |topic: &str| PlainRule {
        topic: topic.to_owned(),
        permission: PlainPermission::Allow,
        action: PlainAction::Publish,
        qos: None,
        retain: Some(true),
    };
    let mut rules = BuiltInRules::default();
    assert!(rules.set(Holder::All, vec![rule("a"); 101]).is_err());
    assert!(rules.set(Holder::All, vec![rule("a/#/b")]).unwrap_err().to_string().contains("a/#/b"));
    let wrong_level = PlainRule { qos: Some(vec![3]), ..rule("a") };
    assert_eq!(rules.set(Holder::All, vec![wrong_level]).unwrap_err().to_string(), "qos 3 is not 0, 1 or 2");
    rules.set(Holder::All, vec![rule("a"); 100]).unwrap();
    assert_eq!(rules.of(&Holder::All).len(), 100);
    rules.set(Holder::All, Vec::new()).unwrap();
    assert_eq!(rules.records().count(), 0);
}

/// A rule as the grammar has it, to be written into a file and to be read as it stands.
#[derive(Debug, Clone)]
struct Line {
    allows: bool,
    who: Whom,
    publish: bool,
    subscribe: bool,
    qos: Option<Vec<u8>>,
    retain: Option<bool>,
    topics: Vec<(String, bool)>,
}

#[derive(Debug, Clone)]
enum Whom {
    All,
    User(String),
    Client(String),
    UserStartsWith(String),
    Net(u8),
    And(Vec<Whom>),
    Or(Vec<Whom>),
}

impl Line {
    fn write(&self, text: &mut String) {
        let action = match (self.publish, self.subscribe) {
            (true, true) => "all",
            (true, false) => "publish",
            _ => "subscribe",
        };
        let mut conditions = Vec::new();
        if let Some(levels) = &self.qos {
            conditions.push(format!("{{qos, {levels:?}}}"));
        }
        if let Some(retain) = self.retain {
            conditions.push(format!("{{retain, {retain}}}"));
        }
        let topics: Vec<String> = self
            .topics
            .iter()
            .map(
                |(topic, is_exact)| {
                    if *is_exact { format!("{{eq, {topic:?}}}") } else { format!("{topic:?}") }
                },
            )
            .collect();
        writeln!(
            text,
            "{{{}, {}, {{{action}, [{}]}}, [{}]}}. %% {action}",
            if self.allows { "allow" } else { "deny" },
            self.who.written(),
            conditions.join(", "),
            topics.join(", ")
        )
        .unwrap();
    }

    fn is_about(&self, action: Action) -> bool {
        let has_level = |qos: QoS| self.qos.as_ref().is_none_or(|levels| levels.contains(&(qos as u8)));
        match action {
            Action::Publish { qos, retain } => {
                self.publish && has_level(qos) && self.retain.is_none_or(|wanted| wanted == retain)
            }
            Action::Subscribe { qos } => self.subscribe && has_level(qos),
        }
    }

    fn topics_for(&self, subject: &Subject) -> Vec<(String, bool)> {
        let has_wildcard = subject.client_id.contains('+');
        let known = self.topics.iter().filter(|(topic, _)| {
            (!topic.contains("${username}") || subject.user_name.is_some())
                && (!topic.contains("${clientid}") || !has_wildcard)
        });
        known
            .map(|(topic, is_exact)| {
                let user = subject.user_name.as_deref().unwrap_or_default();
                (topic.replace("${clientid}", &subject.client_id).replace("${username}", user), *is_exact)
            })
            .collect()
    }
}

impl Whom {
    fn written(&self) -> String {
        let list = |all: &[Whom]| all.iter().map(Whom::written).collect::<Vec<_>>().join(", ");
        match self {
            Whom::All => "all".to_owned(),
            Whom::User(name) => format!("{{user, {name:?}}}"),
            Whom::Client(id) => format!("{{clientid, {id:?}}}"),
            Whom::UserStartsWith(name) => format!("{{username, {{re, \"^{name}\"}}}}"),
            Whom::Net(third) => format!("{{ipaddr, \"10.0.{third}.0/24\"}}"),
            Whom::And(all) => format!("{{'and', [{}]}}", list(all)),
            Whom::Or(any) => format!("{{'or', [{}]}}", list(any)),
        }
    }

    fn is(&self, subject: &Subject) -> bool {
        match self {
            Whom::All => true,
            Whom::User(name) => subject.user_name.as_deref() == Some(name),
            Whom::Client(id) => *subject.client_id == **id,
            Whom::UserStartsWith(start) => {
                subject.user_name.as_deref().is_some_and(|name| name.starts_with(start))
            }
            Whom::Net(third) => match subject.peer.ip() {
                std::net::IpAddr::V4(address) => address.octets()[..3] == [10, 0, *third],
                std::net::IpAddr::V6(_) => false,
            },
            Whom::And(all) => all.iter().all(|who| who.is(subject)),
            Whom::Or(any) => any.iter().any(|who| who.is(subject)),
        }
    }
}

/// Whether the rule's filter takes in the one that is asked for, level by level.
fn takes_in(rule: &[&str], asked: &[&str], is_first: bool) -> bool {
    if is_first && asked[0].starts_with('$') && (rule[0] == "+" || rule[0] == "#") {
        return false;
    }
    match (rule, asked) {
        (["#"], _) | ([], []) => true,
        (["+", "#"], ["#"]) => is_first,
        ([wanted, rule @ ..], [level, asked @ ..]) => {
            let fits = wanted == level || *wanted == "+" && *level != "#";
            fits && takes_in(rule, asked, false)
        }
        _ => false,
    }
}

/// The verdict of the rules, one after another.
fn verdict(lines: &[Line], subject: &Subject, action: Action, topic: &str, no_match: bool) -> bool {
    for line in lines.iter().filter(|line| line.who.is(subject) && line.is_about(action)) {
        for (wanted, is_exact) in line.topics_for(subject) {
            let (wanted_levels, levels): (Vec<_>, Vec<_>) =
                (wanted.split('/').collect(), topic.split('/').collect());
            if if is_exact { wanted == topic } else { takes_in(&wanted_levels, &levels, true) } {
                return line.allows;
            }
        }
    }
    no_match
}

/// Whether a message may come through, by the rules, one after another.
fn may_receive(lines: &[Line], subject: &Subject, topic: &str, no_match: bool) -> bool {
    for line in lines.iter().filter(|line| line.who.is(subject) && line.subscribe) {
        let denies_all =
            [0, 1, 2].iter().all(|level| line.qos.as_ref().is_none_or(|levels| levels.contains(level)));
        let allows_some = line.qos.as_ref().is_none_or(|levels| !levels.is_empty());
        if !if line.allows { allows_some } else { denies_all } {
            continue;
        }
        for (wanted, is_exact) in line.topics_for(subject) {
            if if is_exact && !line.allows { wanted == topic } else { filter_matches(&wanted, topic) } {
                return line.allows;
            }
        }
    }
    no_match
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "+", "${clientid}", "${username}"]);
    let first = prop::sample::select(vec!["a", "b", "+", "$SYS"]);
    (first, prop::collection::vec(level, 0..3), any::<bool>()).prop_map(|(first, rest, is_open)| {
        let mut levels = vec![first];
        levels.extend(rest);
        if is_open {
            levels.push("#");
        }
        levels.join("/")
    })
}

fn whom() -> impl Strategy<Value = Whom> {
    let name = || prop::sample::select(vec!["a", "b", "ab"]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        3 => Just(Whom::All),
        2 => name().prop_map(Whom::User),
        2 => name().prop_map(Whom::Client),
        1 => name().prop_map(Whom::UserStartsWith),
        1 => (0..3_u8).prop_map(Whom::Net),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![several().prop_map(Whom::And), several().prop_map(Whom::Or)]
    })
}

fn line() -> impl Strategy<Value = Line> {
    let kinds = prop::sample::select(vec![(true, true), (true, false), (false, true), (false, true)]);
    let qos = prop::option::weighted(0.3, prop::collection::vec(0..3_u8, 0..3));
    let retain = prop::option::weighted(0.2, any::<bool>());
    let topic = prop_oneof![4 => filter(), 1 => Just("#".to_owned())];
    let topics = prop::collection::vec((topic, prop::bool::weighted(0.2)), 0..3);
    (any::<bool>(), whom(), kinds, qos, retain, topics).prop_map(
        |(allows, who, (publish, subscribe), qos, retain, topics)| Line {
            allows,
            who,
            publish,
            subscribe,
            qos,
            retain,
            topics,
        },
    )
}

fn asked_filters() -> Vec<String> {
    let mut filters: Vec<String> = ["a", "b", "+", "#", "$SYS", "c"].map(str::to_owned).to_vec();
    for first in ["a", "b", "+", "$SYS"] {
        for second in ["a", "b", "ab", "+", "#"] {
            filters.push(format!("{first}/{second}"));
            if second != "#" {
                filters.extend(["a", "+", "#"].map(|third| format!("{first}/{second}/{third}")));
            }
        }
    }
    filters
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_policy_says_what_the_rules_say(
        mut lines in prop::collection::vec(line(), 0..8),
        filler in 0..2_usize,
        client in prop::sample::select(vec!["a", "b", "ab", "+"]),
        user in prop::option::of(prop::sample::select(vec!["a", "b", "ab"])),
        third in 0..3_u8,
        no_match in any::<bool>(),
    ) {
        // Half of the policies are large enough to be searched by level.
        for number in 0..filler * 40 {
            let line = Line {
                allows: true,
                who: Whom::All,
                publish: true,
                subscribe: true,
                qos: None,
                retain: None,
                topics: vec![(format!("filler/{number}"), false)],
            };
            lines.insert(number % (lines.len() + 1), line);
        }
        let mut text = String::new();
        lines.iter().for_each(|line| line.write(&mut text));
        let subject = subject(client, user, &format!("10.0.{third}.9"));
        let rules = rule_set(&text, if no_match { Permission::Allow } else { Permission::Deny });
        let policy = rules.reduce(&subject, &[]);
        let filters = asked_filters();
        let topics: Vec<&String> = filters.iter().filter(|text| !text.contains(['+', '#'])).collect();
        for topic in &topics {
            for (qos, retain) in [(QoS::AtMostOnce, true), (QoS::AtLeastOnce, false), (QoS::ExactlyOnce, true)] {
                let action = Action::Publish { qos, retain };
                let expected = verdict(&lines, &subject, action, topic, no_match);
                prop_assert_eq!(may(&policy, action, topic), expected, "publish {} {:?}\n{}", topic, qos, text);
                prop_assert!(expected || !policy.publishes_freely());
            }
            let expected = may_receive(&lines, &subject, topic, no_match);
            prop_assert_eq!(policy.may_receive(topic), expected, "receive {}\n{}", topic, text);
        }
        for filter in &filters {
            let mut is_allowed = false;
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let action = Action::Subscribe { qos };
                let expected = verdict(&lines, &subject, action, filter, no_match);
                prop_assert_eq!(may(&policy, action, filter), expected, "subscribe {} {:?}\n{}", filter, qos, text);
                prop_assert!(expected || !policy.subscribes_freely());
                is_allowed |= expected;
            }
            let is_safe = policy.filter_is_safe(filter) || is_allowed && policy.delivers_freely();
            for topic in topics.iter().filter(|topic| filter_matches(filter, topic)) {
                prop_assert!(!is_safe || policy.may_receive(topic), "{} reaches {}\n{}", filter, topic, text);
            }
        }
    }
}
