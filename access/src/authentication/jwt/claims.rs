//! What the claims of a token say about a client: access rules, attributes, whether it is a superuser.

use ringmq_core::authorization::{Actions, ClientRule, Permission, QosSet, TopicMatch};
use ringmq_core::codec::QoS;
use serde_json::{Map, Value};

/// The most access rules one token or answer may carry.
pub const RULES_MAX: usize = 1_000;

/// Why an `acl` cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// Not of the form.
    #[error(
        "acl must be a list of {{permission, action, topic, qos, retain}}, or {{pub, sub, all}} with lists of topics"
    )]
    Form,
    /// More rules than allowed.
    #[error("acl has more than {RULES_MAX} rules")]
    Rules,
}

/// Access rules of an `acl` claim or of the `acl` of an HTTP answer, in either of the two forms: a list of rules, or the
/// older `{"pub": […], "sub": […], "all": […]}`, after which everything else is denied.
///
/// # Errors
/// [`AclError`].
pub fn read_acl(acl: &Value) -> Result<Vec<ClientRule>, AclError> {
    let rules = match acl {
        Value::Array(rules) if rules.len() > RULES_MAX => return Err(AclError::Rules),
        Value::Array(rules) => rules.iter().map(read_rule).collect::<Result<Vec<_>, _>>()?.concat(),
        Value::Object(lists) => read_lists(lists)?,
        _ => return Err(AclError::Form),
    };
    if rules.len() > RULES_MAX { Err(AclError::Rules) } else { Ok(rules) }
}

/// The rules of one object: one for each topic.
fn read_rule(rule: &Value) -> Result<Vec<ClientRule>, AclError> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    let permission = match text("permission") {
        Some("allow") => Permission::Allow,
        Some("deny") => Permission::Deny,
        _ => return Err(AclError::Form),
    };
    let mut actions = match text("action") {
        Some("publish" | "pub") => Actions::PUBLISH,
        Some("subscribe" | "sub") => Actions::SUBSCRIBE,
        Some("all" | "pubsub") | None => Actions::ALL,
        Some(_) => return Err(AclError::Form),
    };
    if let Some(qos) = rule.get("qos") {
        actions = actions.at(read_qos(qos)?);
    }
    match rule.get("retain") {
        None => {}
        Some(Value::Bool(retain)) => actions = actions.with_retain(*retain),
        Some(Value::Number(number)) if number.as_u64() == Some(0) => actions = actions.with_retain(false),
        Some(Value::Number(number)) if number.as_u64() == Some(1) => actions = actions.with_retain(true),
        Some(Value::String(text)) => match text.as_str() {
            "all" => {}
            "true" | "1" => actions = actions.with_retain(true),
            "false" | "0" => actions = actions.with_retain(false),
            _ => return Err(AclError::Form),
        },
        Some(_) => return Err(AclError::Form),
    }
    let topics = match (rule.get("topic"), rule.get("topics")) {
        (Some(Value::String(topic)), None) => vec![topic.as_str()],
        (None, Some(Value::Array(topics))) => texts(topics)?,
        _ => return Err(AclError::Form),
    };
    Ok(topics.into_iter().map(|topic| ClientRule { permission, actions, topic: topic_of(topic) }).collect())
}

/// A QoS level, a list of them, or a text such as `0,1`.
fn read_qos(qos: &Value) -> Result<QosSet, AclError> {
    let level = |text: &str| match text.trim() {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err(AclError::Form),
    };
    let levels: Vec<QoS> = match qos {
        Value::Number(number) => vec![level(&number.to_string())?],
        Value::String(text) => text.split(',').map(level).collect::<Result<_, _>>()?,
        Value::Array(levels) => {
            let one = |value: &Value| match value {
                Value::String(text) => level(text),
                value => level(&value.to_string()),
            };
            levels.iter().map(one).collect::<Result<_, _>>()?
        }
        _ => return Err(AclError::Form),
    };
    Ok(levels.into_iter().fold(QosSet::NONE, QosSet::with))
}

/// `{"pub": […], "sub": […], "all": […]}`
fn read_lists(lists: &Map<String, Value>) -> Result<Vec<ClientRule>, AclError> {
    let mut rules = Vec::new();
    for (name, actions) in [("pub", Actions::PUBLISH), ("sub", Actions::SUBSCRIBE), ("all", Actions::ALL)] {
        let topics = match lists.get(name) {
            None => continue,
            Some(Value::Array(topics)) => texts(topics)?,
            Some(_) => return Err(AclError::Form),
        };
        let allow = |topic| ClientRule { permission: Permission::Allow, actions, topic: topic_of(topic) };
        rules.extend(topics.into_iter().map(allow));
    }
    if lists.keys().any(|name| !matches!(name.as_str(), "pub" | "sub" | "all")) {
        return Err(AclError::Form);
    }
    rules.push(ClientRule { permission: Permission::Deny, actions: Actions::ALL, topic: TopicMatch::Any });
    Ok(rules)
}

fn texts(values: &[Value]) -> Result<Vec<&str>, AclError> {
    values.iter().map(|value| value.as_str().ok_or(AclError::Form)).collect()
}

/// A topic of a rule; `eq ` before it compares it as it stands.
fn topic_of(topic: &str) -> TopicMatch {
    match topic.strip_prefix("eq ") {
        Some(exact) => TopicMatch::Exact(exact.into()),
        None => TopicMatch::Filter(topic.into()),
    }
}

/// The attributes of a `client_attrs` object: those whose values are texts, as `${client_attrs.NAME}` can show.
pub fn read_attributes(attributes: Option<&Value>) -> Vec<(Box<str>, Box<str>)> {
    let attributes = attributes.and_then(Value::as_object).into_iter().flatten();
    attributes.filter_map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into()))).collect()
}

/// A flag as tokens and answers write it: `true`, `1`, `"true"`, `"1"`.
pub fn read_flag(flag: Option<&Value>) -> bool {
    match flag {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
        _ => false,
    }
}

/// A point of time in seconds since 1970, whole or not.
pub fn read_time(time: &Value) -> Option<f64> {
    match time {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .filter(|time| time.is_finite() && *time >= 0.0)
}
