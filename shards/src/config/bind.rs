//! Where a listener listens.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address of the network, or a path for clients on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Bind {
    /// IP address and port; port 0 picks a free one.
    Address(SocketAddr),
    /// A unix-domain socket.
    Path(PathBuf),
}

impl Bind {
    /// This port of the loopback address, the default of every listener.
    pub const fn loopback(port: u16) -> Bind {
        Bind::Address(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The network address; none for a path.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Bind::Address(address) => Some(*address),
            Bind::Path(_) => None,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Address(address) => address.fmt(f),
            Bind::Path(path) => path.display().fmt(f),
        }
    }
}

impl From<Bind> for String {
    fn from(bind: Bind) -> String {
        bind.to_string()
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Bind {
        Bind::Address(address)
    }
}

/// A text is neither an address with a port nor a path with a `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address with a port nor a path with a /")]
pub struct NoBind;

impl FromStr for Bind {
    type Err = NoBind;

    fn from_str(text: &str) -> Result<Bind, NoBind> {
        if let Ok(address) = text.parse() {
            return Ok(Bind::Address(address));
        }
        if text.contains('/') { Ok(Bind::Path(PathBuf::from(text))) } else { Err(NoBind) }
    }
}

impl TryFrom<String> for Bind {
    type Error = NoBind;

    fn try_from(text: String) -> Result<Bind, NoBind> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_told_apart() {
        for text in ["127.0.0.1:1883", "[::1]:0", "/run/ringmq.sock", "./here"] {
            let bind: Bind = text.parse().unwrap();
            assert_eq!((bind.to_string().as_str(), bind.address().is_some()), (text, text.contains(':')));
        }
        for text in ["", "1883", "localhost:1883", "here"] {
            assert_eq!(text.parse::<Bind>(), Err(NoBind), "{text}");
        }
    }
}
