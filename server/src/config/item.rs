//! What the items of a list, and texts of a certain form, must be.

use super::known::is_name;
use ringmq_core::authorization::Placeholder;
use ringmq_core::topic::MountTemplate;
use ringmq_shards::config::{HeaderName, Origins, RequestPath, SourceRule, Subprotocols, TrustedProxy};
use std::fmt;
use toml::Value;

const TLS_VERSIONS: [&str; 2] = ["tlsv1.2", "tlsv1.3"];

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item {
    /// Which addresses a listener serves.
    SourceRule,
    /// A certificate and its key.
    CertificateFiles,
    /// A version of TLS.
    TlsVersion,
    /// A proxy that is believed.
    TrustedProxy,
}

impl Item {
    /// Whether a value is one.
    pub fn fits(self, value: &Value) -> bool {
        let is_text =
            |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        match self {
            Item::SourceRule => value.as_str().is_some_and(|text| text.parse::<SourceRule>().is_ok()),
            Item::CertificateFiles => value.as_table().is_some_and(|table| {
                table.len() == 2 && is_text(table.get("certfile")) && is_text(table.get("keyfile"))
            }),
            Item::TlsVersion => value.as_str().is_some_and(|text| TLS_VERSIONS.contains(&text)),
            Item::TrustedProxy => value.as_str().is_some_and(|text| text.parse::<TrustedProxy>().is_ok()),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::SourceRule => f.write_str(
                "\"allow\" or \"deny\", a space, and \"all\", an address or a network such as \"deny 10.0.0.0/8\"",
            ),
            Item::CertificateFiles => f.write_str("{ certfile = \"a PEM file\", keyfile = \"a PEM file\" }"),
            Item::TlsVersion => f.write_str("\"tlsv1.3\" or \"tlsv1.2\""),
            Item::TrustedProxy => f.write_str("an address or a network such as \"10.0.0.0/8\""),
        }
    }
}

/// A text of a certain form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    /// The path of an HTTP request.
    RequestPath,
    /// Subprotocols of WebSocket.
    Subprotocols,
    /// Origins of web pages.
    Origins,
    /// The name of a header of HTTP, or nothing.
    HeaderName,
    /// The name of a zone.
    Name,
    /// What stands before topics.
    Mountpoint,
}

impl Word {
    /// Whether a text is one.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Word::RequestPath => text.parse::<RequestPath>().is_ok(),
            Word::Subprotocols => text.parse::<Subprotocols>().is_ok(),
            Word::Origins => text.parse::<Origins>().is_ok(),
            Word::HeaderName => text.parse::<HeaderName>().is_ok(),
            Word::Name => is_name(text),
            Word::Mountpoint => text.parse::<MountTemplate>().is_ok(),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Word::HeaderName => "the name of a header such as x-forwarded-for, or \"\" for none",
            Word::RequestPath => "a path such as /mqtt, without spaces, ? and #",
            Word::Subprotocols => "subprotocols, separated by commas, such as mqtt, mqttv3.1",
            Word::Origins => {
                "origins, separated by commas, such as https://example.com, http://localhost:8080"
            }
            Word::Mountpoint => {
                let what = "levels of a topic that end with / and hold no +, # and leading $, such as plant/${clientid}/";
                return write!(f, "{what}, or nothing; with {}", Placeholder::NAMES);
            }
            Word::Name => "1 to 64 letters, digits, `_`, `-` or `:`",
        })
    }
}
