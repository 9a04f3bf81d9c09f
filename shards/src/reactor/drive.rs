//! The loop of a shard: events up, commands down, sleep.

use super::glommio_net::GlommioNet;
use super::wake::poll_ready;
use super::{Reactor, SendOutcome, Token};
use crate::clock::Clock;
use crate::shard::{Command, Shard};
use glommio::timer::Timer;
use ringmq_core::time::Timestamp;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Events handled in one pass before outboxes are written.
const EVENTS_PER_PASS: usize = 1024;

/// Runs the shard until it was shut down.
pub async fn drive(mut shard: Shard, mut net: GlommioNet, clock: Clock) {
    let mut nap = Nap::default();
    while !shard.is_finished() {
        shard.begin_pass(clock.now());
        for _ in 0..EVENTS_PER_PASS {
            let Some(event) = net.poll_event() else { break };
            shard.handle_event(event);
            carry_out(&mut shard, &mut net);
        }
        shard.handle_lanes();
        shard.handle_control();
        shard.handle_timers();
        shard.handle_streams();
        carry_out(&mut shard, &mut net);
        shard.flush_lanes();
        flush(&mut shard, &mut net);
        shard.end_pass();
        let busy = shard.is_busy() || net.has_more();
        nap.take(&mut shard, &clock, busy).await;
    }
    shard.end();
}

/// Hands the shard's commands to the network.
fn carry_out(shard: &mut Shard, net: &mut GlommioNet) {
    while let Some(command) = shard.poll_command() {
        match command {
            Command::Adopt(token, socket) => net.adopt(token, socket),
            Command::Pause(token) => net.pause(token),
            Command::Resume(token) => net.resume(token),
            Command::ShutdownSend(token) => net.shutdown_send(token),
            Command::Close(token) => net.close(token),
            Command::HandOver(token, home, handover) => match net.release(token) {
                Some(socket) => shard.hand_over(home, socket, *handover),
                None => shard.abandon(*handover),
            },
            Command::StopAccepting => net.stop_accepting(),
        }
    }
}

/// Writes every outbox that has something, once per pass. Writing can end connections, and what follows from that is
/// written too.
fn flush(shard: &mut Shard, net: &mut GlommioNet) {
    while let Some(token) = shard.poll_dirty() {
        send(shard, net, token);
        carry_out(shard, net);
    }
}

fn send(shard: &mut Shard, net: &mut GlommioNet, token: Token) {
    let Some(bytes) = shard.take_outbox(token) else { return };
    match net.send(token, bytes) {
        SendOutcome::Done => shard.handle_sent(token),
        SendOutcome::Pending => shard.handle_send_pending(token),
        SendOutcome::Failed => shard.handle_closed(token),
    }
}

/// Sleeping between passes.
#[derive(Default)]
struct Nap {
    timer: Option<(Timestamp, Timer)>,
}

impl Nap {
    /// Lets the executor look at the ring once, then sleeps unless the shard is busy, something is ready or due, or other
    /// shards or the control plane want something.
    async fn take(&mut self, shard: &mut Shard, clock: &Clock, busy: bool) {
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
