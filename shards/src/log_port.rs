//! Between the shards and the thread that does their logs' operations: orders one way, answers the other.
//!
//! Neither channel has a bound of its own: a log has at most one write, one sync, and its reads in flight
//! (`ringmq_persistence::Options`).

use crate::mesh::Bell;
use crossbeam_channel::{Receiver, Sender, unbounded};
use ringmq_persistence::StorageError;
use ringmq_persistence::format::{LogFile, SegmentNumber};
use ringmq_persistence::log::operation::{Answer, Operation, Ticket};
use ringmq_persistence::storage::cached::Cached;
use std::fmt;
use std::io;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An operation of a shard's log.
#[derive(Debug)]
pub struct Order {
    /// Which shard's.
    pub shard: usize,
    /// What the answer is to name.
    pub ticket: Ticket,
    /// What to do.
    pub operation: Operation,
}

/// An operation's ticket and what came of it.
pub type Answered = (Ticket, Result<Answer, StorageError>);

/// What a shard writes with itself where that only copies memory, so that those who wait for it need not wait for two changes of
/// threads.
pub trait Pen: fmt::Debug + Send {
    /// Writes all of the bytes; `None` leaves it to the thread.
    fn try_write(
        &mut self,
        segment: SegmentNumber,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Result<(), StorageError>>;
}

impl Pen for Cached {
    fn try_write(
        &mut self,
        segment: SegmentNumber,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Result<(), StorageError>> {
        Cached::try_write(self, segment, offset, bytes)
    }
}

/// A shard's end.
#[derive(Debug)]
pub struct LogPort {
    shard: usize,
    pen: Option<Box<dyn Pen>>,
    orders: Sender<Order>,
    answers: Receiver<Answered>,
    bell: Arc<LogBell>,
}

/// Wakes the thread of the logs. It reads the byte before it looks for orders.
#[derive(Debug)]
struct LogBell {
    is_rung: AtomicBool,
    is_closed: AtomicBool,
    ringing: UnixStream,
}

/// The end of the logs' thread.
#[derive(Debug)]
pub struct LogDesk {
    orders: Receiver<Order>,
    answers: Vec<(Sender<Answered>, Bell)>,
    bell: Arc<LogBell>,
}

/// Ends the thread of the logs.
#[derive(Debug)]
pub struct LogCloser(Arc<LogBell>);

impl LogCloser {
    /// No order will come any more.
    pub fn close(&self) {
        self.0.is_closed.store(true, Ordering::SeqCst);
        self.0.ring();
    }
}

/// Both ends and what connects them.
#[derive(Debug)]
pub struct Connection {
    /// One for each shard.
    pub ports: Vec<LogPort>,
    /// For the thread.
    pub desk: LogDesk,
    /// Becomes readable when there are orders.
    pub hearing: OwnedFd,
    /// For whoever ends it all.
    pub closer: LogCloser,
}

/// Connects shards with these bells to the thread of the logs.
///
/// # Errors
/// No descriptors are left.
pub fn connect(bells: Vec<Bell>) -> io::Result<Connection> {
    let (ringing, hearing) = UnixStream::pair()?;
    ringing.set_nonblocking(true)?;
    hearing.set_nonblocking(true)?;
    let bell =
        Arc::new(LogBell { is_rung: AtomicBool::new(false), is_closed: AtomicBool::new(false), ringing });
    let (orders, ordered) = unbounded();
    let mut desk = LogDesk { orders: ordered, answers: Vec::new(), bell: Arc::clone(&bell) };
    let ports = bells.into_iter().enumerate().map(|(shard, shard_bell)| {
        let (answer, answers) = unbounded();
        desk.answers.push((answer, shard_bell));
        LogPort { shard, pen: None, orders: orders.clone(), answers, bell: Arc::clone(&bell) }
    });
    let ports = ports.collect();
    Ok(Connection { ports, desk, hearing: hearing.into(), closer: LogCloser(bell) })
}

impl LogBell {
    fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // A socket that takes no byte is readable already.
            let _ = (&self.ringing).write(&[1]);
        }
    }
}

impl LogPort {
    /// From now on the shard writes itself what somebody waits for.
    pub fn equip(&mut self, pen: Box<dyn Pen>) {
        self.pen = Some(pen);
    }

    /// Whether the shard may write itself.
    pub fn has_pen(&self) -> bool {
        self.pen.is_some()
    }

    /// Writes at once if that is what the operation is and it takes no waiting.
    ///
    /// # Errors
    /// The operation, which is to be posted.
    pub fn try_perform(&mut self, operation: Operation) -> Result<Result<Answer, StorageError>, Operation> {
        let written = match (&mut self.pen, &operation) {
            (Some(pen), Operation::Write { file: LogFile::Segment(segment), offset, bytes }) => {
                pen.try_write(*segment, *offset, bytes)
            }
            _ => None,
        };
        written.map(|written| written.map(|()| Answer::Done)).ok_or(operation)
    }

    /// Hands over an operation; [`LogPort::ring`] afterwards.
    pub fn post(&self, ticket: Ticket, operation: Operation) {
        // The thread lives as long as a port does.
        let _ = self.orders.send(Order { shard: self.shard, ticket, operation });
    }

    /// Wakes the thread, unless somebody did since it looked last.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// Waits for the next answer.
    pub fn wait_answer(&self, wait_max: Duration) -> Option<Answered> {
        self.answers.recv_timeout(wait_max).ok()
    }

    /// The next answer.
    pub fn poll_answer(&self) -> Option<Answered> {
        // Asked in every pass, and mostly in vain: this is the cheapest way to see that.
        if self.has_answers() { self.answers.try_recv().ok() } else { None }
    }

    /// Whether an answer has come.
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }
}

impl LogDesk {
    /// The byte was read: looks for orders from now on.
    pub fn listen(&self) {
        self.bell.is_rung.store(false, Ordering::SeqCst);
    }

    /// The next order.
    pub fn poll_order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Whether no order will come any more.
    pub fn is_closed(&self) -> bool {
        self.bell.is_closed.load(Ordering::SeqCst)
    }

    /// Gives a shard its answer.
    pub fn answer(&self, shard: usize, ticket: Ticket, answer: Result<Answer, StorageError>) {
        let Some((answers, bell)) = self.answers.get(shard) else { return };
        // A shard that is gone needs no answer.
        if answers.send((ticket, answer)).is_ok() {
            bell.ring();
        }
    }
}
