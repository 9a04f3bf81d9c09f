//! Bytes on their way to one client.

use crate::codec::{Ack, Auth, Connack, Disconnect, Packet, ProtocolVersion, Suback, Unsuback};
use crate::metrics::{Metric, Tally};
use std::collections::VecDeque;

/// The smallest buffer a non-empty outbox has, so that a few small packets cost one allocation.
const FIRST_ALLOCATION_BYTES: usize = 256;

/// Encoded packets that wait for the next write of their connection.
///
/// Bounded by `high_watermark`: above it the session stops adding application messages and queues them instead.
/// Acknowledgements have room beyond it, bounded by what the client has in flight.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    sending_bytes: u32,
    high_watermark: u32,
    packet_bytes_max: u32,
    /// What is in `bytes` may leave only when what it tells is stored.
    is_held: bool,
    held: Option<Box<Held>>,
}

/// Bytes that wait until something is stored, each piece with the position in the store that it waits for.
#[derive(Debug, Default)]
struct Held {
    pieces: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Outbox {
    /// An empty outbox that is congested above this many bytes, of which 4 GiB is the most.
    pub fn new(high_watermark: usize) -> Outbox {
        let high_watermark = u32::try_from(high_watermark).unwrap_or(u32::MAX);
        Outbox {
            bytes: Vec::new(),
            sending_bytes: 0,
            high_watermark,
            packet_bytes_max: u32::MAX,
            is_held: false,
            held: None,
        }
    }

    /// Sets the client's Maximum Packet Size: a larger answer loses its reason string and user properties, and if that
    /// is not enough, is not sent. [MQTT-3.1.2-24]
    pub fn limit_packets(&mut self, bytes_max: u32) {
        self.packet_bytes_max = bytes_max;
    }

    /// Bytes not yet taken by the kernel.
    pub fn pending_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.bytes);
        self.bytes.len() + self.sending_bytes as usize + held
    }

    /// Whether application messages must wait.
    pub fn is_congested(&self) -> bool {
        self.pending_bytes() >= self.high_watermark as usize
    }

    /// Whether so much waits, answers to the client's own packets included, that no more of its packets should be taken.
    pub fn is_flooded(&self) -> bool {
        self.pending_bytes() >= (self.high_watermark as usize).saturating_mul(2)
    }

    /// Whether nothing waits to be handed to the reactor.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.held.is_none()
    }

    /// What was appended since the last write may leave only when all that is recorded by now is stored.
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    /// Whether something waits to be stored before it may leave.
    pub fn is_held(&self) -> bool {
        self.is_held || self.held.is_some()
    }

    /// Everything recorded up to now lies before `position`, and everything before `stored` is stored: what is held, and
    /// what stands behind it, is set aside. Whether something waits for `position` now.
    pub fn set_aside(&mut self, position: u64, stored: u64) -> bool {
        let is_held = std::mem::take(&mut self.is_held) && position > stored;
        if self.bytes.is_empty() || !(is_held || self.held.is_some()) {
            return false;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let held = self.held.get_or_insert_default();
        held.bytes += bytes.len();
        match held.pieces.back_mut() {
            // It leaves with what is before it.
            Some((_, before)) if !is_held => before.extend_from_slice(&bytes),
            _ => held.pieces.push_back((position, bytes)),
        }
        is_held
    }

    /// What waits to be handed to the reactor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was taken last is written in this many bytes, with what wraps it.
    pub fn sends(&mut self, bytes: usize) {
        self.sending_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    /// Whether a write is under way.
    pub fn is_sending(&self) -> bool {
        self.sending_bytes > 0
    }

    /// Takes what may leave now that everything before `stored` is stored, for one write; until [`Outbox::sent`] it counts
    /// as pending. Empty if nothing may.
    pub fn take(&mut self, stored: u64) -> Vec<u8> {
        let bytes =
            if self.held.is_some() { self.take_held(stored) } else { std::mem::take(&mut self.bytes) };
        // A write of more counts as that much, which is congested all the same.
        self.sending_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes
    }

    fn take_held(&mut self, stored: u64) -> Vec<u8> {
        let Some(held) = &mut self.held else { return Vec::new() };
        let mut taken = Vec::new();
        while held.pieces.front().is_some_and(|(position, _)| *position <= stored)
            && let Some((_, bytes)) = held.pieces.pop_front()
        {
            held.bytes -= bytes.len();
            if taken.is_empty() {
                taken = bytes;
            } else {
                taken.extend_from_slice(&bytes);
            }
        }
        if held.pieces.is_empty() {
            self.held = None;
        }
        taken
    }

    /// The write is complete.
    pub fn sent(&mut self) {
        self.sending_bytes = 0;
    }

    /// Whether there is a buffer, with or without bytes in it.
    pub fn has_buffer(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Takes an empty buffer to write into, unless there is one.
    pub fn lend(&mut self, buffer: Vec<u8>) {
        debug_assert!(buffer.is_empty(), "bytes of somebody else");
        if !self.has_buffer() {
            self.bytes = buffer;
        }
    }

    /// Gives the buffer back if nothing is in it.
    pub fn surrender(&mut self) -> Option<Vec<u8>> {
        (self.has_buffer() && self.bytes.is_empty()).then(|| std::mem::take(&mut self.bytes))
    }

    /// Room for `additional` more bytes at the end.
    pub(super) fn room(&mut self, additional: usize) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(additional.max(FIRST_ALLOCATION_BYTES));
        }
        &mut self.bytes
    }

    /// The bytes from `start` to the end: the packet appended last.
    pub(super) fn packet_mut(&mut self, start: usize) -> &mut [u8] {
        &mut self.bytes[start..]
    }

    /// Appends an acknowledgement.
    pub fn push_ack(&mut self, ack: &Ack, version: ProtocolVersion, tally: &mut Tally) {
        use crate::codec::AckKind;
        let metric = match ack.kind {
            AckKind::Puback => Metric::PacketsPubackSent,
            AckKind::Pubrec => Metric::PacketsPubrecSent,
            AckKind::Pubrel => Metric::PacketsPubrelSent,
            AckKind::Pubcomp => Metric::PacketsPubcompSent,
        };
        self.push(tally, metric, |out, bytes_max| ack.encode_within(version, bytes_max, out).is_ok());
    }

    /// Appends CONNACK. Whether it fits: a client that cannot be told what is granted cannot be served.
    pub fn push_connack(&mut self, connack: &Connack, version: ProtocolVersion, tally: &mut Tally) -> bool {
        let is_sent = self.push(tally, Metric::PacketsConnackSent, |out, bytes_max| {
            connack.encode_within(version, bytes_max, out).is_ok()
        });
        if connack.reason.is_error() {
            tally.bump(Metric::PacketsConnackError);
        }
        is_sent
    }

    /// Appends SUBACK.
    pub fn push_suback(&mut self, suback: &Suback, version: ProtocolVersion, tally: &mut Tally) {
        self.push(tally, Metric::PacketsSubackSent, |out, bytes_max| {
            suback.encode_within(version, bytes_max, out).is_ok()
        });
    }

    /// Appends UNSUBACK.
    pub fn push_unsuback(&mut self, unsuback: &Unsuback, version: ProtocolVersion, tally: &mut Tally) {
        self.push(tally, Metric::PacketsUnsubackSent, |out, bytes_max| {
            unsuback.encode_within(version, bytes_max, out).is_ok()
        });
    }

    /// Appends PINGRESP.
    pub fn push_pingresp(&mut self, version: ProtocolVersion, tally: &mut Tally) {
        // Two bytes, the smallest packet there is.
        self.push(tally, Metric::PacketsPingrespSent, |out, _| Packet::Pingresp.encode(version, out).is_ok());
    }

    /// Appends DISCONNECT; v5 only. [MQTT-3.14.0-1]
    pub fn push_disconnect(&mut self, disconnect: &Disconnect, packet_bytes_max: u32, tally: &mut Tally) {
        self.push(tally, Metric::PacketsDisconnectSent, |out, _| {
            disconnect.encode_within(ProtocolVersion::V5, packet_bytes_max, out).is_ok()
        });
    }

    /// Appends AUTH.
    pub fn push_auth(&mut self, auth: &Auth, tally: &mut Tally) {
        self.push(tally, Metric::PacketsAuthSent, |out, bytes_max| {
            auth.encode_within(ProtocolVersion::V5, bytes_max, out).is_ok()
        });
    }

    /// Appends what `encode` writes within the client's Maximum Packet Size, and counts it. Whether it was written.
    fn push(
        &mut self,
        tally: &mut Tally,
        metric: Metric,
        encode: impl FnOnce(&mut Vec<u8>, u32) -> bool,
    ) -> bool {
        let bytes_max = self.packet_bytes_max;
        let is_written = encode(self.room(FIRST_ALLOCATION_BYTES), bytes_max);
        if is_written {
            tally.bump(metric);
            tally.bump(Metric::PacketsSent);
        }
        is_written
    }
}
