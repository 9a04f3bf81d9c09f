//! What clients may do: asked of their policies, and made anew when the rules change.

use crate::access::{Access, Grant};
use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Connection;
use crate::shard::sessions::{SessionKey, Slot};
use crate::transport::tls::PeerCertificate;
use ringmq_core::authorization::{Action, Decision, DenyAction, Permission, Policy, Subject};
use ringmq_core::codec::{QoS, Subscribe};
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::Violation;
use ringmq_core::topic::TopicFilter;
use smallvec::SmallVec;
use std::sync::Arc;

/// Clients whose policies are made anew in one pass after the rules have changed.
const REVISIONS_PER_PASS: usize = 256;

/// What a session may do. None where that is everything.
#[derive(Debug, Default)]
pub struct Rights {
    policy: Option<Arc<Policy>>,
    /// The policy does not allow every PUBLISH.
    is_ruled: bool,
    /// Some of its subscriptions are broader than what it may receive, or it has a mountpoint: every message is looked at.
    is_sifted: bool,
    /// What it publishes is measured.
    is_metered: bool,
}

impl Rights {
    /// Whether every message is looked at before it reaches the session.
    pub fn is_sifted(&self) -> bool {
        self.is_sifted
    }

    /// Whether its client may receive a message on this topic, as the client knows it.
    pub fn may_receive(&self, topic: &str) -> bool {
        self.policy.as_ref().is_none_or(|policy| policy.may_receive(topic))
    }

    /// What is left of the rules; none where everything is allowed.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_deref()
    }

    /// Whether rules or quotas may stop what its client publishes.
    pub fn binds_publisher(&self) -> bool {
        self.is_ruled || self.is_metered
    }

    /// A client subscribes to this filter, without share prefix.
    fn admit_filter(&mut self, filter: &str) {
        if let Some(policy) = &self.policy {
            self.is_sifted = self.is_sifted || !policy.delivers_freely() && !policy.filter_is_safe(filter);
        }
    }
}

impl Slot {
    /// Whether what the client publishes is measured from now on.
    pub fn set_metered(&mut self, is_metered: bool) {
        self.rights.is_metered = is_metered;
    }

    /// The session's client has these rights from now on.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        let is_free = policy.publishes_freely() && policy.subscribes_freely() && policy.delivers_freely();
        let is_unsafe = |text: &str| !policy.filter_is_safe(self.session.own_filter(text));
        let is_sifted = self.session.is_mounted()
            || !is_free && self.session.subscriptions().any(|(text, _)| is_unsafe(text));
        let (is_ruled, is_metered) = (!policy.publishes_freely(), self.rights.is_metered);
        self.rights = Rights { policy: (!is_free).then_some(policy), is_ruled, is_sifted, is_metered };
    }
}

/// A filter without the prefix of its share group.
pub fn plain_filter(text: &str) -> &str {
    TopicFilter::parse(text).map_or(text, |parsed| parsed.filter)
}

/// How far a change of the rules has come.
#[derive(Debug, Default)]
pub struct Revision {
    /// The next connection to look at; none when all were.
    next: Option<usize>,
    /// Counts the changes.
    number: u32,
}

impl Revision {
    /// Whether there are connections still to look at.
    pub fn is_running(&self) -> bool {
        self.next.is_some()
    }

    /// Which rules are in force: every change has a number.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Shard {
    /// Which filters of a SUBSCRIBE its client may not subscribe to, by their places.
    ///
    /// # Errors
    /// Where it is to be disconnected for that.
    pub(in crate::shard) fn denied_filters(
        &mut self,
        key: SessionKey,
        subscribe: &Subscribe,
    ) -> Result<SmallVec<[usize; 4]>, Violation> {
        let mut denied = SmallVec::new();
        if self.sessions.get(key).is_none_or(|slot| slot.rights.policy.is_none()) {
            return Ok(denied);
        }
        for (place, asked) in subscribe.filters.iter().enumerate() {
            if self.denies_subscribe(key, asked.options.qos, &asked.filter)? {
                denied.push(place);
            }
        }
        Ok(denied)
    }

    /// Whether a client may not subscribe to this filter. Counted; a filter that it may subscribe to is noted.
    ///
    /// # Errors
    /// Where it is to be disconnected for that.
    fn denies_subscribe(&mut self, key: SessionKey, qos: QoS, text: &str) -> Result<bool, Violation> {
        let filter = plain_filter(text);
        let is_denied =
            self.denies(key, Action::Subscribe { qos }, filter, Metric::PacketsSubscribeAuthError)?;
        if !is_denied && let Some(slot) = self.sessions.get_mut(key) {
            slot.rights.admit_filter(filter);
        }
        Ok(is_denied)
    }

    /// Whether a client may not do this. Counted, a denial under `error` too.
    ///
    /// # Errors
    /// Where it is to be disconnected for that.
    pub(in crate::shard) fn denies(
        &mut self,
        key: SessionKey,
        action: Action,
        topic: &str,
        error: Metric,
    ) -> Result<bool, Violation> {
        let Some(slot) = self.sessions.get(key) else { return Ok(false) };
        let Some(policy) = slot.rights.policy() else { return Ok(false) };
        let is_allowed = match policy.verdict(action, topic) {
            Decision::Allow => true,
            Decision::Deny => false,
            // The packet has waited for the answer.
            Decision::Ask(_) => self.inquiries.find(key, action, topic, self.now) == Some(Permission::Allow),
        };
        if is_allowed {
            self.count_allowed();
            return Ok(false);
        };
        self.tally.bump(Metric::ClientAuthorize);
        self.tally.bump(Metric::AuthorizationDeny);
        self.tally.bump(error);
        tracing::debug!(client_id = slot.session.client_id(), topic, ?action, "denied by the access rules");
        match policy.deny_action() {
            DenyAction::Ignore => Ok(true),
            DenyAction::Disconnect => {
                Err(Violation::new(ReasonCode::NotAuthorized, "the access rules deny this"))
            }
        }
    }

    /// The rules of a client allow what it does.
    pub(in crate::shard) fn count_allowed(&mut self) {
        self.tally.bump(Metric::ClientAuthorize);
        self.tally.bump(Metric::AuthorizationAllow);
    }

    /// The rules have changed: everybody's rights are made anew, some in each pass.
    pub(in crate::shard) fn change_access(&mut self, access: Arc<dyn Access>) {
        self.inquiries.change(access.asks_sources());
        self.access = access;
        self.revision = Revision { next: Some(0), number: self.revision.number.wrapping_add(1) };
    }

    /// Goes on with making rights anew.
    pub fn handle_revision(&mut self) {
        let Some(first) = self.revision.next else { return };
        let last = first + REVISIONS_PER_PASS;
        for token in first..last {
            let token = token as Token;
            if self.revise(token) {
                self.resume(token);
                self.handle_bytes(token, &[]);
            }
        }
        self.revision.next = (last < self.connections.end()).then_some(last);
    }

    /// Makes the rights of one client anew. True if a packet of it waited for a decision, which has to be made anew too.
    pub(in crate::shard) fn revise(&mut self, token: Token) -> bool {
        let Some(connection) = self.connections.get(token as usize) else { return false };
        let Some(key) = connection.session() else { return false };
        let Some(slot) = self.sessions.get(key) else { return false };
        let policy = self.policy_at(connection, slot.session.client_id());
        if let Some(slot) = self.sessions.get_mut(key) {
            slot.set_policy(policy);
        }
        self.inquiries.forget(key)
    }

    /// A client is about to part. Rules that have changed since it came count for its will too; a service that was asked about
    /// it then is not asked again.
    pub(in crate::shard) fn withhold_will(&mut self, token: Token, key: SessionKey) {
        if self.revision.is_running() {
            self.revise(token);
        }
        let Some(slot) = self.sessions.get_mut(key) else { return };
        let (Some(policy), Some(will)) = (slot.rights.policy(), slot.session.will()) else { return };
        let action = Action::Publish { qos: will.qos, retain: will.retain };
        let topic = will.topic.strip_prefix(slot.session.mountpoint()).unwrap_or(&will.topic);
        if policy.verdict(action, topic) == Decision::Deny {
            tracing::debug!(
                client_id = slot.session.client_id(),
                topic,
                "the will is denied by the access rules"
            );
            slot.session.take_will();
            self.tally.bump(Metric::AuthorizationDeny);
        }
    }

    /// What the rules in force leave for the client of a connection.
    pub(super) fn policy_at(&self, connection: &Connection, client_id: &str) -> Arc<Policy> {
        match &connection.guest {
            Some(guest) => self.access.policy(&guest.subject, &guest.grant),
            None => self.access.policy(&self.subject_at(connection, client_id), &Grant::default()),
        }
    }

    /// The client of a connection, as access rules see it.
    pub(super) fn subject_at(&self, connection: &Connection, client_id: &str) -> Subject {
        if let Some(guest) = &connection.guest {
            return guest.subject.clone();
        }
        self.subject_of(connection, PeerCertificate::default(), client_id, None)
    }
}
