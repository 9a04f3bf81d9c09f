//! Bytes from a client become packets, and packets find their handlers.

use super::connection::Stage;
use super::credit::Turn;
use super::sessions::SessionKey;
use super::{Shard, cx};
use crate::reactor::Token;
use ringmq_core::codec::{
    Ack, AckKind, Disconnect, Frame, Packet, PacketType, ProtocolVersion, Publish, Unsuback, Unsubscribe,
    decode_ack, decode_frame, decode_packet,
};
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::{CloseCause, Violation};

/// Whether to go on with the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// The packet at hand and what follows must wait.
    Hold,
    /// The connection is gone, or takes no more packets.
    Stop,
}

impl Shard {
    /// Bytes arrived.
    pub(super) fn handle_received(&mut self, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.last_received_at = self.now;
        if connection.pipeline.is_some() {
            return self.handle_wrapped(token, bytes);
        }
        self.tally.add(Metric::BytesReceived, bytes.len() as u64);
        self.handle_bytes(token, bytes);
    }

    /// Handles bytes after those left over from before. A paused connection only keeps them: at most what was received
    /// before the pause took effect.
    pub(super) fn handle_bytes(&mut self, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        if matches!(connection.stage, Stage::Closing | Stage::Lingering) {
            return;
        }
        if connection.inbox.is_empty() && !connection.paused {
            let used = self.handle_packets(token, bytes);
            self.keep(token, bytes[used..].to_vec());
            return self.handle_ahead(token);
        }
        let bytes = self.discard(token, bytes);
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.inbox.extend_from_slice(bytes);
        if connection.paused {
            return;
        }
        if connection.turn != Turn::Held {
            // Moved out and back, not copied: a packet that arrives byte by byte costs no more than its bytes.
            let mut inbox = connection.inbox.take();
            let used = self.handle_packets(token, &inbox);
            inbox.drain(..used);
            self.keep(token, inbox);
        }
        self.handle_ahead(token);
    }

    /// Keeps the beginning of a packet, or what a held publisher sent, until more can be done with it.
    pub(super) fn keep(&mut self, token: Token, inbox: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(token as usize)
            && !inbox.is_empty()
            && matches!(connection.stage, Stage::AwaitConnect | Stage::Parked | Stage::Attached(_))
        {
            connection.inbox.put(inbox);
        }
    }

    /// Handles whole packets; returns how many bytes they were.
    fn handle_packets(&mut self, token: Token, input: &[u8]) -> usize {
        let Some(connection) = self.connections.get(token as usize) else { return input.len() };
        let packet_bytes_max = self.limits[usize::from(connection.listener)].packet_bytes_max;
        // Whoever begins with something else is no client, and need not be waited for. [MQTT-3.1.0-1]
        if connection.stage == Stage::AwaitConnect
            && input.first().is_some_and(|first| first >> 4 != PacketType::Connect as u8)
        {
            self.close_without_packet(token, CloseCause::Server(ReasonCode::ProtocolError));
            return input.len();
        }
        let mut used = 0;
        loop {
            let frame = match decode_frame(&input[used..], packet_bytes_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => return used,
                Err(error) => match self.begin_discarding(token, error, &input[used..]) {
                    Ok(0) => return used,
                    Ok(discarded) => {
                        used += discarded;
                        continue;
                    }
                    Err(error) => {
                        self.violate(token, error.into());
                        return input.len();
                    }
                },
            };
            let next = used + frame.bytes;
            match self.handle_frame(token, frame, &input[next..]) {
                Flow::Continue => used = next,
                Flow::Hold => return used,
                Flow::Stop => return input.len(),
            }
        }
    }

    fn handle_frame(&mut self, token: Token, frame: Frame<'_>, rest: &[u8]) -> Flow {
        let Some(connection) = self.connections.get(token as usize) else { return Flow::Stop };
        let (stage, version) = (connection.stage, connection.version);
        let (is_flooded, has_layers) = (connection.outbox.is_flooded(), connection.pipeline.is_some());
        match stage {
            Stage::AwaitConnect => self.handle_first_frame(token, frame, rest),
            Stage::Parked => self.handle_parked_frame(token, frame, rest),
            Stage::Closing | Stage::Lingering => Flow::Stop,
            Stage::Attached(key) => {
                let is_publish = frame.first_byte >> 4 == PacketType::Publish as u8;
                // A PUBLISH waits while a lane is congested, and any packet of a client that does not read its answers.
                if is_flooded || (is_publish && self.is_congested()) {
                    self.hold(token);
                    return Flow::Hold;
                }
                if (self.inquiries.are_made() && self.awaits_decision(token, key, frame))
                    || (is_publish && self.hold_for_room(token, key, frame))
                    || (has_layers && self.is_throttled(token, is_publish))
                {
                    return Flow::Hold;
                }
                self.tally.bump(Metric::PacketsReceived);
                let handled = self.handle_attached_frame(token, key, version, frame);
                if self.inquiries.are_made() {
                    self.inquiries.forget_settled(key);
                }
                match handled {
                    Ok(flow) => flow,
                    Err(violation) => {
                        self.violate(token, violation);
                        Flow::Stop
                    }
                }
            }
        }
    }

    /// A packet of a client that was let in. PUBLISH and what acknowledges it, nearly all there are, have a short way.
    pub(super) fn handle_attached_frame(
        &mut self,
        token: Token,
        key: SessionKey,
        version: ProtocolVersion,
        frame: Frame<'_>,
    ) -> Result<Flow, Violation> {
        if frame.first_byte >> 4 == PacketType::Publish as u8 {
            let publish = Publish::decode(frame.first_byte, frame.body, version)?;
            self.handle_publish(token, key, &publish)?;
            return Ok(Flow::Continue);
        }
        if let Some(ack) = decode_ack(frame, version)? {
            self.handle_ack(token, key, &ack);
            return Ok(Flow::Continue);
        }
        self.handle_packet(token, key, version, decode_packet(frame, version)?)
    }

    /// The first packet, which is a CONNECT.
    fn handle_first_frame(&mut self, token: Token, frame: Frame<'_>, rest: &[u8]) -> Flow {
        self.tally.bump(Metric::PacketsReceived);
        match decode_packet(frame, ProtocolVersion::V5) {
            Ok(Packet::Connect(connect)) => {
                if self.handle_connect(token, connect, rest) {
                    Flow::Continue
                } else {
                    Flow::Stop
                }
            }
            Ok(_) => Flow::Stop,
            Err(error) => {
                self.reject_connect(token, frame.body, error);
                Flow::Stop
            }
        }
    }

    /// While it waits to be let in, a client may go on with its authentication or leave; all else waits with it.
    /// [MQTT-3.1.2-30]
    fn handle_parked_frame(&mut self, token: Token, frame: Frame<'_>, rest: &[u8]) -> Flow {
        if self.connections.get(token as usize).is_some_and(|connection| connection.paused) {
            return Flow::Hold;
        }
        self.tally.bump(Metric::PacketsReceived);
        match decode_packet(frame, ProtocolVersion::V5) {
            Ok(Packet::Auth(auth)) if self.handle_parked_auth(token, &auth, rest) => Flow::Continue,
            Ok(Packet::Auth(_)) => Flow::Stop,
            _ => {
                self.close_without_packet(token, CloseCause::Server(ReasonCode::ProtocolError));
                Flow::Stop
            }
        }
    }

    fn handle_packet(
        &mut self,
        token: Token,
        key: SessionKey,
        version: ProtocolVersion,
        packet: Packet<'_>,
    ) -> Result<Flow, Violation> {
        match packet {
            Packet::Publish(publish) => self.handle_publish(token, key, &publish)?,
            Packet::Ack(ack) => self.handle_ack(token, key, &ack),
            Packet::Subscribe(subscribe) => self.handle_subscribe(token, key, subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(token, key, version, unsubscribe),
            Packet::Pingreq => {
                self.tally.bump(Metric::PacketsPingreqReceived);
                if let Some(connection) = self.connections.get_mut(token as usize) {
                    connection.outbox.push_pingresp(version, &mut self.tally);
                    self.mark_dirty(token);
                }
            }
            Packet::Disconnect(disconnect) => return self.handle_goodbye(token, key, &disconnect),
            Packet::Auth(auth) => self.handle_auth(token, &auth)?,
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => return Err(Violation::protocol("second CONNECT")),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(Violation::protocol("packet only a broker may send"));
            }
        }
        Ok(Flow::Continue)
    }

    fn handle_ack(&mut self, token: Token, key: SessionKey, ack: &Ack) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let out = &mut connection.outbox;
        self.spent.lend(out);
        let cx = &mut cx!(self, slot.session.zone());
        match ack.kind {
            AckKind::Puback => slot.session.handle_puback(ack, cx, out),
            AckKind::Pubrec => slot.session.handle_pubrec(ack, cx, out),
            AckKind::Pubrel => slot.session.handle_pubrel(ack, cx, out),
            AckKind::Pubcomp => slot.session.handle_pubcomp(ack, cx, out),
        }
        let stream = slot.streams.is_some();
        self.mark_dirty(token);
        if stream {
            self.resume_stream(key);
        }
    }

    fn handle_unsubscribe(
        &mut self,
        token: Token,
        key: SessionKey,
        version: ProtocolVersion,
        unsubscribe: Unsubscribe,
    ) {
        self.tally.bump(Metric::PacketsUnsubscribeReceived);
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        let in_use = self.sessions.get(key).is_some_and(|slot| slot.session.holds_id(unsubscribe.packet_id));
        for filter in &unsubscribe.filters {
            let reason =
                if in_use { ReasonCode::PacketIdentifierInUse } else { self.unsubscribe(key, filter) };
            reasons.push(reason);
        }
        let unsuback = Unsuback {
            packet_id: unsubscribe.packet_id,
            reasons,
            reason_string: None,
            user_properties: Vec::new(),
        };
        let is_remembered = self.is_remembered(key);
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.outbox.push_unsuback(&unsuback, version, &mut self.tally);
            if is_remembered {
                connection.outbox.hold();
            }
            self.mark_dirty(token);
        }
    }

    fn handle_goodbye(
        &mut self,
        token: Token,
        key: SessionKey,
        disconnect: &Disconnect,
    ) -> Result<Flow, Violation> {
        self.tally.bump(Metric::PacketsDisconnectReceived);
        let Some(slot) = self.sessions.get_mut(key) else { return Ok(Flow::Stop) };
        let cause = slot.session.handle_disconnect(disconnect, &cx!(self, slot.session.zone()))?;
        self.close_without_packet(token, cause);
        Ok(Flow::Stop)
    }

    /// A client's packet must wait. It is not received from until there is room.
    fn hold(&mut self, token: Token) {
        if self.connections.get(token as usize).is_some_and(|connection| !connection.paused) {
            self.tally.bump(Metric::LaneStalls);
            self.outlets.paused.push(token);
            self.pause(token);
        }
    }

    /// Whether more from publishers would only wait: in a lane, or for the log.
    fn is_congested(&self) -> bool {
        self.mesh.is_congested(self.config.mesh.lane_backlog_max) || self.journal.is_behind()
    }

    /// Lets held clients go on where they stopped, as far as the lanes and their own outboxes have room again.
    pub(super) fn resume_held(&mut self) {
        if self.outlets.paused.is_empty() || self.is_congested() {
            return;
        }
        for token in std::mem::take(&mut self.outlets.paused) {
            let Some(connection) = self.connections.get_mut(token as usize) else { continue };
            if !connection.paused {
                continue;
            }
            if connection.outbox.is_congested() {
                self.outlets.paused.push(token);
                continue;
            }
            self.resume(token);
            self.handle_bytes(token, &[]);
        }
    }
}
