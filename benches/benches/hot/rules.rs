//! Access rules: a decision with a hundred rules and with a hundred thousand, cache or no cache, since rules have none; what it
//! costs to know that nothing need be asked; and reducing all rules to those of one client, which is done once per connection.

use crate::subject::Subject;
use ringmq_access::authorization::{RuleSet, Wordings, files};
use ringmq_core::authorization::{Action, Decision, DenyAction, Permission, Policy, Subject as Client};
use ringmq_core::codec::QoS;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

const PUBLISH: Action = Action::Publish { qos: QoS::AtLeastOnce, retain: false };

/// Decisions, then reductions.
pub fn all() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (count, name) in [(10, "10"), (100, "100"), (100_000, "100k")] {
        let last = format!("site/7/device/{}/temperature", count - 1);
        subjects.push(decide(plain, count, last.clone(), Decision::Allow, format!("rules/{name}/last")));
        subjects.push(decide(
            plain,
            count,
            "site/7/device/x/temperature".to_owned(),
            Decision::Deny,
            format!("rules/{name}/none"),
        ));
        subjects.push(decide(wild, count, last, Decision::Allow, format!("rules/{name}/last_wildcards")));
    }
    subjects.push(decide(
        prefixed,
        100,
        "own/c1/99/x".to_owned(),
        Decision::Allow,
        "rules/100/last_placeholders".to_owned(),
    ));
    subjects.push(deliver());
    subjects.push(reduce(plain, 100, "rules/reduce/100_shared"));
    subjects.push(reduce(prefixed, 100, "rules/reduce/100_placeholders"));
    subjects.push(reduce(by_user, 100_000, "rules/reduce/100k_of_users"));
    subjects.push(parse());
    subjects
}

fn plain(number: usize) -> String {
    format!("{{allow, all, all, [\"site/7/device/{number}/temperature\"]}}.")
}

/// They differ only in a level between wildcards.
fn wild(number: usize) -> String {
    format!("{{allow, all, publish, [\"site/+/device/{number}/#\"]}}.")
}

fn prefixed(number: usize) -> String {
    format!("{{allow, all, all, [\"own/${{clientid}}/{number}/#\"]}}.")
}

fn by_user(number: usize) -> String {
    format!("{{allow, {{user, \"u{number}\"}}, all, [\"own/${{username}}/#\"]}}.")
}

fn text(rule: fn(usize) -> String, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", rule(number)).expect("a string takes everything");
    }
    text
}

fn rule_set(rule: fn(usize) -> String, count: usize) -> RuleSet {
    let mut rules = RuleSet::builder(Permission::Deny, DenyAction::Ignore);
    let parsed = files::parse(&text(rule, count), files::Format::AclConf, &mut Wordings::default());
    rules.extend(parsed.expect("the rules are right"));
    rules.build()
}

fn client() -> Client {
    Client { user_name: Some("u500".into()), ..Client::new("c1", ([10, 0, 0, 1], 1).into()) }
}

fn policy(rule: fn(usize) -> String, count: usize) -> Arc<Policy> {
    rule_set(rule, count).reduce(&client(), &[])
}

fn decide(
    rule: fn(usize) -> String,
    count: usize,
    topic: String,
    expected: Decision,
    name: String,
) -> Subject {
    let prepare = move || {
        let policy = policy(rule, count);
        let topic = topic.clone();
        move || assert_eq!(policy.verdict(black_box(PUBLISH), black_box(&topic)), expected)
    };
    Subject::new(name, prepare).counted(false)
}

fn deliver() -> Subject {
    let prepare = || {
        let policy = policy(plain, 100);
        move || assert!(policy.may_receive(black_box("site/7/device/99/temperature")))
    };
    Subject::new("rules/100/receive", prepare).counted(false)
}

fn reduce(rule: fn(usize) -> String, count: usize, name: &str) -> Subject {
    let prepare = move || {
        let rules = rule_set(rule, count);
        let client = client();
        move || {
            black_box(rules.reduce(black_box(&client), &[]));
        }
    };
    Subject::new(name, prepare).counted(false)
}

/// One operation reads a thousand rules.
fn parse() -> Subject {
    let prepare = || {
        let text = text(by_user, 1000);
        move || {
            let parsed = files::parse(black_box(&text), files::Format::AclConf, &mut Wordings::default());
            assert_eq!(parsed.map_or(0, |rules| rules.len()), 1000);
        }
    };
    Subject::new("rules/parse/1000", prepare).counted(false)
}
