//! What a shard has for its reactor: commands, connections to write, and scratch space.

mod buffers;

use super::connection::Stage;
use super::lanes::{Handover, LaneMessage};
use super::{Shard, cx};
use crate::reactor::{Parcel, Token};
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::routing::ShardId;
use ringmq_core::session::CloseCause;
use std::collections::VecDeque;

pub use buffers::SpentBuffers;

use super::timers::TimerKey;

/// Entries that scratch space keeps room for while the shard sleeps.
pub const SCRATCH_KEPT: usize = 1024;

/// A command for the reactor.
#[derive(Debug)]
pub enum Command {
    /// Receive from this socket under this token.
    Adopt(Token, Parcel),
    /// The connection stays: receive ahead of need.
    Settle(Token),
    /// Stop receiving.
    Pause(Token),
    /// Receive again.
    Resume(Token),
    /// Close the sending direction.
    ShutdownSend(Token),
    /// Close the connection.
    Close(Token),
    /// Take the socket from this token and give it to the client's home shard.
    HandOver(Token, ShardId, Box<Handover>),
    /// Close the listeners.
    StopAccepting,
}

/// Commands and connections to write.
#[derive(Debug, Default)]
pub struct Outlets {
    commands: VecDeque<Command>,
    dirty: VecDeque<Token>,
    /// Connections not received from, because a lane is congested or they do not read.
    pub paused: Vec<Token>,
    /// Connections with bytes that wait until something is stored, and for which position.
    holding: VecDeque<(u64, Token)>,
    /// Messages taken from the lanes, between passes empty.
    pub arrived: Vec<(ShardId, LaneMessage)>,
}

impl Outlets {
    /// Adds a command.
    pub fn push(&mut self, command: Command) {
        self.commands.push_back(command);
    }

    /// The next connection whose held bytes waited for no more than is stored now.
    pub fn poll_released(&mut self, stored: u64) -> Option<Token> {
        self.holding.front().filter(|(position, _)| *position <= stored)?;
        self.holding.pop_front().map(|(_, token)| token)
    }

    /// Gives back what one large pass needed, such as a message to every client of the shard.
    pub fn release_memory(&mut self) {
        self.commands.shrink_to(SCRATCH_KEPT);
        self.dirty.shrink_to(SCRATCH_KEPT);
        self.paused.shrink_to(SCRATCH_KEPT);
        self.arrived.shrink_to(SCRATCH_KEPT);
        self.holding.shrink_to(SCRATCH_KEPT);
    }

    /// Whether the reactor has commands to carry out or outboxes to write.
    pub fn has_work(&self) -> bool {
        !self.commands.is_empty() || !self.dirty.is_empty()
    }
}

impl Shard {
    /// The next command for the reactor.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.outlets.commands.pop_front()
    }

    /// The next connection whose outbox is to be written.
    pub fn poll_dirty(&mut self) -> Option<Token> {
        self.outlets.dirty.pop_front()
    }

    /// Stops receiving from a connection.
    pub(super) fn pause(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.paused = true;
            self.outlets.push(Command::Pause(token));
        }
    }

    /// Receives from a connection again, if it is paused.
    pub(super) fn resume(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(token as usize)
            && std::mem::take(&mut connection.paused)
        {
            self.outlets.push(Command::Resume(token));
        }
    }

    /// Receives from a connection that the reactor stopped receiving from, unless it is to be paused now.
    pub(super) fn resume_unless_paused(&mut self, token: Token) {
        if self.connections.get(token as usize).is_some_and(|connection| !connection.paused) {
            self.outlets.push(Command::Resume(token));
        }
    }

    /// Puts a connection on the list to write; once per pass.
    pub(super) fn mark_dirty(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(token as usize)
            && !connection.dirty
        {
            connection.dirty = true;
            self.outlets.dirty.push_back(token);
        }
    }

    /// What there is to write for a connection; `None` if nothing, or if a write is pending.
    pub fn take_outbox(&mut self, token: Token) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(token as usize)?;
        connection.dirty = false;
        self.spent.take_back(&mut connection.outbox);
        let mut stored = u64::MAX;
        if connection.outbox.is_held() {
            let position = self.journal.awaited_position();
            stored = self.journal.stored();
            // What a log that has failed did not take has no position that could be waited for.
            if self.journal.has_failed() {
                self.close_now(token, CloseCause::Server(ReasonCode::QuotaExceeded));
                return None;
            }
            if connection.outbox.set_aside(position, stored) {
                self.outlets.holding.push_back((position, token));
            }
        }
        if connection.outbox.is_sending() {
            return None;
        }
        if connection.outbox.is_empty() && !self.has_layers_to_write(token) {
            self.handle_drained(token);
            return None;
        }
        self.take_wrapped(token, stored)
    }

    /// What may leave, wrapped in the layers below MQTT.
    fn take_wrapped(&mut self, token: Token, stored: u64) -> Option<Vec<u8>> {
        let connection = self.connections.get_mut(token as usize)?;
        let bytes = connection.outbox.take(stored);
        self.tally.add(Metric::BytesSent, bytes.len() as u64);
        let has_layers = connection.pipeline.is_some();
        let bytes = if has_layers { self.wrap(token, bytes) } else { bytes };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// A buffer whose bytes were written, or need not be written any more.
    pub fn handle_spent(&mut self, buffer: Vec<u8>) {
        self.spent.keep(buffer);
    }

    /// A write is complete.
    pub fn handle_sent(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.outbox.sent();
        if let Some(timer) = connection.send_timer.take() {
            self.wheel.cancel(timer);
        }
        // What was written held back whatever came after it, also when the kernel took it at once.
        self.pump(token);
        let Some(connection) = self.connections.get(token as usize) else { return };
        if connection.outbox.is_empty() {
            self.handle_drained(token);
        } else {
            self.mark_dirty(token);
        }
    }

    /// A write is under way: it must move within the send timeout.
    pub fn handle_send_pending(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if connection.send_timer.is_none() {
            let timeout = self.limits[usize::from(connection.listener)].send_timeout;
            let at = self.now.after_ms(timeout.as_ms());
            connection.send_timer = Some(self.wheel.schedule(at, TimerKey::SendStall(token)));
        }
    }

    /// A pending write moved.
    pub(super) fn handle_progress(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if let Some(timer) = connection.send_timer.take() {
            self.wheel.cancel(timer);
        }
        self.handle_send_pending(token);
    }

    /// Everything was written: a closing connection closes its sending direction.
    fn handle_drained(&mut self, token: Token) {
        if self.has_layers_to_write(token) {
            return self.mark_dirty(token);
        }
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if connection.stage == Stage::Closing {
            self.linger(token);
        }
    }

    /// Sends a session what it has queued, as far as window and outbox allow.
    pub(super) fn pump(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Some(key) = connection.session() else { return };
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let stream = slot.streams.is_some();
        if !slot.session.is_backlogged() && !stream {
            return;
        }
        self.spent.lend(&mut connection.outbox);
        slot.session.pump(&mut cx!(self, slot.session.zone()), &mut connection.outbox);
        self.mark_dirty(token);
        if stream {
            self.resume_stream(key);
        }
    }
}
