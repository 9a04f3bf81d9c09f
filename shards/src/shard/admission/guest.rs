//! What is known of a client beside its session.

use crate::access::Grant;
use crate::shard::connection::Connection;
use crate::transport::tls::PeerCertificate;
use ringmq_core::authentication::AuthExchange;
use ringmq_core::authorization::{Policy, Subject};
use ringmq_core::codec::Connect;
use ringmq_core::config::CertificateField;
use ringmq_core::wheel::TimerId;
use std::sync::Arc;

/// A client with a name, a certificate or rights of its own. Others are known by their client id and address alone, and
/// hold nothing.
#[derive(Debug)]
pub struct Guest {
    pub subject: Subject,
    pub grant: Grant,
    /// Its authentication by AUTH packets, which it may repeat.
    pub exchange: Option<Box<AuthExchange>>,
    /// When what it was granted ends.
    pub expiry_timer: Option<TimerId>,
}

impl Guest {
    /// Whether it is worth remembering.
    pub fn is_notable(&self) -> bool {
        let subject = &self.subject;
        subject.user_name.is_some()
            || subject.common_name.is_some()
            || subject.distinguished_name.is_some()
            || self.exchange.is_some()
            || self.grant != Grant::default()
    }
}

/// What a client that may enter takes to its home shard.
#[derive(Debug)]
pub struct Pass {
    pub guest: Option<Box<Guest>>,
    pub policy: Arc<Policy>,
}

/// The client at the other end of a connection, as access rules see it.
pub fn subject_of(
    connection: &Connection,
    listener: &str,
    client_id: &str,
    user_name: Option<&str>,
) -> Subject {
    let certificate = connection.pipeline.as_ref().and_then(|pipeline| pipeline.peer_certificate());
    let told = connection.pipeline.as_ref().and_then(|pipeline| pipeline.told());
    let (common_name, distinguished_name) = match certificate {
        Some(certificate) => (certificate.common_name, certificate.distinguished_name),
        None => (told.and_then(|told| told.common_name.clone()), None),
    };
    Subject {
        client_id: client_id.into(),
        user_name: user_name.map(Into::into),
        peer: connection.peer.into(),
        listener: listener.into(),
        common_name,
        distinguished_name,
        attributes: Vec::new(),
    }
}

/// Takes names from the client's certificate where that is configured. A field that the certificate lacks changes nothing.
pub fn name_by_certificate(
    connection: &Connection,
    connect: &mut Connect,
    as_username: CertificateField,
    as_clientid: CertificateField,
) {
    if as_username == CertificateField::Disabled && as_clientid == CertificateField::Disabled {
        return;
    }
    let Some(pipeline) = &connection.pipeline else { return };
    let told_name = pipeline.told().and_then(|told| told.common_name.clone());
    let certificate = pipeline
        .peer_certificate()
        .unwrap_or_else(|| PeerCertificate { common_name: told_name, ..PeerCertificate::default() });
    let field = |field| match field {
        CertificateField::Disabled => None,
        CertificateField::Cn => certificate.common_name.clone(),
        CertificateField::Dn => certificate.distinguished_name.clone(),
        CertificateField::San => certificate.alternative_name.clone(),
    };
    if let Some(name) = field(as_username) {
        connect.user_name = Some(name);
    }
    if let Some(name) = field(as_clientid) {
        connect.client_id = name;
    }
}
