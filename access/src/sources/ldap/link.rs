//! One connection to a directory, logged in as the broker or not yet as anybody.

use super::search::Found;
use crate::authentication::Secret;
use crate::sources::config::SslConfig;
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::ROWS_MAX;
use crate::sources::net::{Connector, Endpoint, PoolTerms, TlsTerms};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use std::io;
use std::time::Duration;

/// Result codes of RFC 4511.
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;

/// Connects to a directory.
#[derive(Debug)]
pub struct LdapConnector {
    endpoint: Endpoint,
    timeout: Duration,
    username: Box<str>,
    password: Secret,
}

impl LdapConnector {
    /// A connector to a server, which logs in as this entry; as nobody where it has no name.
    ///
    /// # Errors
    /// Something in the configuration that cannot be.
    pub fn new(
        server: &str,
        ssl: &SslConfig,
        login: (&str, &Secret),
        terms: PoolTerms,
    ) -> Result<LdapConnector, SetupError> {
        if ssl.server_name_indication.is_some() {
            let fault = "cannot be set for ldap; write the name of the certificate in `server`";
            return Err(SetupError::key("ssl.server_name_indication", fault));
        }
        let tls = TlsTerms::load(ssl)?;
        let default_port = if tls.is_some() { 636 } else { 389 };
        Ok(LdapConnector {
            endpoint: Endpoint::parse("server", server, default_port, tls)?,
            timeout: terms.timeout,
            username: login.0.into(),
            password: login.1.clone(),
        })
    }
}

/// A connection.
pub struct LdapLink(Ldap);

impl Connector for LdapConnector {
    type Link = LdapLink;

    async fn connect(&self) -> Result<LdapLink, SourceError> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.timeout);
        let address = self.endpoint.address();
        let mut scheme = "ldap";
        if let Some(tls) = &self.endpoint.tls {
            settings = settings.set_config(tls.config().clone());
            scheme = "ldaps";
        }
        let connected = LdapConnAsync::with_settings(settings, &format!("{scheme}://{address}")).await;
        let (connection, ldap) = connected.map_err(|error| match fault(error) {
            SourceError::Lost(source) => SourceError::Connect { address, source },
            other => other,
        })?;
        // Ends with the last handle.
        tokio::spawn(connection.drive());
        let mut link = LdapLink(ldap);
        if !self.username.is_empty() && !link.bind(&self.username, self.password.reveal()).await? {
            return Err(SourceError::Refused("the broker's own username or password is wrong".into()));
        }
        Ok(link)
    }

    fn is_usable(&self, link: &mut LdapLink) -> bool {
        !link.0.is_closed()
    }
}

impl LdapLink {
    /// Whether an entry has this password.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn bind(&mut self, name: &str, password: &str) -> Result<bool, SourceError> {
        match self.0.simple_bind(name, password).await.map_err(fault)?.rc {
            SUCCESS => Ok(true),
            INVALID_CREDENTIALS => Ok(false),
            code => Err(refused(code)),
        }
    }

    /// The entries that were meant, with these attributes.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn search(
        &mut self,
        found: &Found,
        attributes: Vec<String>,
    ) -> Result<Vec<SearchEntry>, SourceError> {
        let most = i32::try_from(ROWS_MAX).unwrap_or(i32::MAX);
        self.0.with_search_options(SearchOptions::new().sizelimit(most));
        let answer = self.0.search(&found.base, Scope::Subtree, &found.filter, attributes).await;
        let answer = answer.map_err(fault)?;
        match answer.1.rc {
            SUCCESS | SIZE_LIMIT_EXCEEDED => {}
            NO_SUCH_OBJECT => return Ok(Vec::new()),
            code => return Err(refused(code)),
        }
        Ok(answer.0.into_iter().filter(|entry| !entry.is_ref()).map(SearchEntry::construct).collect())
    }
}

fn refused(code: u32) -> SourceError {
    SourceError::Refused(format!("LDAP result code {code}").into())
}

fn fault(error: LdapError) -> SourceError {
    match error {
        LdapError::Io { source } => SourceError::Lost(source),
        LdapError::Timeout { .. } => SourceError::Timeout,
        other => SourceError::Lost(io::Error::other(other)),
    }
}
