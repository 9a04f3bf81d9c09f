//! What MongoDB keeps for the broker: a collection of users, and one of rules.

use super::documents::row_of;
use super::options::options_of;
use crate::authentication::template::Template;
use crate::sources::config::{MongoServers, MongodbConfig, MongodbRulesConfig, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{ROWS_MAX, Row, Rules, Table, UserColumns, Users};
use mongodb::Client;
use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use ringmq_shards::access::Entry;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::sync::OnceCell;

/// A collection.
pub struct MongoTable {
    options: ClientOptions,
    database: Box<str>,
    collection: Box<str>,
    filter: Vec<(Box<str>, Template)>,
    timeout: Duration,
    /// Made by the first who asks, since it lives on the runtime of those who ask.
    client: OnceCell<Client>,
}

/// The element `password_based:mongodb`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn users(config: &MongodbConfig) -> Result<Users<MongoTable>, SetupError> {
    let table = MongoTable::new(&config.servers(), &config.collection, &config.filter)?;
    let columns = UserColumns {
        password_hash: config.password_hash_field.as_str().into(),
        salt: config.salt_field.as_str().into(),
        is_superuser: config.is_superuser_field.as_str().into(),
    };
    let algorithm = config.password_hash_algorithm.clone();
    Users::new("password_based:mongodb", table, columns, algorithm, config.cache)
}

/// The source of rules `mongodb`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn rules(config: &MongodbRulesConfig) -> Result<Rules<MongoTable>, SetupError> {
    let table = MongoTable::new(&config.servers(), &config.collection, &config.filter)?;
    Ok(Rules::new("authorization mongodb", table))
}

impl MongoTable {
    fn new(
        servers: &MongoServers<'_>,
        collection: &str,
        filter: &BTreeMap<String, String>,
    ) -> Result<MongoTable, SetupError> {
        let fields = filter.iter().map(|(name, text)| {
            if name.starts_with('$') {
                return Err(SetupError::key("filter", format!("`{name}` is an operator; name fields only")));
            }
            let template: Template = text.parse().map_err(SetupError::template("filter"))?;
            Ok((name.as_str().into(), template))
        });
        let fields = fields.collect::<Result<Vec<(Box<str>, Template)>, _>>()?;
        if fields.iter().all(|(_, template)| template.is_fixed()) {
            let fault = "finds the same documents for every client; write { username = \"${username}\" }";
            return Err(SetupError::key("filter", fault));
        }
        let terms = pool_terms(servers.pool_size, "query_timeout", servers.query_timeout)?;
        Ok(MongoTable {
            options: options_of(servers)?,
            database: servers.database.into(),
            collection: collection.into(),
            filter: fields,
            timeout: terms.timeout,
            client: OnceCell::new(),
        })
    }

    async fn find(&self, filter: Document) -> Result<Vec<Row>, Error> {
        let options = || async { Client::with_options(self.options.clone()) };
        let client = self.client.get_or_try_init(options).await?;
        let collection = client.database(&self.database).collection::<Document>(&self.collection);
        let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
        let mut found = collection.find(filter).limit(limit).await?;
        let mut rows = Vec::new();
        while found.advance().await? {
            rows.push(row_of(found.deserialize_current()?));
        }
        Ok(rows)
    }
}

impl Table for MongoTable {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.filter.iter().map(|(_, template)| template.fill(entry)).collect()
    }

    /// A filter of texts: what a client says of itself is never an operator.
    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let names = self.filter.iter().map(|(name, _)| name.to_string());
        let filter: Document = names.zip(values.into_iter().map(Into::into)).collect();
        match tokio::time::timeout(self.timeout, self.find(filter)).await {
            Ok(found) => found.map_err(fault),
            Err(_) => Err(SourceError::Timeout),
        }
    }
}

/// Words of the library may repeat a value; its kinds do not.
fn fault(error: Error) -> SourceError {
    match *error.kind {
        ErrorKind::Command(said) => SourceError::Refused(format!("error {}", said.code).into()),
        ErrorKind::Authentication { .. } => {
            SourceError::Refused("the broker's own username or password is wrong".into())
        }
        ErrorKind::ServerSelection { .. } => SourceError::Lost(io::ErrorKind::NotConnected.into()),
        _ => SourceError::Lost(io::ErrorKind::Other.into()),
    }
}

impl fmt::Debug for MongoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoTable").field("collection", &self.collection).finish_non_exhaustive()
    }
}
