//! Texts with placeholders for what is known of a client that asks to be let in: `${clientid}` and its like.

use ringmq_core::placeholders::{self, SplitError};
use ringmq_shards::access::Entry;
use std::borrow::Cow;
use std::str::FromStr;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

/// A piece of a template.
pub type Part = placeholders::Part<Placeholder>;

/// Something known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// `${clientid}`
    ClientId,
    /// `${username}`
    UserName,
    /// `${password}`, as UTF-8.
    Password,
    /// `${peerhost}`: the address.
    PeerHost,
    /// `${peerport}`
    PeerPort,
    /// `${peername}`: address and port.
    PeerName,
    /// `${cert_subject}`
    DistinguishedName,
    /// `${cert_common_name}`
    CommonName,
    /// `${listener}`: kind and name.
    Listener,
    /// `${client_attrs.NAME}`
    Attribute(Box<str>),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder.
    #[error(
        "no placeholder is called ${{{0}}}; there are ${{clientid}}, ${{username}}, ${{password}}, ${{peerhost}}, \
         ${{peerport}}, ${{peername}}, ${{cert_subject}}, ${{cert_common_name}}, ${{listener}} and ${{client_attrs.NAME}}, and \
         ${{$}} for a dollar sign"
    )]
    Placeholder(String),
    /// `${` without `}`.
    #[error("`${{` is not closed; write `}}` after the name, or ${{$}} for a dollar sign")]
    Open,
}

impl From<SplitError<'_>> for TemplateError {
    fn from(error: SplitError<'_>) -> TemplateError {
        match error {
            SplitError::Unknown(name) => TemplateError::Placeholder(name.to_owned()),
            SplitError::Open => TemplateError::Open,
        }
    }
}

impl Placeholder {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Placeholder> {
        Some(match name {
            "clientid" => Placeholder::ClientId,
            "username" => Placeholder::UserName,
            "password" => Placeholder::Password,
            "peerhost" => Placeholder::PeerHost,
            "peerport" => Placeholder::PeerPort,
            "peername" => Placeholder::PeerName,
            "cert_subject" => Placeholder::DistinguishedName,
            "cert_common_name" => Placeholder::CommonName,
            "listener" => Placeholder::Listener,
            _ => Placeholder::Attribute(
                name.strip_prefix("client_attrs.").filter(|name| !name.is_empty())?.into(),
            ),
        })
    }

    /// Its value for a client; none for what the client does not have, or a password that is not UTF-8.
    pub fn of<'a>(&self, entry: &'a Entry) -> Option<Cow<'a, str>> {
        let subject = &entry.subject;
        let borrowed = match self {
            Placeholder::ClientId => Some(&*subject.client_id),
            Placeholder::UserName => subject.user_name.as_deref(),
            Placeholder::Password => {
                entry.password.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
            }
            Placeholder::PeerHost => return Some(subject.peer.ip().to_string().into()),
            Placeholder::PeerPort => return Some(subject.peer.port().to_string().into()),
            Placeholder::PeerName => return Some(subject.peer.to_string().into()),
            Placeholder::DistinguishedName => subject.distinguished_name.as_deref(),
            Placeholder::CommonName => subject.common_name.as_deref(),
            Placeholder::Listener => Some(&*subject.listener),
            Placeholder::Attribute(name) => {
                subject.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
            }
        };
        borrowed.map(Cow::Borrowed)
    }
}

impl Template {
    /// Its pieces, for those that must not put values into the text.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether it is the same text for every client.
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| part.text().is_some())
    }

    /// The text for a client; none where the client lacks something the text needs.
    pub fn fill(&self, entry: &Entry) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Placeholder(placeholder) => text.push_str(&placeholder.of(entry)?),
            }
        }
        Some(text)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        Ok(Template { parts: placeholders::split(text, Placeholder::named)?.into() })
    }
}
