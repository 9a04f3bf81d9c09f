//! What an answer of a service says: 200 with JSON, 204 for yes, everything else for nothing.

use super::link::Reply;
use crate::authentication::jwt::{read_acl, read_attributes, read_flag, read_time};
use hyper::StatusCode;
use ringmq_core::authorization::Permission;
use ringmq_shards::access::Grant;
use serde_json::{Map, Value};
use std::time::Duration;

/// What a service says about a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// Let it in.
    Allow(Grant),
    /// Keep it out.
    Deny,
    /// Nothing.
    Ignore,
}

/// The answer is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The service says that something went wrong.
    #[error("status {0}; expected 200 or 204")]
    Status(StatusCode),
    /// The body is not what it should be.
    #[error("status 200 without a JSON object that has result = allow, deny or ignore")]
    Body,
    /// The rules are none.
    #[error("the answer has an acl that cannot be followed; the client is kept out")]
    Acl,
    /// The time is none.
    #[error("the answer has an expire_at that is no time in seconds since 1970; the client is kept out")]
    Time,
}

enum Said {
    Allow(Map<String, Value>),
    Deny,
    Ignore,
}

fn read(reply: &Reply) -> Result<Said, NoAnswer> {
    match reply.status {
        StatusCode::NO_CONTENT => return Ok(Said::Allow(Map::new())),
        StatusCode::OK => {}
        status => return Err(NoAnswer::Status(status)),
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice(&reply.body) else { return Err(NoAnswer::Body) };
    match answer.get("result").and_then(Value::as_str) {
        Some("allow") => Ok(Said::Allow(answer)),
        Some("deny") => Ok(Said::Deny),
        Some("ignore") => Ok(Said::Ignore),
        _ => Err(NoAnswer::Body),
    }
}

/// What a service says about a client at a time since 1970.
///
/// # Errors
/// [`NoAnswer`].
pub fn judge_client(reply: &Reply, now: Duration) -> Result<Judgement, NoAnswer> {
    let answer = match read(reply)? {
        Said::Allow(answer) => answer,
        Said::Deny => return Ok(Judgement::Deny),
        Said::Ignore => return Ok(Judgement::Ignore),
    };
    let given = |key: &str| answer.get(key).filter(|value| !value.is_null());
    let rules = given("acl").map(read_acl).transpose().map_err(|_| NoAnswer::Acl)?.unwrap_or_default();
    let expires = match given("expire_at") {
        None => None,
        Some(time) => Some(read_time(time).ok_or(NoAnswer::Time)?),
    };
    if expires.is_some_and(|at| at <= now.as_secs_f64()) {
        return Ok(Judgement::Deny);
    }
    Ok(Judgement::Allow(Grant {
        is_superuser: read_flag(given("is_superuser")),
        rules,
        attributes: read_attributes(given("client_attrs")),
        // As a float it is cut to what the field holds.
        expires_at_s: expires.map(|at| at as u64),
    }))
}

/// What a service says about a topic.
///
/// # Errors
/// [`NoAnswer`].
pub fn judge_topic(reply: &Reply) -> Result<Option<Permission>, NoAnswer> {
    Ok(match read(reply)? {
        Said::Allow(_) => Some(Permission::Allow),
        Said::Deny => Some(Permission::Deny),
        Said::Ignore => None,
    })
}
