//! Connections whose PUBLISH waits for room. They are received from up to a bound, and acknowledgements that come behind the
//! PUBLISH are handled ahead of it.

use super::super::Shard;
use super::super::connection::Stage;
use super::super::sessions::SessionKey;
use super::Turn;
use crate::reactor::Token;
use ringmq_core::codec::{Frame, Packet, PacketType, QoS, decode_frame, decode_packet};
use ringmq_core::metrics::Metric;

/// Bytes kept of a client that is held back; then it is not received from any more.
const HELD_BYTES_MAX: usize = 32 << 10;

impl Shard {
    /// Whether this packet of a client is a PUBLISH for which there is no room: then it waits, and the client with it.
    pub(in crate::shard) fn hold_for_room(
        &mut self,
        token: Token,
        key: SessionKey,
        frame: Frame<'_>,
    ) -> bool {
        self.look_at_store();
        if self.credit.is_ample() || !self.lacks_room(token, key, frame) {
            return false;
        }
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.turn = Turn::Held;
            self.credit.held.push(token);
            self.tally.bump(Metric::PublisherHolds);
        }
        true
    }

    fn lacks_room(&self, token: Token, key: SessionKey, frame: Frame<'_>) -> bool {
        let Some(connection) = self.connections.get(token as usize) else { return false };
        if connection.turn == Turn::Excused || self.credit.blocking.contains_key(&key) {
            return false;
        }
        let Some(slot) = self.sessions.get(key) else { return false };
        let Ok(Packet::Publish(publish)) = decode_packet(frame, connection.version) else { return false };
        let Some(topic) = slot.session.topic_of(&publish) else { return false };
        if publish.retain && self.credit.stores.contains(self.topic_owner(&topic)) {
            return true;
        }
        // An identifier is remembered, and the message until other shards have it.
        let needs_store = publish.qos == QoS::ExactlyOnce && self.is_remembered(key);
        needs_store && (self.credit.is_ahead || self.credit.stores.contains(self.id))
            || self.credit.shortages.concern(&topic, publish.qos)
    }

    /// Handles what a client that is held back sends and that needs no room. It is received from until too much is kept; if it
    /// owes acknowledgements then, which may be among what was not received, its packets are handled as if there was room.
    pub(in crate::shard) fn handle_ahead(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Stage::Attached(key) = connection.stage else { return };
        if connection.turn != Turn::Held {
            return;
        }
        if connection.outbox.is_flooded() {
            self.outlets.paused.push(token);
            return self.pause(token);
        }
        let inbox = connection.inbox.take();
        let kept = self.handle_acknowledgements(token, key, inbox);
        let is_excessive = kept.len() > HELD_BYTES_MAX;
        self.keep(token, kept);
        let Some(connection) = self.connections.get(token as usize) else { return };
        if !is_excessive || connection.stage != Stage::Attached(key) {
            return;
        }
        if self.sessions.get(key).is_some_and(|slot| slot.session.inflight() > 0) {
            return self.excuse(token);
        }
        self.pause(token);
    }

    /// Handles what needs no room; returns the rest.
    fn handle_acknowledgements(&mut self, token: Token, key: SessionKey, inbox: Vec<u8>) -> Vec<u8> {
        let Some(connection) = self.connections.get(token as usize) else { return inbox };
        let packet_bytes_max = self.limits[usize::from(connection.listener)].packet_bytes_max;
        let (mut kept, mut at) = (Vec::new(), 0);
        while let Ok(Some(frame)) = decode_frame(&inbox[at..], packet_bytes_max) {
            let bytes = &inbox[at..at + frame.bytes];
            at += frame.bytes;
            if !needs_no_room(frame) {
                kept.extend_from_slice(bytes);
                continue;
            }
            let Some(connection) = self.connections.get(token as usize) else { return Vec::new() };
            let version = connection.version;
            self.tally.bump(Metric::PacketsReceived);
            if let Err(violation) = self.handle_attached_frame(token, key, version, frame) {
                self.violate(token, violation);
                return Vec::new();
            }
        }
        kept.extend_from_slice(&inbox[at..]);
        kept
    }

    fn excuse(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.turn = Turn::Excused;
        self.credit.held.retain(|held| *held != token);
        self.handle_bytes(token, &[]);
        if let Some(connection) = self.connections.get_mut(token as usize)
            && connection.turn == Turn::Excused
        {
            connection.turn = Turn::Free;
        }
    }

    /// Has clients go on that were held back, if there may be room for them now.
    pub(super) fn resume_granted(&mut self) {
        if !std::mem::take(&mut self.credit.is_granted) || self.credit.held.is_empty() {
            return;
        }
        for token in std::mem::take(&mut self.credit.held) {
            let Some(connection) = self.connections.get_mut(token as usize) else { continue };
            if connection.turn != Turn::Held {
                continue;
            }
            connection.turn = Turn::Free;
            if !self.outlets.paused.contains(&token) {
                self.resume(token);
            }
            self.handle_bytes(token, &[]);
        }
    }
}

/// Whether a packet is an acknowledgement, which makes room, or says that the client is there.
fn needs_no_room(frame: Frame<'_>) -> bool {
    let packet_type = frame.first_byte >> 4;
    let acknowledgements = PacketType::Puback as u8..=PacketType::Pubcomp as u8;
    acknowledgements.contains(&packet_type) || packet_type == PacketType::Pingreq as u8
}
