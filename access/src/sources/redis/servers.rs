//! Which server is asked: the one there is, the master that sentinels name, or the one of a cluster that has the key.

use super::cluster::Cluster;
use super::link::{Login, RedisLink, accepted};
use super::resp::Reply;
use crate::sources::config::{RedisServers, RedisType, pool_terms};
use crate::sources::error::{SetupError, SourceError};
use crate::sources::net::{Connector, Endpoint, Pool, TlsTerms};

/// The most servers that may be named.
const SERVERS_MAX: usize = 64;

/// The servers.
#[derive(Debug)]
pub enum Servers {
    /// One that is always asked.
    One(Pool<RedisConnector>),
    /// A cluster.
    Cluster(Cluster),
}

impl Servers {
    /// The servers of a configuration.
    ///
    /// # Errors
    /// Something in it that cannot be.
    pub fn new(config: &RedisServers<'_>) -> Result<Servers, SetupError> {
        let is_cluster = config.redis_type == RedisType::Cluster;
        let (key, port) = match config.redis_type {
            RedisType::Single => ("server", 6379),
            RedisType::Sentinel => ("servers", 26379),
            RedisType::Cluster => ("servers", 6379),
        };
        let tls = TlsTerms::load(config.ssl)?;
        let names = config.servers.split(',').map(str::trim);
        let endpoints = names.map(|name| Endpoint::parse(key, name, port, tls.clone()));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        if endpoints.len() > SERVERS_MAX || (config.redis_type == RedisType::Single && endpoints.len() > 1) {
            let most = if config.redis_type == RedisType::Single { 1 } else { SERVERS_MAX };
            return Err(SetupError::key(key, format!("names {} servers; at most {most}", endpoints.len())));
        }
        if is_cluster && config.database != 0 {
            return Err(SetupError::key("database", "a cluster has only database 0"));
        }
        let login = Login {
            username: config.username.into(),
            password: config.password.clone(),
            database: config.database,
        };
        let terms = pool_terms(config.pool_size, "query_timeout", config.query_timeout)?;
        let target = match config.redis_type {
            RedisType::Single | RedisType::Cluster => Target::Server(endpoints[0].clone()),
            RedisType::Sentinel => {
                Target::Master { sentinels: endpoints.clone(), name: config.sentinel.into() }
            }
        };
        Ok(match is_cluster {
            true => Servers::Cluster(Cluster::new(endpoints, login, terms)),
            false => Servers::One(Pool::new(RedisConnector { target, login }, terms)),
        })
    }

    /// Sends a command whose second word is the key.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn ask(&self, words: &[&[u8]]) -> Result<Reply, SourceError> {
        match self {
            Servers::One(pool) => accepted(ask(pool, words, false).await?),
            Servers::Cluster(cluster) => cluster.ask(words).await,
        }
    }
}

/// Sends a command over a pool; `is_asking` where a cluster is moving the key there.
///
/// # Errors
/// [`SourceError`]; what the server refuses is a reply.
pub async fn ask(
    pool: &Pool<RedisConnector>,
    words: &[&[u8]],
    is_asking: bool,
) -> Result<Reply, SourceError> {
    pool.ask(|mut link| async move {
        if is_asking && let Err(error) = link.exchange(&[b"ASKING"]).await {
            return (link, Err(error));
        }
        let reply = link.exchange(words).await;
        (link, reply)
    })
    .await
}

#[derive(Debug)]
enum Target {
    Server(Endpoint),
    Master { sentinels: Vec<Endpoint>, name: Box<str> },
}

/// Connects to a server.
#[derive(Debug)]
pub struct RedisConnector {
    target: Target,
    login: Login,
}

impl RedisConnector {
    /// A connector to this server.
    pub fn to(endpoint: Endpoint, login: Login) -> RedisConnector {
        RedisConnector { target: Target::Server(endpoint), login }
    }
}

impl Connector for RedisConnector {
    type Link = RedisLink;

    async fn connect(&self) -> Result<RedisLink, SourceError> {
        match &self.target {
            Target::Server(endpoint) => RedisLink::connect(endpoint, &self.login).await,
            Target::Master { sentinels, name } => {
                let master = master_of(sentinels, name).await?;
                RedisLink::connect(&master, &self.login).await
            }
        }
    }
}

/// What the first sentinel that knows says. Sentinels are asked without login.
async fn master_of(sentinels: &[Endpoint], name: &str) -> Result<Endpoint, SourceError> {
    let mut failure = SourceError::Answer("no sentinel knows a master of this name");
    for sentinel in sentinels {
        match ask_sentinel(sentinel, name).await {
            Ok(Some((host, port))) => return Ok(Endpoint { host, port, tls: sentinel.tls.clone() }),
            Ok(None) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn ask_sentinel(sentinel: &Endpoint, name: &str) -> Result<Option<(Box<str>, u16)>, SourceError> {
    let mut link = RedisLink::connect(sentinel, &Login::default()).await?;
    let words: [&[u8]; 3] = [b"SENTINEL", b"get-master-addr-by-name", name.as_bytes()];
    let Reply::Array(parts) = accepted(link.exchange(&words).await?)? else { return Ok(None) };
    let [Reply::Bulk(host), Reply::Bulk(port)] = parts.as_slice() else { return Ok(None) };
    let (host, port) = (std::str::from_utf8(host), std::str::from_utf8(port));
    match (host, port.map(str::parse)) {
        (Ok(host), Ok(Ok(port))) => Ok(Some((host.into(), port))),
        _ => Ok(None),
    }
}
