//! What proxies in front say about where a request came from. Who may be believed is said by the operator: whoever can connect
//! without a proxy can write these headers too.

use super::options::OptionError;
use ringmq_core::authorization::Network;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Addresses of proxies that are believed: one, or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedProxy(Network);

impl TrustedProxy {
    fn is(self, address: IpAddr) -> bool {
        self.0.has(address)
    }
}

impl FromStr for TrustedProxy {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<TrustedProxy, OptionError> {
        let fault = |_| OptionError::new(text, "an address or a network such as 10.0.0.0/8");
        text.parse().map(TrustedProxy).map_err(fault)
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The headers of a request that say where it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client first, then each proxy but the last. None for what is no address.
    pub addresses: Vec<Option<(IpAddr, Option<u16>)>>,
    /// The client's port, where a header of its own has it.
    pub port: Option<u16>,
}

impl Forwarded {
    /// Where the request came from, if `peer`, who handed it over, is believed: the last address that is not that of a proxy
    /// that is believed itself. Addresses before it were written by somebody who is not.
    pub fn source(&self, peer: SocketAddr, trusted: &[TrustedProxy]) -> Option<SocketAddr> {
        let is_trusted = |address: IpAddr| trusted.iter().any(|proxy| proxy.is(address));
        if !is_trusted(peer.ip()) {
            return None;
        }
        let mut source = None;
        for entry in self.addresses.iter().rev() {
            // Somebody who is believed does not say who it was: that is as far as is known.
            let Some((address, port)) = *entry else { break };
            source = Some(SocketAddr::new(address.to_canonical(), self.port.or(port).unwrap_or(0)));
            if !is_trusted(address) {
                break;
            }
        }
        source
    }
}

/// An entry of the header: an address, which may have a port.
pub fn read_address(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    let whole = text.parse::<IpAddr>().ok().map(|address| (address, None));
    let bracketed =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(|address| (IpAddr::V6(address), None));
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| (address.ip(), Some(address.port())));
    whole.or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(addresses: &str, peer: &str) -> Option<String> {
        let addresses = addresses.split(',').map(|text| read_address(text.trim().as_bytes())).collect();
        let trusted = ["10.0.0.0/8", "2001:db8::1"].map(|text| text.parse().unwrap());
        let peer = SocketAddr::new(peer.parse().unwrap(), 7);
        Forwarded { addresses, port: None }.source(peer, &trusted).map(|source| source.to_string())
    }

    #[test]
    fn only_what_somebody_wrote_who_is_believed_counts() {
        for (addresses, peer, expected) in [
            ("192.0.2.1", "10.0.0.1", Some("192.0.2.1:0")),
            ("192.0.2.1", "::ffff:10.0.0.1", Some("192.0.2.1:0")),
            ("192.0.2.1", "2001:db8::1", Some("192.0.2.1:0")),
            ("192.0.2.1", "192.0.2.9", None),
            // The client wrote the first one itself.
            ("127.0.0.1, 192.0.2.1", "10.0.0.1", Some("192.0.2.1:0")),
            ("192.0.2.1, 10.0.0.2", "10.0.0.1", Some("192.0.2.1:0")),
            ("127.0.0.1, 192.0.2.1, 10.0.0.2", "10.0.0.1", Some("192.0.2.1:0")),
            ("10.0.0.5, 10.0.0.2", "10.0.0.1", Some("10.0.0.5:0")),
            ("192.0.2.1, unknown", "10.0.0.1", None),
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.1", Some("10.0.0.2:0")),
            ("192.0.2.1:50000", "10.0.0.1", Some("192.0.2.1:50000")),
            ("[2001:db8::7]:50000", "10.0.0.1", Some("[2001:db8::7]:50000")),
            ("2001:db8::7", "10.0.0.1", Some("[2001:db8::7]:0")),
            ("[2001:db8::7]", "10.0.0.1", Some("[2001:db8::7]:0")),
            ("::ffff:192.0.2.1", "10.0.0.1", Some("192.0.2.1:0")),
            ("", "10.0.0.1", None),
        ] {
            assert_eq!(source(addresses, peer).as_deref(), expected, "{addresses} by {peer}");
        }
    }
}
