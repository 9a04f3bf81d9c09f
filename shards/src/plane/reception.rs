//! What the connections of each listener begin with, as the configuration has it.

use crate::config::{ListenerConfig, ListenerKind, ListenersConfig};
use crate::transport::tls::{TlsError, TlsSettings};
use crate::transport::{Layers, Rates};
use std::sync::Arc;

/// The layers of each listener that was opened with `open`, as `listeners` has them now; one that is not there any more keeps
/// what it had. Reads the files of TLS.
///
/// # Errors
/// [`TlsError`].
pub fn layers_of(open: &ListenersConfig, listeners: &ListenersConfig) -> Result<Arc<[Layers]>, TlsError> {
    let layers = |(kind, name, listener)| {
        let now = listeners.of(kind).get(name).unwrap_or(listener);
        layers_of_one(kind, name, now)
    };
    open.enabled().map(layers).collect()
}

fn layers_of_one(kind: ListenerKind, name: &str, listener: &ListenerConfig) -> Result<Layers, TlsError> {
    let section = format!("listeners.{kind}.{name}.ssl_options");
    let tls = match &listener.ssl_options {
        Some(options) => Some(TlsSettings::load(&section, options, listener.websocket.is_some())?),
        None => None,
    };
    Ok(Layers {
        access_rules: listener.access_rules.clone(),
        mountpoint: listener.mountpoint.clone(),
        rates: Rates {
            messages: listener.messages_rate,
            messages_burst: listener.messages_burst,
            bytes: listener.bytes_rate,
            bytes_burst: listener.bytes_burst.0,
        },
        proxy_timeout: listener.proxy_protocol.then_some(listener.proxy_protocol_timeout),
        tls,
        handshake_timeout: listener.ssl_options.as_ref().map(|options| options.handshake_timeout),
        websocket: listener.websocket.clone().map(Arc::new),
    })
}
