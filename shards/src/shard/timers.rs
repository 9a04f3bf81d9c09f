//! What is due.

use super::connection::Stage;
use super::sessions::SessionKey;
use super::{Shard, cx};
use crate::reactor::Token;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::CloseCause;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerKey {
    /// CONNECT is late, the client is silent, or lingering is over, as the connection's stage has it.
    Connection(Token),
    /// What a client was granted ends.
    GrantExpiry(Token),
    /// A connection that came too fast has its turn.
    Entrance(Token),
    /// A client that sent too much may go on.
    Throttle(Token),
    /// A pending send did not move.
    SendStall(Token),
    /// A session expires.
    SessionExpiry(SessionKey),
    /// A delayed will is due.
    WillDelay(SessionKey),
    /// Retained messages expire.
    RetainedExpiry,
}

impl Shard {
    /// Handles every timer that is due.
    pub fn handle_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(self.now, &mut due);
        for key in due.drain(..) {
            match key {
                TimerKey::Connection(token) => self.handle_connection_timer(token),
                TimerKey::GrantExpiry(token) => self.handle_grant_expiry(token),
                TimerKey::Entrance(token) => self.handle_entrance(token),
                TimerKey::Throttle(token) => self.handle_throttle_over(token),
                TimerKey::SendStall(token) => self.handle_send_stall(token),
                TimerKey::SessionExpiry(key) => self.handle_session_expiry(key),
                TimerKey::WillDelay(key) => self.handle_will_delay(key),
                TimerKey::RetainedExpiry => self.expire_retained(),
            }
        }
        self.due = due;
    }

    fn handle_connection_timer(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.timer = None;
        let Stage::Attached(key) = connection.stage else {
            tracing::debug!(peer = %connection.peer, stage = ?connection.stage, "connection timed out");
            return match connection.stage {
                Stage::AwaitConnect | Stage::Parked => self.close_without_packet(token, CloseCause::Lost),
                _ => self.close_now(token, CloseCause::Lost),
            };
        };
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.session.remove_expired(&mut cx!(self, slot.session.zone()));
        let settings = self.config.zones.of(slot.session.zone());
        let terms = slot.session.terms();
        let Some(silence_ms_max) = terms.and_then(|terms| terms.silence_ms_max(settings)) else {
            return;
        };
        // A paused publisher is not silent: it is not being listened to.
        let silent_ms = if connection.paused { 0 } else { self.now.since_ms(connection.last_received_at) };
        if silent_ms >= silence_ms_max {
            self.disconnect(token, ReasonCode::KeepAliveTimeout, CloseCause::KeepAlive);
        } else {
            let at = self.now.after_ms(silence_ms_max - silent_ms);
            connection.timer = Some(self.wheel.schedule(at, TimerKey::Connection(token)));
        }
    }

    fn handle_send_stall(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.send_timer = None;
        tracing::debug!(peer = %connection.peer, "client takes nothing: send timeout");
        self.close_now(token, CloseCause::Lost);
    }

    fn handle_session_expiry(&mut self, key: SessionKey) {
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.expiry_timer = None;
            self.tally.bump(Metric::SessionTerminated);
            self.end_session(key);
        }
    }

    fn handle_will_delay(&mut self, key: SessionKey) {
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.will_timer = None;
            self.publish_will(key);
            self.forget_will(key);
        }
    }
}
