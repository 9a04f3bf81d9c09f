//! Listening sockets of a ring: multishot accepts, and the rest after one that failed.

use super::operation::Operation;
use super::ring::{Completion, Ring};
use crate::reactor::{Event, peer_of};
use ringmq_core::time::Timestamp;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How long a listener rests after it failed to accept.
const RETRY_MS: u64 = 500;

/// The listeners of a shard.
pub struct Listeners {
    list: Vec<Option<OwnedFd>>,
    /// Listeners that rest, and until when.
    resting: Vec<(Timestamp, usize)>,
}

impl Listeners {
    /// Begins to accept on all of them.
    ///
    /// # Errors
    /// When the ring takes no operations.
    pub fn new(ring: &mut Ring, sockets: Vec<OwnedFd>) -> io::Result<Listeners> {
        let listeners = Listeners { list: sockets.into_iter().map(Some).collect(), resting: Vec::new() };
        for index in 0..listeners.list.len() {
            listeners.accept(ring, index)?;
        }
        Ok(listeners)
    }

    fn accept(&self, ring: &mut Ring, index: usize) -> io::Result<()> {
        match &self.list[index] {
            Some(socket) => ring.accept(socket.as_raw_fd(), Operation::Accept { listener: index as u32 }),
            None => Ok(()),
        }
    }

    /// A completion of an accept: a connection, or the end of accepting for a while.
    pub fn handle(
        &mut self,
        ring: &mut Ring,
        index: usize,
        completion: Completion,
        now: Timestamp,
    ) -> Option<Event<'static>> {
        let accepted = match completion.result {
            fd @ 0.. => {
                // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
                Ok(unsafe { OwnedFd::from_raw_fd(fd) })
            }
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        if !completion.has_more {
            match &accepted {
                // Out of descriptors or memory. Until the next attempt clients wait in the kernel's backlog.
                Err(error) if is_exhaustion(error) => {
                    tracing::warn!(%error, retry_ms = RETRY_MS, "no connection can be accepted");
                    self.resting.push((now.after_ms(RETRY_MS), index));
                }
                _ => {
                    if let Err(error) = self.accept(ring, index) {
                        tracing::error!(%error, "a listener does not accept any more");
                    }
                }
            }
        }
        let socket = accepted.ok()?;
        self.list[index].as_ref()?;
        // A multishot accept does not tell the address; a peer that is gone already has none.
        let peer = peer_of(&socket2::SockRef::from(&socket).peer_addr().ok()?)?;
        Some(Event::Accepted { listener: index, socket, peer })
    }

    /// When a listener's rest is over.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.resting.iter().map(|(at, _)| *at).min()
    }

    /// Begins to accept again where the rest is over.
    ///
    /// # Errors
    /// When the ring takes no operations.
    pub fn handle_due(&mut self, ring: &mut Ring, now: Timestamp) -> io::Result<()> {
        while let Some(position) = self.resting.iter().position(|(at, _)| *at <= now) {
            let (_, index) = self.resting.swap_remove(position);
            self.accept(ring, index)?;
        }
        Ok(())
    }

    /// Closes all of them.
    ///
    /// # Errors
    /// When the ring takes no operations.
    pub fn close(&mut self, ring: &mut Ring) -> io::Result<()> {
        self.resting.clear();
        for (index, socket) in self.list.iter_mut().enumerate() {
            if socket.take().is_some() {
                ring.cancel(Operation::Accept { listener: index as u32 })?;
            }
        }
        Ok(())
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
