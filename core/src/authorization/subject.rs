//! Who asks.

use std::net::SocketAddr;

/// What access rules can look at in a client. It does not change while the client is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Client identifier, never empty.
    pub client_id: Box<str>,
    /// User name, if it gave one.
    pub user_name: Option<Box<str>>,
    /// Where it comes from; with the PROXY protocol, what the balancer says.
    pub peer: SocketAddr,
    /// The listener, by kind and name: `ssl:default`.
    pub listener: Box<str>,
    /// The zone of the listener.
    pub zone: Box<str>,
    /// Common Name of its certificate.
    pub common_name: Option<Box<str>>,
    /// Distinguished Name of its certificate.
    pub distinguished_name: Option<Box<str>>,
    /// First alternative name of its certificate that is text.
    pub alternative_name: Option<Box<str>>,
    /// The server it asked for when TLS began, as its balancer says.
    pub server_name: Option<Box<str>>,
    /// Attributes that the authentication gave it, by name: `${client_attrs.NAME}`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

impl Subject {
    /// A client of the listener `tcp:default` that has shown no more than its identifier.
    pub fn new(client_id: &str, peer: SocketAddr) -> Subject {
        Subject {
            client_id: client_id.into(),
            user_name: None,
            peer,
            listener: "tcp:default".into(),
            zone: "default".into(),
            common_name: None,
            distinguished_name: None,
            alternative_name: None,
            server_name: None,
            attributes: Vec::new(),
        }
    }
}
