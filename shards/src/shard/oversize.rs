//! PUBLISH packets larger than packets may be, where they are discarded rather than end the connection. Their bytes are counted
//! and forgotten as they come, so a client holds no more memory than the longest topic.

use super::Shard;
use super::connection::{Oversize, Stage};
use super::journal::{Outcome, PendingAck};
use crate::reactor::Token;
use ringmq_core::codec::{DecodeError, PacketType, ProtocolVersion, peek_publish};
use ringmq_core::config::{OversizePolicy, RejectV3};
use ringmq_core::metrics::Metric;
use ringmq_core::session::Routed;

impl Shard {
    /// Bytes that begin a packet which cannot be read: how many of them are discarded, because it is a PUBLISH that is too
    /// large and may be. 0: more must come before that can be said.
    ///
    /// # Errors
    /// The error that it is, where it ends the connection.
    pub(super) fn begin_discarding(
        &mut self,
        token: Token,
        error: DecodeError,
        input: &[u8],
    ) -> Result<usize, DecodeError> {
        let is_publish = input.first().is_some_and(|first| first >> 4 == PacketType::Publish as u8);
        if !matches!(error, DecodeError::TooLarge { .. }) || !is_publish {
            return Err(error);
        }
        let Some(connection) = self.connections.get_mut(token as usize) else { return Err(error) };
        let settings = self.config.zones.of(self.limits[usize::from(connection.listener)].zone);
        if !matches!(connection.stage, Stage::Attached(_))
            || settings.max_packet_size_policy == OversizePolicy::Disconnect
        {
            return Err(error);
        }
        let Some(head) = peek_publish(input)? else { return Ok(0) };
        let is_told =
            connection.version == ProtocolVersion::V5 || settings.mqueue_reject_v3 == RejectV3::Drop;
        if head.acknowledgement.is_some() && !is_told {
            return Err(error);
        }
        self.tally.bump(Metric::PacketsReceived);
        self.tally.bump(Metric::PacketsPublishReceived);
        let left = head.bytes.saturating_sub(input.len());
        let oversize = Oversize { left, acknowledgement: head.acknowledgement };
        if left == 0 {
            self.end_discarding(token, oversize);
            return Ok(head.bytes);
        }
        connection.inbox.begin_oversize(oversize);
        Ok(input.len())
    }

    /// Discards what is left of such a packet, and returns what follows it.
    pub(super) fn discard<'a>(&mut self, token: Token, bytes: &'a [u8]) -> &'a [u8] {
        let Some(connection) = self.connections.get_mut(token as usize) else { return bytes };
        let (discarded, over) = connection.inbox.discard(bytes);
        if let Some(oversize) = over {
            self.end_discarding(token, oversize);
        }
        &bytes[discarded..]
    }

    /// The last byte has come: the packet is counted and answered, in its turn.
    fn end_discarding(&mut self, token: Token, oversize: Oversize) {
        let Some((kind, packet_id)) = oversize.acknowledgement else {
            self.tally.bump(Metric::MessagesDropped);
            self.tally.bump(Metric::MessagesDroppedTooLarge);
            return;
        };
        let Some(key) = self.connections.get(token as usize).and_then(|connection| connection.session())
        else {
            return;
        };
        let Some(slot) = self.sessions.get(key) else { return };
        let ack = PendingAck::new(packet_id, kind, Routed::TooLarge, slot.attachment);
        self.acknowledge_in_turn(token, key, ack, Outcome::Stored);
    }
}
