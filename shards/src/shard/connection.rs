//! The record of one connection.

use super::admission::Guest;
use super::credit::Turn;
use super::sessions::SessionKey;
use crate::config::{DataPlaneConfig, ListenerConfig, ListenerKind};
use crate::pace::Pace;
use crate::quota::Quota;
use crate::transport::Pipeline;
use ringmq_core::codec::{AckKind, PacketId, ProtocolVersion};
use ringmq_core::config::{Duration, ZoneId, Zones};
use ringmq_core::session::Outbox;
use ringmq_core::time::Timestamp;
use ringmq_core::wheel::TimerId;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// On what terms a listener serves.
#[derive(Debug)]
pub struct ListenerTerms {
    /// Kind and name, for example `tcp:default`.
    pub id: Box<str>,
    /// How fast it takes connections, over all shards.
    pub pace: Pace,
    /// Open connections, over all shards.
    pub open: Quota,
    /// Bytes in an outbox above which messages are queued instead.
    pub high_watermark: usize,
    /// How long a pending send may stand still.
    pub send_timeout: Duration,
    /// Whose settings hold for its clients.
    pub zone: ZoneId,
    /// The largest packet they may send.
    pub packet_bytes_max: u32,
}

impl ListenerTerms {
    /// The terms of the listeners that are opened, in their order; no connection open.
    pub fn of(config: &DataPlaneConfig) -> Arc<[ListenerTerms]> {
        config.listeners.enabled().map(|listener| ListenerTerms::new(listener, &config.zones)).collect()
    }

    fn new((kind, name, config): (ListenerKind, &str, &ListenerConfig), zones: &Zones) -> ListenerTerms {
        // Whoever read the configuration has made sure that there is such a zone.
        let zone = zones.find(&config.zone).unwrap_or(ZoneId::DEFAULT);
        ListenerTerms {
            id: format!("{kind}:{name}").into(),
            pace: Pace::new(config.max_conn_rate, config.max_conn_burst),
            open: Quota::new(config.max_connections.0),
            high_watermark: usize::try_from(config.tcp_options.high_watermark.0).unwrap_or(usize::MAX),
            send_timeout: config.tcp_options.send_timeout,
            zone,
            packet_bytes_max: u32::try_from(zones.of(zone).max_packet_size.0).unwrap_or(u32::MAX),
        }
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// CONNECT is not complete.
    AwaitConnect,
    /// CONNECT is complete, and it waits to be let in.
    Parked,
    /// It serves this session.
    Attached(SessionKey),
    /// The last packet is on its way; then the sending direction is closed.
    Closing,
    /// Everything was sent; what still arrives is discarded until the peer closes, so that no reset overtakes it.
    Lingering,
}

/// A peer's address without the scope of a link-local one, which only the log would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    ip: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Peer { ip: ip.octets(), port: address.port() }
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(peer.ip).to_canonical(), peer.port)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

/// Bytes that wait: most connections have none, so there is a pointer and no more. 24 bytes in every connection cost more than
/// one allocation in a few.
#[derive(Debug, Default)]
pub struct Inbox(Option<Box<Waiting>>);

#[derive(Debug)]
enum Waiting {
    Bytes(Vec<u8>),
    /// Nothing waits; this is to be discarded first.
    Oversize(Oversize),
}

/// A packet that is larger than it may be, and is discarded as it comes.
#[derive(Debug, Clone, Copy)]
pub struct Oversize {
    /// Bytes that are still to come.
    pub left: usize,
    /// What it is answered with then.
    pub acknowledgement: Option<(AckKind, PacketId)>,
}

impl Inbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let waiting = self.0.get_or_insert_with(|| Box::new(Waiting::Bytes(Vec::new())));
            match &mut **waiting {
                Waiting::Bytes(kept) => kept.extend_from_slice(bytes),
                Waiting::Oversize(_) => {
                    debug_assert!(false, "what is to be discarded comes before what is kept")
                }
            }
        }
    }

    /// Takes everything.
    pub fn take(&mut self) -> Vec<u8> {
        match self.0.as_deref_mut() {
            Some(Waiting::Bytes(bytes)) => {
                let bytes = std::mem::take(bytes);
                self.0 = None;
                bytes
            }
            _ => Vec::new(),
        }
    }

    /// What comes next is discarded. Nothing may wait.
    pub fn begin_oversize(&mut self, oversize: Oversize) {
        self.0 = Some(Box::new(Waiting::Oversize(oversize)));
    }

    /// Discards what is to be discarded of `bytes`: how many they are, and the packet if it is over.
    pub fn discard(&mut self, bytes: &[u8]) -> (usize, Option<Oversize>) {
        let Some(Waiting::Oversize(oversize)) = self.0.as_deref_mut() else { return (0, None) };
        let discarded = oversize.left.min(bytes.len());
        oversize.left -= discarded;
        let over = (oversize.left == 0).then_some(*oversize);
        if over.is_some() {
            self.0 = None;
        }
        (discarded, over)
    }

    /// Replaces what waits.
    pub fn put(&mut self, bytes: Vec<u8>) {
        self.0 = (!bytes.is_empty()).then(|| Box::new(Waiting::Bytes(bytes)));
    }
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
    /// Whether its packets wait for room in a queue or a store.
    pub turn: Turn,
    pub listener: u16,
    /// What lies below MQTT; nothing for plain TCP.
    pub pipeline: Option<Box<Pipeline>>,
    /// What is known of the client beside its session.
    pub guest: Option<Box<Guest>>,
    pub outbox: Outbox,
    /// Bytes received and not yet handled: an incomplete packet, or packets of a paused publisher.
    pub inbox: Inbox,
    pub peer: Peer,
    pub last_received_at: Timestamp,
    /// Time for CONNECT, keep alive, or lingering.
    pub timer: Option<TimerId>,
    /// The pending send must move before this fires.
    pub send_timer: Option<TimerId>,
}

impl Connection {
    /// A connection whose CONNECT is still to come.
    pub fn new(peer: Peer, listener: u16, high_watermark: usize, now: Timestamp) -> Connection {
        Connection {
            stage: Stage::AwaitConnect,
            version: ProtocolVersion::V311,
            dirty: false,
            paused: false,
            turn: Turn::Free,
            listener,
            pipeline: None,
            guest: None,
            outbox: Outbox::new(high_watermark),
            inbox: Inbox::default(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_were() {
        for text in ["192.0.2.7:1883", "[2001:db8::1]:8883", "[::1]:1", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let peer = Peer::from(address);
            assert_eq!((SocketAddr::from(peer), peer.to_string().as_str()), (address, text));
        }
    }

    #[test]
    fn an_inbox_gives_back_what_it_was_given() {
        let mut inbox = Inbox::default();
        inbox.put(Vec::new());
        assert!(inbox.is_empty() && inbox.take().is_empty());
        inbox.put(vec![1]);
        inbox.extend_from_slice(&[2, 3]);
        assert!(!inbox.is_empty());
        assert_eq!((inbox.take(), inbox.is_empty()), (vec![1, 2, 3], true));
    }

    #[test]
    fn what_is_too_large_is_discarded_and_what_follows_is_kept() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.discard(&[1, 2]).0, 0);
        inbox.begin_oversize(Oversize { left: 3, acknowledgement: None });
        let (discarded, over) = inbox.discard(&[1, 2]);
        assert!(discarded == 2 && over.is_none() && !inbox.is_empty() && inbox.take().is_empty());
        let (discarded, over) = inbox.discard(&[3, 4, 5]);
        assert!(discarded == 1 && over.is_some() && inbox.is_empty());
    }

    /// An idle connection costs this in every shard; `docs/performance.md` adds it up.
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 128, "{}", size_of::<Connection>());
    }
}
