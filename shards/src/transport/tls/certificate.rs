//! What a certificate says about who shows it.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The fields of a client's certificate that name the client. Absent where the certificate has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerCertificate {
    /// Common Name of the subject.
    pub common_name: Option<Box<str>>,
    /// The subject as a Distinguished Name (RFC 4514), such as `CN=device-7, O=Plant`.
    pub distinguished_name: Option<Box<str>>,
    /// The first alternative name that is text: DNS, URI or mail address.
    pub alternative_name: Option<Box<str>>,
    /// The certificate itself.
    pub der: Box<[u8]>,
}

impl PeerCertificate {
    /// Reads a certificate that the handshake has verified.
    pub fn read(der: &CertificateDer<'_>) -> PeerCertificate {
        let mut read = PeerCertificate { der: der.as_ref().into(), ..PeerCertificate::default() };
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return read };
        let subject = certificate.subject();
        read.common_name =
            subject.iter_common_name().next().and_then(|name| name.as_str().ok()).map(Into::into);
        let distinguished = subject.to_string();
        read.distinguished_name = (!distinguished.is_empty()).then(|| distinguished.into());
        read.alternative_name = names(&certificate).into_iter().next();
        read
    }
}

/// The alternative names of a certificate that are text.
fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some((*name).into())
        }
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

/// The servers a certificate is made for: its DNS names, or its Common Name where it has none. In lower case.
pub fn server_names(der: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let mut found = names(&certificate);
    if found.is_empty() {
        let common = certificate.subject().iter_common_name().next();
        found.extend(common.and_then(|name| name.as_str().ok()).map(Into::into));
    }
    found.into_iter().map(|name: Box<str>| name.to_ascii_lowercase().into()).collect()
}

/// Whether a name of a certificate, which may begin with a `*` for one label, is that of a server. (RFC 6125, section 6.4)
pub fn names_server(name: &str, server: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => {
            server.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
        }
        None => name == server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (name, server, is_named) in [
            ("a.example", "a.example", true),
            ("*.example", "a.example", true),
            ("*.example", "example", false),
            ("*.example", "a.b.example", false),
            ("a.example", "b.example", false),
        ] {
            assert_eq!(names_server(name, server), is_named, "{name} {server}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_fields() {
        let der = CertificateDer::from(vec![1, 2, 3]);
        let read = PeerCertificate::read(&der);
        assert_eq!((read.common_name, read.distinguished_name, read.alternative_name), (None, None, None));
        assert!(server_names(&der).is_empty());
    }
}
