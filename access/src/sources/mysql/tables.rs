//! What MySQL keeps for the broker: a table of users, and one of rules.

use super::link::MysqlConnector;
use crate::sources::config::{SqlConfig, SqlRulesConfig, SqlServer, SslConfig, Verify, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::lookup::{Row, Rules, SqlQuery, Table, UserColumns, Users};
use crate::sources::net::{Endpoint, Pool, TlsTerms, authorities_of};
use mysql_async::{ClientIdentity, OptsBuilder, SslOpts};
use ringmq_shards::access::Entry;

/// A query of MySQL.
#[derive(Debug)]
pub struct MysqlTable {
    pool: Pool<MysqlConnector>,
    query: SqlQuery,
}

/// The element `password_based:mysql`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn users(config: &SqlConfig) -> Result<Users<MysqlTable>, SetupError> {
    let table = MysqlTable::new(&config.server(), &config.query)?;
    let algorithm = config.password_hash_algorithm.clone();
    Users::new("password_based:mysql", table, UserColumns::default(), algorithm, config.cache)
}

/// The source of rules `mysql`.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn rules(config: &SqlRulesConfig) -> Result<Rules<MysqlTable>, SetupError> {
    Ok(Rules::new("authorization mysql", MysqlTable::new(&config.server(), &config.query)?))
}

impl MysqlTable {
    fn new(server: &SqlServer<'_>, query: &str) -> Result<MysqlTable, SetupError> {
        let endpoint = Endpoint::parse("server", server.server, 3306, None)?;
        let query = SqlQuery::parse(query)?;
        let password = Some(server.password.reveal()).filter(|password| !password.is_empty());
        let login = OptsBuilder::default()
            .ip_or_hostname(&*endpoint.host)
            .tcp_port(endpoint.port)
            .user(Some(server.username))
            .pass(password)
            .db_name(Some(server.database))
            .prefer_socket(false)
            .stmt_cache_size(1_usize)
            .ssl_opts(tls_of(server.ssl)?);
        let terms = pool_terms(server.pool_size, "query_timeout", server.query_timeout)?;
        let statement = query.statement(|_| "?".to_owned());
        let connector = MysqlConnector::new(login.into(), endpoint.address(), statement);
        Ok(MysqlTable { pool: Pool::new(connector, terms), query })
    }
}

/// TLS in the words of the library.
fn tls_of(ssl: &SslConfig) -> Result<Option<SslOpts>, SetupError> {
    // Reads every file, so that what is wrong shows now.
    if TlsTerms::load(ssl)?.is_none() {
        return Ok(None);
    }
    let mut terms = SslOpts::default();
    match ssl.verify {
        Verify::VerifyPeer => {
            let authorities = authorities_of(ssl.cacertfile.as_deref())?;
            terms = terms.with_disable_built_in_roots(true).with_root_certs(vec![authorities.into()]);
        }
        // The library wants some authority even where it asks none.
        Verify::VerifyNone => {
            terms = terms.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
        }
    }
    if let (Some(certificate), Some(key)) = (&ssl.certfile, &ssl.keyfile) {
        let identity = ClientIdentity::new(certificate.clone().into(), key.clone().into());
        terms = terms.with_client_identity(Some(identity));
    }
    if let Some(name) = &ssl.server_name_indication {
        terms = terms.with_danger_tls_hostname_override(Some(name.clone()));
    }
    Ok(Some(terms))
}

impl Table for MysqlTable {
    fn values(&self, entry: &Entry) -> Option<Vec<String>> {
        self.query.values(entry)
    }

    async fn rows(&self, values: Vec<String>) -> Result<Vec<Row>, SourceError> {
        let answer = self.pool.ask(|mut link| {
            let values = values.clone();
            async move {
                let rows = link.query(values).await;
                (link, rows)
            }
        });
        answer.await
    }
}
