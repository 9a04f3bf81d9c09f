//! Rows of rules: `permission`, `action`, `topic` and conditions, as databases for MQTT brokers keep them.

use super::table::{ROWS_MAX, Row};
use crate::authentication::jwt::read_acl;
use crate::authorization::Wordings;
use ringmq_core::authorization::{Actions, ClientRule, Network, Permission, TopicMatch};
use ringmq_shards::access::Entry;
use serde_json::Value;

/// Columns that say whom a row is about by an address or a network.
const ADDRESS_COLUMNS: [&str; 3] = ["ipaddress", "ipaddr", "peerhost"];

/// What a row must be.
const FORM: &str = "a rule must have permission = allow | deny, action = publish | subscribe | all, a topic, and may have qos, \
                    retain, ipaddress, username_re and clientid_re";

/// What a list must not be.
const TOO_MANY: &str = "a client has more than 1000 rules; it may do nothing until it has fewer";

/// The rules of rows, for the client they were found for. Behind a row that cannot be understood everything is denied, since
/// it may have been meant to deny; `fault` is told.
pub fn rules_of(rows: Vec<Row>, entry: &Entry, mut fault: impl FnMut(&'static str)) -> Vec<ClientRule> {
    let mut rules = Vec::new();
    let deny_all = ClientRule { permission: Permission::Deny, actions: Actions::ALL, topic: TopicMatch::Any };
    if rows.len() > ROWS_MAX {
        fault(TOO_MANY);
        return vec![deny_all];
    }
    for row in rows {
        match rules_of_row(row, entry) {
            Ok(found) => rules.extend(found),
            Err(NotARule) => {
                fault(FORM);
                rules.push(deny_all);
                return rules;
            }
        }
    }
    rules
}

struct NotARule;

fn rules_of_row(mut row: Row, entry: &Entry) -> Result<Vec<ClientRule>, NotARule> {
    // Null and nothing say that there is no condition.
    row.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    if !is_about(&row, entry)? {
        return Ok(Vec::new());
    }
    if !row.contains_key("action") {
        return Err(NotARule);
    }
    for column in ["permission", "action"] {
        if let Some(Value::String(text)) = row.get_mut(column) {
            text.make_ascii_lowercase();
        }
    }
    read_acl(&Value::Array(vec![Value::Object(row)])).map_err(|_| NotARule)
}

/// Whether a row is about this client.
fn is_about(row: &Row, entry: &Entry) -> Result<bool, NotARule> {
    for column in ADDRESS_COLUMNS {
        let Some(value) = row.get(column) else { continue };
        let network: Network = value.as_str().ok_or(NotARule)?.parse().map_err(|_| NotARule)?;
        if !network.has(entry.subject.peer.ip()) {
            return Ok(false);
        }
    }
    let names = [
        ("username_re", entry.subject.user_name.as_deref()),
        ("clientid_re", Some(&*entry.subject.client_id)),
    ];
    for (column, name) in names {
        let Some(value) = row.get(column) else { continue };
        let wording = Wordings::default().pattern(value.as_str().ok_or(NotARule)?).map_err(|_| NotARule)?;
        if !name.is_some_and(|name| wording.is(name)) {
            return Ok(false);
        }
    }
    Ok(true)
}
