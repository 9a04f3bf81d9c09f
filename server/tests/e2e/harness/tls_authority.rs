//! An authority of a test's own: it signs certificates of servers and clients, and revokes them. Nobody else trusts it.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use std::sync::atomic::{AtomicU64, Ordering};

/// No two certificates have the same serial number.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
    der: CertificateDer<'static>,
    serial: u64,
}

impl Identity {
    /// The certificate as it is shown in a handshake.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

impl Authority {
    /// An authority with a key of its own.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&[(DnType::CommonName, name)]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("random bytes");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// Its own certificate, in PEM.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Its own certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// A server of these names or addresses, with an ECDSA key.
    pub fn server(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().expect("random bytes");
        let pem = key.serialize_pem();
        self.server_with_key(names, &key, pem)
    }

    /// A server with this key, which is written as `pem`.
    pub fn server_with_key(&self, names: &[&str], key: &KeyPair, pem: String) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names of servers");
        params.distinguished_name = named(&[(DnType::OrganizationName, "Servers")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, key, pem)
    }

    /// The client `CN=name, O=Plant` with the alternative name `name.example`.
    pub fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(vec![format!("{name}.example")]).expect("a name");
        params.distinguished_name = named(&[(DnType::CommonName, name), (DnType::OrganizationName, "Plant")]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("random bytes");
        let pem = key.serialize_pem();
        self.sign(params, &key, pem)
    }

    fn sign(&self, mut params: CertificateParams, key: &KeyPair, pem: String) -> Identity {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        let signed = params.signed_by(key, &self.issuer).expect("a certificate");
        Identity { certificate: signed.pem(), key: pem, der: signed.der().clone(), serial }
    }

    /// A list that revokes these, in PEM.
    pub fn revoking(&self, identities: &[&Identity]) -> String {
        let revoked_certs = identities
            .iter()
            .map(|identity| RevokedCertParams {
                serial_number: SerialNumber::from(identity.serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

fn named(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    parts.iter().for_each(|(kind, value)| name.push(kind.clone(), *value));
    name
}
