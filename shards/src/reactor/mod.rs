//! The seam between a shard and the network, shaped like completions.
//!
//! Up come [`Event`]s: accepted, received, sent, closed. Down go the calls of [`Reactor`]: adopt, send, pause, resume,
//! settle, close, release. Nobody above waits for a single connection, so a readiness backend (`glommio_net`) and a
//! completion backend (`uring`) fit behind the same seam, and an idle connection is a record, not a task.

mod drive;
mod executor;
mod glommio_net;
mod listen;
mod log_thread;
mod nap;
mod passage;
mod spare;
mod tables;
mod uring;
mod wake;

#[cfg(test)]
pub use drive::{Border, pass};
pub use executor::{PrivateTable, ShardSeed, ShardThread, spawn};
pub use listen::{BoundListener, bind, peer_of};
pub use log_thread::{LogThread, Way, spawn_log_thread};
pub use passage::{Parcel, Passage};
pub use tables::close_copies;
pub use uring::probe as probe_uring;

use crate::clock::Clock;
use crate::shard::Shard;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Names a connection between a shard and its reactor: the slot of the shard's connection record.
pub type Token = u32;

/// What the network did.
#[derive(Debug)]
pub enum Event<'a> {
    /// A listener accepted a connection.
    Accepted {
        /// Index of the listener.
        listener: usize,
        /// The connected socket.
        socket: OwnedFd,
        /// The other end.
        peer: SocketAddr,
    },
    /// Bytes arrived. They are only lent.
    Received {
        /// The connection.
        token: Token,
        /// The bytes, never empty.
        bytes: &'a [u8],
    },
    /// A send waits for the peer, or has moved forward and waits again.
    Progressed {
        /// The connection.
        token: Token,
    },
    /// A pending send is complete.
    Sent {
        /// The connection.
        token: Token,
    },
    /// The peer closed, or the socket failed. The shard answers with [`Reactor::close`].
    Closed {
        /// The connection.
        token: Token,
    },
}

/// What became of a send at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// The kernel took everything.
    Done,
    /// The kernel is asked at the end of the pass; [`Event::Sent`] follows, [`Event::Progressed`] first if the peer is
    /// slow, and no other send may start before.
    Begun,
    /// The reactor keeps the rest; [`Event::Sent`] follows, and no other send may start before.
    Pending,
    /// The connection is gone.
    Failed,
}

/// The downward half of the seam. All calls return at once; calls for tokens the reactor does not know do nothing.
pub trait Reactor {
    /// Starts receiving on a socket under this token.
    fn adopt(&mut self, token: Token, socket: OwnedFd);
    /// The connection stays on this shard: it may be received from ahead of need. Until then nothing is in flight between
    /// two events, so that it can be released.
    fn settle(&mut self, token: Token);
    /// Sends bytes. At most one send per connection is pending.
    fn send(&mut self, token: Token, bytes: Vec<u8>) -> SendOutcome;
    /// Stops receiving: the kernel's buffer fills and the peer is held back.
    fn pause(&mut self, token: Token);
    /// Receives again.
    fn resume(&mut self, token: Token);
    /// Ends the sending direction, so that the peer reads everything and then the end.
    fn shutdown_send(&mut self, token: Token);
    /// Closes the socket and forgets the token.
    fn close(&mut self, token: Token);
    /// Gives the socket of a connection that is not settled away and forgets the token.
    fn release(&mut self, token: Token) -> Option<OwnedFd>;
    /// Closes all listeners.
    fn stop_accepting(&mut self);
    /// The next buffer whose bytes the kernel has, or nobody needs.
    fn poll_spent(&mut self) -> Option<Vec<u8>>;
    /// The next event, `None` when the pass has seen all.
    fn poll_event(&mut self) -> Option<Event<'_>>;
}

/// A reactor together with its way of waiting.
pub trait Network: Reactor {
    /// Whether the last pass left events behind.
    fn has_more(&mut self) -> bool;
    /// Between two passes: hands operations to the kernel, and sleeps until something happens unless `is_busy`.
    async fn rest(&mut self, shard: &mut Shard, clock: &Clock, is_busy: bool);
}
