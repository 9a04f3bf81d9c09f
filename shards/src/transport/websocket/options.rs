//! The options of a WebSocket listener. They say what is allowed; they look at no request themselves.

use super::TrustedProxy;
use ringmq_core::config::Limit;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The table `websocket` of a listener of kind `ws` or `wss`. Connections that exist keep what they came with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketOptions {
    /// Path of the requests that are let in; what follows a `?` is not looked at.
    pub mqtt_path: RequestPath,
    /// Payload bytes of one frame; a client that sends a longer one is closed with 1009. MQTT's own bound,
    /// `mqtt.max_packet_size`, holds besides, however packets are cut into frames.
    pub max_frame_size: Limit,
    /// Whether a request that names no subprotocol is refused. One that names only unknown ones always is.
    pub fail_if_no_subprotocol: bool,
    /// The subprotocols that are spoken, separated by commas. Of those a client offers, its first known one is taken.
    pub supported_subprotocols: Subprotocols,
    /// Whether the header `Origin`, which browsers send, decides who is let in.
    pub check_origin_enable: bool,
    /// With `check_origin_enable`: whether a request without `Origin` is let in.
    pub allow_origin_absence: bool,
    /// With `check_origin_enable`: the origins that are let in, separated by commas.
    pub check_origins: Origins,
    /// The header in which proxies say where a request came from, such as `x-forwarded-for`; empty for none.
    pub proxy_address_header: HeaderName,
    /// The header in which they say from which port, such as `x-forwarded-port`; empty for none.
    pub proxy_port_header: HeaderName,
    /// The proxies that are believed; those headers of others are not looked at.
    pub trusted_proxies: Vec<TrustedProxy>,
}

impl Default for WebSocketOptions {
    fn default() -> WebSocketOptions {
        WebSocketOptions {
            mqtt_path: RequestPath("/mqtt".into()),
            max_frame_size: Limit::INFINITY,
            fail_if_no_subprotocol: true,
            supported_subprotocols: Subprotocols(words("mqtt, mqtt-v3, mqtt-v3.1.1, mqtt-v5, mqttv3.1")),
            check_origin_enable: false,
            allow_origin_absence: true,
            check_origins: Origins(words("http://localhost:18083, http://127.0.0.1:18083")),
            proxy_address_header: HeaderName::default(),
            proxy_port_header: HeaderName::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// Why a text cannot be an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct OptionError {
    text: Box<str>,
    expected: &'static str,
}

impl OptionError {
    /// This text is not what it should be.
    pub(super) fn new(text: &str, expected: &'static str) -> OptionError {
        OptionError { text: text.into(), expected }
    }
}

/// The name of a header of HTTP, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name; none if there is none.
    pub(super) fn as_named(&self) -> Option<&str> {
        Some(&*self.0).filter(|name| !name.is_empty())
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for HeaderName {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<HeaderName, OptionError> {
        if text.bytes().all(is_token_byte) {
            return Ok(HeaderName(text.into()));
        }
        Err(OptionError::new(text, "the name of a header such as x-forwarded-for"))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a request: begins with `/`, has neither query nor fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestPath(Box<str>);

impl RequestPath {
    /// Whether a request's target, which may carry a query, asks for this path.
    pub(super) fn is_path_of(&self, target: &str) -> bool {
        target.split_once('?').map_or(target, |(path, _)| path) == &*self.0
    }
}

impl FromStr for RequestPath {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<RequestPath, OptionError> {
        let is_path = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if text.starts_with('/') && text.bytes().all(is_path) {
            return Ok(RequestPath(text.into()));
        }
        Err(OptionError { text: text.into(), expected: "a path such as /mqtt, without spaces, ? and #" })
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of subprotocols, separated by commas. At least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subprotocols(Vec<Box<str>>);

impl Subprotocols {
    /// The one of these that has the name a client offers.
    pub(super) fn find(&self, offered: &[u8]) -> Option<&str> {
        self.0.iter().map(|name| &**name).find(|name| name.as_bytes() == offered)
    }
}

impl FromStr for Subprotocols {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Subprotocols, OptionError> {
        let names = words(text);
        let is_token = |name: &str| name.bytes().all(is_token_byte);
        if !names.is_empty() && names.iter().all(|name| is_token(name)) {
            return Ok(Subprotocols(names));
        }
        Err(OptionError { text: text.into(), expected: "a list of subprotocols such as mqtt, mqttv3.1" })
    }
}

impl fmt::Display for Subprotocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Origins of web pages, `scheme://host` or `scheme://host:port`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origins(Vec<Box<str>>);

impl Origins {
    /// Whether this origin is one of them. Schemes and hosts are the same in upper and lower case.
    pub(super) fn has(&self, origin: &[u8]) -> bool {
        self.0.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin))
    }
}

impl FromStr for Origins {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Origins, OptionError> {
        let origins = words(text);
        let is_origin = |origin: &str| {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some_and(|host| {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
            })
        };
        if origins.iter().all(|origin| is_origin(origin)) {
            return Ok(Origins(origins));
        }
        let expected = "a list of origins such as https://example.com, http://localhost:8080";
        Err(OptionError { text: text.into(), expected })
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = OptionError;

            fn try_from(text: String) -> Result<$type, OptionError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

as_text!(TrustedProxy);
as_text!(HeaderName);
as_text!(RequestPath);
as_text!(Subprotocols);
as_text!(Origins);

fn words(text: &str) -> Vec<Box<str>> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Box::from).collect()
}

/// What a token of HTTP consists of (RFC 9110, 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
