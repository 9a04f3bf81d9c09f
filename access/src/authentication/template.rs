//! Texts with placeholders for what is known of a client that asks to be let in: `${clientid}` and its like.

use ringmq_core::authorization::Placeholder as Known;
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

/// Something known of a client that asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// What access rules know of it too.
    Known(Known),
    /// `${password}`, as UTF-8.
    Password,
    /// `${peerport}`
    PeerPort,
    /// `${peername}`: address and port.
    PeerName,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder.
    #[error(
        "no placeholder is called ${{{0}}}; there are ${{password}}, ${{peerport}}, ${{peername}}, {names}, and ${{$}} for a dollar \
         sign",
        names = Known::NAMES
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
        match name {
            "password" => Some(Placeholder::Password),
            "peerport" => Some(Placeholder::PeerPort),
            "peername" => Some(Placeholder::PeerName),
            _ => Known::named(name).map(Placeholder::Known),
        }
    }

    /// Its value for a client; none for what the client does not have, or a password that is not UTF-8.
    pub fn of<'a>(&self, entry: &'a Entry) -> Option<Cow<'a, str>> {
        let subject = &entry.subject;
        match self {
            Placeholder::Known(known) => known.value(subject),
            Placeholder::Password => {
                entry.password.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).map(Cow::Borrowed)
            }
            Placeholder::PeerPort => Some(subject.peer.port().to_string().into()),
            Placeholder::PeerName => Some(subject.peer.to_string().into()),
        }
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
