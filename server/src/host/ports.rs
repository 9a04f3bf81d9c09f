//! Whether the addresses of the listeners are free.
//!
//! The shards bind with SO_REUSEPORT, with which a second broker of the same user would silently take half of the
//! clients of the first. So each address is bound here once without that option, and let go again.

use super::HostError;
use super::finding::Finding;
use crate::config::Config;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// How often, and how long after each other, an address in use is tried again.
const IN_USE_RETRIES: u32 = 40;
const IN_USE_PAUSE: Duration = Duration::from_millis(25);

/// Judges every address, one finding each.
pub fn listener_ports(config: &Config) -> Vec<Finding> {
    let judge = |(key, address): (String, SocketAddr)| match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{key} {address} is free")),
        Err(source) => Finding::fail("port", HostError::Port { key, address, source }.to_string()),
    };
    config.enabled_addresses().into_iter().map(judge).collect()
}

/// Refuses an address of MQTT that is taken.
///
/// # Errors
/// [`HostError::Port`].
pub fn require_listener_ports(config: &Config) -> Result<(), HostError> {
    for (kind, name, listener) in config.listeners.enabled() {
        let Some(address) = listener.bind.address() else { continue };
        bind_when_free(address).map_err(|source| HostError::Port {
            key: format!("listeners.{kind}.{name}.bind"),
            address,
            source,
        })?;
    }
    Ok(())
}

/// Binds, trying again for a while: the kernel closes what a killed broker's rings held a moment after its process is gone.
fn bind_when_free(address: SocketAddr) -> io::Result<TcpListener> {
    for _ in 0..IN_USE_RETRIES {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => std::thread::sleep(IN_USE_PAUSE),
            bound => return bound,
        }
    }
    TcpListener::bind(address)
}
