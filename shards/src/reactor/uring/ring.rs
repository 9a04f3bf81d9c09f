//! One io_uring: operations in, completions out. The unsafe half of this backend together with the buffers.
//!
//! It knows descriptors and user data, not connections.

use super::buffers::{BufferRing, Filling, GROUP};
use super::operation::Operation;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// Operations handed to the kernel by one call at most; more are handed over in between.
const SUBMISSIONS: u32 = 512;
/// Completions the shared queue holds. When it is full the kernel keeps the rest and ends multishot operations, which are
/// then begun again.
const COMPLETIONS: u32 = 4096;
/// Completions taken from the shared queue at once.
const BATCH: usize = 64;
/// IORING_ENTER_GETEVENTS: run deferred work. With `IORING_SETUP_DEFER_TASKRUN` nothing completes without it.
const GET_EVENTS: u32 = 1;
/// IORING_ENTER_EXT_ARG: the argument is a [`SubmitArgs`].
const EXTENDED: u32 = 1 << 3;

/// `IOU_PBUF_RING_INC`: receives share buffers. EINVAL before Linux 6.12.
const INCREMENTAL: u16 = 2;

/// A ring that only the thread that made it uses.
pub struct Ring {
    ring: IoUring,
    batch: Vec<cqueue::Entry>,
    taken: usize,
}

impl Ring {
    /// Makes a ring; it belongs to this thread.
    ///
    /// # Errors
    /// EINVAL before Linux 6.1, ENOSYS and EPERM where io_uring is not available.
    pub fn new() -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        Ok(Ring { ring, batch: Vec::with_capacity(BATCH), taken: 0 })
    }

    /// Gives the kernel the buffers that receives choose from, and supplies the first ones.
    ///
    /// # Errors
    /// EINVAL before Linux 5.19.
    pub fn register(&self, buffers: &mut BufferRing) -> io::Result<()> {
        let filling = match self.register_with(buffers, INCREMENTAL) {
            Ok(()) => Filling::Shared,
            Err(_) => self.register_with(buffers, 0).map(|()| Filling::Whole)?,
        };
        buffers.begin(filling);
        Ok(())
    }

    fn register_with(&self, buffers: &BufferRing, flags: u16) -> io::Result<()> {
        let (address, entries) = (buffers.address(), buffers.entries());
        // SAFETY: ring and buffers are never freed, see `BufferRing`.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, entries, GROUP, flags) }
    }

    /// Receives once, or until cancelled, into registered buffers.
    pub fn receive(&mut self, fd: RawFd, multishot: bool, operation: Operation) -> io::Result<()> {
        let entry = if multishot {
            opcode::RecvMulti::new(Fd(fd), GROUP).build()
        } else {
            let receive = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0).buf_group(GROUP).build();
            receive.flags(squeue::Flags::BUFFER_SELECT)
        };
        // SAFETY: receives write only into registered buffers, which are never freed.
        unsafe { self.push(entry.user_data(operation.to_user_data())) }
    }

    /// Completes once when the socket can be received from.
    pub fn poll(&mut self, fd: RawFd, operation: Operation) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(fd), (libc::POLLIN | libc::POLLRDHUP) as u32).build();
        // SAFETY: a poll has no memory.
        unsafe { self.push(entry.user_data(operation.to_user_data())) }
    }

    /// Polls until cancelled, and completes each time the descriptor becomes readable anew.
    pub fn poll_many(&mut self, fd: RawFd, operation: Operation) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).multi(true).build();
        // SAFETY: a poll has no memory.
        unsafe { self.push(entry.user_data(operation.to_user_data())) }
    }

    /// Sends bytes.
    ///
    /// # Safety
    /// The bytes stay where they are, unchanged, until the operation's completion has been read.
    pub unsafe fn send(&mut self, fd: RawFd, bytes: &[u8], operation: Operation) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(fd), bytes.as_ptr(), length).flags(libc::MSG_NOSIGNAL).build();
        // SAFETY: the caller keeps the bytes.
        unsafe { self.push(entry.user_data(operation.to_user_data())) }
    }

    /// Accepts until cancelled. Sockets are non-blocking and close on exec.
    pub fn accept(&mut self, listener: RawFd, operation: Operation) -> io::Result<()> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let entry = opcode::AcceptMulti::new(Fd(listener)).flags(flags).build();
        // SAFETY: without an address an accept has no memory.
        unsafe { self.push(entry.user_data(operation.to_user_data())) }
    }

    /// Ends an operation early. It completes with ECANCELED, unless it was faster.
    pub fn cancel(&mut self, operation: Operation) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(operation.to_user_data()).build();
        // SAFETY: a cancellation has no memory.
        unsafe { self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(FORGOTTEN)) }
    }

    /// Closes a descriptor after the operations before.
    pub fn close(&mut self, fd: RawFd) -> io::Result<()> {
        let entry = opcode::Close::new(Fd(fd)).build();
        // SAFETY: a close has no memory.
        unsafe { self.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(FORGOTTEN)) }
    }

    /// # Safety
    /// Memory the operation refers to stays valid until its completion has been read.
    unsafe fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller answers for the operation's memory.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0, None)?;
        }
    }

    /// Hands all operations to the kernel and lets it finish what is ready, without waiting.
    ///
    /// # Errors
    /// What the kernel says of a ring it cannot use any more.
    pub fn turn(&mut self) -> io::Result<()> {
        let submission = self.ring.submission();
        let is_needed = !submission.is_empty() || submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if is_needed { self.enter(0, None) } else { Ok(()) }
    }

    /// Like [`Ring::turn`], and waits for a completion, at most `wait_max` if that is given.
    ///
    /// # Errors
    /// What the kernel says of a ring it cannot use any more.
    pub fn wait(&mut self, wait_max: Option<Duration>) -> io::Result<()> {
        let timespec = wait_max.map(Timespec::from);
        self.enter(1, timespec.as_ref())
    }

    fn enter(&mut self, want: u32, wait_max: Option<&Timespec>) -> io::Result<()> {
        let queued = self.ring.submission().len() as u32;
        let submitter = self.ring.submitter();
        let entered = match wait_max {
            Some(timespec) => {
                let arguments = SubmitArgs::new().timespec(timespec);
                // SAFETY: the flag says that the argument is a `SubmitArgs`; it and its timespec outlive the call.
                unsafe { submitter.enter(queued, want, GET_EVENTS | EXTENDED, Some(&arguments)) }
            }
            // SAFETY: without an argument there is no memory.
            None => unsafe { submitter.enter::<libc::sigset_t>(queued, want, GET_EVENTS, None) },
        };
        match entered {
            Ok(_) => Ok(()),
            // Out of time, a signal, or completions to be read first.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a completion can be taken.
    pub fn has_completions(&mut self) -> bool {
        self.taken < self.batch.len() || !self.ring.completion().is_empty()
    }

    /// Takes the oldest completion.
    pub fn poll_completion(&mut self) -> Option<Completion> {
        if self.taken == self.batch.len() {
            self.batch.clear();
            self.taken = 0;
            self.batch.extend(self.ring.completion().take(BATCH));
        }
        let entry = self.batch.get(self.taken)?;
        self.taken += 1;
        Some(Completion {
            operation: Operation::from_user_data(entry.user_data()),
            result: entry.result(),
            buffer: cqueue::buffer_select(entry.flags()),
            has_more: cqueue::more(entry.flags()),
        })
    }
}

const FORGOTTEN: u64 = 0;

/// What became of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    /// Which one.
    pub operation: Operation,
    /// As the system call would return it; negative for an error.
    pub result: i32,
    /// The registered buffer that was filled.
    pub buffer: Option<u16>,
    /// The operation goes on.
    pub has_more: bool,
}

impl Completion {
    /// The registered buffer and how many of its bytes were filled.
    pub fn lent(&self) -> Option<(u16, usize)> {
        self.buffer.map(|buffer| (buffer, usize::try_from(self.result).unwrap_or(0)))
    }
}
