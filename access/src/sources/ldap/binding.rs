//! The element `password_based:ldap` with the method `bind`: the directory itself says whether a password is right. Nothing
//! is remembered, since that would be the password.

use super::link::LdapConnector;
use super::search::Search;
use super::tables::is_superuser;
use crate::authentication::{Decision, RemoteAuthenticator, RemoteDecision, Secret};
use crate::sources::config::{LdapConfig, LdapMethod, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::LogThrottle;
use crate::sources::net::Pool;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};

const ID: &str = "password_based:ldap";

/// A directory that users are logged in to.
#[derive(Debug)]
pub struct LdapBinding {
    /// Logged in as the broker.
    searching: Pool<LdapConnector>,
    /// Logged in as whoever was tried last.
    trying: Pool<LdapConnector>,
    search: Search,
    superuser_attribute: Box<str>,
    log: LogThrottle,
}

impl LdapBinding {
    /// The element.
    ///
    /// # Errors
    /// Something in the configuration that cannot be.
    pub fn new(config: &LdapConfig) -> Result<LdapBinding, SetupError> {
        let LdapMethod::Bind { is_superuser_attribute } = &config.method else {
            return Err(SetupError::key("method", "is `hash`, which tries no password"));
        };
        let terms = pool_terms(config.pool_size, "query_timeout", config.query_timeout)?;
        let login = (config.username.as_str(), &config.password);
        let nobody = ("", &Secret::default());
        let searching = LdapConnector::new(&config.server, &config.ssl, login, terms)?;
        let trying = LdapConnector::new(&config.server, &config.ssl, nobody, terms)?;
        Ok(LdapBinding {
            searching: Pool::new(searching, terms),
            trying: Pool::new(trying, terms),
            search: Search::parse(&config.base_dn, &config.filter)?,
            superuser_attribute: is_superuser_attribute.as_str().into(),
            log: LogThrottle::default(),
        })
    }

    async fn ask(&self, entry: &Entry) -> Decision {
        let asked = self.try_password(entry).await;
        if let Err(error) = &asked {
            self.log.failed(ID, error);
        } else {
            self.log.answered(ID);
        }
        asked.unwrap_or(Decision::Ignore)
    }

    async fn try_password(&self, entry: &Entry) -> Result<Decision, SourceError> {
        const WRONG: Decision = Decision::Deny(ReasonCode::BadUserNameOrPassword);
        let Some(found) = self.search.fill_in(entry) else { return Ok(Decision::Ignore) };
        let Some(password) = entry.password.as_deref() else { return Ok(Decision::Unknown) };
        let attribute = self.superuser_attribute.to_string();
        let entries = self.searching.ask(|mut link| {
            let (found, attributes) = (found.clone(), vec![attribute.clone()]);
            async move {
                let entries = link.search(&found, attributes).await;
                (link, entries)
            }
        });
        let entries = entries.await?;
        let [user] = entries.as_slice() else { return Ok(Decision::Unknown) };
        let is_superuser = is_superuser(user, &self.superuser_attribute);
        // Directories take an empty password for a login as nobody, which always succeeds (RFC 4513, 5.1.2).
        let Some(password) = std::str::from_utf8(password).ok().filter(|text| !text.is_empty()) else {
            return Ok(WRONG);
        };
        let is_right = self.trying.ask(|mut link| {
            let (name, password) = (user.dn.clone(), password.to_owned());
            async move {
                let is_right = link.bind(&name, &password).await;
                (link, is_right)
            }
        });
        Ok(match is_right.await? {
            true => Decision::Allow(Grant { is_superuser, ..Grant::default() }),
            false => WRONG,
        })
    }
}

impl RemoteAuthenticator for LdapBinding {
    fn id(&self) -> &str {
        ID
    }

    fn decide<'a>(&'a self, entry: &'a Entry) -> RemoteDecision<'a> {
        Box::pin(self.ask(entry))
    }
}
