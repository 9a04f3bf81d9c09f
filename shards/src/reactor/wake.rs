//! Wakers that name what became ready by a number, so that no connection needs a task, a reference count or memory.
//!
//! glommio wakes whoever polled a socket. Each socket is polled with a waker whose data pointer is not a pointer but the
//! key of the socket; waking it puts the key on a list of the current thread and wakes the shard's one task.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// What became ready: a token or listener index and a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// The connection can be received from.
    Receive(u32),
    /// The connection takes more bytes.
    Send(u32),
    /// The listener has connections.
    Accept(u32),
    /// Another shard rang.
    Doorbell,
}

impl Ready {
    fn to_key(self) -> usize {
        match self {
            Ready::Receive(token) => (token as usize) << 2,
            Ready::Send(token) => (token as usize) << 2 | 1,
            Ready::Accept(listener) => (listener as usize) << 2 | 2,
            Ready::Doorbell => 3,
        }
    }

    fn from_key(key: usize) -> Ready {
        let number = (key >> 2) as u32;
        match key & 3 {
            0 => Ready::Receive(number),
            1 => Ready::Send(number),
            2 => Ready::Accept(number),
            _ => Ready::Doorbell,
        }
    }

    /// A waker that reports this as ready on the thread that wakes it.
    pub fn waker(self) -> Waker {
        let data = std::ptr::without_provenance(self.to_key());
        // SAFETY: the data pointer is never dereferenced and owns nothing, so cloning and dropping are trivial; the
        // table's functions touch only the waking thread's own list, so they may be called from any thread.
        unsafe { Waker::from_raw(RawWaker::new(data, &TABLE)) }
    }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, forget);

fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &TABLE)
}

fn wake(data: *const ()) {
    LIST.with_borrow_mut(|list| {
        list.ready.push_back(Ready::from_key(data.addr()));
        if let Some(shard) = list.shard.take() {
            shard.wake();
        }
    });
}

fn forget(_data: *const ()) {}

#[derive(Debug, Default)]
struct List {
    ready: VecDeque<Ready>,
    shard: Option<Waker>,
}

thread_local! {
    static LIST: RefCell<List> = RefCell::default();
}

/// Takes the oldest report of this thread.
pub fn take_ready() -> Option<Ready> {
    LIST.with_borrow_mut(|list| list.ready.pop_front())
}

/// Puts something back: it is ready still, and others go first.
pub fn still_ready(ready: Ready) {
    LIST.with_borrow_mut(|list| list.ready.push_back(ready));
}

/// Ready when this thread's list is not empty; else the task is woken when that changes.
pub fn poll_ready(cx: &mut Context<'_>) -> Poll<()> {
    LIST.with_borrow_mut(|list| {
        if !list.ready.is_empty() {
            return Poll::Ready(());
        }
        list.shard = Some(cx.waker().clone());
        Poll::Pending
    })
}
