//! One connection to MySQL with its one statement.

use crate::sources::error::SourceError;
use crate::sources::lookup::{ROWS_MAX, Row};
use crate::sources::net::Connector;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, Params, Statement, Value as Cell};
use serde_json::Value;
use std::fmt;
use std::io;

/// Connects and prepares a statement.
pub struct MysqlConnector {
    login: Opts,
    address: Box<str>,
    statement: Box<str>,
}

/// A connection that was prepared.
pub struct MysqlLink {
    connection: Conn,
    statement: Statement,
}

impl MysqlConnector {
    /// A connector with this login; `address` is what the server is called in the log.
    pub fn new(login: Opts, address: Box<str>, statement: String) -> MysqlConnector {
        MysqlConnector { login, address, statement: statement.into() }
    }
}

impl Connector for MysqlConnector {
    type Link = MysqlLink;

    async fn connect(&self) -> Result<MysqlLink, SourceError> {
        let connected = Conn::new(self.login.clone()).await;
        let mut connection = connected.map_err(|error| match setup_fault(error) {
            SourceError::Lost(source) => SourceError::Connect { address: self.address.clone(), source },
            other => other,
        })?;
        let statement = connection.prep(&*self.statement).await.map_err(setup_fault)?;
        Ok(MysqlLink { connection, statement })
    }
}

impl MysqlLink {
    /// The rows for these parameters.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn query(&mut self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let values = values.into_iter().map(|value| Cell::Bytes(value.into_bytes())).collect();
        let found = self.connection.exec_iter(&self.statement, Params::Positional(values)).await;
        let mut found = found.map_err(query_fault)?;
        let mut rows = Vec::new();
        while let Some(mut row) = found.next().await.map_err(query_fault)? {
            let mut read = Row::new();
            let columns = row.columns();
            for (at, column) in columns.iter().enumerate() {
                let cell = row.take(at).unwrap_or(Cell::NULL);
                let name = column.name_str();
                let Some(value) = read_cell(cell) else {
                    let fault = format!("column {name} cannot be read; cast it to CHAR");
                    return Err(SourceError::Refused(fault.into()));
                };
                read.insert(name.into_owned(), value);
            }
            rows.push(read);
            if rows.len() > ROWS_MAX {
                break;
            }
        }
        found.drop_result().await.map_err(query_fault)?;
        Ok(rows)
    }
}

/// The value of a column; none for what is neither text nor a number.
fn read_cell(cell: Cell) -> Option<Value> {
    Some(match cell {
        Cell::NULL => Value::Null,
        // BIT(1)
        Cell::Bytes(bytes) if bytes.len() == 1 && bytes[0] < 2 => bytes[0].into(),
        Cell::Bytes(bytes) => String::from_utf8(bytes).ok()?.into(),
        Cell::Int(number) => number.into(),
        Cell::UInt(number) => number.into(),
        Cell::Float(_) | Cell::Double(_) | Cell::Date(..) | Cell::Time(..) => return None,
    })
}

/// Before values of clients are sent, the server's words hold none.
fn setup_fault(error: Error) -> SourceError {
    match error {
        Error::Server(said) => SourceError::Refused(format!("{} ({})", said.message, said.code).into()),
        other => lost(other),
    }
}

/// The server's words may repeat a value; the code does not.
fn query_fault(error: Error) -> SourceError {
    match error {
        Error::Server(said) => SourceError::Refused(format!("error {}", said.code).into()),
        other => lost(other),
    }
}

fn lost(error: Error) -> SourceError {
    SourceError::Lost(io::Error::other(error))
}

impl fmt::Debug for MysqlConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlConnector").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_read_by_their_type() {
        let cases = [
            (Cell::NULL, Some(Value::Null)),
            (Cell::Int(-1), Some(json!(-1))),
            (Cell::UInt(1), Some(json!(1))),
            (Cell::Bytes(b"1".to_vec()), Some(json!("1"))),
            (Cell::Bytes(vec![1]), Some(json!(1))),
            (Cell::Bytes(vec![0xff, 0xfe]), None),
            (Cell::Double(1.0), None),
        ];
        for (cell, expected) in cases {
            assert_eq!(read_cell(cell.clone()), expected, "{cell:?}");
        }
    }
}
