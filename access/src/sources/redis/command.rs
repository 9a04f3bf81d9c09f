//! The command that is sent for a client, as an operator writes it: `HMGET key field…`, `HGET key field`, `HGETALL key`.

use super::resp::Reply;
use crate::authentication::template::Template;
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::Row;
use serde_json::Value;

/// A command with a key that differs from client to client.
#[derive(Debug)]
pub struct Command {
    name: &'static str,
    /// The key. What a client says of itself never becomes a second word.
    pub key: Template,
    fields: Vec<Box<str>>,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// Another command, or one without what it needs.
    pub fn parse(text: &str) -> Result<Command, SetupError> {
        let fault = || {
            let expected = "write HMGET KEY FIELD…, HGET KEY FIELD or HGETALL KEY";
            SetupError::key("cmd", format!("`{text}` cannot be used; {expected}"))
        };
        let mut words = text.split_ascii_whitespace();
        let name = words.next().ok_or_else(fault)?;
        let name = ["HMGET", "HGET", "HGETALL"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
        let name = name.ok_or_else(fault)?;
        let key: Template = words.next().ok_or_else(fault)?.parse().map_err(SetupError::template("cmd"))?;
        let fields: Vec<Box<str>> = words.map(Into::into).collect();
        let is_complete = match name {
            "HMGET" => !fields.is_empty(),
            "HGET" => fields.len() == 1,
            _ => fields.is_empty(),
        };
        if !is_complete || fields.iter().any(|field| field.contains("${")) {
            return Err(fault());
        }
        if key.is_fixed() {
            return Err(SetupError::key(
                "cmd",
                "the key is the same for every client; put ${username} in it",
            ));
        }
        Ok(Command { name, key, fields })
    }

    /// Whether it asks for all fields.
    pub fn asks_for_all(&self) -> bool {
        self.name == "HGETALL"
    }

    /// The words for a key.
    pub fn words<'a>(&'a self, key: &'a str) -> Vec<&'a [u8]> {
        let mut words = vec![self.name.as_bytes(), key.as_bytes()];
        words.extend(self.fields.iter().map(|field| field.as_bytes()));
        words
    }

    /// The fields of the reply; none where there is no such key.
    ///
    /// # Errors
    /// The reply does not belong to the command.
    pub fn read(&self, reply: Reply) -> Result<Row, SourceError> {
        const STRANGE: SourceError = SourceError::Answer("it does not belong to the command");
        let mut row = Row::new();
        match (self.name, reply) {
            ("HGET", reply) => keep(&self.fields[0], reply, &mut row),
            ("HMGET", Reply::Array(values)) if values.len() == self.fields.len() => {
                for (field, value) in self.fields.iter().zip(values) {
                    keep(field, value, &mut row);
                }
            }
            ("HGETALL", Reply::Array(values)) if values.len().is_multiple_of(2) => {
                let mut values = values.into_iter();
                while let (Some(field), Some(value)) = (values.next(), values.next()) {
                    let Reply::Bulk(field) = field else { return Err(STRANGE) };
                    keep(&String::from_utf8_lossy(&field), value, &mut row);
                }
            }
            _ => return Err(STRANGE),
        }
        Ok(row)
    }
}

fn keep(field: &str, value: Reply, row: &mut Row) {
    if let Reply::Bulk(bytes) = value {
        row.insert(field.to_owned(), Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    }
}
