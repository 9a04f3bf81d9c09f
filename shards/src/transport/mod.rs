//! What lies between a socket and MQTT: PROXY protocol, TLS, WebSocket. Bytes in, bytes out, no IO.
//!
//! A [`Pipeline`] stands beside a connection that has any of them; plain TCP has none and pays nothing. The reactor never
//! learns about it.

pub mod proxy;
mod throttle;
pub mod tls;
pub mod websocket;

use crate::config::SourceRule;
pub use throttle::{Rates, Throttle};

use proxy::{ProxyError, ProxyHeader, read_header};
use ringmq_core::config::Duration;
use ringmq_core::time::Timestamp;
use ringmq_core::topic::MountTemplate;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use tls::{PeerCertificate, TlsFailure, TlsSettings, TlsStream};
use websocket::{
    CloseCode, FRAME_HEAD_BYTES_MAX, Flow, Forwarded, FrameError, Frames, Upgrade, UpgradeError,
};
use websocket::{WebSocketOptions, write_frame};

/// What the connections of a listener begin with.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Which addresses are served at all.
    pub access_rules: Vec<SourceRule>,
    /// How much each client may send.
    pub rates: Rates,
    /// What stands before the topics of each client.
    pub mountpoint: MountTemplate,
    /// A header of the PROXY protocol, which may take this long.
    pub proxy_timeout: Option<Duration>,
    /// A TLS handshake.
    pub tls: Option<TlsSettings>,
    /// How long that may take.
    pub handshake_timeout: Option<Duration>,
    /// A WebSocket handshake.
    pub websocket: Option<Arc<WebSocketOptions>>,
}

impl Layers {
    /// How long a connection may stay in a phase; `idle_timeout` is for all that has no time of its own.
    pub fn patience(&self, phase: Phase, idle_timeout: Duration) -> Duration {
        let own = match phase {
            Phase::Proxy => self.proxy_timeout,
            Phase::Tls => self.handshake_timeout,
            Phase::Upgrade | Phase::Open => None,
        };
        own.unwrap_or(idle_timeout)
    }
}

/// How far a connection is on its way to MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The header of the PROXY protocol is to come.
    Proxy,
    /// The TLS handshake is not complete.
    Tls,
    /// The WebSocket handshake is not complete.
    Upgrade,
    /// MQTT flows.
    Open,
}

/// Why a connection cannot go on. What tells the peer so may be waiting to be sent.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// PROXY protocol.
    #[error("PROXY protocol: {0}")]
    Proxy(#[from] ProxyError),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFailure),
    /// The WebSocket handshake.
    #[error("WebSocket handshake: {0}")]
    Upgrade(#[from] UpgradeError),
    /// WebSocket frames.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] FrameError),
}

/// The layers of one connection, from the socket upwards.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// The beginning of a header that is not complete; none once it was read, or if there is none.
    header: Option<Vec<u8>>,
    tls: Option<Box<TlsStream>>,
    websocket: Option<WebSocket>,
    /// What the balancer told.
    told: Option<Box<ProxyHeader>>,
    /// What a WebSocket handshake that has just been read says about where it came from, until somebody asks.
    forwarded: Option<Box<(Forwarded, Arc<WebSocketOptions>)>>,
    /// What the layers themselves have to say: handshakes, pongs, farewells.
    outgoing: Vec<u8>,
    throttle: Option<Box<Throttle>>,
    is_closed: bool,
    farewell_said: bool,
}

#[derive(Debug)]
enum WebSocket {
    Opening(Box<(Upgrade, Arc<WebSocketOptions>)>),
    Open(Frames),
}

impl Pipeline {
    /// The pipeline of a new connection; none where MQTT begins with the first byte.
    ///
    /// # Errors
    /// When TLS allows no version.
    pub fn new(layers: &Layers, now: Timestamp) -> Result<Option<Box<Pipeline>>, TransportError> {
        let has_header = layers.proxy_timeout.is_some();
        if !has_header && layers.tls.is_none() && layers.websocket.is_none() && layers.rates.are_infinite() {
            return Ok(None);
        }
        let tls = match &layers.tls {
            Some(settings) => Some(Box::new(TlsStream::new(settings)?)),
            None => None,
        };
        let upgrade = |options: &Arc<WebSocketOptions>| {
            WebSocket::Opening(Box::new((Upgrade::new(), Arc::clone(options))))
        };
        Ok(Some(Box::new(Pipeline {
            header: has_header.then(Vec::new),
            tls,
            websocket: layers.websocket.as_ref().map(upgrade),
            throttle: Throttle::new(&layers.rates, now),
            ..Pipeline::default()
        })))
    }

    /// How far the connection is.
    pub fn phase(&self) -> Phase {
        match (&self.header, &self.tls, &self.websocket) {
            (Some(_), ..) => Phase::Proxy,
            (None, Some(tls), _) if tls.is_handshaking() => Phase::Tls,
            (_, _, Some(WebSocket::Opening(_))) => Phase::Upgrade,
            _ => Phase::Open,
        }
    }

    /// What the client may send, where that is bounded.
    pub fn throttle(&mut self) -> Option<&mut Throttle> {
        self.throttle.as_deref_mut()
    }

    /// Whether the peer has ended the connection in a layer below MQTT.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What the balancer told about the client, once it has.
    pub fn told(&self) -> Option<&ProxyHeader> {
        self.told.as_deref()
    }

    /// Where the client connects from, if the WebSocket handshake that was just read says so and `peer`, who handed it over,
    /// is believed.
    pub fn take_forwarded_source(&mut self, peer: SocketAddr) -> Option<SocketAddr> {
        let (forwarded, options) = *self.forwarded.take()?;
        forwarded.source(peer, &options.trusted_proxies)
    }

    /// The client's certificate, if it showed one.
    pub fn peer_certificate(&self) -> Option<PeerCertificate> {
        self.tls.as_ref()?.peer_certificate()
    }

    /// The server's name that the client has asked for in its TLS handshake, with the broker or with its balancer.
    pub fn server_name(&self) -> Option<&str> {
        let told = || self.told.as_ref()?.server_name.as_deref();
        self.tls.as_ref().and_then(|tls| tls.server_name()).or_else(told)
    }

    /// Keeps bytes of a TLS handshake until there is time for it.
    pub fn defer(&mut self, bytes: &[u8]) {
        if let Some(tls) = &mut self.tls {
            tls.defer(bytes);
        }
    }

    /// Handles received bytes: those of MQTT are appended to `plain`.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TransportError> {
        let Some(mut header) = self.header.take() else { return self.receive_tls(bytes, plain) };
        header.extend_from_slice(bytes);
        match read_header(&header)? {
            None => {
                self.header = Some(header);
                Ok(())
            }
            Some((told, used)) => {
                self.told = Some(Box::new(told));
                self.receive_tls(&header[used..], plain)
            }
        }
    }

    fn receive_tls(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TransportError> {
        let Some(tls) = &mut self.tls else { return self.receive_websocket(bytes, plain) };
        if self.websocket.is_none() {
            tls.receive(bytes, plain, &mut self.outgoing)?;
            self.is_closed |= tls.is_closed();
            return Ok(());
        }
        let mut inner = Vec::new();
        tls.receive(bytes, &mut inner, &mut self.outgoing)?;
        self.is_closed |= tls.is_closed();
        self.receive_websocket(&inner, plain)
    }

    fn receive_websocket(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TransportError> {
        let mut replies = Vec::new();
        let result = match &mut self.websocket {
            None => {
                plain.extend_from_slice(bytes);
                return Ok(());
            }
            Some(WebSocket::Opening(opening)) => {
                let (upgrade, options) = &mut **opening;
                match upgrade.handle_bytes(bytes, options) {
                    Ok(None) => return Ok(()),
                    Ok(Some(upgraded)) => {
                        replies = upgraded.response;
                        let options = Arc::clone(options);
                        let forwarded = upgraded.forwarded;
                        self.forwarded = forwarded.map(|it| Box::new((it, Arc::clone(&options))));
                        let mut frames = Frames::new(options.max_frame_size.0 as u64);
                        let flow = frames.handle_bytes(&bytes[upgraded.used..], plain, &mut replies);
                        self.websocket = Some(WebSocket::Open(frames));
                        flow
                    }
                    Err(error) => {
                        self.say(&error.response());
                        return Err(error.into());
                    }
                }
            }
            Some(WebSocket::Open(frames)) => frames.handle_bytes(bytes, plain, &mut replies),
        };
        self.say(&replies);
        self.is_closed |= result? == Flow::Ended;
        Ok(())
    }

    /// Puts what a layer above TLS says on its way.
    fn say(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => tls.seal(bytes, &mut self.outgoing),
            None => self.outgoing.extend_from_slice(bytes),
        }
    }

    /// Whether the layers have something to say.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Wraps bytes of MQTT, after what the layers themselves have to say.
    pub fn seal(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match (&mut self.websocket, &mut self.tls) {
            (Some(WebSocket::Open(_)), _) if !bytes.is_empty() => {
                let mut framed = Vec::with_capacity(bytes.len() + FRAME_HEAD_BYTES_MAX);
                write_frame(bytes.len(), &mut framed);
                framed.extend_from_slice(&bytes);
                self.say(&framed);
            }
            (_, Some(tls)) => tls.seal(&bytes, &mut self.outgoing),
            _ if self.outgoing.is_empty() => return bytes,
            _ => self.outgoing.extend_from_slice(&bytes),
        }
        mem::take(&mut self.outgoing)
    }

    /// Whether a layer is open that ends with a farewell, for want of which the peer could not tell the end from a cut.
    pub fn has_farewell(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking())
            || matches!(self.websocket, Some(WebSocket::Open(_)))
    }

    /// Says in every layer that nothing more comes; once.
    pub fn say_farewell(&mut self) {
        if mem::replace(&mut self.farewell_said, true) {
            return;
        }
        if let Some(WebSocket::Open(frames)) = &mut self.websocket {
            let mut replies = Vec::new();
            frames.close(CloseCode::Normal, &mut replies);
            self.say(&replies);
        }
        if let Some(tls) = &mut self.tls {
            tls.say_farewell(&mut self.outgoing);
        }
    }
}
