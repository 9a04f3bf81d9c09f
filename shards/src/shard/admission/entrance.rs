//! Clients that come or send faster than they may: they wait, and lose nothing.

use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Stage;
use crate::shard::timers::TimerKey;
use crate::transport::Phase;
use ringmq_core::metrics::Metric;

/// How long a connection may wait for its turn; one that would wait longer is closed at once.
pub const ENTRANCE_WAIT_MS_MAX: u64 = 10_000;

impl Shard {
    /// A connection that came too fast is not read from until its turn.
    pub(super) fn keep_outside(&mut self, token: Token, wait_ms: u64) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let at = self.now.after_ms(wait_ms);
        connection.timer = Some(self.wheel.schedule(at, TimerKey::Entrance(token)));
        self.tally.bump(Metric::ConnectionsDelayed);
        self.pause(token);
    }

    /// Its turn has come.
    pub(in crate::shard) fn handle_entrance(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        connection.timer = None;
        if connection.stage != Stage::AwaitConnect {
            return;
        }
        let phase = connection.pipeline.as_ref().map_or(Phase::Open, |pipeline| pipeline.phase());
        self.resume(token);
        self.enter_phase(token, phase);
    }

    /// Whether a client has sent more than it may: then its packet waits, and it is not read from. Its messages are counted
    /// here.
    pub(in crate::shard) fn is_throttled(&mut self, token: Token, is_publish: bool) -> bool {
        let Some(connection) = self.connections.get_mut(token as usize) else { return false };
        let pipeline = connection.pipeline.as_mut();
        let Some(throttle) = pipeline.and_then(|pipeline| pipeline.throttle()) else { return false };
        let wait_ms = throttle.wait_ms(self.now);
        if wait_ms == 0 {
            if is_publish {
                throttle.note_message(self.now);
            }
            return false;
        }
        if !connection.paused {
            self.wheel.schedule(self.now.after_ms(wait_ms), TimerKey::Throttle(token));
            self.tally.bump(Metric::PublisherThrottles);
            self.pause(token);
        }
        true
    }

    /// A client that sent too much may go on. The number may be another connection's by now, which is looked at again then.
    pub(in crate::shard) fn handle_throttle_over(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let is_throttle = connection.pipeline.as_mut().is_some_and(|pipeline| pipeline.throttle().is_some());
        if !is_throttle || !connection.paused || !matches!(connection.stage, Stage::Attached(_)) {
            return;
        }
        self.resume(token);
        self.handle_bytes(token, &[]);
    }
}
