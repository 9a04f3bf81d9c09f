//! What MongoDB keeps for the broker: a collection of users, and one of rules.

use super::documents::row_of;
use super::options::options_of;
use crate::authentication::template::Template;
use crate::sources::config::{MongoServers, MongodbConfig, MongodbRulesConfig, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{ROWS_MAX, Row, Rules, Table, UserColumns, Users};
use crate::sources::net::Patience;
use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use ringmq_shards::access::Entry;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

/// A collection.
pub struct MongoTable {
    options: ClientOptions,
    database: Box<str>,
    collection: Box<str>,
    filter: Vec<(Box<str>, Template)>,
    /// Hosts and ports, for the log.
    servers: Box<str>,
    timeout: Duration,
    /// One for each question that is open, those included that nobody waits for any more.
    places: Arc<Semaphore>,
    patience: Patience,
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
            servers: servers.servers.into(),
            timeout: terms.timeout,
            places: Arc::new(Semaphore::new(terms.size)),
            patience: Patience::default(),
            client: OnceCell::new(),
        })
    }

    async fn collection(&self) -> Result<Collection<Document>, Error> {
        let made = || async { Client::with_options(self.options.clone()) };
        let client = self.client.get_or_try_init(made).await?;
        Ok(client.database(&self.database).collection(&self.collection))
    }

    async fn ask(&self, filter: Document) -> Result<Vec<Row>, SourceError> {
        if !self.patience.is_due() {
            return Err(SourceError::Waiting);
        }
        let deadline = Instant::now() + self.timeout;
        let Ok(place) = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await else {
            self.patience.record_failure();
            return Err(SourceError::Timeout);
        };
        // Nobody closes the semaphore.
        let place = place.map_err(|_| SourceError::Busy)?;
        if !self.patience.is_due() {
            return Err(SourceError::Waiting);
        }
        let collection = self.collection().await.map_err(|error| self.fault(error))?;
        let timeout = self.timeout;
        // The library's futures must run to their end, so the question goes on where its time is over. Its place is taken
        // until then: the server ends it by the same time, and the library by itself where the server is gone.
        let question = tokio::spawn(async move {
            let found = find(collection, filter, timeout).await;
            drop(place);
            found
        });
        let fault = match timeout_at(deadline, question).await {
            Ok(Ok(Ok(rows))) => {
                self.patience.record_success();
                return Ok(rows);
            }
            // The question was heard.
            Ok(Ok(Err(error))) if matches!(*error.kind, ErrorKind::Command(_)) => {
                return Err(self.fault(error));
            }
            Ok(Ok(Err(error))) => self.fault(error),
            Ok(Err(_)) => SourceError::Answer("the question was given up"),
            Err(_) => SourceError::Timeout,
        };
        self.patience.record_failure();
        Err(fault)
    }

    /// Words of the library may repeat a value; its kinds and the names of codes do not.
    fn fault(&self, error: Error) -> SourceError {
        match *error.kind {
            ErrorKind::Command(said) => {
                SourceError::Refused(format!("error {} {}", said.code, said.code_name).into())
            }
            ErrorKind::Authentication { .. } => {
                SourceError::Refused("the broker's own username or password is wrong".into())
            }
            ErrorKind::ServerSelection { .. } => SourceError::Connect {
                address: self.servers.clone(),
                source: io::ErrorKind::NotConnected.into(),
            },
            ErrorKind::Io(fault) => SourceError::Lost(fault.kind().into()),
            _ => SourceError::Lost(io::ErrorKind::Other.into()),
        }
    }
}

async fn find(
    collection: Collection<Document>,
    filter: Document,
    timeout: Duration,
) -> Result<Vec<Row>, Error> {
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let mut found = collection.find(filter).limit(limit).max_time(timeout).await?;
    let mut rows = Vec::new();
    while found.advance().await? {
        rows.push(row_of(found.deserialize_current()?));
    }
    Ok(rows)
}

impl Table for MongoTable {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.filter.iter().map(|(_, template)| template.fill(entry)).collect()
    }

    /// A filter of texts: what a client says of itself is never an operator.
    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let names = self.filter.iter().map(|(name, _)| name.to_string());
        let filter: Document = names.zip(values.into_iter().map(Into::into)).collect();
        self.ask(filter).await
    }
}

impl fmt::Debug for MongoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoTable").field("collection", &self.collection).finish_non_exhaustive()
    }
}
