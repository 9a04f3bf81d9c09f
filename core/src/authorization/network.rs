//! Networks in CIDR form, and which addresses are in them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, or one address. An IPv4 address mapped into IPv6 counts as the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    prefix_bits: u8,
}

/// A text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address such as 10.0.0.1 or a network such as 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    /// The network of this prefix that an address is in; none if the prefix is longer than the address.
    pub fn around(address: IpAddr, prefix_bits: u8) -> Option<Network> {
        let first = masked(address.to_canonical(), prefix_bits)?;
        Some(Network { first, prefix_bits })
    }

    /// Leading bits that all its addresses share.
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// Whether an address is in it.
    pub fn has(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix_bits) == Some(self.first)
    }

    /// The address, if it is only one.
    pub fn single(&self) -> Option<IpAddr> {
        (self.prefix_bits == bits_of(self.first)).then_some(self.first)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Bits beyond the prefix may be set and do not count.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let typed: IpAddr = address.trim().parse().map_err(|_| NetworkError)?;
        let prefix = match prefix {
            None => bits_of(typed),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError)?
            }
            Some(_) => return Err(NetworkError),
        };
        // A network of mapped addresses is a network of IPv4 if it holds nothing else.
        let canonical = typed.to_canonical();
        let is_mapped = typed.is_ipv6() && canonical.is_ipv4();
        let (address, prefix_bits) = match (is_mapped, prefix.checked_sub(96)) {
            (true, Some(inner)) => (canonical, inner),
            _ => (typed, prefix),
        };
        let first = masked(address, prefix_bits).ok_or(NetworkError)?;
        Ok(Network { first, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => address.fmt(f),
            None => write!(f, "{}/{}", self.first, self.prefix_bits),
        }
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits behind the prefix at zero; none if the prefix is longer than the address.
fn masked(address: IpAddr, prefix_bits: u8) -> Option<IpAddr> {
    let behind = u32::from(bits_of(address).checked_sub(prefix_bits)?);
    Some(match address {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(behind).unwrap_or(0)))
        }
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(behind).unwrap_or(0)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_their_networks_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.9.9.9/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("::/0", "::1", "1.2.3.4"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.has(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.has(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        for wrong in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0.0/8/8",
            "/8",
            "1.2.3",
        ] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }
}
