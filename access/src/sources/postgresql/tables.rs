//! What PostgreSQL keeps for the broker: a table of users, and one of rules.

use super::link::PostgresConnector;
use crate::sources::config::{SqlConfig, SqlRulesConfig, SqlServer, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{Row, Rules, SqlQuery, Table, UserColumns, Users};
use crate::sources::net::{Endpoint, Pool, TlsTerms};
use ringmq_shards::access::Entry;

/// A query of PostgreSQL.
#[derive(Debug)]
pub struct PostgresTable {
    pool: Pool<PostgresConnector>,
    query: SqlQuery,
}

/// The element `password_based:postgresql`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn users(config: &SqlConfig) -> Result<Users<PostgresTable>, SetupError> {
    let table = PostgresTable::new(&config.server(), &config.query)?;
    let algorithm = config.password_hash_algorithm.clone();
    Users::new("password_based:postgresql", table, UserColumns::default(), algorithm, config.cache)
}

/// The source of rules `postgresql`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn rules(config: &SqlRulesConfig) -> Result<Rules<PostgresTable>, SetupError> {
    Ok(Rules::new("authorization postgresql", PostgresTable::new(&config.server(), &config.query)?))
}

impl PostgresTable {
    fn new(server: &SqlServer<'_>, query: &str) -> Result<PostgresTable, SetupError> {
        let endpoint = Endpoint::parse("server", server.server, 5432, TlsTerms::load(server.ssl)?)?;
        let query = SqlQuery::parse(query)?;
        let mut login = tokio_postgres::Config::new();
        login.user(server.username).dbname(server.database);
        if !server.password.reveal().is_empty() {
            login.password(server.password.reveal());
        }
        let statement = query.statement(|number| format!("${number}"));
        let terms = pool_terms(server.pool_size, "query_timeout", server.query_timeout)?;
        Ok(PostgresTable {
            pool: Pool::new(PostgresConnector::new(endpoint, login, statement), terms),
            query,
        })
    }
}

impl Table for PostgresTable {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.query.values(entry)
    }

    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let answer = self.pool.ask(|link| {
            let values = values.clone();
            async move {
                let rows = link.query(values).await;
                (link, rows)
            }
        });
        answer.await
    }
}
