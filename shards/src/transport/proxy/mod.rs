//! The PROXY protocol, versions 1 and 2: what a load balancer says, before the client's first byte, about the client it
//! speaks for. It reads bytes; it never waits, and never decides whether the peer may be believed.

mod binary;
mod text;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

/// The longest header that is read. Version 2 allows 65,551 bytes; what proxies send, a client certificate included, is
/// shorter than this. A longer one is refused.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;

/// What a proxy says about the connection it passes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Where the client connects from. `None`: the proxy speaks for itself (a health check), or the client has no address
    /// of IPv4 or IPv6; the peer's own address holds then.
    pub source: Option<SocketAddr>,
    /// The server's name that the client asked for in its TLS handshake (SNI).
    pub server_name: Option<Box<str>>,
    /// Common name of the client's certificate. Only one that the proxy has verified is kept.
    pub common_name: Option<Box<str>>,
    /// Whether the client speaks TLS with the proxy.
    pub tls: bool,
    /// Whether the client has shown a certificate and the proxy has found it good.
    pub client_cert_verified: bool,
}

/// Why the first bytes of a connection are not a header of the PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The connection begins with something else.
    #[error("the connection does not begin with a header of the PROXY protocol")]
    NotProxy,
    /// Version 1: the line does not end where it must.
    #[error("a header of version 1 is a line of at most 107 bytes that ends with CR LF")]
    Line,
    /// Version 1: a byte that is neither printable ASCII nor the end of the line.
    #[error("byte {0:#04x} in a header of version 1, which is printable ASCII")]
    Character(u8),
    /// Version 1: the second word.
    #[error("a header of version 1 names TCP4, TCP6 or UNKNOWN, not `{0}`")]
    Protocol(Box<str>),
    /// Version 1: two addresses and two ports are expected, each after one space.
    #[error("a header of version 1 has two addresses and two ports after the protocol")]
    Words,
    /// Version 1: an address or a port that is none.
    #[error("`{0}` is not the address or port that a header of version 1 must have there")]
    Address(Box<str>),
    /// Version 2: another version.
    #[error("version {0} of the PROXY protocol is not known; 1 and 2 are")]
    Version(u8),
    /// Version 2: neither LOCAL nor PROXY.
    #[error("command {0} of a header of version 2 is not known; 0 (LOCAL) and 1 (PROXY) are")]
    Command(u8),
    /// Version 2: an address family or transport that no stream has.
    #[error("address family and transport {0:#04x} of a header of version 2 are not those of a stream")]
    Family(u8),
    /// Version 2: the length it states is less than its addresses need.
    #[error("a header of version 2 states {stated} bytes, its addresses need {needed}")]
    Short {
        /// The length that the header states.
        stated: usize,
        /// What addresses of its family take.
        needed: usize,
    },
    /// Version 2: more than [`HEADER_BYTES_MAX`].
    #[error("a header of {0} bytes is longer than the {HEADER_BYTES_MAX} that are read")]
    Long(usize),
    /// Version 2: a field that does not fit into what it is in.
    #[error("field {0:#04x} of a header of version 2 has a wrong length")]
    Field(u8),
    /// Version 2: a name that is not UTF-8.
    #[error("field {0:#04x} of a header of version 2 is not UTF-8")]
    Utf8(u8),
    /// Version 2: CRC-32C is wrong.
    #[error("the checksum of a header of version 2 is wrong")]
    Checksum,
}

/// Reads the header that `bytes`, all that was received so far, begin with, and says how many bytes it has.
/// `None`: it is good so far and not complete.
///
/// # Errors
///
/// As soon as what has come cannot become a header. The connection must be closed: where a header is expected, bytes
/// without one come from somebody who went around the proxy.
pub fn read_header(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    match bytes.first() {
        None => Ok(None),
        Some(&first) if first == text::PREFIX[0] => text::read(bytes),
        Some(_) => binary::read(bytes),
    }
}

/// Whether `bytes` begin with `prefix`, as far as they go.
fn begin_with(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, expected)| byte == expected)
}
