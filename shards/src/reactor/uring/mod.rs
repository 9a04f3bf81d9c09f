//! The completion backend: io_uring moves the data itself.
//!
//! Receives are multishot into one ring of buffers per shard; a connection that is new, or silent for a while, is polled
//! instead, which holds less of the kernel's memory, and received from once whenever it speaks now and then. The sends of
//! a pass are handed over in one call, the one that also waits. A connection whose CONNECT is not complete is received
//! from one buffer at a time, so that nothing is in flight when it moves to another shard.

mod buffers;
mod listeners;
mod operation;
mod ring;
mod sends;
mod slot;
#[cfg(test)]
mod tests;

use super::{Event, Network, Reactor, SendOutcome, Token};
use crate::clock::Clock;
use crate::shard::{SCRATCH_KEPT, Shard};
use buffers::BufferRing;
use listeners::Listeners;
use operation::Operation;
use ring::{Completion, Ring};
use ringmq_core::hash::SeededMap;
use ringmq_core::time::Timestamp;
use sends::{SendProgress, Sends};
use slot::{ACTIVE, ERA_MS, PAUSED, READABLE, SETTLED, SILENT, Slot, Watch};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

/// A connection without bytes for this long is polled instead of received from.
const SILENT_AFTER_MS: u64 = 10_000;
/// Rest after the kernel refused the ring, so that a broken one does not burn a core.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The network of one shard.
pub struct UringNet {
    ring: Ring,
    buffers: BufferRing,
    slots: Vec<Slot>,
    sends: Sends,
    listeners: Listeners,
    doorbell: OwnedFd,
    clock: Clock,
    /// The buffer of the event handed out last, and how many of its bytes the event was about.
    lent: Option<(u16, usize)>,
    /// Connections whose watch is to be begun when the events of this pass are handled.
    unwatched: Vec<Token>,
    /// Connections with a multishot receive, in the order in which their silence is looked at.
    receiving: VecDeque<(Timestamp, Token, u16)>,
    /// What arrived for paused connections before their receive was cancelled.
    held: SeededMap<Token, Vec<u8>>,
    /// Resumed connections with held bytes.
    resumed: Vec<Token>,
    /// Held bytes of the event handed out last.
    delivered: Vec<u8>,
}

/// Whether this kernel can do what this backend needs.
///
/// # Errors
/// What it said.
pub fn probe() -> io::Result<()> {
    let ring = Ring::new()?;
    ring.register(&mut BufferRing::new()?)
}

impl UringNet {
    /// The network of this thread.
    ///
    /// # Errors
    /// What the kernel says when it makes the ring.
    pub fn new(listeners: Vec<OwnedFd>, doorbell: OwnedFd, clock: Clock) -> io::Result<UringNet> {
        let mut ring = Ring::new()?;
        let mut buffers = BufferRing::new()?;
        ring.register(&mut buffers)?;
        let listeners = Listeners::new(&mut ring, listeners)?;
        ring.poll_many(doorbell.as_raw_fd(), Operation::Doorbell)?;
        Ok(UringNet {
            ring,
            buffers,
            slots: Vec::new(),
            sends: Sends::default(),
            listeners,
            doorbell,
            clock,
            lent: None,
            unwatched: Vec::new(),
            receiving: VecDeque::new(),
            held: SeededMap::default(),
            resumed: Vec::new(),
            delivered: Vec::new(),
        })
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots.get_mut(token as usize).filter(|slot| slot.fd >= 0)
    }

    /// Begins to watch a connection, in the way its flags say.
    fn watch(&mut self, token: Token, now: Timestamp) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(token as usize).filter(|slot| slot.fd >= 0) else {
            return Ok(());
        };
        if slot.watch != Watch::Idle || slot.has(PAUSED) {
            return Ok(());
        }
        let (fd, generation) = (slot.fd, slot.generation);
        if slot.has(SILENT) && !slot.has(READABLE) {
            slot.watch = Watch::Poll;
            return self.ring.poll(fd, Operation::Poll { token, generation });
        }
        let is_ahead = slot.has(SETTLED) && !slot.has(SILENT);
        slot.watch = if is_ahead { Watch::Many } else { Watch::Once };
        if is_ahead {
            self.receiving.push_back((now.after_ms(SILENT_AFTER_MS), token, generation));
        }
        self.ring.receive(fd, is_ahead, Operation::Receive { token, generation })
    }

    fn watch_all(&mut self, now: Timestamp) {
        while let Some(token) = self.unwatched.pop() {
            note(self.watch(token, now));
        }
    }

    /// Cancels what watches a connection; its last completion begins the next watch.
    fn end_watch(&mut self, token: Token) {
        let Some(slot) = self.slots.get_mut(token as usize) else { return };
        if let Some(operation) = slot.watching(token) {
            slot.watch = Watch::Ending;
            note(self.ring.cancel(operation));
        }
    }

    /// Polls connections that have been silent since they were last looked at.
    fn handle_silence(&mut self, now: Timestamp) {
        while let Some(&(due, token, generation)) = self.receiving.front()
            && due <= now
        {
            self.receiving.pop_front();
            let Some(slot) = self.slot(token) else { continue };
            if slot.generation != generation || slot.watch != Watch::Many {
                continue;
            }
            if slot.has(ACTIVE) {
                slot.set(ACTIVE, false);
                self.receiving.push_back((now.after_ms(SILENT_AFTER_MS), token, generation));
            } else {
                slot.set(SILENT, true);
                self.end_watch(token);
            }
        }
        if self.receiving.is_empty() {
            self.receiving.shrink_to_fit();
        }
    }

    fn handle_completion(&mut self, completion: Completion) -> Option<Step> {
        match completion.operation {
            Operation::Receive { token, generation } => self.handle_receive(token, generation, completion),
            Operation::Poll { token, generation } => {
                let era = (self.clock.now().as_ms() / ERA_MS) as u16;
                let slot = self.slot(token).filter(|slot| slot.generation == generation)?;
                slot.watch = Watch::Idle;
                if completion.result >= 0 {
                    slot.wake(era);
                }
                self.unwatched.push(token);
                None
            }
            Operation::Send { place } => {
                let progress = self.sends.handle(&mut self.ring, place, completion.result);
                self.handle_progress(progress)
            }
            Operation::Accept { listener } => {
                let event =
                    self.listeners.handle(&mut self.ring, listener as usize, completion, self.clock.now());
                event.map(Step::Event)
            }
            Operation::Doorbell => {
                if !completion.has_more {
                    note(self.ring.poll_many(self.doorbell.as_raw_fd(), Operation::Doorbell));
                }
                None
            }
            Operation::Forgotten => None,
        }
    }

    fn handle_progress(&mut self, progress: SendProgress) -> Option<Step> {
        let (token, event) = match progress {
            SendProgress::Forgotten => return None,
            SendProgress::Moved(token) => return Some(Step::Event(Event::Progressed { token })),
            SendProgress::Done(token) => (token, Event::Sent { token }),
            SendProgress::Failed(token) => (token, Event::Closed { token }),
        };
        self.slot(token)?.sending = 0;
        Some(Step::Event(event))
    }

    fn handle_receive(&mut self, token: Token, generation: u16, completion: Completion) -> Option<Step> {
        self.lent = completion.lent();
        let slot = self.slots.get_mut(token as usize);
        let slot = slot.filter(|slot| slot.fd >= 0 && slot.generation == generation)?;
        let was_once = slot.watch == Watch::Once;
        if !completion.has_more {
            slot.watch = Watch::Idle;
            self.unwatched.push(token);
        }
        match (completion.result, completion.buffer) {
            (1.., Some(buffer)) => {
                // Bytes may overtake the cancellation of their receive: then the connection is not silent after all.
                slot.set(ACTIVE, true);
                slot.set(READABLE, false);
                if !was_once {
                    slot.set(SILENT, false);
                }
                let length = completion.result as usize;
                if slot.has(PAUSED) {
                    if let Ok(bytes) = self.buffers.filled(buffer, length) {
                        self.held.entry(token).or_default().extend_from_slice(bytes);
                    }
                    return None;
                }
                Some(Step::Received { token, buffer, length })
            }
            (libc_error, _) if is_passing(-libc_error) => {
                if -libc_error == libc::ENOBUFS {
                    self.buffers.grow();
                }
                None
            }
            // The end comes again when the connection is resumed and received from.
            _ if slot.has(PAUSED) => None,
            _ => {
                // The shard closes it next; nothing more is to be received.
                slot.set(PAUSED, true);
                Some(Step::Event(Event::Closed { token }))
            }
        }
    }

    fn poll_step(&mut self) -> Option<Step> {
        loop {
            if let Some((buffer, length)) = self.lent.take() {
                self.buffers.consume(buffer, length);
            }
            if let Some(token) = self.poll_held() {
                return Some(Step::Held { token });
            }
            let Some(completion) = self.ring.poll_completion() else { break };
            let step = self.handle_completion(completion);
            if step.is_some() {
                return step;
            }
        }
        self.sends.poll_slow().map(|token| Step::Event(Event::Progressed { token }))
    }

    fn poll_held(&mut self) -> Option<Token> {
        while let Some(token) = self.resumed.pop() {
            if self.slot(token).is_none_or(|slot| slot.has(PAUSED)) {
                continue;
            }
            let Some(bytes) = self.held.remove(&token) else { continue };
            self.delivered = bytes;
            return Some(token);
        }
        None
    }

    /// The time of the next thing that this network does by itself.
    fn next_deadline(&self) -> Option<Timestamp> {
        let silence = self.receiving.front().map(|(due, ..)| *due);
        [silence, self.listeners.retry_at()].into_iter().flatten().min()
    }
}

impl Reactor for UringNet {
    fn adopt(&mut self, token: Token, socket: OwnedFd) {
        let place = token as usize;
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, Slot::vacant);
        }
        self.slots[place].occupy(socket.into_raw_fd());
        self.unwatched.push(token);
    }

    fn settle(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            slot.set(SETTLED, true);
            // Most of many clients say little: a new one is polled until it has spoken twice.
            slot.set(SILENT, true);
        }
    }

    fn send(&mut self, token: Token, bytes: Vec<u8>) -> SendOutcome {
        let Some(slot) = self.slots.get_mut(token as usize).filter(|slot| slot.fd >= 0) else {
            return SendOutcome::Failed;
        };
        debug_assert!(slot.sending == 0, "one send at a time");
        match self.sends.begin(&mut self.ring, slot.fd, token, bytes) {
            Ok(place) => {
                slot.sending = place + 1;
                SendOutcome::Begun
            }
            Err(error) => {
                fail(&error);
                SendOutcome::Failed
            }
        }
    }

    fn pause(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            slot.set(PAUSED, true);
            self.end_watch(token);
        }
    }

    fn resume(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        slot.set(PAUSED, false);
        if self.held.contains_key(&token) {
            self.resumed.push(token);
        }
        self.unwatched.push(token);
    }

    fn shutdown_send(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        // SAFETY: the slot owns the descriptor, which stays open while it is borrowed.
        let socket = unsafe { BorrowedFd::borrow_raw(slot.fd) };
        // A socket that is gone already needs no shutdown.
        let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Write);
    }

    fn close(&mut self, token: Token) {
        let Some(slot) = self.slots.get_mut(token as usize).filter(|slot| slot.fd >= 0) else { return };
        let (fd, sending, watching) = (slot.fd, slot.sending, slot.watching(token));
        *slot = Slot { generation: slot.generation, ..Slot::vacant() };
        self.held.remove(&token);
        if let Some(operation) = watching {
            note(self.ring.cancel(operation));
        }
        if let Some(place) = sending.checked_sub(1) {
            note(self.sends.abandon(&mut self.ring, place));
        }
        note(self.ring.close(fd));
    }

    fn release(&mut self, token: Token) -> Option<OwnedFd> {
        let slot = self.slot(token)?;
        debug_assert!(slot.watch == Watch::Idle && slot.sending == 0, "settled connections stay");
        let fd = slot.fd;
        *slot = Slot { generation: slot.generation, ..Slot::vacant() };
        // SAFETY: the slot owned the descriptor and has forgotten it.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn stop_accepting(&mut self) {
        note(self.listeners.close(&mut self.ring));
    }

    fn poll_spent(&mut self) -> Option<Vec<u8>> {
        self.sends.poll_spent()
    }

    fn poll_event(&mut self) -> Option<Event<'_>> {
        match self.poll_step()? {
            Step::Event(event) => Some(event),
            Step::Held { token } => Some(Event::Received { token, bytes: &self.delivered }),
            Step::Received { token, buffer, length } => match self.buffers.filled(buffer, length) {
                Ok(bytes) => Some(Event::Received { token, bytes }),
                Err(_) => Some(Event::Closed { token }),
            },
        }
    }
}

impl Network for UringNet {
    fn has_more(&mut self) -> bool {
        !self.resumed.is_empty() || self.ring.has_completions() || self.sends.has_slow()
    }

    async fn rest(&mut self, shard: &mut Shard, clock: &Clock, is_busy: bool) {
        let now = clock.now();
        self.watch_all(now);
        self.handle_silence(now);
        note(self.listeners.handle_due(&mut self.ring, now));
        self.sends.handle_handed();
        if let Err(error) = self.ring.turn() {
            fail(&error);
            std::thread::sleep(AFTER_FAILURE);
        }
        if is_busy || self.has_more() || !shard.park() {
            return;
        }
        self.sends.release_memory();
        self.unwatched.shrink_to(SCRATCH_KEPT);
        let deadline = [shard.next_deadline(), self.next_deadline()].into_iter().flatten().min();
        let wait_max = deadline.map(|deadline| Duration::from_millis(deadline.since_ms(now)));
        note(self.ring.wait(wait_max));
        shard.unpark();
    }
}

impl Drop for UringNet {
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.fd >= 0) {
            // SAFETY: the slot owns the descriptor, and the slots are not used again.
            drop(unsafe { OwnedFd::from_raw_fd(slot.fd) });
        }
    }
}

/// What one completion, or held bytes, amount to.
enum Step {
    Event(Event<'static>),
    Received { token: Token, buffer: u16, length: usize },
    Held { token: Token },
}

/// Errors after which a receive is begun again.
fn is_passing(error: i32) -> bool {
    matches!(error, libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN)
}

fn note(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        fail(&error);
    }
}

/// The ring of a shard cannot be used any more: its connections stall until their keep alive ends them.
fn fail(error: &io::Error) {
    tracing::error!(%error, "the io_uring of a shard failed; set node.net_backend = \"glommio\" if this persists");
}
