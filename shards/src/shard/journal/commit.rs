//! The commits of a shard: what was recorded in a pass is sealed, and what waited for it goes on when it is stored.

use super::receipts::{Goal, Outcome, PendingAck, Receipt};
use crate::durability::DurabilityLevel;
use crate::log_port::LogPort;
use crate::reactor::Token;
use crate::shard::lanes::LaneMessage;
use crate::shard::publish::Subscriber;
use crate::shard::sessions::SessionKey;
use crate::shard::{Shard, cx};
use ringmq_core::codec::{AckKind, ProtocolVersion, Publish, QoS};
use ringmq_core::config::RejectV3;
use ringmq_core::metrics::Metric;
use ringmq_core::publication::PublicationRef;
use ringmq_core::reason::ReasonCode;
use ringmq_core::routing::ShardId;
use ringmq_core::session::{CloseCause, Memory, Routed};
use std::time::Duration;

/// How long an operation of the log may take at the end.
const CLOSING_STEP_MAX: Duration = Duration::from_secs(10);
/// Bytes that a record takes beside a message's body, with room to spare.
const RECORD_BYTES_MAX: usize = 160;
/// Records of a publication that are not its subscribers': its body, its identifier, what is forwarded.
const RECORDS_BESIDE: usize = 4;
/// The user property by which a publisher asks for a lower level.
const LEVEL_PROPERTY: &str = "ringmq-durability";

/// What the journal had done when a message began to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    puts: u64,
    refusals: u64,
}

impl Shard {
    /// Takes the answers of the log's thread, and lets go on what waited for them.
    pub fn handle_log(&mut self) {
        let Some(port) = &self.log_port else { return };
        while let Some((ticket, answer)) = port.poll_answer() {
            self.journal.handle_answer(ticket, answer);
            self.log_figures.touch();
        }
        self.follow_log();
    }

    /// Lets go on what waited for the log to get as far as it is.
    fn follow_log(&mut self) {
        if let Some(error) = self.journal.take_failure() {
            self.handle_log_failure(&error);
        }
        self.take_read_backs();
        if !self.journal.has_moved() {
            return;
        }
        let written = self.journal.reached(DurabilityLevel::Wal);
        let synced = self.journal.reached(DurabilityLevel::Fsync);
        self.note_commits([written, synced]);
        while let Some((goal, outcome)) = self.receipts.poll_reached(written, synced) {
            self.reach(goal, outcome);
        }
        let stored = self.journal.stored();
        while let Some(token) = self.outlets.poll_released(stored) {
            self.mark_dirty(token);
        }
    }

    /// The log takes nothing more: whoever waits is refused, and who cannot be told so is disconnected.
    fn handle_log_failure(&mut self, error: &ringmq_persistence::StorageError) {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            shard = self.id.0, %error, cause,
            "the log of a shard has failed: durable publications are refused; mend its file system and restart"
        );
        self.log_figures.forget_commits();
        while let Some((goal, outcome)) = self.receipts.poll_missed() {
            self.reach(goal, outcome);
        }
        while let Some(token) = self.outlets.poll_released(u64::MAX) {
            self.close_now(token, CloseCause::Server(ReasonCode::QuotaExceeded));
        }
    }

    /// Seals what this pass recorded, and hands the log's operations to its thread.
    pub fn commit(&mut self) {
        if self.log_port.is_none() {
            return self.post_answers();
        }
        if self.journal.is_unsealed {
            self.log_figures.touch();
        }
        let awaited = self.receipts.awaits_sync();
        let position = self.journal.seal(awaited == Some(true)).as_u64();
        if awaited.is_some() {
            if self.journal.has_failed() {
                while let Some((goal, outcome)) = self.receipts.poll_missed() {
                    self.reach(goal, outcome);
                }
            } else {
                self.log_figures.note_sealed(position, self.receipts.fresh_counts(), self.now);
                self.receipts.seal(position);
            }
        }
        // Everything that clients are told waits for this.
        if awaited == Some(false) || self.journal.level == DurabilityLevel::Wal {
            self.write_awaited();
        }
        self.post_answers();
    }

    /// Writes what this pass recorded, where the shard does that itself: who waits for no more is answered in the same pass.
    fn write_awaited(&mut self) {
        if self.log_port.as_ref().is_some_and(LogPort::has_pen) && self.hand_out_operations(true) {
            self.log_figures.touch();
            self.follow_log();
        }
    }

    /// Hands what the log wants done to its thread.
    pub fn post_log_operations(&mut self) {
        if self.log_port.is_some() {
            self.journal.begin_reads();
            self.hand_out_operations(false);
        }
    }

    /// Hands the log's operations to its thread, but for those that the shard may and can do itself. Whether there were such.
    fn hand_out_operations(&mut self, may_write: bool) -> bool {
        let Some(port) = &mut self.log_port else { return false };
        let (mut is_posted, mut is_performed) = (false, false);
        while let Some((ticket, operation)) = self.journal.poll_operation() {
            let performed = if may_write { port.try_perform(operation) } else { Err(operation) };
            match performed {
                Ok(answer) => {
                    self.journal.handle_answer(ticket, answer);
                    is_performed = true;
                }
                Err(operation) => {
                    port.post(ticket, operation);
                    is_posted = true;
                }
            }
        }
        if is_posted {
            port.ring();
        }
        is_performed
    }

    /// Has everything written and synced before the shard is gone.
    pub fn close_log(&mut self) {
        self.journal.close();
        self.post_log_operations();
        while !self.journal.is_idle() {
            let Some(port) = &self.log_port else { return };
            let Some((ticket, answer)) = port.wait_answer(CLOSING_STEP_MAX) else {
                tracing::error!(
                    shard = self.id.0,
                    "the log of a shard does not come to an end: what nobody waits for may be lost"
                );
                return;
            };
            self.journal.handle_answer(ticket, answer);
            self.post_log_operations();
        }
    }

    /// Tells other shards what is stored here, one message for each that waits.
    fn post_answers(&mut self) {
        if !self.receipts.has_answers() {
            return;
        }
        let answers = self.receipts.take_answers();
        for answers in answers.chunk_by(|a, b| (a.0, a.2) == (b.0, b.2)) {
            let (shard, _, outcome) = answers[0];
            let tokens = answers.iter().map(|(_, token, _)| *token).collect();
            self.mesh.stage(shard, LaneMessage::Stored { tokens, outcome });
        }
    }

    /// Another shard has stored what it was sent, or cannot.
    pub fn handle_stored(&mut self, tokens: &[u32], outcome: Outcome) {
        for token in tokens {
            if let Some((goal, outcome)) = self.receipts.settle(*token, outcome) {
                self.reach(goal, outcome);
            }
        }
    }

    fn reach(&mut self, goal: Goal, outcome: Outcome) {
        match goal {
            Goal::Acknowledge(turn) => {
                if let Some(key) = self.receipts.ready(turn, outcome) {
                    self.send_acks(key);
                }
            }
            Goal::Answer(receipt) => self.receipts.answer(receipt, outcome),
            Goal::Forward(turn, forwarding) => {
                self.send_forwarding(forwarding, outcome);
                self.reach(Goal::Acknowledge(turn), outcome);
            }
            Goal::Forget(stored) if outcome == Outcome::Stored => self.journal.forget(stored),
            Goal::Answered(stored, bytes) => self.end_forwarding(stored, bytes, outcome),
            Goal::Forget(_) | Goal::None => {}
        }
    }

    /// Sends a publisher the acknowledgements whose turn has come.
    pub fn send_acks(&mut self, key: SessionKey) {
        while let Some((ack, outcome)) = self.receipts.poll_ack(key) {
            let Some(slot) = self.sessions.get(key) else { return };
            let token = slot.connection.filter(|_| slot.attachment == ack.attachment);
            match token {
                Some(token) => self.acknowledge(token, key, ack, outcome),
                None if outcome > Outcome::Stored || ack.routed.is_stopped() => {
                    self.abandon_exchange(None, key, ack);
                }
                None => {}
            }
        }
    }

    /// Answers a PUBLISH when the client's earlier ones are answered. [MQTT-4.6.0-2, MQTT-4.6.0-3]
    pub fn acknowledge_in_turn(&mut self, token: Token, key: SessionKey, ack: PendingAck, outcome: Outcome) {
        if self.receipts.has_acks(key) {
            let turn = self.receipts.push_ack(key, ack);
            self.receipts.ready(turn, outcome);
        } else {
            self.acknowledge(token, key, ack, outcome);
        }
    }

    /// Answers a PUBLISH. A refused one is answered 0x97, which only v5 can say: others are disconnected and send it again,
    /// or are told that all is well where the operator prefers that.
    fn acknowledge(&mut self, token: Token, key: SessionKey, ack: PendingAck, outcome: Outcome) {
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        // Nothing was refused.
        if outcome == Outcome::Stored && matches!(ack.routed, Routed::Matched | Routed::NoSubscribers) {
            let told = Some((ack.kind, ack.packet_id));
            let cx = &mut cx!(self, slot.session.zone());
            slot.session.handle_routed(told, ack.routed, cx, &mut connection.outbox);
            return self.mark_dirty(token);
        }
        let is_v5 = connection.version == ProtocolVersion::V5;
        let settings = self.config.zones.of(slot.session.zone());
        let is_over = matches!(ack.routed, Routed::OverQuota | Routed::TooLarge);
        let may_hide = !is_v5 && settings.mqueue_reject_v3 == RejectV3::Drop;
        let is_hidden = may_hide && (is_over || outcome == Outcome::QueueFull);
        for metric in metrics_of_refusal(ack.routed, outcome, is_hidden) {
            self.tally.bump(*metric);
        }
        let is_refused = (is_over || outcome > Outcome::Stored) && !is_hidden;
        let routed = match ack.routed {
            _ if is_refused => Routed::Refused,
            Routed::Refused | Routed::OverQuota | Routed::TooLarge => Routed::Matched,
            routed => routed,
        };
        slot.session.handle_routed(
            Some((ack.kind, ack.packet_id)),
            routed,
            &mut cx!(self, slot.session.zone()),
            &mut connection.outbox,
        );
        self.mark_dirty(token);
        if outcome == Outcome::Refused {
            self.tally.bump(Metric::PersistencePublicationsRefused);
        }
        if is_refused || routed == Routed::Denied && is_v5 {
            self.abandon_exchange(Some(token), key, ack);
        }
        if is_refused && !is_v5 {
            self.disconnect(token, ReasonCode::QuotaExceeded, CloseCause::Server(ReasonCode::QuotaExceeded));
        }
    }

    /// A QoS 2 message was refused: its identifier is free again. Its publisher, if it is there, is told when that is stored.
    fn abandon_exchange(&mut self, publisher: Option<Token>, key: SessionKey, ack: PendingAck) {
        let Some(slot) = self.sessions.get_mut(key).filter(|_| ack.kind == AckKind::Pubrec) else { return };
        let was_remembered = slot.session.abandon_begun(ack.packet_id, &mut cx!(self, slot.session.zone()));
        let connection = publisher.and_then(|token| self.connections.get_mut(token as usize));
        if let Some(connection) = connection.filter(|_| was_remembered) {
            connection.outbox.hold();
        }
    }

    /// What the journal has done up to now.
    pub fn before_routing(&self) -> Before {
        let (puts, refusals) = self.journal.counts();
        Before { puts, refusals }
    }

    /// The level of a publication that is acknowledged, if anything beyond routing is to be waited for.
    pub fn awaited_level(&self, publish: &Publish<'_>, view: &PublicationRef<'_>) -> Option<DurabilityLevel> {
        if publish.qos == QoS::AtMostOnce || !self.journal.is_enabled() {
            return None;
        }
        let asked = if view.properties.is_empty() { None } else { view.user_property(LEVEL_PROPERTY) };
        let level = self.config.durability.level_of(view.topic, asked.and_then(DurabilityLevel::parse));
        (level > DurabilityLevel::Memory).then_some(level)
    }

    /// Notes what was recorded, or could not be, since `before`.
    pub fn note_recorded(&mut self, before: Before) {
        let after = self.before_routing();
        if after.refusals != before.refusals && self.receipts.awaits_storage() {
            self.receipts.note_refused(Outcome::Refused);
        }
        if after.puts != before.puts {
            self.receipts.note_recorded();
        }
    }

    /// A receipt to send along with a message, if that shard may have to remember it, or may refuse it.
    pub fn ask_receipt(&mut self, shard: ShardId, is_owner: bool) -> Option<Receipt> {
        let may_remember = is_owner || self.durable_shards.contains(shard);
        let is_awaited = may_remember && self.receipts.awaits_storage();
        let may_lack_room = self.rejecting_shards.contains(shard) || !self.credit.is_ample();
        let may_refuse = self.receipts.is_refusable() && may_lack_room;
        if is_awaited || may_refuse { self.receipts.ask(self.id) } else { None }
    }

    /// Whether a message must be refused because one of these subscribers is to remember it and cannot, or has no room for
    /// it and loses none.
    pub fn refusal(&mut self, message: &PublicationRef<'_>, subscribers: &[Subscriber]) -> Option<Outcome> {
        if self.receipts.awaits_storage() && self.journal.may_refuse() {
            let remembering = subscribers.iter().filter(|subscriber| self.is_remembered(subscriber.session));
            let records = remembering.count();
            if records > 0 && self.journal.lacks_room(needed_bytes(message, records)) {
                return Some(Outcome::Refused);
            }
        }
        if !self.receipts.is_refusable() {
            return None;
        }
        let mut is_full = |subscriber: &Subscriber| {
            let is_echo = subscriber.options.no_local && message.origin == self.origin(subscriber.session);
            !is_echo && self.has_no_room(message, subscriber)
        };
        subscribers.iter().any(&mut is_full).then_some(Outcome::QueueFull)
    }

    /// Whether a subscriber would lose a message that it rather has refused. Nobody is refused for the sake of messages that
    /// have expired.
    pub fn has_no_room(&mut self, message: &PublicationRef<'_>, subscriber: &Subscriber) -> bool {
        let qos = self.delivery_qos(message.qos, subscriber.options.qos, subscriber.session);
        let Some(slot) = self.sessions.get_mut(subscriber.session) else { return false };
        let settings = self.config.zones.of(slot.session.zone());
        let connection = slot.connection.and_then(|token| self.connections.get(token as usize));
        let out = connection.map(|connection| &connection.outbox);
        if !slot.session.must_refuse(message, qos, settings, out) {
            return false;
        }
        if !slot.session.has_expired(self.now) {
            return true;
        }
        slot.session.remove_expired(&mut cx!(self, slot.session.zone()));
        slot.session.must_refuse(message, qos, settings, out)
    }
}

/// What a message takes of the log at most, if so many sessions remember it.
pub(super) fn needed_bytes(message: &PublicationRef<'_>, records: usize) -> usize {
    let copies = 1 + usize::from(message.retain);
    copies * message.weight_bytes() + (records + RECORDS_BESIDE) * RECORD_BYTES_MAX
}

/// What counts a publication for which there is no room, or which goes beyond a bound. A hidden one is lost.
fn metrics_of_refusal(routed: Routed, outcome: Outcome, is_hidden: bool) -> &'static [Metric] {
    match (routed, outcome == Outcome::QueueFull, is_hidden) {
        (Routed::OverQuota, _, true) => &[Metric::MessagesDropped, Metric::MessagesDroppedQuotaExceeded],
        (Routed::OverQuota, _, false) => &[Metric::MessagesRefusedQuotaExceeded],
        (Routed::TooLarge, _, true) => &[Metric::MessagesDropped, Metric::MessagesDroppedTooLarge],
        (Routed::TooLarge, _, false) => &[Metric::MessagesRefusedTooLarge],
        (_, true, true) => &[Metric::DeliveryDropped, Metric::DeliveryDroppedQueueFull],
        (_, true, false) => &[Metric::MessagesRefusedQueueFull],
        (_, false, _) => &[],
    }
}
