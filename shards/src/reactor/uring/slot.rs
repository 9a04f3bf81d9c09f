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
    /// When a poll last found bytes, in [`ERA_MS`]; meaningless without [`WOKEN`].
    pub era: u16,
    /// Place of the send in flight plus one; 0 without.
    pub sending: u32,
}

/// What is between two wakes of a connection is counted in this unit.
pub const ERA_MS: u64 = 5_000;

/// The shard does not want bytes now.
pub const PAUSED: u8 = 1;
/// The connection stays on this shard, so it may be received from ahead of need.
pub const SETTLED: u8 = 2;
/// Bytes came since it was last looked at.
pub const ACTIVE: u8 = 4;
/// It has been silent: it is polled, not received from ahead of need.
pub const SILENT: u8 = 8;
/// Its poll found bytes: they are received, once.
pub const READABLE: u8 = 16;
/// Its poll found bytes before.
pub const WOKEN: u8 = 32;

impl Slot {
    /// A slot without connection.
    pub fn vacant() -> Slot {
        Slot { fd: -1, generation: 0, watch: Watch::Idle, flags: 0, era: 0, sending: 0 }
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

    /// A poll found bytes in this era. A connection that speaks in two eras one after the other is not silent any more; one
    /// that speaks now and then, as with pings, is polled again after each time.
    pub fn wake(&mut self, era: u16) {
        let is_talking = self.has(WOKEN) && era.wrapping_sub(self.era) <= 1;
        self.era = era;
        self.set(WOKEN, true);
        self.set(SILENT, !is_talking);
        self.set(READABLE, !is_talking);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_speaks_in_neighbouring_eras_is_not_silent() {
        let mut slot = Slot::vacant();
        slot.occupy(3);
        slot.set(SILENT, true);
        for (era, is_silent) in
            [(0, true), (108, true), (109, false), (109, false), (111, true), (u16::MAX, true), (0, false)]
        {
            slot.wake(era);
            assert_eq!((slot.has(SILENT), slot.has(READABLE)), (is_silent, is_silent), "{era}");
        }
        assert!(size_of::<Slot>() <= 16);
    }
}
