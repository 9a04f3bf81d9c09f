//! One connection to an HTTP/1.1 server, and one request on it.

use crate::sources::error::SourceError;
use crate::sources::net::{Connector, Endpoint};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;

/// The longest body of an answer that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Connects to one server.
#[derive(Debug)]
pub struct HttpConnector {
    endpoint: Endpoint,
}

impl HttpConnector {
    /// A connector to this server.
    pub fn new(endpoint: Endpoint) -> HttpConnector {
        HttpConnector { endpoint }
    }
}

impl Connector for HttpConnector {
    type Link = SendRequest<Full<Bytes>>;

    async fn connect(&self) -> Result<Self::Link, SourceError> {
        let stream = self.endpoint.connect().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Ends with the connection, and that with its sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn is_usable(&self, link: &mut Self::Link) -> bool {
        !link.is_closed()
    }
}

/// Sends a request and reads the whole answer, so that the connection is free for the next.
pub async fn exchange(
    mut link: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (SendRequest<Full<Bytes>>, Result<Reply, SourceError>) {
    let reply = exchange_on(&mut link, request).await;
    (link, reply)
}

async fn exchange_on(
    link: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Reply, SourceError> {
    link.ready().await.map_err(lost)?;
    let response = link.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| SourceError::Answer("its body is cut short or longer than 1 MiB"))?;
    Ok(Reply { status, body: body.to_bytes() })
}

/// The library's words name what happened to the connection, never what was sent on it.
fn lost(error: hyper::Error) -> SourceError {
    if error.is_parse() {
        return SourceError::Answer("it is not HTTP/1.1");
    }
    SourceError::Lost(io::Error::other(error))
}
