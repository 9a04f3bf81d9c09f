//! How a connection's socket goes from the shard that accepted it to the client's home.
//!
//! With a shared descriptor table the descriptor itself travels in the lane message. With private tables
//! (`node.private_fd_tables`) the socket is posted to the home's inbox first, and the lane message carries the ticket it
//! was posted under: when that message is read, the socket is in the inbox already.

use ringmq_core::hash::SeededMap;
use ringmq_core::routing::ShardId;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::{cmsg_space, io::Errno};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A socket on its way to another shard.
#[derive(Debug)]
pub enum Parcel {
    /// The descriptor.
    Here(OwnedFd),
    /// The socket is in the receiving shard's inbox.
    Posted(Ticket),
}

/// Names a socket in an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// One shard's way of giving sockets to others and taking theirs.
pub struct Passage {
    inbox: OwnedFd,
    letter_boxes: Arc<[OwnedFd]>,
    next_ticket: u64,
    arrived: SeededMap<Ticket, OwnedFd>,
}

impl Passage {
    /// The passages of all shards.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn build(shards: usize) -> io::Result<Vec<Passage>> {
        let mut inboxes = Vec::with_capacity(shards);
        let mut letter_boxes = Vec::with_capacity(shards);
        for _ in 0..shards {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (inbox, letter_box) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            inboxes.push(inbox);
            letter_boxes.push(letter_box);
        }
        let letter_boxes: Arc<[OwnedFd]> = letter_boxes.into();
        let passage = |(shard, inbox)| Passage {
            inbox,
            letter_boxes: Arc::clone(&letter_boxes),
            // Every shard numbers its own, so that two never give out the same.
            next_ticket: (shard as u64) << 48,
            arrived: SeededMap::default(),
        };
        Ok(inboxes.into_iter().enumerate().map(passage).collect())
    }

    /// The descriptor that belongs to this shard alone.
    pub fn inbox(&self) -> RawFd {
        self.inbox.as_raw_fd()
    }

    /// Posts a socket to its home.
    ///
    /// # Errors
    /// `WouldBlock` when the inbox is full, which it is not for long; other errors are final.
    pub fn try_post(&mut self, home: ShardId, socket: &OwnedFd) -> io::Result<Ticket> {
        let ticket = Ticket(self.next_ticket);
        let Some(letter_box) = self.letter_boxes.get(usize::from(home.0)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let descriptors = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let text = ticket.0.to_le_bytes();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(letter_box, &[IoSlice::new(&text)], &mut control, flags) {
            Ok(_) => {
                self.next_ticket += 1;
                Ok(ticket)
            }
            // Too many descriptors in flight on this machine is a full inbox, too.
            Err(Errno::TOOMANYREFS | Errno::NOBUFS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the socket that was posted under this ticket; `None` if it got lost because this shard had no descriptor
    /// left.
    pub fn collect(&mut self, ticket: Ticket) -> Option<OwnedFd> {
        loop {
            if let Some(socket) = self.arrived.remove(&ticket) {
                return Some(socket);
            }
            let (arrived, socket) = self.receive().ok()?;
            match socket {
                Some(socket) => drop(self.arrived.insert(arrived, socket)),
                None if arrived == ticket => return None,
                None => {}
            }
        }
    }

    fn receive(&self) -> io::Result<(Ticket, Option<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 8];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        recvmsg(&self.inbox, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok((Ticket(u64::from_le_bytes(text)), socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_collected_by_ticket_in_any_order() {
        let mut passages = Passage::build(3).expect("descriptors");
        let mut home = passages.pop().expect("three");
        let mut ends = Vec::new();
        let mut tickets = Vec::new();
        for number in 0..6u8 {
            let (near, far) = UnixStream::pair().expect("descriptors");
            let from = &mut passages[usize::from(number % 2)];
            tickets.push(from.try_post(ShardId(2), &OwnedFd::from(far)).expect("room"));
            ends.push((near, number));
        }
        for (ticket, (mut near, number)) in tickets.into_iter().zip(ends).rev() {
            let mut far = UnixStream::from(home.collect(ticket).expect("posted before"));
            far.write_all(&[number]).expect("open");
            drop(far);
            let mut read = Vec::new();
            near.read_to_end(&mut read).expect("the other end closed");
            assert_eq!(read, [number]);
        }
    }

    #[test]
    fn a_full_inbox_refuses_and_takes_again_when_it_was_read() {
        let mut passages = Passage::build(2).expect("descriptors");
        let mut home = passages.pop().expect("two");
        let (socket, _other) = UnixStream::pair().expect("descriptors");
        let socket = OwnedFd::from(socket);
        let mut tickets = Vec::new();
        let error = loop {
            assert!(tickets.len() < 100_000, "an inbox without bound");
            match passages[0].try_post(ShardId(1), &socket) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        for ticket in tickets {
            assert!(home.collect(ticket).is_some());
        }
        let ticket = passages[0].try_post(ShardId(1), &socket).expect("room again");
        assert!(home.collect(ticket).is_some());
    }

    #[test]
    fn a_ticket_nobody_posted_is_not_waited_for() {
        let mut passages = Passage::build(1).expect("descriptors");
        assert!(passages[0].collect(Ticket(7)).is_none());
    }
}
