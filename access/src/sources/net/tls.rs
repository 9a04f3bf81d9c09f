//! TLS towards servers. Their certificates are checked unless the operator says otherwise.

use crate::sources::config::{SslConfig, Verify};
use crate::sources::error::SetupError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where Debian, Alpine, Arch, Fedora and their relatives keep the authorities that the system trusts.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt"];

/// How to speak TLS with a server.
#[derive(Debug, Clone)]
pub struct TlsTerms {
    config: Arc<ClientConfig>,
    /// The name to ask for and to check, where it is not the host's.
    name: Option<Box<str>>,
}

impl TlsTerms {
    /// The terms that a section `ssl` says; none where it is not enabled.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn load(ssl: &SslConfig) -> Result<Option<TlsTerms>, SetupError> {
        if !ssl.enable {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::key("ssl", error.to_string()))?;
        let builder = match ssl.verify {
            Verify::VerifyPeer => builder.with_root_certificates(roots(ssl.cacertfile.as_deref())?),
            Verify::VerifyNone => {
                let anyone = Arc::new(Anyone { algorithms });
                builder.dangerous().with_custom_certificate_verifier(anyone)
            }
        };
        let config = match (&ssl.certfile, &ssl.keyfile) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = read_certificates("ssl.certfile", certificate)?;
                let fault = |fault: String| SetupError::File { key: "ssl.keyfile", path: key.clone(), fault };
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| fault(format!("holds no private key in PEM: {error}")))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| fault(format!("cannot be used: {error}")))?
            }
            _ => {
                return Err(SetupError::key("ssl", "certfile and keyfile belong together; set both or none"));
            }
        };
        let name = ssl.server_name_indication.as_deref().map(Into::into);
        Ok(Some(TlsTerms { config: Arc::new(config), name }))
    }

    /// What rustls is told.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Speaks TLS on a connection to a host.
    ///
    /// # Errors
    /// The server has no certificate for the name, or the handshake fails otherwise.
    pub async fn wrap(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| io::ErrorKind::InvalidInput)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

/// The file with the authorities that may vouch for a server.
///
/// # Errors
/// None is named, and the system has none.
pub fn authorities_of(file: Option<&Path>) -> Result<PathBuf, SetupError> {
    let file = file.map(Path::to_owned);
    let file = file.or_else(|| SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
    file.ok_or_else(|| {
        SetupError::key("ssl.cacertfile", "the system has no bundle of authorities; name a file in PEM")
    })
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, SetupError> {
    let file = authorities_of(file)?;
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(read_certificates("ssl.cacertfile", &file)?);
    if added == 0 {
        let fault = "holds no certificate that can be used".to_owned();
        return Err(SetupError::File { key: "ssl.cacertfile", path: file, fault });
    }
    Ok(store)
}

fn read_certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let fault = |error| SetupError::File {
        key,
        path: path.to_owned(),
        fault: format!("cannot be read as certificates in PEM: {error}"),
    };
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(fault)
}

/// Takes any certificate: `verify = verify_none`.
#[derive(Debug)]
struct Anyone {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
