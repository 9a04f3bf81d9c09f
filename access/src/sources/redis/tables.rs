//! What Redis keeps for the broker: a hash for each user, and a hash of topics for each.

use super::command::Command;
use super::servers::Servers;
use crate::sources::config::{RedisConfig, RedisRulesConfig};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{Row, Rules, Table, UserColumns, Users};
use ringmq_shards::access::Entry;
use serde_json::{Value, json};

/// Users in Redis.
#[derive(Debug)]
pub struct RedisUsers(Asking);

/// Rules in Redis. They only allow.
#[derive(Debug)]
pub struct RedisRules(Asking);

#[derive(Debug)]
struct Asking {
    servers: Servers,
    command: Command,
}

/// The element `password_based:redis`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn users(config: &RedisConfig) -> Result<Users<RedisUsers>, SetupError> {
    let table = RedisUsers(Asking {
        servers: Servers::new(&config.servers())?,
        command: Command::parse(&config.cmd)?,
    });
    let algorithm = config.password_hash_algorithm.clone();
    Users::new("password_based:redis", table, UserColumns::default(), algorithm, config.cache)
}

/// The source of rules `redis`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn rules(config: &RedisRulesConfig) -> Result<Rules<RedisRules>, SetupError> {
    let command = Command::parse(&config.cmd)?;
    if !command.asks_for_all() {
        return Err(SetupError::key("cmd", format!("`{}` cannot be used; write HGETALL KEY", config.cmd)));
    }
    let table = RedisRules(Asking { servers: Servers::new(&config.servers())?, command });
    Ok(Rules::new("authorization redis", table))
}

impl Asking {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        Some(vec![self.command.key.fill(entry)?])
    }

    async fn row(&self, values: Vec<String>) -> Result<Row, SourceError> {
        let key = values.first().map(String::as_str).unwrap_or_default();
        let reply = self.servers.ask(&self.command.words(key)).await?;
        self.command.read(reply)
    }
}

impl Table for RedisUsers {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.0.values(entry)
    }

    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        Ok(Some(self.0.row(values).await?).filter(|row| !row.is_empty()).into_iter().collect())
    }
}

impl Table for RedisRules {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.0.values(entry)
    }

    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        Ok(rules_of_fields(self.0.row(values).await?))
    }
}

/// Each field is a topic, its value what is allowed there: `publish`, `subscribe`, `all`, or that as JSON with conditions.
/// Fields that cannot be understood come last, as rows that are none.
pub(super) fn rules_of_fields(fields: Row) -> Vec<Row> {
    let mut strange = Vec::new();
    let mut rows = Vec::new();
    for (topic, value) in fields {
        let text = value.as_str().unwrap_or_default();
        let terms = match serde_json::from_str(text) {
            Ok(Value::Object(terms)) => Some(terms),
            _ if matches!(text, "publish" | "subscribe" | "all") => Some(Row::new()),
            _ => None,
        };
        let Some(terms) = terms else {
            strange.push(Row::new());
            continue;
        };
        let mut row = Row::new();
        row.insert("permission".to_owned(), json!("allow"));
        row.insert("topic".to_owned(), json!(topic));
        row.insert("action".to_owned(), terms.get("action").cloned().unwrap_or(json!(text)));
        for condition in ["qos", "retain"] {
            row.insert(condition.to_owned(), terms.get(condition).cloned().unwrap_or_default());
        }
        rows.push(row);
    }
    rows.append(&mut strange);
    rows
}
