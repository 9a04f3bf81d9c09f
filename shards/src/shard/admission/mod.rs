//! From an accepted socket to a session: CONNECT, home shard, handover, attaching, takeover.

mod crowd;
mod entrance;
mod guest;
mod inquiries;
mod meter;
mod mounting;
mod parking;
mod rights;
mod verdict;
mod wrapped;

pub use crowd::Crowd;
pub use guest::{Guest, Pass};
pub use inquiries::Inquiries;
pub use meter::Meter;
pub use parking::Parking;
pub use rights::{Revision, Rights};
pub use wrapped::Handshakes;

use super::connection::{Connection, Stage};
use super::lanes::{Handover, LaneMessage};
use super::outlets::Command;
use super::sessions::SessionKey;
use super::timers::TimerKey;
use super::{Ending, Shard, cx};
use crate::config::SourceRule;
use crate::reactor::{Parcel, Token};
use crate::transport::{Phase, Pipeline};
use entrance::ENTRANCE_WAIT_MS_MAX;
use guest::{certificate_of, name_client};
use ringmq_core::codec::{Connack, ConnackProperties, Connect, DecodeError, ProtocolVersion};
use ringmq_core::config::ZoneId;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::routing::ShardId;
use ringmq_core::session::{CloseCause, QueueTerms, Session, Terms, refusal};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

impl Shard {
    /// A listener accepted a connection.
    pub(super) fn handle_accepted(&mut self, listener: usize, socket: OwnedFd, peer: SocketAddr) {
        if self.ending != Ending::Serving {
            return;
        }
        let terms = &self.limits[listener];
        if !SourceRule::admit(&self.layers[listener].access_rules, peer.ip()) || !terms.open.try_enter() {
            self.tally.bump(Metric::ConnectionsRefused);
            return;
        }
        let wait_ms = terms.pace.wait_ms(self.now);
        if wait_ms > ENTRANCE_WAIT_MS_MAX {
            terms.pace.give_back();
            terms.open.leave(1);
            self.tally.bump(Metric::ConnectionsRefused);
            return;
        }
        let pipeline = match Pipeline::new(&self.layers[listener], self.now) {
            Ok(pipeline) => pipeline,
            Err(error) => {
                tracing::warn!(listener = %terms.id, %error, "a connection cannot be served");
                terms.open.leave(1);
                return;
            }
        };
        let phase = pipeline.as_ref().map_or(Phase::Open, |pipeline| pipeline.phase());
        let token = self.open_connection(listener as u16, Parcel::Here(socket), peer, pipeline);
        match wait_ms {
            0 => self.enter_phase(token, phase),
            _ => self.keep_outside(token, wait_ms),
        }
    }

    fn open_connection(
        &mut self,
        listener: u16,
        socket: Parcel,
        peer: SocketAddr,
        pipeline: Option<Box<Pipeline>>,
    ) -> Token {
        let watermark = self.limits[usize::from(listener)].high_watermark;
        let mut connection = Connection::new(peer.into(), listener, watermark, self.now);
        connection.pipeline = pipeline;
        let token = self.connections.insert(connection) as Token;
        self.outlets.push(Command::Adopt(token, socket));
        token
    }

    /// Looks at a CONNECT and asks whether its client may enter. Returns false if the connection left this shard.
    fn admit(&mut self, token: Token, mut connect: Box<Connect>, rest: &[u8]) -> bool {
        let Some(connection) = self.connections.get(token as usize) else { return false };
        let settings = self.config.zones.of(self.limits[usize::from(connection.listener)].zone);
        let certificate = certificate_of(connection);
        if let Err((reason, explanation)) = name_client(settings, &certificate, &mut connect) {
            self.refuse(token, connect.version, reason, Some(explanation));
            return true;
        }
        if let Some(reason) = refusal(&connect, settings) {
            self.refuse(token, connect.version, reason, None);
            return true;
        }
        if let Err(error) = QueueTerms::of(&connect, settings) {
            let reason = ReasonCode::ImplementationSpecificError;
            self.refuse(token, connect.version, reason, Some(&error.to_string()));
            return true;
        }
        let assigned = connect.client_id.is_empty();
        if assigned {
            connect.client_id =
                format!("ringmq-{:016x}{:08x}", self.random.u64(..), self.random.u32(..)).into();
        }
        self.ask_entry(token, connect, assigned, certificate, rest)
    }

    /// A client that may enter gets its session, on the shard that owns it. Returns false if the connection left this one.
    fn go_home(
        &mut self,
        token: Token,
        connect: Box<Connect>,
        assigned: bool,
        pass: Pass,
        rest: &[u8],
    ) -> bool {
        let home = self.home_of(&connect.client_id);
        if home == self.id {
            self.attach(token, connect, assigned, pass);
            return true;
        }
        // What is still being written could not be taken along; nobody who waits for the handshake is there.
        if self.connections.get(token as usize).is_some_and(|connection| connection.outbox.is_sending()) {
            self.close_now(token, CloseCause::Lost);
            return false;
        }
        let Some(connection) = self.connections.try_remove(token as usize) else { return false };
        if let Some(timer) = connection.timer {
            self.wheel.cancel(timer);
        }
        let handover = Handover {
            connect,
            assigned,
            rest: rest.to_vec(),
            peer: connection.peer.into(),
            listener: connection.listener,
            pipeline: connection.pipeline,
            pass,
            socket: None,
        };
        self.outlets.push(Command::HandOver(token, home, Box::new(handover)));
        false
    }

    /// The shard that owns the session of a client.
    fn home_of(&self, client_id: &str) -> ShardId {
        ShardId::home_of(client_id, self.shards)
    }

    /// The reactor let go of a socket; it travels to the client's home.
    pub fn hand_over(&mut self, home: ShardId, socket: Parcel, mut handover: Handover) {
        handover.socket = Some(socket);
        self.mesh.stage(home, LaneMessage::Handover(Box::new(handover)));
    }

    /// The socket could not be given away: no descriptor was left. The client finds its connection closed.
    pub fn abandon(&mut self, handover: Handover) {
        tracing::warn!(peer = %handover.peer, "a connection could not be handed to its shard: no descriptor is left");
        self.tally.bump(Metric::ConnectionsRefused);
        self.limits[usize::from(handover.listener)].open.leave(1);
    }

    /// A connection comes from the shard that accepted it.
    pub(super) fn handle_handover(&mut self, handover: Handover) {
        let Handover { connect, assigned, rest, peer, listener, pipeline, pass, socket } = handover;
        let Some(socket) = socket else { return };
        if self.ending != Ending::Serving {
            self.limits[usize::from(listener)].open.leave(1);
            return;
        }
        let is_closed = pipeline.as_ref().is_some_and(|pipeline| pipeline.is_closed());
        let token = self.open_connection(listener, socket, peer, pipeline);
        self.attach(token, connect, assigned, pass);
        self.handle_bytes(token, &rest);
        if is_closed {
            self.end_below(token, CloseCause::Lost);
        }
    }

    /// Answers a CONNECT that cannot be accepted, and closes. [MQTT-3.1.4-5]
    fn refuse(
        &mut self,
        token: Token,
        version: ProtocolVersion,
        reason: ReasonCode,
        explanation: Option<&str>,
    ) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let reason_string = explanation.map(Into::into);
        let properties = ConnackProperties { reason_string, ..ConnackProperties::default() };
        let connack = Connack { session_present: false, reason, properties };
        connection.outbox.push_connack(&connack, version, &mut self.tally);
        tracing::debug!(peer = %connection.peer, reason = reason.as_u8(), "connection refused");
        self.close_after_flush(token);
    }

    /// The bytes of a CONNECT make no sense. A peer whose version can be told is told why. [MQTT-3.1.2-2]
    pub(super) fn reject_connect(&mut self, token: Token, first_bytes: &[u8], error: DecodeError) {
        let version = match error {
            DecodeError::UnsupportedVersion => Some(ProtocolVersion::V311),
            _ => announced_version(first_bytes),
        };
        match version {
            Some(ProtocolVersion::V5) => self.refuse(token, ProtocolVersion::V5, error.reason_code(), None),
            Some(version) if error == DecodeError::UnsupportedVersion => {
                self.refuse(token, version, ReasonCode::UnsupportedProtocolVersion, None);
            }
            _ => self.close_without_packet(token, CloseCause::Server(error.reason_code())),
        }
    }

    /// Gives a connection its session: the one that waits for it, or a new one. [MQTT-3.1.2-4 to -6]
    fn attach(&mut self, token: Token, mut connect: Box<Connect>, assigned: bool, mut pass: Pass) {
        let Some(connection) = self.connections.get(token as usize) else { return };
        let zone = self.limits[usize::from(connection.listener)].zone;
        let settings = self.config.zones.of(zone);
        let terms = Terms::negotiate(&connect, settings);
        // They were checked before the connection came to this shard.
        let queue_terms = QueueTerms::of(&connect, settings).unwrap_or_default();
        // At the store's bound those who are known may come back for what waits for them, and so make room.
        let is_new = self.sessions.find(&connect.client_id).is_none();
        if terms.session_expiry_interval_s > 0
            && (self.journal.has_failed() || is_new && self.journal.is_refusing())
        {
            return self.refuse(token, connect.version, ReasonCode::QuotaExceeded, None);
        }
        let present = self.claim_session(&connect);
        let key = present.unwrap_or_else(|| {
            self.tally.bump(Metric::SessionCreated);
            self.sessions.insert(Session::new(connect.client_id.as_ref().into()))
        });
        let assigned_id = assigned.then_some(&*connect.client_id);
        let mut connack = terms.accept(&connect, self.config.zones.of(zone), present.is_some(), assigned_id);
        connack.properties.authentication_method = connect.properties.authentication_method.take();
        connack.properties.authentication_data = connect.properties.authentication_data.take();
        let is_metered = self.measure(pass.guest.as_deref_mut());
        let mountpoint = pass.mountpoint.take();
        let policy = self.welcome(token, &connect.client_id, pass);
        let silence_ms_max = terms.silence_ms_max(self.config.zones.of(zone));

        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.stage = Stage::Attached(key);
        connection.version = connect.version;
        connection.last_received_at = self.now;
        if let Some(timer) = connection.timer.take() {
            self.wheel.cancel(timer);
        }
        connection.timer = silence_ms_max.map(|silence_ms| {
            self.wheel.schedule(self.now.after_ms(silence_ms), TimerKey::Connection(token))
        });
        connection.outbox.limit_packets(terms.packet_bytes_max);
        let is_told = connection.outbox.push_connack(&connack, connect.version, &mut self.tally);
        self.enter_zone(key, zone, queue_terms, present.is_some());
        let Some(slot) = self.sessions.get_mut(key) else { return };
        slot.connection = Some(token);
        slot.attachment = slot.attachment.wrapping_add(1);
        slot.session.mount(mountpoint);
        slot.session.attach(terms, connect.will.take());
        slot.set_policy(policy);
        slot.set_metered(is_metered);
        self.remember_session(key, None, None);
        let (Some(slot), Some(connection)) =
            (self.sessions.get_mut(key), self.connections.get_mut(token as usize))
        else {
            return;
        };
        if slot.session.number().is_some() {
            connection.outbox.hold();
        }
        slot.session.pump(&mut cx!(self, zone), &mut connection.outbox);
        self.live_connections += 1;
        self.outlets.push(Command::Settle(token));
        self.count_connected(connect.user_name.is_none());
        self.mark_dirty(token);
        self.refresh_shares(key);
        self.refresh_blocking(key);
        if !is_told {
            // The client takes no packet as large as its CONNACK, and nothing may come before that. [MQTT-3.2.0-1]
            self.close_now(token, CloseCause::Server(ReasonCode::PacketTooLarge));
        }
    }

    /// The queue of a session is what the zone and its client have it be from now on. `is_known`: the session is an old one.
    fn enter_zone(&mut self, key: SessionKey, zone: ZoneId, queue_terms: QueueTerms, is_known: bool) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let zones = &self.config.zones;
        let rejected = is_known && slot.session.rejects(zones.of(slot.session.zone()));
        slot.session.enter_zone(zone, zones.of(zone), &self.journal);
        slot.session.ask_queue(queue_terms);
        let rejects = slot.session.rejects(zones.of(zone));
        self.count_rejecting(rejected, rejects);
    }

    fn count_connected(&mut self, is_anonymous: bool) {
        self.tally.bump(Metric::ClientConnack);
        self.tally.bump(Metric::ClientConnected);
        if is_anonymous {
            self.tally.bump(Metric::ClientAuthAnonymous);
        }
    }

    /// The session of this client, free of any other connection, if it goes on with this one.
    fn claim_session(&mut self, connect: &Connect) -> Option<SessionKey> {
        let key = self.sessions.find(&connect.client_id)?;
        if let Some(old) = self.sessions.get(key).and_then(|slot| slot.connection) {
            let cause = if connect.clean_start { CloseCause::Discarded } else { CloseCause::TakenOver };
            let metric =
                if connect.clean_start { Metric::SessionDiscarded } else { Metric::SessionTakenover };
            self.tally.bump(metric);
            self.disconnect(old, ReasonCode::SessionTakenOver, cause);
        } else if connect.clean_start {
            self.tally.bump(Metric::SessionDiscarded);
            self.end_session(key);
        }
        // The old connection's end may have ended the session.
        let key = self.sessions.find(&connect.client_id)?;
        let slot = self.sessions.get_mut(key)?;
        for timer in [slot.expiry_timer.take(), slot.will_timer.take()].into_iter().flatten() {
            self.wheel.cancel(timer);
        }
        self.tally.bump(Metric::SessionResumed);
        Some(key)
    }
}

/// The protocol version a CONNECT announces, read from its first bytes, whatever is wrong with the rest.
fn announced_version(body: &[u8]) -> Option<ProtocolVersion> {
    match body {
        [0, 4, b'M', b'Q', b'T', b'T', 5, ..] => Some(ProtocolVersion::V5),
        [0, 4, b'M', b'Q', b'T', b'T', 4, ..] => Some(ProtocolVersion::V311),
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, ..] => Some(ProtocolVersion::V31),
        _ => None,
    }
}
