//! The loop of a shard: events up, commands down, sleep.

use super::{Network, SendOutcome, Token};
use crate::clock::Clock;
use crate::shard::{Command, Shard};

/// Events handled in one pass before outboxes are written.
const EVENTS_PER_PASS: usize = 1024;

/// Runs the shard until it was shut down.
pub async fn drive(mut shard: Shard, mut net: impl Network, clock: Clock) {
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
        net.rest(&mut shard, &clock, busy).await;
    }
    shard.end();
}

/// Hands the shard's commands to the network.
fn carry_out(shard: &mut Shard, net: &mut impl Network) {
    while let Some(command) = shard.poll_command() {
        match command {
            Command::Adopt(token, socket) => net.adopt(token, socket),
            Command::Settle(token) => net.settle(token),
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
fn flush(shard: &mut Shard, net: &mut impl Network) {
    while let Some(token) = shard.poll_dirty() {
        send(shard, net, token);
        carry_out(shard, net);
    }
}

fn send(shard: &mut Shard, net: &mut impl Network, token: Token) {
    let Some(bytes) = shard.take_outbox(token) else { return };
    match net.send(token, bytes) {
        SendOutcome::Done => shard.handle_sent(token),
        SendOutcome::Begun => {}
        SendOutcome::Pending => shard.handle_send_pending(token),
        SendOutcome::Failed => shard.handle_closed(token),
    }
}
