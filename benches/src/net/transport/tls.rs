//! TLS by rustls: whom to trust, who to be. Handshakes are complete ones, never resumed, so that every run pays the same.

use anyhow::{Context, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
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
            .with_custom_certificate_verifier(verifier(ca, provider)?);
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

fn verifier(ca: Option<&Path>, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let Some(ca) = ca else { return Ok(Arc::new(TrustAnybody { provider })) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).with_context(|| ca.display().to_string())?;
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(builder.build().context("--ca")?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).with_context(|| path.display().to_string())?.collect();
    let certificates = certificates.with_context(|| path.display().to_string())?;
    ensure!(!certificates.is_empty(), "{} holds no certificate", path.display());
    Ok(certificates)
}

/// For `--insecure`: any certificate will do, as long as its owner signed the handshake.
#[derive(Debug)]
struct TrustAnybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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
