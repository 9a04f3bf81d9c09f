//! The doorbell that wakes a parked shard: a flag saying that the shard sleeps, and a descriptor to wake it with.
//!
//! It never carries data, only the fact that there may be some; and nobody makes a system call to ring a shard that is
//! awake.
//!
//! # The wake protocol
//!
//! Whoever gives a shard something to do ("the giver") and the shard both follow the same four steps, crosswise:
//!
//! | giver                                  | shard                                         |
//! | -------------------------------------- | --------------------------------------------- |
//! | 1. publish the work                    | 1. set `parked`                               |
//! | 2. `fence(SeqCst)`                     | 2. `fence(SeqCst)`                            |
//! | 3. read `parked`                       | 3. look for work                              |
//! | 4. if set, clear it and send one byte  | 4. if there is some, clear `parked`, else sleep |
//!
//! The two fences are in one total order. If the giver's comes first, the shard's look sees the work; if the shard's
//! comes first, the giver's read sees the flag. So work is never left beside a sleeping shard. Release and Acquire alone
//! would not do: each side could still read the old value of what the other has written.
//!
//! Work is, for a receiver, a message in a ring; and for a sender whose lane was full, a free slot. In the second case the
//! receiver is the giver, and it reads `parked` only if the sender has said that it is `starved`. The sender says so
//! before it sets `parked` and takes it back only when nothing is left over, so a receiver whose fence comes after the
//! sender's sees both. If the sender's look finds the ring full, then the ring has messages, and the first drain whose
//! freed slots that look did not see has its fence after the sender's: that one rings.
//!
//! The byte is sent at most once for each time the flag was set, because clearing it is a swap. A byte that arrives after
//! the shard woke by itself makes the next sleep a short one, which is harmless.

use super::primitives::{Arc, AtomicBool, CachePadded, Ordering, fence};
use std::io;
use std::os::fd::OwnedFd;

/// What a doorbell rings with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A socket pair, from which the shard receives a byte for each ring.
    Socket,
    /// An eventfd(2), which costs the ringer a fraction of a socket's send. The shard polls it edge-triggered and need never
    /// read it.
    Event,
}

/// The shard's side of its doorbell.
pub(super) struct Doorbell {
    bell: Bell,
    hearing: wire::Hearing,
}

impl Doorbell {
    /// Makes a doorbell; its shard counts as awake.
    ///
    /// # Errors
    /// The process or the machine is out of descriptors: a doorbell takes two.
    pub(super) fn new(signal: Signal) -> io::Result<Self> {
        let (ringing, hearing) = wire::pair(signal)?;
        let button = Button { parked: CachePadded(AtomicBool::new(false)), ringing };
        Ok(Self { bell: Bell(Arc::new(button)), hearing })
    }

    /// A handle to ring this doorbell with.
    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// A descriptor of the end that becomes readable when rung.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        wire::descriptor(&self.hearing)
    }

    /// Steps 1 and 2 of the shard.
    ///
    /// The flag changes hands by swaps alone. For the shard a store would do, but loom orders the changes of one atomic
    /// only as far as it saw them follow each other, and would report sleeps that no machine can fall into.
    pub(super) fn announce_parked(&self) {
        self.bell.0.parked.0.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Clears the flag: the shard is awake, or will not sleep after all.
    pub(super) fn withdraw_parked(&self) {
        self.bell.0.parked.0.swap(false, Ordering::Relaxed);
    }

    /// Sleeps until rung.
    #[cfg(all(loom, test))]
    pub(super) fn wait(&self) {
        wire::wait(&self.hearing);
    }
}

/// A handle to ring one shard's doorbell with, for any thread; cloning it costs no descriptor.
#[derive(Clone)]
pub struct Bell(Arc<Button>);

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

impl Bell {
    /// Wakes the shard if it is parked; otherwise, or if it was rung already, costs a fence and a read.
    ///
    /// Publish the work first, for instance by sending on a channel which the shard looks at between `park` and sleep.
    /// Never blocks and never fails: a socket too full to take a byte is readable already, and a shard that is gone needs
    /// no waking.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        self.ring_after_fence();
    }

    /// [`Bell::ring`] for a caller that has made the fence of step 2 itself, once for several shards.
    #[inline]
    pub(super) fn ring_after_fence(&self) {
        let parked = &self.0.parked.0;
        if parked.load(Ordering::Relaxed)
            && parked.swap(false, Ordering::Relaxed)
            && !wire::send(&self.0.ringing)
        {
            // The kernel had no memory for the byte. With the flag set again the next giver retries.
            parked.store(true, Ordering::Relaxed);
        }
    }
}

/// What ringers and shard share.
struct Button {
    /// Whether the shard sleeps or is about to. Set by the shard alone, cleared by anyone.
    parked: CachePadded<AtomicBool>,
    ringing: wire::Ringing,
}

/// The descriptors: a unix stream pair, which glommio can receive from, or an eventfd, which it cannot.
#[cfg(not(loom))]
mod wire {
    use super::Signal;
    use rustix::event::{EventfdFlags, eventfd};
    use socket2::SockRef;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    pub(super) enum Ringing {
        Socket(UnixStream),
        Event(OwnedFd),
    }
    pub(super) type Hearing = OwnedFd;

    pub(super) fn pair(signal: Signal) -> io::Result<(Ringing, Hearing)> {
        if signal == Signal::Event {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            return Ok((Ringing::Event(event.try_clone()?), event));
        }
        let (ringing, hearing) = UnixStream::pair()?;
        ringing.set_nonblocking(true)?;
        hearing.set_nonblocking(true)?;
        Ok((Ringing::Socket(ringing), hearing.into()))
    }

    pub(super) fn descriptor(hearing: &Hearing) -> io::Result<OwnedFd> {
        hearing.try_clone()
    }

    /// Makes the other end readable; false if that failed although the shard may still be there.
    #[cold]
    pub(super) fn send(ringing: &Ringing) -> bool {
        let ringing = match ringing {
            Ringing::Socket(socket) => socket,
            // The counter would have to be full to refuse, and then the shard's end is readable. [eventfd(2)]
            Ringing::Event(event) => {
                return !matches!(
                    rustix::io::write(event, &1_u64.to_ne_bytes()),
                    Err(rustix::io::Errno::INTR)
                );
            }
        };
        loop {
            match SockRef::from(ringing).send_with_flags(&[1], libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
                Ok(_) => return true,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset => return true,
                    _ => return false,
                },
            }
        }
    }
}

/// The model of the socket pair: whether bytes are on their way, and someone waiting for one.
#[cfg(loom)]
mod wire {
    use loom::sync::{Arc, Condvar, Mutex};
    use std::io;
    use std::os::fd::OwnedFd;

    #[derive(Default)]
    pub(super) struct Wire {
        is_readable: Mutex<bool>,
        became_readable: Condvar,
    }

    pub(super) type Ringing = Arc<Wire>;
    pub(super) type Hearing = Arc<Wire>;

    pub(super) fn pair(_signal: super::Signal) -> io::Result<(Ringing, Hearing)> {
        let wire = Arc::new(Wire::default());
        Ok((wire.clone(), wire))
    }

    pub(super) fn descriptor(_hearing: &Hearing) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn send(ringing: &Ringing) -> bool {
        *ringing.is_readable.lock().unwrap() = true;
        ringing.became_readable.notify_one();
        true
    }

    /// Sleeps until there is a byte and reads all there are.
    #[cfg(test)]
    pub(super) fn wait(hearing: &Hearing) {
        let mut is_readable = hearing.is_readable.lock().unwrap();
        while !*is_readable {
            is_readable = hearing.became_readable.wait(is_readable).unwrap();
        }
        *is_readable = false;
    }
}
