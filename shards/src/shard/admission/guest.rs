//! What is known of a client beside its session.

use super::Meter;
use crate::access::Grant;
use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::transport::tls::PeerCertificate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ringmq_core::authentication::AuthExchange;
use ringmq_core::authorization::{Policy, Subject};
use ringmq_core::codec::Connect;
use ringmq_core::config::{CertificateField, MqttConfig};
use ringmq_core::limits::STRING_BYTES_MAX;
use ringmq_core::reason::ReasonCode;
use ringmq_core::topic::Mountpoint;
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
            || subject.alternative_name.is_some()
            || subject.server_name.is_some()
            || self.exchange.is_some()
            || self.grant != Grant::default()
    }
}

/// What a client that may enter takes to its home shard.
#[derive(Debug)]
pub struct Pass {
    pub guest: Option<Box<Guest>>,
    pub policy: Arc<Policy>,
    /// What stands before its topics.
    pub mountpoint: Option<Box<Mountpoint>>,
    /// Which rules the policy was made of, by the number of their change.
    pub rules: u32,
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

impl Shard {
    /// The client at the other end of a connection, as access rules see it.
    pub(super) fn subject_of(
        &self,
        connection: &Connection,
        certificate: PeerCertificate,
        client_id: &str,
        user_name: Option<&str>,
    ) -> Subject {
        let terms = &self.limits[usize::from(connection.listener)];
        let server_name = connection.pipeline.as_ref().and_then(|pipeline| pipeline.server_name());
        Subject {
            client_id: client_id.into(),
            user_name: user_name.map(Into::into),
            peer: connection.peer.into(),
            listener: terms.id.clone(),
            zone: self.config.zones.name(terms.zone).into(),
            common_name: certificate.common_name,
            distinguished_name: certificate.distinguished_name,
            alternative_name: certificate.alternative_name,
            server_name: server_name.map(Into::into),
            attributes: Vec::new(),
        }
    }
}

/// Takes names from the client's certificate, and the client id from the user name, where that is configured. A field that
/// the certificate lacks changes nothing.
///
/// # Errors
/// The reason to refuse the client with, and why, if the certificate has a name that no MQTT string should be.
pub fn name_client(
    mqtt: &MqttConfig,
    certificate: &PeerCertificate,
    connect: &mut Connect,
) -> Result<(), (ReasonCode, &'static str)> {
    if let Some(name) = field_of(certificate, mqtt.peer_cert_as_username) {
        let reason = (ReasonCode::BadUserNameOrPassword, "the certificate's name cannot be a user name");
        connect.user_name = Some(checked(name).ok_or(reason)?);
    }
    if let Some(name) = field_of(certificate, mqtt.peer_cert_as_clientid) {
        let reason = (ReasonCode::ClientIdentifierNotValid, "the certificate's name cannot be a client id");
        connect.client_id = checked(name).ok_or(reason)?;
    }
    if mqtt.use_username_as_clientid
        && let Some(user_name) = &connect.user_name
    {
        connect.client_id = user_name.clone();
    }
    Ok(())
}

fn field_of(certificate: &PeerCertificate, field: CertificateField) -> Option<Box<str>> {
    // A balancer tells of a certificate, and does not show it.
    let der = Some(&certificate.der).filter(|der| !der.is_empty());
    let name = match field {
        CertificateField::Disabled => None,
        CertificateField::Cn => certificate.common_name.clone(),
        CertificateField::Dn => certificate.distinguished_name.clone(),
        CertificateField::San => certificate.alternative_name.clone(),
        CertificateField::Pem => der.map(|der| STANDARD.encode(der).into()),
        CertificateField::Md5 => der.map(|der| hexadecimal(&Md5::digest(der))),
    };
    name.filter(|name| !name.is_empty())
}

fn hexadecimal(bytes: &[u8]) -> Box<str> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xF)]).collect::<String>().into()
}

/// A name that can be an MQTT string and has no control characters, which would come out in logs and topics.
/// [MQTT-1.5.4-2]
fn checked(name: Box<str>) -> Option<Box<str>> {
    (name.len() <= STRING_BYTES_MAX && !name.contains(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(common_name: &str) -> PeerCertificate {
        let common_name = Some(common_name.into());
        PeerCertificate { common_name, der: b"abc".as_slice().into(), ..PeerCertificate::default() }
    }

    fn connect() -> Connect {
        Connect::decode(b"\x00\x04MQTT\x04\x02\x00\x00\x00\x03own").unwrap()
    }

    fn named_by(certificate: &PeerCertificate, field: CertificateField) -> Result<Connect, ReasonCode> {
        let mqtt = MqttConfig {
            peer_cert_as_username: field,
            peer_cert_as_clientid: field,
            ..MqttConfig::default()
        };
        let mut connect = connect();
        name_client(&mqtt, certificate, &mut connect).map_err(|(reason, _)| reason)?;
        Ok(connect)
    }

    #[test]
    fn fields_of_a_certificate_are_names() {
        for (field, name) in [
            (CertificateField::Cn, "device"),
            (CertificateField::Dn, "own"),
            (CertificateField::Pem, "YWJj"),
            (CertificateField::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        ] {
            let connect = named_by(&certificate("device"), field).unwrap();
            assert_eq!(&*connect.client_id, name);
            assert_eq!(connect.user_name.as_deref(), Some(name).filter(|name| *name != "own"));
        }
        // Of what a balancer tells there is no certificate.
        let told = PeerCertificate { der: Box::default(), ..certificate("device") };
        assert_eq!(&*named_by(&told, CertificateField::Md5).unwrap().client_id, "own");
        assert_eq!(&*named_by(&certificate(""), CertificateField::Cn).unwrap().client_id, "own");
    }

    #[test]
    fn what_no_string_should_be_is_no_name() {
        for wrong in ["a\0b", "a\nb", "a\u{7f}", "\u{85}", &"x".repeat(STRING_BYTES_MAX + 1)] {
            let named = named_by(&certificate(wrong), CertificateField::Cn);
            assert_eq!(named.map(|_| ()), Err(ReasonCode::BadUserNameOrPassword), "{wrong:?}");
        }
        let mqtt = MqttConfig { peer_cert_as_clientid: CertificateField::Cn, ..MqttConfig::default() };
        let refused = name_client(&mqtt, &certificate("a\0"), &mut connect());
        assert_eq!(refused.map_err(|(reason, _)| reason), Err(ReasonCode::ClientIdentifierNotValid));
        assert!(name_client(&mqtt, &certificate(&"x".repeat(STRING_BYTES_MAX)), &mut connect()).is_ok());
    }
}
