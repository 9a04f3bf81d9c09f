//! A connection to a server, with TLS or without, and where it leads.

use super::tls::TlsTerms;
use crate::sources::error::{SetupError, SourceError};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// How it is spoken to in private, if it is.
    pub tls: Option<TlsTerms>,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `[::1]:port`.
    ///
    /// # Errors
    /// Neither of these.
    pub fn parse(
        key: &'static str,
        text: &str,
        default_port: u16,
        tls: Option<TlsTerms>,
    ) -> Result<Endpoint, SetupError> {
        let fault = || {
            // What stands before an @ may be a password.
            let shown = if text.contains('@') { "…@…" } else { text };
            SetupError::key(key, format!("`{shown}` is not a server; write HOST or HOST:PORT"))
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(fault)?;
                (
                    host,
                    behind.strip_prefix(':').or_else(|| behind.is_empty().then_some("")).ok_or_else(fault)?,
                )
            }
            None => text.rsplit_once(':').unwrap_or((text, "")),
        };
        let port = match port {
            "" if !text.ends_with(':') => default_port,
            digits => digits.parse().ok().filter(|port| *port != 0).ok_or_else(fault)?,
        };
        let is_plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@' | b'?' | b'#' | b',');
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err(fault());
        }
        Ok(Endpoint { host: host.into(), port, tls })
    }

    /// Host and port as a text.
    pub fn address(&self) -> Box<str> {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port).into(),
            false => format!("{}:{}", self.host, self.port).into(),
        }
    }

    /// A connection without TLS, whatever the endpoint says.
    ///
    /// # Errors
    /// [`SourceError::Connect`].
    pub async fn connect_plain(&self) -> Result<TcpStream, SourceError> {
        let failed = |source| SourceError::Connect { address: self.address(), source };
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }

    /// A connection.
    ///
    /// # Errors
    /// [`SourceError::Connect`].
    pub async fn connect(&self) -> Result<Stream, SourceError> {
        let stream = self.connect_plain().await?;
        match &self.tls {
            None => Ok(Stream::Plain(stream)),
            Some(_) => self.wrap(stream).await.map(|stream| Stream::Tls(Box::new(stream))),
        }
    }

    /// Goes on in private on a connection that was made.
    ///
    /// # Errors
    /// [`SourceError::Connect`].
    pub async fn wrap(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, SourceError> {
        let terms = self.tls.as_ref().ok_or(SourceError::Answer("TLS was not configured"))?;
        let failed = |source| SourceError::Connect { address: self.address(), source };
        terms.wrap(&self.host, stream).await.map_err(failed)
    }
}

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
