//! What is known of a client beside its session.

use super::Meter;
use crate::access::Grant;
use crate::shard::connection::Connection;
use crate::transport::tls::PeerCertificate;
use ringmq_core::authentication::AuthExchange;
use ringmq_core::authorization::{Policy, Subject};
use ringmq_core::codec::Connect;
use ringmq_core::config::{CertificateField, MqttConfig};
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
    /// What it has published, where that is bounded.
    pub meter: Option<Meter>,
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

/// What certifies who the client of a connection is: the certificate it showed, or what its balancer told of one. Empty if
/// nothing does.
pub fn certificate_of(connection: &Connection) -> PeerCertificate {
    let Some(pipeline) = &connection.pipeline else { return PeerCertificate::default() };
    pipeline.peer_certificate().unwrap_or_else(|| PeerCertificate {
        common_name: pipeline.told().and_then(|told| told.common_name.clone()),
        ..PeerCertificate::default()
    })
}

/// The client at the other end of a connection, as access rules see it.
pub fn subject_of(
    connection: &Connection,
    certificate: PeerCertificate,
    listener: &str,
    client_id: &str,
    user_name: Option<&str>,
) -> Subject {
    Subject {
        client_id: client_id.into(),
        user_name: user_name.map(Into::into),
        peer: connection.peer.into(),
        listener: listener.into(),
        common_name: certificate.common_name,
        distinguished_name: certificate.distinguished_name,
        attributes: Vec::new(),
    }
}

/// Takes names from the client's certificate, and the client id from the user name, where that is configured. A field that
/// the certificate lacks changes nothing.
pub fn name_client(mqtt: &MqttConfig, certificate: &PeerCertificate, connect: &mut Connect) {
    let field = |field| match field {
        CertificateField::Disabled => None,
        CertificateField::Cn => certificate.common_name.clone(),
        CertificateField::Dn => certificate.distinguished_name.clone(),
        CertificateField::San => certificate.alternative_name.clone(),
    };
    if let Some(name) = field(mqtt.peer_cert_as_username) {
        connect.user_name = Some(name);
    }
    if let Some(name) = field(mqtt.peer_cert_as_clientid) {
        connect.client_id = name;
    }
    if mqtt.use_username_as_clientid
        && let Some(user_name) = &connect.user_name
    {
        connect.client_id = user_name.clone();
    }
}
