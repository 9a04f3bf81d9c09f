//! The record of one connection.

use super::sessions::SessionKey;
use crate::config::TcpListenerConfig;
use crate::quota::Quota;
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::config::Duration;
use ringmq_core::session::Outbox;
use ringmq_core::time::Timestamp;
use ringmq_core::wheel::TimerId;
use std::net::SocketAddr;

/// What a listener grants its connections.
#[derive(Debug)]
pub struct ConnectionLimits {
    /// Open connections, over all shards.
    pub open: Quota,
    /// Bytes in an outbox above which messages are queued instead.
    pub high_watermark: usize,
    /// How long a pending send may stand still.
    pub send_timeout: Duration,
}

impl ConnectionLimits {
    /// The limits of a listener; no connection open.
    pub fn new(config: &TcpListenerConfig) -> ConnectionLimits {
        ConnectionLimits {
            open: Quota::new(config.max_connections.0),
            high_watermark: usize::try_from(config.tcp_options.high_watermark.0).unwrap_or(usize::MAX),
            send_timeout: config.tcp_options.send_timeout,
        }
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// CONNECT is not complete.
    AwaitConnect,
    /// It serves this session.
    Attached(SessionKey),
    /// The last packet is on its way; then the sending direction is closed.
    Closing,
    /// Everything was sent; what still arrives is discarded until the peer closes, so that no reset overtakes it.
    Lingering,
}

/// A connection of this shard.
#[derive(Debug)]
pub struct Connection {
    pub stage: Stage,
    pub version: ProtocolVersion,
    /// On the list of connections to write.
    pub dirty: bool,
    /// Not received from, because a lane is congested or the client does not read.
    pub paused: bool,
    pub listener: u16,
    pub outbox: Outbox,
    /// Bytes received and not yet handled: an incomplete packet, or packets of a paused publisher.
    pub inbox: Vec<u8>,
    pub peer: SocketAddr,
    pub last_received_at: Timestamp,
    /// Time for CONNECT, keep alive, or lingering.
    pub timer: Option<TimerId>,
    /// The pending send must move before this fires.
    pub send_timer: Option<TimerId>,
}

impl Connection {
    /// A connection whose CONNECT is still to come.
    pub fn new(peer: SocketAddr, listener: u16, high_watermark: usize, now: Timestamp) -> Connection {
        Connection {
            stage: Stage::AwaitConnect,
            version: ProtocolVersion::V311,
            dirty: false,
            paused: false,
            listener,
            outbox: Outbox::new(high_watermark),
            inbox: Vec::new(),
            peer,
            last_received_at: now,
            timer: None,
            send_timer: None,
        }
    }

    /// The session it serves.
    pub fn session(&self) -> Option<SessionKey> {
        match self.stage {
            Stage::Attached(session) => Some(session),
            _ => None,
        }
    }
}
