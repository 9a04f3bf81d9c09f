//! What texts of the configuration may have of a client in place of a placeholder. How the text is read, and which values may
//! stand in it, is for whoever has the text.

use super::Subject;
use std::borrow::Cow;
use std::fmt;

/// Something known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// `${clientid}`
    ClientId,
    /// `${username}`
    UserName,
    /// `${peerhost}`
    PeerHost,
    /// `${cert_common_name}`
    CommonName,
    /// `${cert_subject}`
    DistinguishedName,
    /// `${cert_san}`
    AlternativeName,
    /// `${sni}`
    ServerName,
    /// `${zone}`
    Zone,
    /// `${listener}`
    Listener,
    /// `${client_attrs.NAME}`
    Attribute(Box<str>),
}

impl Placeholder {
    /// What there is, as it is written.
    pub const NAMES: &str = "${clientid}, ${username}, ${peerhost}, ${cert_common_name}, ${cert_subject}, ${cert_san}, ${sni}, \
                            ${listener}, ${zone} or ${client_attrs.NAME}";

    /// The placeholder of this name.
    pub fn named(name: &str) -> Option<Placeholder> {
        Some(match name {
            "clientid" => Placeholder::ClientId,
            "username" => Placeholder::UserName,
            "peerhost" => Placeholder::PeerHost,
            "cert_common_name" => Placeholder::CommonName,
            "cert_subject" => Placeholder::DistinguishedName,
            "cert_san" => Placeholder::AlternativeName,
            "sni" => Placeholder::ServerName,
            "zone" => Placeholder::Zone,
            "listener" => Placeholder::Listener,
            _ => {
                let attribute = name.strip_prefix("client_attrs.").filter(|name| !name.is_empty())?;
                Placeholder::Attribute(attribute.into())
            }
        })
    }

    /// What it stands for in a client; none where the client lacks that.
    pub fn value<'a>(&self, subject: &'a Subject) -> Option<Cow<'a, str>> {
        let value = match self {
            Placeholder::ClientId => Some(&*subject.client_id),
            Placeholder::UserName => subject.user_name.as_deref(),
            Placeholder::CommonName => subject.common_name.as_deref(),
            Placeholder::DistinguishedName => subject.distinguished_name.as_deref(),
            Placeholder::AlternativeName => subject.alternative_name.as_deref(),
            Placeholder::ServerName => subject.server_name.as_deref(),
            Placeholder::Zone => Some(&*subject.zone),
            Placeholder::Listener => Some(&*subject.listener),
            Placeholder::Attribute(name) => {
                let attribute = subject.attributes.iter().find(|(key, _)| key == name);
                attribute.map(|(_, value)| &**value)
            }
            Placeholder::PeerHost => return Some(subject.peer.ip().to_canonical().to_string().into()),
        };
        value.map(Cow::Borrowed)
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placeholder::ClientId => "client id",
            Placeholder::UserName => "user name",
            Placeholder::PeerHost => "address",
            Placeholder::CommonName => "certificate's common name",
            Placeholder::DistinguishedName => "certificate's subject",
            Placeholder::AlternativeName => "certificate's alternative name",
            Placeholder::ServerName => "server name",
            Placeholder::Zone => "zone",
            Placeholder::Listener => "listener",
            Placeholder::Attribute(name) => return write!(f, "attribute {name}"),
        })
    }
}
