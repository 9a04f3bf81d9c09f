//! The rules of an `acl.conf`: `{allow, {user, "a"}, publish, ["b/#"]}.`

use super::super::rule::{Rule, Topics};
use super::super::template::TopicTemplate;
use super::super::who::Who;
use super::super::wording::{Wording, Wordings};
use super::error::Fault;
use super::terms::{Term, TermReader, TermValue};
use ringmq_core::authorization::{Actions, Network, Permission, QosSet};
use ringmq_core::codec::QoS;

/// Rules of one file.
pub const RULES_MAX: usize = 1_000_000;

const RULE: &str = "{allow or deny, who, action, [topics]} or {allow or deny, all}";
const WHO: &str = "all, {user, NAME}, {client, ID}, {ipaddr, TEXT}, {ipaddrs, [TEXT]}, {client_attr, NAME, VALUE}, {listener, NAME}, {zone, NAME}, {'and', [..]} or {'or', [..]}";
const NAME: &str = "a string or {re, STRING}";
const ACTION: &str = "publish, subscribe, all, or {publish, subscribe or all, [conditions]}";
const CONDITION: &str = "{qos, 0 to 2}, {qos, [0 to 2]} or {retain, true, false or all}";
const TOPIC: &str = "a string or {eq, STRING}";

/// Reads all rules of a text.
///
/// # Errors
/// The first term that is not a rule, and what would be.
pub fn parse(text: &str, wordings: &mut Wordings) -> Result<Vec<Rule>, Fault> {
    let mut reader = TermReader::new(text);
    let mut rules = Vec::new();
    while let Some(term) = reader.try_next()? {
        if rules.len() == RULES_MAX {
            return Err(Fault::TooManyRules { place: term.place, rules_max: RULES_MAX });
        }
        rules.push(rule(&term, wordings)?);
    }
    Ok(rules)
}

fn rule(term: &Term, wordings: &mut Wordings) -> Result<Rule, Fault> {
    let TermValue::Tuple(elements) = &term.value else { return Err(Fault::unexpected(term, RULE)) };
    match elements.as_slice() {
        [effect, subject] => {
            let permission = permission(effect)?;
            if atom(subject) != Some("all") {
                return Err(Fault::unexpected(subject, "all, or an action and topics behind it"));
            }
            Ok(Rule { permission, who: Who::All, actions: Actions::ALL, topics: Topics::Any })
        }
        [effect, subject, action, places] => Ok(Rule {
            permission: permission(effect)?,
            who: who(subject, wordings)?,
            actions: actions(action)?,
            topics: Topics::List(list(places, "a list of topics", topic)?.into()),
        }),
        _ => Err(Fault::unexpected(term, RULE)),
    }
}

fn permission(term: &Term) -> Result<Permission, Fault> {
    match atom(term) {
        Some("allow") => Ok(Permission::Allow),
        Some("deny") => Ok(Permission::Deny),
        _ => Err(Fault::unexpected(term, "allow or deny")),
    }
}

fn who(term: &Term, wordings: &mut Wordings) -> Result<Who, Fault> {
    if atom(term) == Some("all") {
        return Ok(Who::All);
    }
    let TermValue::Tuple(elements) = &term.value else { return Err(Fault::unexpected(term, WHO)) };
    let [kind, rest @ ..] = elements.as_slice() else { return Err(Fault::unexpected(term, WHO)) };
    Ok(match (atom(kind), rest) {
        (Some("user" | "username"), [name]) => Who::User(wording(name, wordings)?),
        (Some("client" | "clientid"), [id]) => Who::Client(wording(id, wordings)?),
        (Some("ipaddr"), [address]) => Who::Address([network(address)?].into()),
        (Some("ipaddrs"), [addresses]) => {
            Who::Address(list(addresses, "a list of addresses", network)?.into())
        }
        (Some("client_attr"), [name, value]) => {
            let name = text(name)
                .or_else(|| atom(name))
                .ok_or_else(|| Fault::unexpected(name, "the name of an attribute, as a string or an atom"))?;
            Who::Attribute(name.into(), wording(value, wordings)?)
        }
        (Some("listener"), [name]) => {
            let expected = "the kind and name of a listener, such as \"ssl:default\"";
            Who::Listener(text(name).ok_or_else(|| Fault::unexpected(name, expected))?.into())
        }
        (Some("zone"), [name]) => {
            let named = text(name).or_else(|| atom(name));
            let expected = "the name of a zone, as a string or an atom";
            Who::Zone(named.ok_or_else(|| Fault::unexpected(name, expected))?.into())
        }
        (Some("and"), [all]) => Who::And(list(all, "a list of who", |term| who(term, wordings))?.into()),
        (Some("or"), [any]) => Who::Or(list(any, "a list of who", |term| who(term, wordings))?.into()),
        _ => return Err(Fault::unexpected(term, WHO)),
    })
}

fn wording(term: &Term, wordings: &mut Wordings) -> Result<Wording, Fault> {
    if let Some(name) = text(term) {
        return Ok(Wording::Exact(name.into()));
    }
    let [kind, pattern] = pair(term, NAME)?;
    match (atom(kind), text(pattern)) {
        (Some("re"), Some(regex)) => {
            wordings.pattern(regex).map_err(|source| Fault::Regex { place: pattern.place, source })
        }
        _ => Err(Fault::unexpected(term, NAME)),
    }
}

fn network(term: &Term) -> Result<Network, Fault> {
    const ADDRESS: &str = "an IP address such as \"10.0.0.1\" or a network such as \"10.0.0.0/8\"";
    text(term).and_then(|text| text.parse().ok()).ok_or_else(|| Fault::unexpected(term, ADDRESS))
}

fn actions(term: &Term) -> Result<Actions, Fault> {
    if let Some(actions) = action_named(term) {
        return Ok(actions);
    }
    let [kind, conditions] = pair(term, ACTION)?;
    let mut actions =
        action_named(kind).ok_or_else(|| Fault::unexpected(kind, "publish, subscribe or all"))?;
    let TermValue::List(conditions) = &conditions.value else {
        return Err(Fault::unexpected(conditions, "a list of conditions"));
    };
    let mut levels = None;
    let mut retain = None;
    for condition in conditions {
        let [kind, value] = pair(condition, CONDITION)?;
        match (atom(kind), &value.value) {
            (Some("qos"), TermValue::List(all)) => {
                let mut set = levels.unwrap_or(QosSet::NONE);
                for level in all {
                    set = set.with(qos(level)?);
                }
                levels = Some(set);
            }
            (Some("qos"), _) => levels = Some(levels.unwrap_or(QosSet::NONE).with(qos(value)?)),
            // As in Erlang's property lists, the first one counts.
            (Some("retain"), _) => retain = retain.or(Some(flag(value)?)),
            _ => return Err(Fault::unexpected(condition, CONDITION)),
        }
    }
    if let Some(levels) = levels {
        actions = actions.at(levels);
    }
    Ok(match retain.flatten() {
        Some(retain) => actions.with_retain(retain),
        None => actions,
    })
}

fn action_named(term: &Term) -> Option<Actions> {
    match atom(term)? {
        "publish" => Some(Actions::PUBLISH),
        "subscribe" => Some(Actions::SUBSCRIBE),
        "all" => Some(Actions::ALL),
        _ => None,
    }
}

fn qos(term: &Term) -> Result<QoS, Fault> {
    let level = match term.value {
        TermValue::Number(level) => u8::try_from(level).ok().and_then(QoS::from_u8),
        _ => None,
    };
    level.ok_or_else(|| Fault::unexpected(term, "0, 1 or 2"))
}

/// None for `all`: either.
fn flag(term: &Term) -> Result<Option<bool>, Fault> {
    match atom(term) {
        Some("all") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        _ => Err(Fault::unexpected(term, "true, false or all")),
    }
}

fn topic(term: &Term) -> Result<TopicTemplate, Fault> {
    let (place, written, is_exact) = match text(term) {
        Some(written) => match written.strip_prefix("eq ") {
            Some(written) => (term.place, written, true),
            None => (term.place, written, false),
        },
        None => {
            let [kind, written] = pair(term, TOPIC)?;
            match (atom(kind), text(written)) {
                (Some("eq"), Some(text)) => (written.place, text, true),
                _ => return Err(Fault::unexpected(term, TOPIC)),
            }
        }
    };
    TopicTemplate::parse(written, is_exact).map_err(|source| Fault::Topic {
        place,
        topic: written.to_owned(),
        source,
    })
}

/// Every element of a list, read by `read`.
fn list<T>(
    term: &Term,
    expected: &'static str,
    read: impl FnMut(&Term) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    match &term.value {
        TermValue::List(elements) => elements.iter().map(read).collect(),
        _ => Err(Fault::unexpected(term, expected)),
    }
}

fn pair<'a>(term: &'a Term, expected: &'static str) -> Result<&'a [Term; 2], Fault> {
    match &term.value {
        TermValue::Tuple(elements) => {
            elements.as_slice().try_into().map_err(|_| Fault::unexpected(term, expected))
        }
        _ => Err(Fault::unexpected(term, expected)),
    }
}

fn atom(term: &Term) -> Option<&str> {
    match &term.value {
        TermValue::Atom(name) => Some(name),
        _ => None,
    }
}

fn text(term: &Term) -> Option<&str> {
    match &term.value {
        TermValue::Text(text) => Some(text),
        _ => None,
    }
}

impl Fault {
    fn unexpected(term: &Term, expected: &'static str) -> Fault {
        Fault::Unexpected { place: term.place, expected, found: term.value.to_string() }
    }
}

impl From<super::terms::TermError> for Fault {
    fn from(error: super::terms::TermError) -> Fault {
        let super::terms::TermError { place, expected, found } = error;
        Fault::Unexpected { place, expected, found }
    }
}
