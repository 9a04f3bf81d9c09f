//! Sends in flight. They own their bytes until the kernel has said that it is done with them.

use super::operation::Operation;
use super::ring::Ring;
use crate::reactor::Token;
use crate::shard::SCRATCH_KEPT;
use slab::Slab;
use std::io;
use std::os::fd::RawFd;

/// The sends of one ring.
#[derive(Default)]
pub struct Sends {
    list: Slab<Sending>,
    /// Begun since operations were last handed to the kernel.
    begun: Vec<u32>,
    /// Handed to the kernel by the last call: those without completion by now are slow.
    handed: Vec<u32>,
    /// Buffers of ended sends, until the next pass.
    spent: Vec<Vec<u8>>,
}

struct Sending {
    fd: RawFd,
    bytes: Vec<u8>,
    sent: usize,
    /// `None` once the connection is closed.
    token: Option<Token>,
    is_reported: bool,
}

/// What a completion means for the connection.
pub enum SendProgress {
    /// Nobody is interested any more.
    Forgotten,
    /// Everything was taken.
    Done(Token),
    /// The rest is on its way.
    Moved(Token),
    /// The connection is broken.
    Failed(Token),
}

impl Sends {
    /// Begins a send and returns its place.
    ///
    /// # Errors
    /// When the ring takes no more operations.
    pub fn begin(&mut self, ring: &mut Ring, fd: RawFd, token: Token, bytes: Vec<u8>) -> io::Result<u32> {
        let sending = Sending { fd, bytes, sent: 0, token: Some(token), is_reported: false };
        let place = self.list.insert(sending) as u32;
        match self.submit(ring, place) {
            Ok(()) => {
                self.begun.push(place);
                Ok(place)
            }
            Err(error) => {
                self.list.remove(place as usize);
                Err(error)
            }
        }
    }

    fn submit(&self, ring: &mut Ring, place: u32) -> io::Result<()> {
        let Some(sending) = self.list.get(place as usize) else { return Ok(()) };
        let rest = &sending.bytes[sending.sent..];
        // SAFETY: the bytes are in a vector of `list` that nobody changes and that is removed only in `handle`, when the
        // completion was read; `Drop` leaks what is in flight.
        unsafe { ring.send(sending.fd, rest, Operation::Send { place }) }
    }

    /// The connection is closed; its send ends by itself, after which the bytes are freed.
    pub fn abandon(&mut self, ring: &mut Ring, place: u32) -> io::Result<()> {
        if let Some(sending) = self.list.get_mut(place as usize) {
            sending.token = None;
        }
        ring.cancel(Operation::Send { place })
    }

    /// A completion.
    pub fn handle(&mut self, ring: &mut Ring, place: u32, result: i32) -> SendProgress {
        let Some(sending) = self.list.get_mut(place as usize) else { return SendProgress::Forgotten };
        let is_interrupted = matches!(-result, libc::EINTR | libc::EAGAIN);
        let Some(token) = sending.token else {
            self.end(place);
            return SendProgress::Forgotten;
        };
        sending.sent += usize::try_from(result).unwrap_or(0);
        if sending.sent == sending.bytes.len() {
            self.end(place);
            return SendProgress::Done(token);
        }
        if (result > 0 || is_interrupted) && self.submit(ring, place).is_ok() {
            return SendProgress::Moved(token);
        }
        self.end(place);
        SendProgress::Failed(token)
    }

    /// Whether [`Sends::poll_slow`] has somebody to name.
    pub fn has_slow(&self) -> bool {
        let is_slow = |sending: &Sending| sending.token.is_some() && !sending.is_reported;
        self.handed.iter().any(|place| self.list.get(*place as usize).is_some_and(is_slow))
    }

    fn end(&mut self, place: u32) {
        self.spent.push(self.list.remove(place as usize).bytes);
    }

    /// The next buffer the kernel is done with.
    pub fn poll_spent(&mut self) -> Option<Vec<u8>> {
        self.spent.pop()
    }

    /// Gives back what a pass with very many sends needed.
    pub fn release_memory(&mut self) {
        if self.list.is_empty() && self.list.capacity() > SCRATCH_KEPT {
            self.list = Slab::new();
        }
        for places in [&mut self.begun, &mut self.handed] {
            places.shrink_to(SCRATCH_KEPT);
        }
        self.spent.shrink_to(SCRATCH_KEPT);
    }

    /// A connection whose send did not complete in the call that began it; each is named once.
    pub fn poll_slow(&mut self) -> Option<Token> {
        while let Some(place) = self.handed.pop() {
            if let Some(sending) = self.list.get_mut(place as usize)
                && !std::mem::replace(&mut sending.is_reported, true)
                && let Some(token) = sending.token
            {
                return Some(token);
            }
        }
        None
    }

    /// Whether all sends are complete.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The kernel has been handed what was begun.
    pub fn handle_handed(&mut self) {
        self.handed.clear();
        std::mem::swap(&mut self.begun, &mut self.handed);
    }
}

impl Drop for Sends {
    fn drop(&mut self) {
        // The kernel may still read what is in flight.
        std::mem::forget(std::mem::take(&mut self.list));
    }
}
