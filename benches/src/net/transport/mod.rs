//! What lies between TCP and MQTT: nothing, TLS, WebSocket, or WebSocket over TLS.
//!
//! Everything here turns bytes into bytes; sockets belong to [`Client`](crate::net::client::Client).

mod layers;
mod tls;
mod websocket;

use anyhow::Result;
pub use layers::Layers;
pub use tls::TlsTerms;
pub use websocket::WebSocketTerms;

/// How clients of a run speak to the broker. Its terms are made once per process and kept until it ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transport {
    tls: Option<&'static TlsTerms>,
    websocket: Option<&'static WebSocketTerms>,
}

impl Transport {
    /// A transport with these layers. The terms are never freed; there is one transport in a process.
    pub fn new(tls: Option<TlsTerms>, websocket: Option<WebSocketTerms>) -> Transport {
        Transport {
            tls: tls.map(|terms| &*Box::leak(Box::new(terms))),
            websocket: websocket.map(|terms| &*Box::leak(Box::new(terms))),
        }
    }

    /// The layers of one new connection; `None` on plain TCP.
    ///
    /// # Errors
    /// When TLS cannot be begun.
    pub fn layers(&self) -> Result<Option<Box<Layers>>> {
        if self.tls.is_none() && self.websocket.is_none() {
            return Ok(None);
        }
        let tls = self.tls.map(TlsTerms::connection).transpose()?;
        Ok(Some(Box::new(Layers::new(tls, self.websocket.map(WebSocketTerms::connection))?)))
    }

    /// The scheme by which such an address is known.
    pub fn scheme(&self) -> &'static str {
        match (self.tls.is_some(), self.websocket.is_some()) {
            (false, false) => "mqtt",
            (true, false) => "mqtts",
            (false, true) => "ws",
            (true, true) => "wss",
        }
    }
}
