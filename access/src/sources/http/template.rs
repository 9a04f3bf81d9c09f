//! Texts with placeholders, filled in for a request: those of a client, and those of a question about a topic.

use crate::authentication::template::{Placeholder, TemplateError};
use ringmq_core::authorization::Action;
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::placeholders::{self, Part};
use ringmq_shards::access::{Entry, Question};
use std::borrow::Cow;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTemplate {
    parts: Box<[Part<Known>]>,
}

/// Something known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Client(Placeholder),
    Asked(Asked),
}

/// Something known of a question about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Action,
    Topic,
    Qos,
    Retain,
    ProtocolName,
    MountPoint,
}

/// What templates are filled in with.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The client.
    pub entry: &'a Entry,
    /// What it wants to do, if that is asked.
    pub question: Option<&'a Question>,
}

/// A value that cannot be written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText;

impl HttpTemplate {
    /// Reads a text. Where no topic is asked about, its placeholders do not exist.
    ///
    /// # Errors
    /// A placeholder that does not exist.
    pub fn parse(text: &str, asks_topics: bool) -> Result<HttpTemplate, TemplateError> {
        let asked = |name: &str| Asked::named(name).filter(|_| asks_topics).map(Known::Asked);
        let client = |name: &str| Placeholder::named(name).map(Known::Client);
        let parts = placeholders::split(text, |name| asked(name).or_else(|| client(name)))?;
        Ok(HttpTemplate { parts: parts.into() })
    }

    /// The text, if it is the same for everybody.
    pub fn fixed(&self) -> Option<String> {
        self.parts.iter().map(Part::text).collect()
    }

    /// Appends the text, values being written by `write`. What the client does not have is empty.
    ///
    /// # Errors
    /// The client's password is not UTF-8.
    pub fn fill_in(
        &self,
        scene: Scene<'_>,
        text: &mut String,
        write: fn(&str, &mut String),
    ) -> Result<(), NotText> {
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Placeholder(Known::Client(placeholder)) => {
                    let value = placeholder.of(scene.entry);
                    let has_password = scene.entry.password.is_some();
                    if value.is_none() && has_password && matches!(placeholder, Placeholder::Password) {
                        return Err(NotText);
                    }
                    write(&value.unwrap_or_default(), text);
                }
                Part::Placeholder(Known::Asked(asked)) => {
                    if let Some(question) = scene.question {
                        write(&asked.of(question), text);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Asked {
    fn named(name: &str) -> Option<Asked> {
        Some(match name {
            "action" => Asked::Action,
            "topic" => Asked::Topic,
            "qos" => Asked::Qos,
            "retain" => Asked::Retain,
            "proto_name" => Asked::ProtocolName,
            "mountpoint" => Asked::MountPoint,
            _ => return None,
        })
    }

    fn of(self, question: &Question) -> Cow<'_, str> {
        let (qos, retain) = match question.action {
            Action::Publish { qos, retain } => (qos, retain),
            Action::Subscribe { qos } => (qos, false),
        };
        match self {
            Asked::Action => match question.action {
                Action::Publish { .. } => "publish".into(),
                Action::Subscribe { .. } => "subscribe".into(),
            },
            Asked::Topic => (&*question.topic).into(),
            Asked::Qos => (qos as u8).to_string().into(),
            Asked::Retain => if retain { "true" } else { "false" }.into(),
            Asked::ProtocolName => match question.version {
                ProtocolVersion::V31 => "MQIsdp".into(),
                ProtocolVersion::V311 | ProtocolVersion::V5 => "MQTT".into(),
            },
            Asked::MountPoint => (&*question.mountpoint).into(),
        }
    }
}

/// Writes a value as it stands.
pub fn write_plain(value: &str, text: &mut String) {
    text.push_str(value);
}

/// Writes a value so that it is one part of a path, a query or a form, whatever is in it (RFC 3986, 2.3).
pub fn write_percent(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
