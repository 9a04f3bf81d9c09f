//! TLS by rustls: whom to trust, who to be. Handshakes are complete ones, never resumed, so that every run pays the same.

use anyhow::{Context, Result, anyhow, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What all TLS connections of a run have in common.
#[derive(Debug)]
pub struct TlsTerms {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl TlsTerms {
    /// Terms for the broker `host`: its certificate leads to one in the file `ca`, or is not looked at where there is none;
    /// `identity` is our own certificate chain and key, for brokers that ask.
    ///
    /// # Errors
    /// When a file cannot be read or holds nothing of use.
    pub fn new(host: &str, ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<TlsTerms> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trust::new(ca, provider)?));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certificates = certificates(chain)?;
                let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
                builder.with_client_auth_cert(certificates, key).context("--cert and --key")?
            }
        };
        config.resumption = Resumption::disabled();
        let server = ServerName::try_from(host.to_owned()).with_context(|| format!("--host {host}"))?;
        Ok(TlsTerms { config: Arc::new(config), server })
    }

    /// One connection, not begun.
    ///
    /// # Errors
    /// When rustls refuses the terms.
    pub fn connection(&self) -> Result<ClientConnection> {
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), self.server.clone()).context("TLS")?;
        // What is waiting is bounded by whoever writes it; a part accepted here would be one more state.
        connection.set_buffer_limit(None);
        Ok(connection)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).with_context(|| path.display().to_string())?.collect();
    let certificates = certificates.with_context(|| path.display().to_string())?;
    ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}

/// Whom to trust: the owner of a certificate that leads to one in a file, or whoever signed the handshake.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    /// `None` for `--insecure`.
    authorities: Option<Authorities>,
}

/// The file of `--ca`.
#[derive(Debug)]
struct Authorities {
    file: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trust {
    fn new(ca: Option<&Path>, provider: Arc<CryptoProvider>) -> Result<Trust> {
        let authorities = ca.map(|ca| Authorities::read(ca, &provider)).transpose()?;
        Ok(Trust { provider, authorities })
    }
}

impl Authorities {
    fn read(file: &Path, provider: &Arc<CryptoProvider>) -> Result<Authorities> {
        let certificates = certificates(file)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).with_context(|| file.display().to_string())?;
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Ok(Authorities { file: file.to_owned(), certificates, verifier: builder.build().context("--ca")? })
    }

    fn distrust(&self, cause: CertificateError, end_entity: &CertificateDer<'_>) -> Distrust {
        let remedy = match &cause {
            _ if self.certificates.contains(end_entity) => {
                "it holds the broker's own certificate, which says it is an authority's (CA:TRUE) and is then no \
                 broker's; make it with CA:FALSE, or have an authority sign it, or use --insecure"
            }
            CertificateError::UnknownIssuer => {
                "no certificate there signed the broker's; name the file of its authority, or use --insecure"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "--host has to be a name that stands in the broker's certificate, or use --insecure"
            }
            _ => "the broker needs another certificate, or use --insecure",
        };
        Distrust { cause, file: self.file.clone(), remedy }
    }
}

/// Why the broker's certificate is not taken, and what to do about it.
#[derive(Debug)]
struct Distrust {
    cause: CertificateError,
    file: PathBuf,
    remedy: &'static str,
}

impl fmt::Display for Distrust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Distrust { cause, file, remedy } = self;
        write!(formatter, "--ca {} does not vouch for the broker ({cause}): {remedy}", file.display())
    }
}

impl std::error::Error for Distrust {}

/// The error in words; rustls has none for what a verifier of ours says.
pub fn explain(error: Error) -> anyhow::Error {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => anyhow!("{cause}"),
        error => error.into(),
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        let verifier = &authorities.verifier;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(
            |error| match error {
                Error::InvalidCertificate(cause) => {
                    let distrust = authorities.distrust(cause, end_entity);
                    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
                }
                other => other,
            },
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
