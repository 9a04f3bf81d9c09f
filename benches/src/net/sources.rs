//! Source addresses: one loopback address has 28,000 ephemeral ports by default, so many connections need many.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Addresses used in turn; 250 of them hold 7 million connections to one port.
const SOURCES: u32 = 250;

/// The address from which connection number `index` to `target` is opened: 127.0.1.1, 127.0.1.2, ... in turn for a
/// loopback target, the kernel's choice (`None`) for any other.
pub fn source_for(target: SocketAddr, index: u32) -> Option<SocketAddr> {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            let host = (index % SOURCES) as u8 + 1;
            Some(SocketAddr::from((Ipv4Addr::new(127, 0, 1, host), 0)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_targets_are_reached_from_many_sources() {
        let target = "127.0.0.1:1883".parse().unwrap();
        let source = |index| source_for(target, index).map(|source| source.to_string());
        assert_eq!(source(0).as_deref(), Some("127.0.1.1:0"));
        assert_eq!(source(249).as_deref(), Some("127.0.1.250:0"));
        assert_eq!(source(250).as_deref(), Some("127.0.1.1:0"));
    }

    #[test]
    fn other_targets_are_reached_from_the_kernels_choice() {
        assert_eq!(source_for("192.0.2.1:1883".parse().unwrap(), 7), None);
        assert_eq!(source_for("[::1]:1883".parse().unwrap(), 7), None);
    }
}
