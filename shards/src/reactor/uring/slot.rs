//! What the ring knows of one connection: sixteen bytes.

use super::operation::Operation;
use crate::reactor::Token;
use std::os::fd::RawFd;

/// The operation that watches a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// None.
    Idle,
    /// One receive.
    Once,
    /// Receives until cancelled.
    Many,
    /// A poll, of a connection that has been silent.
    Poll,
    /// One of them, cancelled, whose last completion is still to come.
    Ending,
}

/// The record of a connection.
#[derive(Debug)]
pub struct Slot {
    /// Negative without connection.
    pub fd: RawFd,
    /// Changes with every connection.
    pub generation: u16,
    pub watch: Watch,
    pub flags: u8,
    /// Place of the send in flight plus one; 0 without.
    pub sending: u32,
}

/// The shard does not want bytes now.
pub const PAUSED: u8 = 1;
/// The connection stays on this shard, so it may be received from ahead of need.
pub const SETTLED: u8 = 2;
/// Bytes came since it was last looked at.
pub const ACTIVE: u8 = 4;
/// It has been silent: it is polled, not received from.
pub const SILENT: u8 = 8;

impl Slot {
    /// A slot without connection.
    pub fn vacant() -> Slot {
        Slot { fd: -1, generation: 0, watch: Watch::Idle, flags: 0, sending: 0 }
    }

    /// Takes a connection in.
    pub fn occupy(&mut self, fd: RawFd) {
        let generation = self.generation.wrapping_add(1);
        *self = Slot { fd, generation, ..Slot::vacant() };
    }

    /// Whether this flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sets or clears a flag.
    pub fn set(&mut self, flag: u8, value: bool) {
        self.flags = if value { self.flags | flag } else { self.flags & !flag };
    }

    /// The operation in flight that can be cancelled.
    pub fn watching(&self, token: Token) -> Option<Operation> {
        let generation = self.generation;
        match self.watch {
            Watch::Once | Watch::Many => Some(Operation::Receive { token, generation }),
            Watch::Poll => Some(Operation::Poll { token, generation }),
            Watch::Idle | Watch::Ending => None,
        }
    }
}
