//! Connections with layers below MQTT: their handshakes, their bytes, their ends.

use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Stage;
use crate::shard::outlets::Command;
use crate::shard::timers::TimerKey;
use crate::transport::Phase;
use ringmq_core::metrics::Metric;
use ringmq_core::session::CloseCause;
use std::collections::VecDeque;

/// Steps of TLS handshakes in one pass. A signature takes up to a millisecond; what waits for the pass meanwhile is every
/// connected client of the shard, so a storm of handshakes is served this much at a time.
const HANDSHAKE_STEPS_PER_PASS: u32 = 2;
/// What the scratch space for received bytes keeps between passes.
const PLAIN_BYTES_KEPT: usize = 64 * 1024;

/// The time a pass has for handshakes, and who waits for the next.
#[derive(Debug, Default)]
pub struct Handshakes {
    steps_left: u32,
    /// In the order they came; no more than are connected.
    waiting: VecDeque<Token>,
    /// Scratch space.
    plain: Vec<u8>,
}

impl Handshakes {
    /// A pass begins.
    pub fn begin_pass(&mut self) {
        self.steps_left = HANDSHAKE_STEPS_PER_PASS;
    }

    /// Whether the next pass has some of them to do.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn try_step(&mut self) -> bool {
        let has_time = self.steps_left > 0;
        self.steps_left -= u32::from(has_time);
        has_time
    }
}

impl Shard {
    /// Handshakes that waited for this pass.
    pub fn handle_handshakes(&mut self) {
        while self.handshakes.steps_left > 0 {
            let Some(token) = self.handshakes.waiting.pop_front() else { return };
            self.handshakes.steps_left -= 1;
            self.unwrap_bytes(token, &[]);
            // One that waits for an answer goes on waiting.
            self.resume_unless_paused(token);
        }
    }

    /// Bytes of a connection with layers below MQTT.
    pub(in crate::shard) fn handle_wrapped(&mut self, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Some(pipeline) = &mut connection.pipeline else { return };
        if matches!(connection.stage, Stage::Closing | Stage::Lingering) {
            return;
        }
        if pipeline.phase() == Phase::Tls && !self.handshakes.try_step() {
            // Nothing more is received until it has its turn: it must be able to move to its home then.
            pipeline.defer(bytes);
            self.outlets.push(Command::Pause(token));
            self.handshakes.waiting.push_back(token);
            return;
        }
        self.unwrap_bytes(token, bytes);
    }

    fn unwrap_bytes(&mut self, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Some(pipeline) = &mut connection.pipeline else { return };
        if let Some(throttle) = pipeline.throttle() {
            throttle.note_bytes(bytes.len(), self.now);
        }
        let mut plain = std::mem::take(&mut self.handshakes.plain);
        let before = pipeline.phase();
        let result = pipeline.receive(bytes, &mut plain);
        let (after, is_closed, has_outgoing) =
            (pipeline.phase(), pipeline.is_closed(), pipeline.has_outgoing());
        if before == Phase::Proxy
            && let Some(source) = pipeline.told().and_then(|told| told.source)
        {
            connection.peer = source.into();
        }
        if let Some(source) = pipeline.take_forwarded_source(connection.peer.into()) {
            connection.peer = source.into();
        }
        if after != before && result.is_ok() {
            self.enter_phase(token, after);
        }
        if has_outgoing {
            self.mark_dirty(token);
        }
        if !plain.is_empty() {
            self.tally.add(Metric::BytesReceived, plain.len() as u64);
            self.handle_bytes(token, &plain);
        }
        plain.clear();
        plain.shrink_to(PLAIN_BYTES_KEPT);
        self.handshakes.plain = plain;
        if let Err(error) = result {
            if let Some(connection) = self.connections.get(token as usize) {
                tracing::debug!(peer = %connection.peer, %error, "connection ended below MQTT");
            }
            self.end_below(token, CloseCause::Lost);
        } else if is_closed {
            self.end_below(token, CloseCause::Lost);
        }
    }

    /// The time for what came before is no longer running, but that for the next phase.
    pub(in crate::shard) fn enter_phase(&mut self, token: Token, phase: Phase) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let layers = &self.layers[usize::from(connection.listener)];
        let zone = self.limits[usize::from(connection.listener)].zone;
        let patience = layers.patience(phase, self.config.zones.of(zone).idle_timeout);
        if let Some(timer) = connection.timer.take() {
            self.wheel.cancel(timer);
        }
        let at = self.now.after_ms(patience.as_ms());
        connection.timer = Some(self.wheel.schedule(at, TimerKey::Connection(token)));
    }

    /// Wraps what is to be written, after what the layers themselves have to say.
    pub(in crate::shard) fn wrap(&mut self, token: Token, bytes: Vec<u8>) -> Vec<u8> {
        let Some(connection) = self.connections.get_mut(token as usize) else { return bytes };
        let Some(pipeline) = &mut connection.pipeline else { return bytes };
        let wrapped = pipeline.seal(bytes);
        connection.outbox.sends(wrapped.len());
        wrapped
    }

    /// Whether a connection's layers have something to say; its farewell, once it is closing and all else was written.
    pub(in crate::shard) fn has_layers_to_write(&mut self, token: Token) -> bool {
        let Some(connection) = self.connections.get_mut(token as usize) else { return false };
        let Some(pipeline) = &mut connection.pipeline else { return false };
        if connection.stage == Stage::Closing && connection.outbox.is_empty() {
            pipeline.say_farewell();
        }
        pipeline.has_outgoing()
    }
}
