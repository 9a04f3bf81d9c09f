//! The address of a service: `http://host:port/path?query`, with placeholders behind the host.

use super::template::HttpTemplate;
use crate::sources::config::SslConfig;
use crate::sources::error::SetupError;
use crate::sources::net::{Endpoint, TlsTerms};

/// Where a service is.
pub struct Address {
    /// The server.
    pub endpoint: Endpoint,
    /// What stands in the `Host` header.
    pub host: Box<str>,
    /// Path and query.
    pub path: HttpTemplate,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// Not an `http` or `https` address, a placeholder in the host, or TLS that cannot be set up.
    pub fn parse(
        key: &'static str,
        text: &str,
        ssl: &SslConfig,
        asks_topics: bool,
    ) -> Result<Address, SetupError> {
        // The address itself is not repeated: a password may stand in it.
        let fault = || {
            let expected = "write http://HOST:PORT/PATH or https://…, without user name and fragment";
            SetupError::key(key, format!("not an address; {expected}"))
        };
        let (is_private, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(fault()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        if host.contains('$') || text.contains('#') || path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(fault());
        }
        let tls = match is_private {
            true => TlsTerms::load(&SslConfig { enable: true, ..ssl.clone() })?,
            false => None,
        };
        let endpoint =
            Endpoint::parse(key, host, if is_private { 443 } else { 80 }, tls).map_err(|_| fault())?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = HttpTemplate::parse(&path, asks_topics).map_err(SetupError::template(key))?;
        Ok(Address { endpoint, host: host.into(), path })
    }
}
