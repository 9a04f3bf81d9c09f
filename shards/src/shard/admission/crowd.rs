//! Clients that come in a rush: as many as a pass has time for are let in, fewer while the shard is late, and the rest wait
//! unread. Those with a session to come back to go first.

use crate::config::OverloadConfig;
use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Stage;
use ringmq_core::codec::Connect;
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::time::Timestamp;
use std::collections::VecDeque;

/// CONNECTs of one pass: some milliseconds at most.
const CONNECTS_PER_PASS: u32 = 64;
/// CONNECTs of one pass while the shard is late.
const CONNECTS_WHEN_LATE: u32 = 4;
/// What a client is told that has waited too long.
const HINT: &str = "the broker is overloaded; try again in some seconds";

/// Who waits to be asked who it is, and how late the shard is.
#[derive(Debug, Default)]
pub struct Crowd {
    /// With a session to come back to, in the order they came. Some may be gone.
    returning: VecDeque<(Token, Timestamp)>,
    /// The others.
    others: VecDeque<(Token, Timestamp)>,
    /// No more than there are connections.
    waiting: SeededMap<Token, (Timestamp, Box<Connect>)>,
    /// CONNECTs that this pass has time for.
    places: u32,
    /// How long passes took lately, in milliseconds: what an event may have waited.
    lag_ms: u64,
}

impl Crowd {
    /// A pass begins.
    pub fn begin_pass(&mut self, config: &OverloadConfig) {
        let is_late = config.enable && self.lag_ms > config.max_lag.as_ms();
        self.places = match (config.enable, is_late) {
            (false, _) => u32::MAX,
            (true, false) => CONNECTS_PER_PASS,
            (true, true) => CONNECTS_WHEN_LATE,
        };
    }

    /// A pass took this long. The greatest of the last passes counts, each less than the one after it.
    pub fn note_pass(&mut self, took_ms: u64) {
        self.lag_ms = took_ms.max(self.lag_ms * 7 / 8);
    }

    /// Whether somebody waits.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A connection is gone.
    pub fn forget(&mut self, token: Token) {
        if !self.waiting.is_empty() {
            self.waiting.remove(&token);
        }
    }

    fn try_enter(&mut self) -> bool {
        // Nobody overtakes those who wait.
        let may_enter = self.places > 0 && self.waiting.is_empty();
        self.places -= u32::from(may_enter && self.places < u32::MAX);
        may_enter
    }

    fn add(&mut self, token: Token, connect: Box<Connect>, now: Timestamp) {
        let is_returning = !connect.clean_start
            || connect.properties.session_expiry_interval_s.is_some_and(|expiry| expiry > 0);
        let queue = if is_returning { &mut self.returning } else { &mut self.others };
        queue.push_back((token, now));
        self.waiting.insert(token, (now, connect));
    }

    /// The next whose turn it is, or who has waited since before `deadline` and is not let in any more.
    fn poll(&mut self, deadline: Timestamp) -> Option<(Token, Box<Connect>, bool)> {
        loop {
            let has_expired = |queue: &VecDeque<(Token, Timestamp)>| {
                queue.front().is_some_and(|(_, since)| *since < deadline)
            };
            let others_end = has_expired(&self.others) && !has_expired(&self.returning);
            let is_for_others = others_end || self.returning.is_empty();
            let queue = if is_for_others { &mut self.others } else { &mut self.returning };
            let (token, since) = *queue.front()?;
            let is_late = since < deadline;
            if !is_late && self.places == 0 {
                return None;
            }
            queue.pop_front();
            // A number may have come to another connection, which stands in the queue by itself.
            if self.waiting.get(&token).is_none_or(|(came, _)| *came != since) {
                continue;
            }
            let (_, connect) = self.waiting.remove(&token)?;
            self.places -= u32::from(!is_late && self.places < u32::MAX);
            return Some((token, connect, is_late));
        }
    }
}

impl Shard {
    /// A complete CONNECT. `rest` is what followed it; returns false if the connection left this shard with it.
    pub(in crate::shard) fn handle_connect(
        &mut self,
        token: Token,
        connect: Box<Connect>,
        rest: &[u8],
    ) -> bool {
        self.tally.bump(Metric::PacketsConnectReceived);
        self.tally.bump(Metric::ClientConnect);
        if self.crowd.try_enter() {
            return self.admit(token, connect, rest);
        }
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.stage = Stage::Parked;
            self.pause(token);
            self.crowd.add(token, connect, self.now);
        }
        true
    }

    /// Those who wait are let in, as far as the pass has time for them.
    pub fn handle_crowd(&mut self) {
        if !self.crowd.is_waiting() {
            return;
        }
        let max_wait_ms = self.config.overload_protection.max_wait.as_ms();
        let deadline = Timestamp::from_ms(self.now.as_ms().saturating_sub(max_wait_ms));
        while let Some((token, connect, is_late)) = self.crowd.poll(deadline) {
            let Some(connection) = self.connections.get_mut(token as usize) else { continue };
            if is_late {
                self.tally.bump(Metric::OverloadDelayTimeout);
                self.refuse(token, connect.version, ReasonCode::ServerBusy, Some(HINT));
                continue;
            }
            self.tally.bump(Metric::OverloadDelayOk);
            connection.stage = Stage::AwaitConnect;
            connection.paused = false;
            let rest = connection.inbox.take();
            if self.admit(token, connect, &rest) {
                self.resume_unless_paused(token);
                self.handle_bytes(token, &rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmq_core::codec::{ConnectProperties, ProtocolVersion};

    fn connect(clean_start: bool) -> Box<Connect> {
        Box::new(Connect {
            version: ProtocolVersion::V311,
            bridge: false,
            clean_start,
            keep_alive_s: 0,
            client_id: "c".into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        })
    }

    #[test]
    fn those_who_come_back_go_first_and_nobody_waits_for_ever() {
        let config = OverloadConfig::default();
        let mut crowd = Crowd::default();
        crowd.begin_pass(&config);
        let entered = (0..1000).filter(|_| crowd.try_enter()).count();
        assert_eq!(entered as u32, CONNECTS_PER_PASS);
        let at = Timestamp::from_ms(10_000);
        crowd.add(1, connect(true), at);
        crowd.add(2, connect(false), at);
        crowd.add(3, connect(true), at.after_ms(5));
        crowd.note_pass(config.max_lag.as_ms() + 1);
        crowd.begin_pass(&config);
        assert!(!crowd.try_enter(), "nobody overtakes");
        let mut order = Vec::new();
        while let Some((token, _, is_late)) = crowd.poll(Timestamp::ZERO) {
            order.push((token, is_late));
        }
        assert_eq!(order, [(2, false), (1, false), (3, false)]);
        crowd.add(4, connect(true), at);
        crowd.places = 0;
        assert!(crowd.poll(at).is_none(), "it may wait on");
        assert_eq!(crowd.poll(at.after_ms(1)).map(|(token, _, is_late)| (token, is_late)), Some((4, true)));
        assert!(!crowd.is_waiting());
    }

    #[test]
    fn lateness_is_forgotten_by_and_by() {
        let mut crowd = Crowd::default();
        crowd.note_pass(100);
        for _ in 0..40 {
            crowd.note_pass(0);
        }
        assert!(crowd.lag_ms < 5);
    }
}
