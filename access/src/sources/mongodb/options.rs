//! Servers and login in the words of the library.

use crate::sources::config::{MongoServers, MongoType, SslConfig, Verify, pool_terms};
use crate::sources::error::SetupError;
use crate::sources::net::{Endpoint, IDLE_MAX, TlsTerms, authorities_of};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};

/// The options for servers.
///
/// # Errors
/// Something in the configuration that cannot be.
pub fn options_of(config: &MongoServers<'_>) -> Result<ClientOptions, SetupError> {
    let names = config.servers.split(',').map(str::trim);
    let hosts = names.map(|name| {
        let endpoint = Endpoint::parse("server", name, 27017, None)?;
        Ok(ServerAddress::Tcp { host: endpoint.host.into(), port: Some(endpoint.port) })
    });
    let hosts = hosts.collect::<Result<Vec<_>, SetupError>>()?;
    if config.mongo_type == MongoType::Single && hosts.len() > 1 {
        return Err(SetupError::key("servers", "mongo_type = \"single\" has one server"));
    }
    if config.mongo_type == MongoType::Rs && config.replica_set_name.is_empty() {
        return Err(SetupError::key(
            "replica_set_name",
            "mongo_type = \"rs\" needs the name of the replica set",
        ));
    }
    let terms = pool_terms(config.pool_size, "query_timeout", config.query_timeout)?;
    let mut options = ClientOptions::default();
    options.hosts = hosts;
    options.app_name = Some("ringmq".to_owned());
    options.max_pool_size = u32::try_from(terms.size).ok();
    options.connect_timeout = Some(terms.timeout);
    // Before the question ends, so that the log says what is wrong.
    options.server_selection_timeout = Some(terms.timeout / 10 * 9);
    options.max_idle_time = Some(IDLE_MAX);
    options.direct_connection = (config.mongo_type == MongoType::Single).then_some(true);
    if config.mongo_type == MongoType::Rs {
        options.repl_set_name = Some(config.replica_set_name.to_owned());
    }
    if !config.username.is_empty() {
        let mut credential = Credential::default();
        credential.username = Some(config.username.to_owned());
        credential.password = Some(config.password.reveal().to_owned());
        credential.source = Some(config.auth_source.to_owned());
        options.credential = Some(credential);
    }
    options.tls = Some(tls_of(config.ssl)?);
    Ok(options)
}

fn tls_of(ssl: &SslConfig) -> Result<Tls, SetupError> {
    // Reads every file, so that what is wrong shows now.
    if TlsTerms::load(ssl)?.is_none() {
        return Ok(Tls::Disabled);
    }
    if ssl.server_name_indication.is_some() || ssl.certfile != ssl.keyfile {
        let fault = "mongodb takes certificate and key from one file and the name from `server`; set certfile = keyfile and no \
                     server_name_indication";
        return Err(SetupError::key("ssl", fault));
    }
    let mut terms = TlsOptions::default();
    match ssl.verify {
        Verify::VerifyPeer => terms.ca_file_path = Some(authorities_of(ssl.cacertfile.as_deref())?),
        Verify::VerifyNone => terms.allow_invalid_certificates = Some(true),
    }
    terms.cert_key_file_path.clone_from(&ssl.certfile);
    Ok(Tls::Enabled(terms))
}
