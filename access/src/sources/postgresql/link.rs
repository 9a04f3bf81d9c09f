//! One connection to PostgreSQL with its one statement.

use super::cell::{Cell, Parameter};
use super::private::Private;
use crate::sources::error::SourceError;
use crate::sources::lookup::{ROWS_MAX, Row};
use crate::sources::net::{Connector, Endpoint};
use futures_util::StreamExt;
use std::io;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, Statement};

/// Connects and prepares a statement.
#[derive(Debug)]
pub struct PostgresConnector {
    endpoint: Endpoint,
    login: Config,
    statement: Box<str>,
}

/// A connection that was prepared.
pub struct PostgresLink {
    client: Client,
    statement: Statement,
}

impl PostgresConnector {
    /// A connector to this server, as this user.
    pub fn new(endpoint: Endpoint, mut login: Config, statement: String) -> PostgresConnector {
        login.application_name("ringmq");
        login.ssl_mode(if endpoint.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        PostgresConnector { endpoint, login, statement: statement.into() }
    }

    async fn log_in(&self) -> Result<Client, SourceError> {
        let stream = self.endpoint.connect_plain().await?;
        // The tasks end with their clients.
        if self.endpoint.tls.is_some() {
            let private = Private(self.endpoint.clone());
            let (client, connection) = self.login.connect_raw(stream, private).await.map_err(setup_fault)?;
            tokio::spawn(connection);
            return Ok(client);
        }
        let (client, connection) = self.login.connect_raw(stream, NoTls).await.map_err(setup_fault)?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Connector for PostgresConnector {
    type Link = PostgresLink;

    async fn connect(&self) -> Result<PostgresLink, SourceError> {
        let client = self.log_in().await?;
        let statement = client.prepare(&self.statement).await.map_err(setup_fault)?;
        Ok(PostgresLink { client, statement })
    }

    fn is_usable(&self, link: &mut PostgresLink) -> bool {
        !link.client.is_closed()
    }
}

impl PostgresLink {
    /// The rows for these parameters.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn query(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let parameters = values.into_iter().map(Parameter);
        let found = self.client.query_raw(&self.statement, parameters).await.map_err(query_fault)?;
        let mut found = std::pin::pin!(found);
        let mut rows = Vec::new();
        while let Some(row) = found.next().await {
            let row = row.map_err(query_fault)?;
            let mut read = Row::new();
            for (at, column) in row.columns().iter().enumerate() {
                let Cell(value) = row.try_get(at).map_err(|_| {
                    let name = column.name();
                    SourceError::Refused(format!("column {name} cannot be read; cast it to text").into())
                })?;
                read.insert(column.name().to_owned(), value);
            }
            rows.push(read);
            if rows.len() > ROWS_MAX {
                break;
            }
        }
        Ok(rows)
    }
}

/// Before values of clients are sent, the server's words hold none.
fn setup_fault(error: tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(said) => SourceError::Refused(format!("{} ({})", said.message(), said.code().code()).into()),
        None => lost(error),
    }
}

/// The server's words may repeat a value; the code does not.
fn query_fault(error: tokio_postgres::Error) -> SourceError {
    match error.as_db_error() {
        Some(said) if !error.is_closed() => {
            SourceError::Refused(format!("SQLSTATE {}", said.code().code()).into())
        }
        _ => lost(error),
    }
}

fn lost(error: tokio_postgres::Error) -> SourceError {
    SourceError::Lost(io::Error::other(error))
}
