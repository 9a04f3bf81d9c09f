//! What a directory keeps for the broker: entries of users with a hash, and with topics.

use super::link::LdapConnector;
use super::search::{Found, Search};
use super::stored::reworded;
use crate::sources::config::{LdapConfig, LdapMethod, LdapRulesConfig, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{Row, Rules, Table, UserColumns, Users};
use crate::sources::net::Pool;
use ldap3::SearchEntry;
use ringmq_shards::access::Entry;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Users in a directory that shows their hashes.
#[derive(Debug)]
pub struct LdapUsers {
    asking: Asking,
    columns: UserColumns,
}

/// Topics in a directory.
#[derive(Debug)]
pub struct LdapRules {
    asking: Asking,
    /// Attributes with topics, each with what is allowed there.
    topics: [(Box<str>, &'static str); 3],
    /// The attribute with whole rules.
    rules: Box<str>,
}

#[derive(Debug)]
struct Asking {
    pool: Pool<LdapConnector>,
    search: Search,
}

/// The element `password_based:ldap` with the method `hash`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn users(config: &LdapConfig) -> Result<Users<LdapUsers>, SetupError> {
    let LdapMethod::Hash { password_attribute, is_superuser_attribute } = &config.method else {
        return Err(SetupError::key("method", "is `bind`, which looks at no hash"));
    };
    let columns = UserColumns {
        password_hash: password_attribute.as_str().into(),
        is_superuser: is_superuser_attribute.as_str().into(),
        ..UserColumns::default()
    };
    let terms = pool_terms(config.pool_size, "query_timeout", config.query_timeout)?;
    let login = (config.username.as_str(), &config.password);
    let connector = LdapConnector::new(&config.server, &config.ssl, login, terms)?;
    let search = Search::parse(&config.base_dn, &config.filter)?;
    let asking = Asking { pool: Pool::new(connector, terms), search };
    let table = LdapUsers { asking, columns: columns.clone() };
    let algorithm = config.password_hash_algorithm.clone();
    Users::new("password_based:ldap", table, columns, algorithm, config.cache)
}

/// The source of rules `ldap`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn rules(config: &LdapRulesConfig) -> Result<Rules<LdapRules>, SetupError> {
    let terms = pool_terms(config.pool_size, "query_timeout", config.query_timeout)?;
    let login = (config.username.as_str(), &config.password);
    let connector = LdapConnector::new(&config.server, &config.ssl, login, terms)?;
    let search = Search::parse(&config.base_dn, &config.filter)?;
    let table = LdapRules {
        asking: Asking { pool: Pool::new(connector, terms), search },
        topics: [
            (config.publish_attribute.as_str().into(), "publish"),
            (config.subscribe_attribute.as_str().into(), "subscribe"),
            (config.all_attribute.as_str().into(), "all"),
        ],
        rules: config.acl_rule_attribute.as_str().into(),
    };
    Ok(Rules::new("authorization ldap", table))
}

impl Asking {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        let Found { base, filter } = self.search.fill_in(entry)?;
        Some(vec![base, filter])
    }

    async fn entries(
        &self,
        values: Vec<String>,
        attributes: Vec<String>,
    ) -> Result<Vec<SearchEntry>, SourceError> {
        let mut values = values.into_iter();
        let (Some(base), Some(filter)) = (values.next(), values.next()) else { return Ok(Vec::new()) };
        let found = Found { base, filter };
        let answer = self.pool.ask(|mut link| {
            let (found, attributes) = (found.clone(), attributes.clone());
            async move {
                let entries = link.search(&found, attributes).await;
                (link, entries)
            }
        });
        answer.await
    }
}

impl Table for LdapUsers {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.asking.values(entry)
    }

    /// One row for each entry; several are none, since it is not known which is meant.
    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let columns = [&self.columns.password_hash, &self.columns.is_superuser];
        let attributes = columns.map(|name| name.to_string()).into();
        let entries = self.asking.entries(values, attributes).await?;
        let [entry] = entries.as_slice() else { return Ok(Vec::new()) };
        let mut row = Row::new();
        if let Some(value) = first(entry, &self.columns.password_hash) {
            row.insert(self.columns.password_hash.to_string(), reworded(&value).into());
        }
        row.insert(
            self.columns.is_superuser.to_string(),
            is_superuser(entry, &self.columns.is_superuser).into(),
        );
        Ok(vec![row])
    }
}

/// Whether an entry is one of a superuser.
pub fn is_superuser(entry: &SearchEntry, attribute: &str) -> bool {
    first(entry, attribute).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
}

/// Names of attributes are the same in capitals and not.
fn values_of<'a, T>(attributes: &'a HashMap<String, Vec<T>>, name: &str) -> &'a [T] {
    let found = attributes.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, values)| values.as_slice()).unwrap_or_default()
}

fn first(entry: &SearchEntry, name: &str) -> Option<String> {
    let text = values_of(&entry.attrs, name).first().cloned();
    text.or_else(|| String::from_utf8(values_of(&entry.bin_attrs, name).first()?.clone()).ok())
}

impl Table for LdapRules {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.asking.values(entry)
    }

    /// The rules first, then the topics, which only allow.
    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let names = self.topics.iter().map(|(name, _)| name).chain([&self.rules]);
        let entries = self.asking.entries(values, names.map(|name| name.to_string()).collect()).await?;
        let [entry] = entries.as_slice() else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        for text in values_of(&entry.attrs, &self.rules) {
            match serde_json::from_str(text) {
                Ok(Value::Object(rule)) => rows.push(rule),
                Ok(Value::Array(rules)) => {
                    rows.extend(rules.into_iter().map(|rule| rule.as_object().cloned().unwrap_or_default()));
                }
                // No rule, which denies everything behind it.
                _ => rows.push(Row::new()),
            }
        }
        for (name, action) in &self.topics {
            for topic in values_of(&entry.attrs, name) {
                let rule = json!({"permission": "allow", "action": action, "topic": topic});
                rows.extend(rule.as_object().cloned());
            }
        }
        Ok(rows)
    }
}
