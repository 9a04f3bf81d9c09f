//! The end of connections and sessions.

use super::connection::{Inbox, Stage};
use super::outlets::Command;
use super::sessions::SessionKey;
use super::timers::TimerKey;
use super::{Ending, Shard, cx};
use crate::reactor::Token;
use ringmq_core::codec::{Disconnect, ProtocolVersion};
use ringmq_core::metrics::Metric;
use ringmq_core::publication::LazyPublication;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::{CloseCause, Session, Violation, WillTiming};

/// How long a closing connection may take to read its last packet and close.
const LINGER_MS: u64 = 2_000;

impl Shard {
    /// The peer closed, or the socket failed.
    pub fn handle_closed(&mut self, token: Token) {
        self.close_now(token, CloseCause::Lost);
    }

    /// The peer broke the protocol: v5 peers are told the reason. [MQTT-4.13.1-1]
    pub(super) fn violate(&mut self, token: Token, violation: Violation) {
        let Some(connection) = self.connections.get(token as usize) else { return };
        tracing::debug!(peer = %connection.peer, %violation, "protocol violation");
        self.tally.bump(Metric::PacketsPublishError);
        let reason = violation.reason;
        self.disconnect(token, reason, CloseCause::Server(reason));
    }

    /// Detaches the session, tells a v5 peer why, and closes once that is written.
    pub(super) fn disconnect(&mut self, token: Token, reason: ReasonCode, cause: CloseCause) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Some(key) = connection.session() else { return self.close_without_packet(token, cause) };
        let version = connection.version;
        let terms = self.sessions.get(key).and_then(|slot| slot.session.terms());
        let packet_bytes_max = terms.map_or(u32::MAX, |terms| terms.packet_bytes_max);
        if version == ProtocolVersion::V5 {
            let disconnect = Disconnect::new(reason);
            connection.outbox.push_disconnect(&disconnect, packet_bytes_max, &mut self.tally);
        }
        self.detach(token, key, cause);
        self.close_after_flush(token);
    }

    /// Closes a connection that no packet tells why: the layers below MQTT end in order if they are open, else it is closed at
    /// once.
    pub(super) fn close_without_packet(&mut self, token: Token, cause: CloseCause) {
        let pipeline =
            self.connections.get(token as usize).and_then(|connection| connection.pipeline.as_ref());
        if pipeline.is_some_and(|pipeline| pipeline.has_farewell()) {
            self.end_below(token, cause);
        } else {
            self.close_now(token, cause);
        }
    }

    /// Detaches the session and ends the layers below MQTT in order, without a packet.
    pub(super) fn end_below(&mut self, token: Token, cause: CloseCause) {
        let Some(connection) = self.connections.get(token as usize) else { return };
        match connection.stage {
            Stage::Closing | Stage::Lingering => return,
            Stage::AwaitConnect | Stage::Parked => self.forget_waiting(token),
            Stage::Attached(key) => self.detach(token, key, cause),
        }
        self.close_after_flush(token);
    }

    /// Writes what is in the outbox, then closes the sending direction, then waits for the peer to close.
    pub(super) fn close_after_flush(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.stage = Stage::Closing;
        connection.inbox = Inbox::default();
        if let Some(timer) = connection.timer.take() {
            self.wheel.cancel(timer);
        }
        let at = self.now.after_ms(LINGER_MS);
        connection.timer = Some(self.wheel.schedule(at, TimerKey::Connection(token)));
        self.resume(token);
        self.mark_dirty(token);
    }

    /// Everything was written: the peer may read to the end.
    pub(super) fn linger(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.stage = Stage::Lingering;
        self.outlets.push(Command::ShutdownSend(token));
    }

    /// Closes a connection at once; its session is detached.
    pub(super) fn close_now(&mut self, token: Token, cause: CloseCause) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if let Some(key) = connection.session() {
            self.detach(token, key, cause);
        }
        let Some(connection) = self.connections.try_remove(token as usize) else { return };
        let expiry_timer = connection.guest.and_then(|guest| guest.expiry_timer);
        for timer in [connection.timer, connection.send_timer, expiry_timer].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        self.forget_waiting(token);
        self.limits[usize::from(connection.listener)].open.leave(1);
        self.outlets.push(Command::Close(token));
    }

    /// Separates a session from its connection: will, expiry, shared messages.
    fn detach(&mut self, token: Token, key: SessionKey, cause: CloseCause) {
        self.withhold_will(token, key);
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.stage = Stage::Closing;
        }
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.connection = None;
        slot.streams = None;
        self.receipts.rest_acks(key);
        self.inquiries.forget(key);
        self.live_connections -= 1;
        self.tally.bump(Metric::ClientDisconnected);
        self.access.note_parting(slot.session.client_id(), self.now);
        let parting = slot.session.handle_closed(cause);
        let will_s = if let WillTiming::After(delay_s) = parting.will { Some(delay_s) } else { None };
        match parting.will {
            WillTiming::None => {}
            WillTiming::Now => self.publish_will(key),
            WillTiming::After(delay_s) => {
                let timer =
                    self.wheel.schedule(self.now.after_s(u64::from(delay_s)), TimerKey::WillDelay(key));
                slot.will_timer = Some(timer);
            }
        }
        match parting.keep_s {
            None => {
                self.tally.bump(Metric::SessionTerminated);
                self.end_session(key);
            }
            Some(keep_s) => {
                self.remember_session(key, Some(keep_s), will_s);
                self.keep_session(key, keep_s);
            }
        }
    }

    /// Keeps a session without connection for `keep_s` seconds. [MQTT-3.1.2-23]
    fn keep_session(&mut self, key: SessionKey, keep_s: u32) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        if keep_s != u32::MAX {
            let at = self.now.after_s(u64::from(keep_s));
            slot.expiry_timer = Some(self.wheel.schedule(at, TimerKey::SessionExpiry(key)));
        }
        self.refresh_shares(key);
        let shares = self.shares_of(key);
        self.redispatch_shared(key, &shares, false);
    }

    /// Publishes a session's will, if it still has one.
    pub(super) fn publish_will(&mut self, key: SessionKey) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let Some(will) = slot.session.take_will() else { return };
        let zone = slot.session.zone();
        let view = Session::will_publication(&will, self.origin(key), &cx!(self, zone));
        self.publish(&LazyPublication::borrowed(view), Some(key));
    }

    /// Ends a session: its will if still due, its subscriptions, its messages. [MQTT-3.1.2-10]
    pub(super) fn end_session(&mut self, key: SessionKey) {
        self.publish_will(key);
        let shares = self.shares_of(key);
        let Some(slot) = self.sessions.get_mut(key) else { return };
        for timer in [slot.expiry_timer.take(), slot.will_timer.take()].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        let filters: Vec<Box<str>> = slot.session.subscriptions().map(|(filter, _)| filter.into()).collect();
        self.sessions.count_subscriber(filters.len(), 0);
        for filter in &filters {
            self.leave(key, filter);
        }
        self.redispatch_shared(key, &shares, true);
        self.unblock(key);
        self.forget_session(key);
        let Some(slot) = self.sessions.remove(key) else { return };
        self.count_rejecting(slot.session.rejects(self.settings_of(&slot)), false);
        let lost = slot.session.undelivered();
        self.tally.add(Metric::DeliveryDropped, lost as u64);
        self.tally.add(Metric::DeliveryDroppedSessionEnded, lost as u64);
    }

    /// Stops accepting, says goodbye to everybody, and lets outboxes drain for a bounded time.
    pub(super) fn begin_shutdown(&mut self) {
        if self.ending != Ending::Serving {
            return;
        }
        self.ending = Ending::Draining(self.now.after_ms(self.config.node.shutdown_timeout.as_ms()));
        self.outlets.push(Command::StopAccepting);
        let tokens: Vec<Token> = self.connections.iter().map(|(token, _)| token as Token).collect();
        for token in tokens {
            let Some(connection) = self.connections.get(token as usize) else { continue };
            match connection.stage {
                Stage::Attached(key) => {
                    if let Some(slot) = self.sessions.get_mut(key) {
                        // The broker goes, not the client: nobody is told its will.
                        slot.session.take_will();
                    }
                    let reason = ReasonCode::ServerShuttingDown;
                    self.disconnect(token, reason, CloseCause::Server(reason));
                }
                Stage::AwaitConnect | Stage::Parked => self.close_without_packet(token, CloseCause::Lost),
                Stage::Closing | Stage::Lingering => {}
            }
        }
    }
}
