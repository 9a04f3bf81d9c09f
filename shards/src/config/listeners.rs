//! `[listeners.<kind>.<name>]`: where MQTT is served, and on what terms.

use super::{Bind, SourceRule, TlsOptions};
use crate::transport::websocket::WebSocketOptions;
use ringmq_core::config::{ByteSize, Duration, Limit, Rate, Zones};
use ringmq_core::topic::MountTemplate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What carries MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerKind {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Ssl,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// A unix-domain socket.
    Unix,
}

impl ListenerKind {
    /// All kinds.
    pub const ALL: [ListenerKind; 5] =
        [ListenerKind::Tcp, ListenerKind::Ssl, ListenerKind::Ws, ListenerKind::Wss, ListenerKind::Unix];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            ListenerKind::Tcp => "tcp",
            ListenerKind::Ssl => "ssl",
            ListenerKind::Ws => "ws",
            ListenerKind::Wss => "wss",
            ListenerKind::Unix => "unix",
        }
    }

    /// What its listener `default` is like. Only that of TCP is open.
    fn default_listener(self) -> ListenerConfig {
        let options = |bind| ListenerConfig { enable: false, bind, ..ListenerConfig::default() };
        match self {
            ListenerKind::Tcp => ListenerConfig::default(),
            ListenerKind::Ssl => {
                ListenerConfig { ssl_options: Some(TlsOptions::default()), ..options(Bind::loopback(8883)) }
            }
            ListenerKind::Ws => ListenerConfig {
                websocket: Some(WebSocketOptions::default()),
                ..options(Bind::loopback(8083))
            },
            ListenerKind::Wss => ListenerConfig {
                ssl_options: Some(TlsOptions::default()),
                websocket: Some(WebSocketOptions::default()),
                ..options(Bind::loopback(8084))
            },
            ListenerKind::Unix => options(Bind::Path(PathBuf::from("./data/mqtt.sock"))),
        }
    }
}

impl fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All listeners, by kind and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenersConfig {
    /// MQTT over TCP.
    pub tcp: BTreeMap<String, ListenerConfig>,
    /// MQTT over TLS.
    pub ssl: BTreeMap<String, ListenerConfig>,
    /// MQTT over WebSocket.
    pub ws: BTreeMap<String, ListenerConfig>,
    /// MQTT over WebSocket over TLS.
    pub wss: BTreeMap<String, ListenerConfig>,
    /// MQTT over a unix-domain socket.
    pub unix: BTreeMap<String, ListenerConfig>,
}

impl Default for ListenersConfig {
    fn default() -> ListenersConfig {
        let of = |kind: ListenerKind| BTreeMap::from([("default".to_owned(), kind.default_listener())]);
        ListenersConfig {
            tcp: of(ListenerKind::Tcp),
            ssl: of(ListenerKind::Ssl),
            ws: of(ListenerKind::Ws),
            wss: of(ListenerKind::Wss),
            unix: of(ListenerKind::Unix),
        }
    }
}

impl ListenersConfig {
    /// The listeners of a kind.
    pub fn of(&self, kind: ListenerKind) -> &BTreeMap<String, ListenerConfig> {
        match kind {
            ListenerKind::Tcp => &self.tcp,
            ListenerKind::Ssl => &self.ssl,
            ListenerKind::Ws => &self.ws,
            ListenerKind::Wss => &self.wss,
            ListenerKind::Unix => &self.unix,
        }
    }

    /// The listeners by kind and name.
    pub fn all(&self) -> impl Iterator<Item = (ListenerKind, &str, &ListenerConfig)> {
        let of = |kind| self.of(kind).iter().map(move |(name, listener)| (kind, name.as_str(), listener));
        ListenerKind::ALL.into_iter().flat_map(of)
    }

    /// Those that are opened. Their places in this order number them.
    pub fn enabled(&self) -> impl Iterator<Item = (ListenerKind, &str, &ListenerConfig)> {
        self.all().filter(|(_, _, listener)| listener.enable)
    }
}

/// A listener. Every key but those of certificates needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// Whether it is opened.
    pub enable: bool,
    /// Where it listens.
    pub bind: Bind,
    /// Connections at once, over all shards; more are closed as soon as they are accepted.
    pub max_connections: Limit,
    /// Which addresses are served. With the PROXY protocol, the balancers'.
    pub access_rules: Vec<SourceRule>,
    /// New connections a second, over all shards; those that come faster wait, and are closed where they would wait longer
    /// than 10 s.
    pub max_conn_rate: Rate,
    /// Connections beyond the rate at once.
    pub max_conn_burst: u64,
    /// PUBLISH packets of one client; over its rate it is not read from.
    pub messages_rate: Rate,
    /// Messages beyond the rate at once.
    pub messages_burst: u64,
    /// Bytes of one client; over its rate it is not read from.
    pub bytes_rate: Rate,
    /// Bytes beyond the rate at once.
    pub bytes_burst: ByteSize,
    /// Whether every connection begins with a header of the PROXY protocol, version 1 or 2.
    pub proxy_protocol: bool,
    /// How long that header may take. 100ms to 60s.
    pub proxy_protocol_timeout: Duration,
    /// The zone whose settings hold for its clients.
    pub zone: String,
    /// What stands before the topics of its clients.
    pub mountpoint: MountTemplate,
    /// Socket options.
    pub tcp_options: TcpOptions,
    /// TLS; only of listeners that speak it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_options: Option<TlsOptions>,
    /// WebSocket; only of listeners that speak it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketOptions>,
}

impl Default for ListenerConfig {
    fn default() -> ListenerConfig {
        ListenerConfig {
            enable: true,
            bind: Bind::loopback(1883),
            max_connections: Limit::INFINITY,
            access_rules: vec![SourceRule::ALLOW_ALL],
            max_conn_rate: Rate::INFINITY,
            max_conn_burst: 0,
            messages_rate: Rate::INFINITY,
            messages_burst: 0,
            bytes_rate: Rate::INFINITY,
            bytes_burst: ByteSize(0),
            proxy_protocol: false,
            proxy_protocol_timeout: Duration::from_s(3),
            zone: Zones::DEFAULT_NAME.to_owned(),
            mountpoint: MountTemplate::default(),
            tcp_options: TcpOptions::default(),
            ssl_options: None,
            websocket: None,
        }
    }
}

/// Socket options of a listener and its connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpOptions {
    /// Connections the kernel holds until they are accepted. 1 to 65535, capped by net.core.somaxconn.
    pub backlog: u16,
    /// SO_RCVBUF; 0 leaves it to the kernel.
    pub recbuf: ByteSize,
    /// SO_SNDBUF; 0 leaves it to the kernel.
    pub sndbuf: ByteSize,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// Bytes waiting to be sent to one client above which messages go to its session queue instead. 4KB to 256MB.
    pub high_watermark: ByteSize,
    /// A client that takes none of the waiting bytes for this long is disconnected.
    pub send_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> TcpOptions {
        TcpOptions {
            backlog: 1024,
            recbuf: ByteSize(0),
            sndbuf: ByteSize(0),
            nodelay: true,
            high_watermark: ByteSize(1 << 20),
            send_timeout: Duration::from_s(15),
        }
    }
}
