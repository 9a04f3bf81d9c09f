//! One connection to a Redis server.

use super::resp::{Reply, read_reply, write_command};
use crate::authentication::Secret;
use crate::sources::error::SourceError;
use crate::sources::net::{Endpoint, Stream};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Who the broker is there.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Its user; empty for the default one.
    pub username: Box<str>,
    /// Its password; empty for none.
    pub password: Secret,
    /// The number of the database.
    pub database: u32,
}

/// A connection.
#[derive(Debug)]
pub struct RedisLink {
    stream: Stream,
    received: Vec<u8>,
}

impl RedisLink {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn connect(endpoint: &Endpoint, login: &Login) -> Result<RedisLink, SourceError> {
        let mut link = RedisLink { stream: endpoint.connect().await?, received: Vec::new() };
        let password = login.password.reveal().as_bytes();
        if !password.is_empty() {
            let username = login.username.as_bytes();
            let words: &[&[u8]] =
                if username.is_empty() { &[b"AUTH", password] } else { &[b"AUTH", username, password] };
            accepted(link.exchange(words).await?)?;
        }
        if login.database != 0 {
            let number = login.database.to_string();
            accepted(link.exchange(&[b"SELECT", number.as_bytes()]).await?)?;
        }
        Ok(link)
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// [`SourceError`]; what the server refuses is a reply.
    pub async fn exchange(&mut self, words: &[&[u8]]) -> Result<Reply, SourceError> {
        let mut bytes = Vec::new();
        write_command(words, &mut bytes);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        loop {
            match read_reply(&self.received) {
                Ok(Some((reply, taken))) => {
                    self.received.drain(..taken);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(_) => return Err(SourceError::Answer("it is not a Redis reply of at most 1 MiB")),
            }
            self.received.reserve(4096);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(SourceError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Sees that a command was accepted.
///
/// # Errors
/// It was refused.
pub fn accepted(reply: Reply) -> Result<Reply, SourceError> {
    match reply {
        Reply::Error(text) => Err(refused(&text)),
        reply => Ok(reply),
    }
}

/// Only the kind of an error is shown, since its text may repeat what was sent.
fn refused(text: &str) -> SourceError {
    let kind = text.split(' ').next().unwrap_or_default();
    let is_kind = kind.len() <= 32 && kind.bytes().all(|byte| byte.is_ascii_uppercase());
    SourceError::Refused(if is_kind { kind } else { "an error of no known kind" }.into())
}
