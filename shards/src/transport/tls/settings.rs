//! From the files of a listener to what its handshakes need. Files are read here, before a shard sees any of it.

use super::certificate::{names_server, server_names};
use crate::config::{TlsOptions, TlsVersion, Verify};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The protocol name of MQTT in ALPN. (IANA, TLS ALPN Protocol IDs)
const ALPN_MQTT: &[u8] = b"mqtt";
/// That of HTTP/1.1, in which WebSocket begins.
const ALPN_HTTP: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken. The operator's to mend; the text names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file that is needed is not named.
    #[error("{key} is empty; {remedy}")]
    Missing {
        /// The key.
        key: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file cannot be read, or holds something else.
    #[error("{key} = \"{file}\": {reason}")]
    File {
        /// The key.
        key: String,
        /// Its value.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Keys that do not go together.
    #[error("{key}: {reason}")]
    Contradiction {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// What the handshakes of a listener need.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    server: Arc<ServerConfig>,
}

impl TlsSettings {
    /// Reads the files of a listener. `section` is its `ssl_options`, for errors.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(section: &str, options: &TlsOptions, has_websocket: bool) -> Result<TlsSettings, TlsError> {
        let key = |name: &str| format!("{section}.{name}");
        let provider = Arc::new(ring::default_provider());
        let certificates = Certificates::load(section, options, &provider)?;
        let versions: Vec<&'static SupportedProtocolVersion> =
            options.versions.iter().map(|version| supported(*version)).collect();
        let fail = |name: &str, reason: String| TlsError::Contradiction { key: key(name), reason };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| fail("versions", error.to_string()))?;
        let builder = match client_verifier(section, options, &provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::new(certificates));
        server.alpn_protocols = vec![if has_websocket { ALPN_HTTP } else { ALPN_MQTT }.to_vec()];
        // Sessions are resumed by tickets alone, which the clients keep.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if options.reuse_sessions {
            server.ticketer =
                ring::Ticketer::new().map_err(|error| fail("reuse_sessions", error.to_string()))?;
        } else {
            server.send_tls13_tickets = 0;
        }
        Ok(TlsSettings { server: Arc::new(server) })
    }

    /// The settings as rustls takes them.
    pub fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }
}

fn supported(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V12 => &rustls::version::TLS12,
        TlsVersion::V13 => &rustls::version::TLS13,
    }
}

/// The certificates of a listener, and for which servers they are.
struct Certificates {
    default: Arc<CertifiedKey>,
    named: Vec<(Vec<Box<str>>, Arc<CertifiedKey>)>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("named", &self.named.len()).finish_non_exhaustive()
    }
}

impl Certificates {
    fn load(
        section: &str,
        options: &TlsOptions,
        provider: &CryptoProvider,
    ) -> Result<Certificates, TlsError> {
        let default = load_pair(section, &options.certfile, &options.keyfile, provider)?;
        let mut named = vec![(names_of(&default), Arc::clone(&default))];
        for (index, files) in options.certificates.iter().enumerate() {
            let section = format!("{section}.certificates[{index}]");
            let pair = load_pair(&section, &files.certfile, &files.keyfile, provider)?;
            named.push((names_of(&pair), pair));
        }
        Ok(Certificates { default, named })
    }
}

thread_local! {
    static ASKED_FOR: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// Takes the server's name that the ClientHello read last on this thread asked for. rustls shows it to whoever resolves the
/// certificate, in the midst of reading, and to nobody else who uses its connections without buffers.
pub(super) fn take_asked_for() -> Option<Box<str>> {
    ASKED_FOR.take()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED_FOR.set(hello.server_name().map(Into::into));
        let found = hello.server_name().and_then(|server| {
            let server = server.to_ascii_lowercase();
            self.named.iter().find(|(names, _)| names.iter().any(|name| names_server(name, &server)))
        });
        Some(Arc::clone(found.map_or(&self.default, |(_, pair)| pair)))
    }
}

fn names_of(pair: &CertifiedKey) -> Vec<Box<str>> {
    pair.cert.first().map(server_names).unwrap_or_default()
}

fn load_pair(
    section: &str,
    certfile: &str,
    keyfile: &str,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = |name: &str| format!("{section}.{name}");
    let chain = read_all::<CertificateDer<'static>>(&key("certfile"), certfile, "certificate")?;
    let private = required(&key("keyfile"), keyfile)?;
    let private = PrivateKeyDer::from_pem_file(private).map_err(|error| TlsError::File {
        key: key("keyfile"),
        file: keyfile.to_owned(),
        reason: format!("{error}; it must be a PEM file with one unencrypted RSA, ECDSA or Ed25519 key"),
    })?;
    let pair = CertifiedKey::from_der(chain, private, provider).map_err(|error| TlsError::File {
        key: key("keyfile"),
        file: keyfile.to_owned(),
        reason: format!("{error}; it must be the key of the certificate in {}", key("certfile")),
    })?;
    Ok(Arc::new(pair))
}

fn client_verifier(
    section: &str,
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let key = |name: &str| format!("{section}.{name}");
    if options.verify == Verify::None {
        if options.fail_if_no_peer_cert {
            let reason = "true has no effect without verify = \"verify_peer\"".to_owned();
            return Err(TlsError::Contradiction { key: key("fail_if_no_peer_cert"), reason });
        }
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    let authorities = &options.cacertfile;
    for certificate in read_all::<CertificateDer<'static>>(&key("cacertfile"), authorities, "certificate")? {
        roots.add(certificate).map_err(|error| TlsError::File {
            key: key("cacertfile"),
            file: authorities.clone(),
            reason: error.to_string(),
        })?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !options.crlfile.is_empty() {
        let lists: Vec<CertificateRevocationListDer<'static>> =
            read_all(&key("crlfile"), &options.crlfile, "X509 CRL")?;
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    if !options.fail_if_no_peer_cert {
        builder = builder.allow_unauthenticated();
    }
    let built = builder
        .build()
        .map_err(|error| TlsError::Contradiction { key: key("verify"), reason: error.to_string() })?;
    Ok(Some(built))
}

/// Every item of a kind in a PEM file; at least one.
fn read_all<T: PemObject>(key: &str, file: &str, what: &str) -> Result<Vec<T>, TlsError> {
    let path = required(key, file)?;
    let fail = |reason| TlsError::File { key: key.to_owned(), file: file.to_owned(), reason };
    let items = T::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let items: Vec<T> = items.collect::<Result<_, _>>().map_err(|error| fail(error.to_string()))?;
    if items.is_empty() {
        return Err(fail(format!("no {what} in it; it must be a PEM file")));
    }
    Ok(items)
}

fn required<'a>(key: &str, file: &'a str) -> Result<&'a Path, TlsError> {
    if file.is_empty() {
        let remedy = "name a PEM file, or set the listener's enable = false";
        return Err(TlsError::Missing { key: key.to_owned(), remedy });
    }
    Ok(Path::new(file))
}
