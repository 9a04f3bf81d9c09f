//! The readiness backend: glommio polls through the ring, data moves by recv and send.

use super::nap::Nap;
use super::spare::Spare;
use super::wake::{Ready, still_ready, take_ready};
use super::{Event, Network, Reactor, SendOutcome, Token, peer_of};
use crate::clock::Clock;
use crate::shard::Shard;
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use glommio::timer::Timer;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Bytes received by one call.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Full buffers received from one connection before the others get their turn.
const RECEIVES_IN_A_ROW: u32 = 4;
/// Connections accepted from one listener before the others get their turn.
const ACCEPTS_IN_A_ROW: u32 = 64;
/// How long a listener rests after it failed to accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// The network of one shard.
pub struct GlommioNet {
    /// Boxed, so that a growing table moves pointers only.
    streams: Vec<Option<Box<Link>>>,
    listeners: Vec<Option<Watch>>,
    doorbell: Option<Link>,
    buffer: Box<[u8]>,
    /// The connection received from last: it must be polled once more, which receives more or arms its poll.
    again: Option<(Token, u32)>,
    accepting: Option<(usize, u32)>,
    /// glommio's streams cannot give their descriptor away, so handing a connection over takes a second one.
    spare: Spare,
    /// Buffers of complete sends, until the next pass.
    spent: Vec<Vec<u8>>,
    nap: Nap,
}

struct Link {
    stream: TcpStream,
    sending: Option<Sending>,
    paused: bool,
}

struct Sending {
    bytes: Vec<u8>,
    sent: usize,
}

/// A stream of glommio's on this socket, of whatever family it is.
pub(super) fn stream_of(socket: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is owned by nobody else; the stream closes it.
    unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) }
}

impl Link {
    fn new(socket: OwnedFd) -> Link {
        Link { stream: stream_of(socket), sending: None, paused: false }
    }

    fn receive(&mut self, waker: &Waker, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(waker), buffer)
    }

    /// Sends as much of the pending bytes as the kernel takes.
    fn send_pending(&mut self, token: Token) -> io::Result<SendProgress> {
        let Some(sending) = &mut self.sending else { return Ok(SendProgress::Done(Vec::new())) };
        let waker = Ready::Send(token).waker();
        let before = sending.sent;
        while sending.sent < sending.bytes.len() {
            let rest = &sending.bytes[sending.sent..];
            match Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(&waker), rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => sending.sent += n,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(SendProgress::Waits { moved: sending.sent > before }),
            }
        }
        let bytes = self.sending.take().map(|sending| sending.bytes);
        Ok(SendProgress::Done(bytes.unwrap_or_default()))
    }
}

/// Out of descriptors or memory: the listener would stay readable, so it is looked at again only after a while. Until
/// then clients wait in the kernel's backlog.
fn retry_accepting(index: usize, error: &io::Error) {
    tracing::warn!(%error, retry_ms = ACCEPT_RETRY.as_millis() as u64, "no connection can be accepted");
    glommio::spawn_local(async move {
        Timer::new(ACCEPT_RETRY).await;
        Ready::Accept(index as u32).waker().wake();
    })
    .detach();
}

enum SendProgress {
    /// Everything was taken out of this buffer.
    Done(Vec<u8>),
    Waits {
        moved: bool,
    },
}

/// A listening socket. glommio polls any descriptor that a stream is made of, at once; a duplicate of the listening
/// socket in a stream that is never read serves as that poll, and accept4 does the rest.
struct Watch {
    socket: OwnedFd,
    index: u32,
    poll: Option<TcpStream>,
}

impl Watch {
    fn new(socket: OwnedFd, index: u32) -> io::Result<Watch> {
        let mut watch = Watch { socket, index, poll: None };
        watch.arm()?;
        Ok(watch)
    }

    fn arm(&mut self) -> io::Result<()> {
        // The old stream goes first: its descriptor is free again before a new one is needed.
        self.poll = None;
        // SAFETY: the duplicate is owned by nobody else; the stream closes it.
        let mut stream = unsafe { TcpStream::from_raw_fd(self.socket.try_clone()?.into_raw_fd()) };
        let waker = Ready::Accept(self.index).waker();
        // With its poll pending a stream only notes the waker; it does not call recv.
        let _ = Pin::new(&mut stream).poll_read(&mut Context::from_waker(&waker), &mut [0]);
        self.poll = Some(stream);
        Ok(())
    }

    fn accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        // SAFETY: the descriptor stays open as long as `self.socket`, which outlives this borrow.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
        let (socket, peer) = socket2::SockRef::from(&socket).accept()?;
        socket.set_nonblocking(true)?;
        let peer = peer_of(&peer).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((socket.into(), peer))
    }
}

impl GlommioNet {
    /// The network of the current executor.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated.
    pub fn new(listeners: Vec<OwnedFd>, doorbell: OwnedFd) -> io::Result<GlommioNet> {
        let listeners = listeners
            .into_iter()
            .enumerate()
            .map(|(index, socket)| Watch::new(socket, index as u32).map(Some))
            .collect::<io::Result<Vec<_>>>()?;
        still_ready(Ready::Doorbell);
        Ok(GlommioNet {
            streams: Vec::new(),
            listeners,
            doorbell: Some(Link::new(doorbell)),
            buffer: vec![0; RECEIVE_BYTES].into_boxed_slice(),
            again: None,
            accepting: None,
            spare: Spare::new()?,
            spent: Vec::new(),
            nap: Nap::default(),
        })
    }

    fn link(&mut self, token: Token) -> Option<&mut Link> {
        self.streams.get_mut(token as usize)?.as_deref_mut()
    }

    /// Receives once; true when the buffer holds `n` new bytes. Pending, paused and unknown connections yield `None`.
    fn receive(&mut self, token: Token, in_a_row: u32) -> Option<Result<usize, ()>> {
        let link = self.streams.get_mut(token as usize)?.as_mut()?;
        if link.paused {
            return None;
        }
        match link.receive(&Ready::Receive(token).waker(), &mut self.buffer) {
            Poll::Pending => None,
            Poll::Ready(Ok(n)) if n > 0 => {
                self.again = Some((token, in_a_row + 1));
                Some(Ok(n))
            }
            Poll::Ready(_) => Some(Err(())),
        }
    }

    fn drain_doorbell(&mut self) {
        let Some(link) = &mut self.doorbell else { return };
        let waker = Ready::Doorbell.waker();
        let mut rings = [0; 64];
        while let Poll::Ready(Ok(1..)) = link.receive(&waker, &mut rings) {}
    }

    /// Accepts one connection, or arms the listener again when there is none.
    fn accept(&mut self, index: usize, in_a_row: u32) -> Option<Event<'static>> {
        let watch = self.listeners.get_mut(index)?.as_mut()?;
        match self.spare.refill().and_then(|()| watch.accept()) {
            Ok((socket, peer)) => {
                if in_a_row + 1 < ACCEPTS_IN_A_ROW {
                    self.accepting = Some((index, in_a_row + 1));
                } else {
                    still_ready(Ready::Accept(index as u32));
                }
                Some(Event::Accepted { listener: index, socket, peer })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = watch.arm() {
                    retry_accepting(index, &error);
                }
                None
            }
            Err(error) => {
                retry_accepting(index, &error);
                None
            }
        }
    }

    fn progress(&mut self, token: Token) -> Option<Event<'static>> {
        let link = self.link(token)?;
        link.sending.as_ref()?;
        match link.send_pending(token) {
            Ok(SendProgress::Done(buffer)) => {
                self.spent.push(buffer);
                Some(Event::Sent { token })
            }
            Ok(SendProgress::Waits { moved: true }) => Some(Event::Progressed { token }),
            Ok(SendProgress::Waits { moved: false }) => None,
            Err(_) => Some(Event::Closed { token }),
        }
    }
}

impl Reactor for GlommioNet {
    fn adopt(&mut self, token: Token, socket: OwnedFd) {
        let slot = token as usize;
        if slot >= self.streams.len() {
            self.streams.resize_with(slot + 1, || None);
        }
        self.streams[slot] = Some(Box::new(Link::new(socket)));
        // The first look receives what is there already, or notes the waker on the poll made with the stream.
        still_ready(Ready::Receive(token));
    }

    fn settle(&mut self, _token: Token) {}

    fn send(&mut self, token: Token, bytes: Vec<u8>) -> SendOutcome {
        let Some(link) = self.link(token) else { return SendOutcome::Failed };
        debug_assert!(link.sending.is_none(), "one send at a time");
        link.sending = Some(Sending { bytes, sent: 0 });
        match link.send_pending(token) {
            Ok(SendProgress::Done(buffer)) => {
                self.spent.push(buffer);
                SendOutcome::Done
            }
            Ok(SendProgress::Waits { .. }) => SendOutcome::Pending,
            Err(_) => SendOutcome::Failed,
        }
    }

    fn pause(&mut self, token: Token) {
        if let Some(link) = self.link(token) {
            link.paused = true;
        }
    }

    fn resume(&mut self, token: Token) {
        if let Some(link) = self.link(token) {
            link.paused = false;
            still_ready(Ready::Receive(token));
        }
    }

    fn shutdown_send(&mut self, token: Token) {
        if let Some(link) = self.link(token) {
            // SAFETY: the stream keeps the descriptor open while it is borrowed.
            let socket = unsafe { BorrowedFd::borrow_raw(link.stream.as_raw_fd()) };
            // A socket that is gone already needs no shutdown.
            let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(slot) = self.streams.get_mut(token as usize) {
            *slot = None;
        }
    }

    fn release(&mut self, token: Token) -> Option<OwnedFd> {
        let link = self.streams.get_mut(token as usize)?.take()?;
        // SAFETY: the stream keeps the descriptor open while it is borrowed; it closes its own copy when dropped.
        let socket = unsafe { BorrowedFd::borrow_raw(link.stream.as_raw_fd()) };
        let duplicate = self.spare.duplicate(socket).ok();
        drop(link);
        // The stream's descriptor has just become free; if another thread was faster, accepting waits for the spare.
        let _ = self.spare.refill();
        duplicate
    }

    fn poll_spent(&mut self) -> Option<Vec<u8>> {
        self.spent.pop()
    }

    fn stop_accepting(&mut self) {
        for listener in &mut self.listeners {
            *listener = None;
        }
    }

    fn poll_event(&mut self) -> Option<Event<'_>> {
        loop {
            if let Some((token, in_a_row)) = self.again.take() {
                if in_a_row >= RECEIVES_IN_A_ROW {
                    still_ready(Ready::Receive(token));
                } else if let Some(received) = self.receive(token, in_a_row) {
                    return Some(self.received(token, received));
                }
                continue;
            }
            let accepted = match self.accepting.take() {
                Some((index, in_a_row)) => self.accept(index, in_a_row),
                None => None,
            };
            if accepted.is_some() {
                return accepted;
            }
            let event = match take_ready()? {
                Ready::Receive(token) => match self.receive(token, 0) {
                    Some(received) => return Some(self.received(token, received)),
                    None => None,
                },
                Ready::Send(token) => self.progress(token),
                Ready::Accept(index) => self.accept(index as usize, 0),
                Ready::Doorbell => {
                    self.drain_doorbell();
                    None
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }
}

impl Network for GlommioNet {
    fn has_more(&mut self) -> bool {
        self.again.is_some() || self.accepting.is_some()
    }

    async fn rest(&mut self, shard: &mut Shard, clock: &Clock, is_busy: bool) {
        self.nap.take(shard, clock, is_busy).await;
    }
}

impl GlommioNet {
    fn received(&self, token: Token, received: Result<usize, ()>) -> Event<'_> {
        match received {
            Ok(n) => Event::Received { token, bytes: &self.buffer[..n] },
            Err(()) => Event::Closed { token },
        }
    }
}
