//! The log at work: [`Log`] is what the rest of the program holds, [`Driver`] does the operations. Appending never waits;
//! only the driver does.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::{OpenError, PutError, ReadError, StorageError};
use crate::log::operation::{Answer, Ticket};
use crate::log::{Figures, Id, Level, Machine, Position, ReadDone, ReadTicket, Reading, Stored};
use crate::options::Options;
use crate::recovery::{Report, Survey};
use crate::storage::Storage;

struct Shared {
    machine: Machine,
    waker: Option<Waker>,
    is_closing: bool,
}

/// A log that is open. It belongs to one thread; clones are the same log.
#[derive(Clone)]
pub struct Log {
    shared: Rc<RefCell<Shared>>,
}

/// A read that has begun.
#[derive(Debug)]
pub enum Begun {
    /// The record was in memory.
    Ready(Stored),
    /// It comes with [`Log::poll_read`].
    Pending(ReadTicket),
}

type Flight = Pin<Box<dyn Future<Output = (Ticket, Result<Answer, StorageError>)>>>;

/// What does the log's operations. Poll [`Driver::run`] in an executor of the log's thread.
pub struct Driver<S> {
    storage: Rc<S>,
    shared: Rc<RefCell<Shared>>,
    notify: Box<dyn Fn()>,
    flights: Vec<Flight>,
}

/// Opens the log in `storage`: visits every live record as (id, kind, payload), ids ascending, and tells what was lost.
///
/// # Errors
/// [`OpenError`].
pub async fn open<S: Storage>(
    storage: S,
    options: Options,
    mut visit: impl FnMut(Id, u16, &[u8]),
) -> Result<(Log, Driver<S>, Report), OpenError> {
    let (machine, report) = open_machine(&storage, options, &mut visit).await?;
    let shared = Rc::new(RefCell::new(Shared { machine, waker: None, is_closing: false }));
    let driver = Driver {
        storage: Rc::new(storage),
        shared: shared.clone(),
        notify: Box::new(|| {}),
        flights: Vec::new(),
    };
    Ok((Log { shared }, driver, report))
}

/// Opens the state machine alone, for who drives it without [`Driver`].
///
/// # Errors
/// [`OpenError`].
pub async fn open_machine<S: Storage>(
    storage: &S,
    options: Options,
    mut visit: impl FnMut(Id, u16, &[u8]),
) -> Result<(Machine, Report), OpenError> {
    options.check()?;
    let uses_checkpoint = options.has_checkpoints();
    let mut survey =
        if uses_checkpoint { Survey::behind_newest(storage).await? } else { Survey::of(storage).await? };
    if options.strict && !survey.report.damages.is_empty() {
        return Err(OpenError::Damaged { report: Box::new(survey.report) });
    }
    survey.visit(storage, |id, kind, payload| visit(Id(id), kind, payload)).await?;
    survey.settle(storage).await?;
    Ok((Machine::new(options, survey.remains), survey.report))
}

impl Log {
    fn with<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        change(&mut self.shared.borrow_mut().machine)
    }

    fn wake(&self) {
        // Waking may run the driver's executor: nothing is borrowed then.
        let waker = self.shared.borrow_mut().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Adds a record; see [`Machine::put`].
    ///
    /// # Errors
    /// [`PutError`].
    pub fn put(&self, kind: u16, payload: &[u8]) -> Result<Id, PutError> {
        self.with(|machine| machine.put(kind, payload))
    }

    /// Takes a record away; see [`Machine::remove`].
    ///
    /// # Errors
    /// [`PutError::Failed`].
    pub fn remove(&self, id: Id) -> Result<bool, PutError> {
        self.with(|machine| machine.remove(id))
    }

    /// Ends a pass and has it written; see [`Machine::seal`].
    ///
    /// # Errors
    /// [`PutError::Failed`].
    pub fn seal(&self, level: Level) -> Result<Position, PutError> {
        let position = self.with(|machine| machine.seal(level))?;
        self.wake();
        Ok(position)
    }

    /// The kernel has every pass up to here.
    pub fn written(&self) -> Position {
        self.with(|machine| machine.written())
    }

    /// The disk has every pass up to here.
    pub fn synced(&self) -> Position {
        self.with(|machine| machine.synced())
    }

    /// Why the log takes nothing more, if it has failed.
    pub fn failure(&self) -> Option<StorageError> {
        self.with(|machine| machine.failure().cloned())
    }

    /// Begins to read a record; see [`Machine::read`].
    ///
    /// # Errors
    /// [`ReadError::Unknown`], [`ReadError::Busy`].
    pub fn read(&self, id: Id) -> Result<Begun, ReadError> {
        let begun = self.with(|machine| {
            machine.read(id).map(|reading| match reading {
                Reading::Ready { kind, payload } => Begun::Ready(Stored::new(kind, payload)),
                Reading::Pending(ticket) => Begun::Pending(ticket),
            })
        })?;
        if matches!(begun, Begun::Pending(_)) {
            self.wake();
        }
        Ok(begun)
    }

    /// The next read that has ended.
    pub fn poll_read(&self) -> Option<ReadDone> {
        self.with(Machine::poll_read)
    }

    /// Whether a live record has this id.
    pub fn has(&self, id: Id) -> bool {
        self.with(|machine| machine.has(id))
    }

    /// Figures for the operator.
    pub fn figures(&self) -> Figures {
        self.with(|machine| machine.figures())
    }

    /// Has everything sealed synced, after which the driver ends.
    pub fn close(&self) {
        self.with(Machine::close);
        self.shared.borrow_mut().is_closing = true;
        self.wake();
    }
}

impl<S: Storage> Driver<S> {
    /// The storage, for what it reports of itself.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Has `notify` called whenever a position has moved, a read has ended, or the log has failed. It must not block.
    pub fn on_progress(&mut self, notify: impl Fn() + 'static) {
        self.notify = Box::new(notify);
    }

    /// Does operations until the log is closed and idle. A log that has failed still reads, and ends when it is closed.
    pub async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut has_progress = false;
        loop {
            while let Some((ticket, operation)) = self.next_operation() {
                let storage = self.storage.clone();
                self.flights.push(Box::pin(async move { (ticket, storage.perform(operation).await) }));
            }
            let has_ended = self.poll_flights(context);
            has_progress |= has_ended;
            if !has_ended {
                break;
            }
        }
        if has_progress {
            (self.notify)();
        }
        let mut shared = self.shared.borrow_mut();
        if shared.is_closing && shared.machine.is_idle() && !has_progress {
            return Poll::Ready(());
        }
        shared.waker = Some(context.waker().clone());
        if has_progress {
            // What was called may have appended.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn next_operation(&self) -> Option<(Ticket, crate::log::operation::Operation)> {
        self.shared.borrow_mut().machine.poll_operation()
    }

    fn poll_flights(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_ended = false;
        let mut at = 0;
        while at < self.flights.len() {
            match self.flights[at].as_mut().poll(context) {
                Poll::Pending => at += 1,
                Poll::Ready((ticket, answer)) => {
                    drop(self.flights.swap_remove(at));
                    self.shared.borrow_mut().machine.handle_answer(ticket, answer);
                    has_ended = true;
                }
            }
        }
        has_ended
    }
}
