//! The loop of a shard: events up, commands down, sleep.

use super::passage::{Parcel, Passage};
use super::{Network, Reactor, SendOutcome, Token};
use crate::clock::Clock;
use crate::shard::{Command, Handover, Shard};
use ringmq_core::routing::ShardId;
use ringmq_core::time::Timestamp;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

/// Events handled in one pass before outboxes are written.
const EVENTS_PER_PASS: usize = 1024;

/// Runs the shard until it was shut down. `passage` carries sockets to shards with descriptor tables of their own.
pub async fn drive(mut shard: Shard, mut net: impl Network, clock: Clock, passage: Option<Passage>) {
    let mut border = Border::new(passage);
    while !shard.is_finished() {
        pass(&mut shard, &mut net, &mut border, clock.now());
        shard.note_pass(clock.now());
        let busy = shard.is_busy() || net.has_more() || !border.waiting.is_empty();
        net.rest(&mut shard, &clock, busy).await;
    }
    shard.end();
}

/// One pass: what happened since the last one is handled, and what follows from it leaves.
pub fn pass(shard: &mut Shard, net: &mut impl Reactor, border: &mut Border, now: Timestamp) {
    shard.begin_pass(now);
    shard.handle_log();
    shard.handle_handshakes();
    shard.handle_answers();
    shard.handle_judgements();
    shard.handle_crowd();
    for _ in 0..EVENTS_PER_PASS {
        let Some(event) = net.poll_event() else { break };
        shard.handle_event(event);
        carry_out(shard, net, border);
    }
    while let Some(buffer) = net.poll_spent() {
        shard.handle_spent(buffer);
    }
    shard.handle_lanes();
    shard.handle_control();
    shard.handle_timers();
    shard.handle_streams();
    carry_out(shard, net, border);
    border.post_waiting(shard);
    shard.commit();
    shard.flush_lanes();
    flush(shard, net, border);
    shard.end_pass();
}

/// Hands the shard's commands to the network.
fn carry_out(shard: &mut Shard, net: &mut impl Reactor, border: &mut Border) {
    while let Some(command) = shard.poll_command() {
        match command {
            Command::Adopt(token, parcel) => match border.open(parcel) {
                Some(socket) => net.adopt(token, socket),
                None => shard.handle_closed(token),
            },
            Command::Settle(token) => net.settle(token),
            Command::Pause(token) => net.pause(token),
            Command::Resume(token) => net.resume(token),
            Command::ShutdownSend(token) => net.shutdown_send(token),
            Command::Close(token) => net.close(token),
            Command::HandOver(token, home, handover) => match net.release(token) {
                Some(socket) => border.hand_over(shard, home, socket, handover),
                None => shard.abandon(*handover),
            },
            Command::StopAccepting => net.stop_accepting(),
        }
    }
}

/// Where sockets leave for other shards and come in.
pub struct Border {
    passage: Option<Passage>,
    /// Connections whose home's inbox was full; tried again each pass. No more than are in their handshake.
    waiting: VecDeque<(ShardId, OwnedFd, Box<Handover>)>,
}

impl Border {
    /// A border that nothing has crossed.
    pub fn new(passage: Option<Passage>) -> Border {
        Border { passage, waiting: VecDeque::new() }
    }

    fn hand_over(&mut self, shard: &mut Shard, home: ShardId, socket: OwnedFd, handover: Box<Handover>) {
        let Some(passage) = &mut self.passage else {
            return shard.hand_over(home, Parcel::Here(socket), *handover);
        };
        match passage.try_post(home, &socket) {
            Ok(ticket) => shard.hand_over(home, Parcel::Posted(ticket), *handover),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.waiting.push_back((home, socket, handover));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be posted to its shard");
                shard.abandon(*handover);
            }
        }
    }

    fn post_waiting(&mut self, shard: &mut Shard) {
        for _ in 0..self.waiting.len() {
            let Some((home, socket, handover)) = self.waiting.pop_front() else { return };
            self.hand_over(shard, home, socket, handover);
        }
    }

    fn open(&mut self, parcel: Parcel) -> Option<OwnedFd> {
        match (parcel, &mut self.passage) {
            (Parcel::Here(socket), _) => Some(socket),
            (Parcel::Posted(ticket), Some(passage)) => passage.collect(ticket),
            (Parcel::Posted(_), None) => None,
        }
    }
}

/// Writes every outbox that has something, once per pass. Writing can end connections, and what follows from that is
/// written too.
fn flush(shard: &mut Shard, net: &mut impl Reactor, border: &mut Border) {
    while let Some(token) = shard.poll_dirty() {
        send(shard, net, token);
        carry_out(shard, net, border);
    }
}

fn send(shard: &mut Shard, net: &mut impl Reactor, token: Token) {
    let Some(bytes) = shard.take_outbox(token) else { return };
    match net.send(token, bytes) {
        SendOutcome::Done => shard.handle_sent(token),
        SendOutcome::Begun => {}
        SendOutcome::Pending => shard.handle_send_pending(token),
        SendOutcome::Failed => shard.handle_closed(token),
    }
}
