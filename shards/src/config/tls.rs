//! What a TLS listener shows, and what it asks of its clients.

use ringmq_core::config::Duration;
use serde::{Deserialize, Serialize};

/// `ssl_options` of a listener. Files are read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM file with the certificate, and those that lead to its root; the default for clients that name no server.
    pub certfile: String,
    /// PEM file with its key: RSA, ECDSA or Ed25519, as PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub keyfile: String,
    /// Further certificates. A client that names a server gets the first that is made for that name.
    pub certificates: Vec<CertificateFiles>,
    /// PEM file with the authorities that may sign clients' certificates.
    pub cacertfile: String,
    /// PEM file with lists of revoked clients' certificates.
    pub crlfile: String,
    /// Whether clients are asked for a certificate.
    pub verify: Verify,
    /// Whether clients without one are refused; only together with `verify_peer`.
    pub fail_if_no_peer_cert: bool,
    /// Versions that are spoken.
    pub versions: Vec<TlsVersion>,
    /// Whether clients may resume a session by a ticket.
    pub reuse_sessions: bool,
    /// How long a handshake may take. 1s to 120s.
    pub handshake_timeout: Duration,
}

impl Default for TlsOptions {
    fn default() -> TlsOptions {
        TlsOptions {
            certfile: String::new(),
            keyfile: String::new(),
            certificates: Vec::new(),
            cacertfile: String::new(),
            crlfile: String::new(),
            verify: Verify::None,
            fail_if_no_peer_cert: false,
            versions: vec![TlsVersion::V13, TlsVersion::V12],
            reuse_sessions: true,
            handshake_timeout: Duration::from_s(15),
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file of the chain.
    pub certfile: String,
    /// PEM file of the key.
    pub keyfile: String,
}

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verify {
    /// No.
    #[serde(rename = "verify_none")]
    None,
    /// Yes, and one that is shown must be valid.
    #[serde(rename = "verify_peer")]
    Peer,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "tlsv1.2")]
    V12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "tlsv1.3")]
    V13,
}
