//! Sleeping between passes on glommio: one turn of its executor, then a timer and the wakers.

use super::wake::poll_ready;
use crate::clock::Clock;
use crate::shard::Shard;
use glommio::timer::Timer;
use ringmq_core::time::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Sleeping between passes.
#[derive(Default)]
pub struct Nap {
    timer: Option<(Timestamp, Timer)>,
}

impl Nap {
    /// Lets the executor look at the ring once, then sleeps unless the shard is busy, something is ready or due, or other
    /// shards or the control plane want something.
    pub async fn take(&mut self, shard: &mut Shard, clock: &Clock, busy: bool) {
        let mut turned = false;
        let mut parked = false;
        std::future::poll_fn(|cx| {
            if !turned {
                // One turn of the executor reaps completions and submits polls.
                turned = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if busy || poll_ready(cx).is_ready() {
                return Poll::Ready(());
            }
            if !parked && !shard.park() {
                return Poll::Ready(());
            }
            parked = true;
            self.poll_timer(shard.next_deadline(), clock, cx)
        })
        .await;
        shard.unpark();
    }

    fn poll_timer(&mut self, deadline: Option<Timestamp>, clock: &Clock, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.timer = None;
            return Poll::Pending;
        };
        if self.timer.as_ref().is_none_or(|(at, _)| *at != deadline) {
            let sleep = Duration::from_millis(deadline.since_ms(clock.now()));
            self.timer = Some((deadline, Timer::new(sleep)));
        }
        let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
        let due = Pin::new(timer).poll(cx).map(|_| ());
        if due.is_ready() {
            self.timer = None;
        }
        due
    }
}
