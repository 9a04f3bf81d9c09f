//! Clients that wait to be let in, and what becomes of them.

use super::guest::Pass;
use crate::access::{Answer, Entry, Grant, Judgement, Questions, Verdict};
use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Stage;
use crate::shard::timers::TimerKey;
use crate::transport::tls::PeerCertificate;
use bytes::Bytes;
use ringmq_core::authentication::{AuthExchange, Method, Methods, Outcome};
use ringmq_core::authorization::{Policy, SourceIndex, Subject};
use ringmq_core::codec::{Auth, Connect};
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::{CloseCause, Violation};
use ringmq_core::topic::Mountpoint;
use std::fmt;
use std::sync::Arc;

/// The clients that wait: for an answer, or for their next AUTH.
#[derive(Default)]
pub struct Parking {
    /// No more than there are connections.
    waiting: SeededMap<Token, Parked>,
    /// Whether they may enter.
    verdicts: Questions<Verdict>,
    /// Whether they may have their wills published.
    pub(super) wills: Questions<Judgement>,
}

/// A client that waits.
pub struct Parked {
    /// The question that is asked; 0 while the client is to send AUTH.
    pub question: u64,
    pub connect: Box<Connect>,
    pub assigned: bool,
    pub subject: Subject,
    pub exchange: Option<Box<AuthExchange>>,
    /// Set once it may enter, while this external source is asked about its will.
    pub admitted: Option<(SourceIndex, Admitted)>,
}

/// What a client may do whose will is still to be judged.
pub struct Admitted {
    pub grant: Grant,
    pub policy: Arc<Policy>,
    pub mountpoint: Option<Box<Mountpoint>>,
}

impl fmt::Debug for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parking").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Parking {
    /// Whether answers have come.
    pub fn has_answers(&self) -> bool {
        self.verdicts.has_answers() || self.wills.has_answers()
    }

    /// A connection is gone; so is what it waited for.
    pub fn forget(&mut self, token: Token) {
        if !self.waiting.is_empty() {
            self.waiting.remove(&token);
        }
    }
}

/// The methods that an [`crate::access::Access`] offers to one client.
struct Offered<'a>(&'a Shard, &'a Subject);

impl Methods for Offered<'_> {
    fn begin(&self, name: &str) -> Option<Box<dyn Method>> {
        self.0.access.begin_method(name, self.1)
    }
}

impl Shard {
    /// A CONNECT that nothing is wrong with asks to be let in. Returns false if the connection left this shard.
    pub(super) fn ask_entry(
        &mut self,
        token: Token,
        mut connect: Box<Connect>,
        assigned: bool,
        certificate: PeerCertificate,
        rest: &[u8],
    ) -> bool {
        let Some(connection) = self.connections.get(token as usize) else { return false };
        let user_name = connect.user_name.as_deref();
        let subject = self.subject_of(connection, certificate, &connect.client_id, user_name);
        self.tally.bump(Metric::ClientAuthenticate);
        match AuthExchange::begin(&connect, &Offered(self, &subject)) {
            Err(reason) => {
                self.refuse(token, connect.version, reason, None);
                true
            }
            Ok(Some((exchange, outcome))) => {
                let exchange = Some(Box::new(exchange));
                let parked = Parked { question: 0, connect, assigned, subject, exchange, admitted: None };
                self.go_on(token, parked, outcome, rest)
            }
            Ok(None) => {
                let password = connect.password.take();
                let parked =
                    Parked { question: 0, connect, assigned, subject, exchange: None, admitted: None };
                self.ask_verdict(token, parked, password, rest)
            }
        }
    }

    /// Asks whether a client may enter; one with an exchange has proved who it is.
    fn ask_verdict(
        &mut self,
        token: Token,
        mut parked: Parked,
        password: Option<Bytes>,
        rest: &[u8],
    ) -> bool {
        let entry = Entry { subject: parked.subject.clone(), password, version: parked.connect.version };
        let (question, reply) = self.parking.verdicts.ask(token, self.mesh.bell());
        let verdict = match parked.exchange {
            Some(_) => self.access.admit_known(entry, reply),
            None => self.access.admit(entry, reply),
        };
        parked.question = question;
        match verdict {
            Some(verdict) => self.handle_verdict(token, parked, verdict, rest),
            None => self.keep_waiting(token, parked),
        }
    }

    /// A client waits: for the answer to its question, or for its own next packet.
    pub(super) fn keep_waiting(&mut self, token: Token, parked: Parked) -> bool {
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.stage = Stage::Parked;
            connection.version = parked.connect.version;
            if parked.question != 0 {
                // Nothing is received meanwhile, so that it can still move to its home.
                self.pause(token);
            }
            self.parking.waiting.insert(token, parked);
        }
        true
    }

    /// Answers to those who asked to be let in.
    pub fn handle_answers(&mut self) {
        while let Some(answer) = self.parking.verdicts.poll() {
            if let Some((token, parked, rest)) = self.unpark_client(&answer, false) {
                let is_here = self.handle_verdict(token, parked, answer.content, &rest);
                self.go_on_reading(token, is_here, &rest);
            }
        }
        while let Some(answer) = self.parking.wills.poll() {
            if let Some((token, parked, rest)) = self.unpark_client(&answer, true) {
                let is_here = self.handle_will_judgement(token, parked, answer.content, &rest);
                self.go_on_reading(token, is_here, &rest);
            }
        }
    }

    /// Whoever waits for this answer, about its will or about itself, and the bytes it has sent meanwhile.
    fn unpark_client<A>(&mut self, answer: &Answer<A>, is_will: bool) -> Option<(Token, Parked, Vec<u8>)> {
        let token = answer.about();
        // A token may belong to another connection by now, whose question is another one.
        let parked = self.parking.waiting.get(&token)?;
        if parked.question != answer.question || parked.admitted.is_some() != is_will {
            return None;
        }
        let parked = self.parking.waiting.remove(&token)?;
        let connection = self.connections.get_mut(token as usize)?;
        connection.paused = false;
        Some((token, parked, connection.inbox.take()))
    }

    /// A connection that is still here is received from again, unless it waits again.
    fn go_on_reading(&mut self, token: Token, is_here: bool, rest: &[u8]) {
        if is_here {
            self.resume_unless_paused(token);
            self.handle_bytes(token, rest);
        }
    }

    /// AUTH of a client that has no CONNACK yet.
    pub(in crate::shard) fn handle_parked_auth(&mut self, token: Token, auth: &Auth, rest: &[u8]) -> bool {
        self.tally.bump(Metric::PacketsAuthReceived);
        let Some(mut parked) = self.parking.waiting.remove(&token) else { return true };
        let Some(mut exchange) = parked.exchange.take() else {
            self.close_without_packet(token, CloseCause::Server(ReasonCode::ProtocolError));
            return true;
        };
        match exchange.handle_auth(auth, &Offered(self, &parked.subject)) {
            Ok(outcome) => {
                parked.exchange = Some(exchange);
                self.go_on(token, parked, outcome, rest)
            }
            Err(violation) => {
                self.refuse(token, parked.connect.version, violation.reason, None);
                true
            }
        }
    }

    /// The next step of an exchange before CONNACK.
    fn go_on(&mut self, token: Token, mut parked: Parked, outcome: Outcome, rest: &[u8]) -> bool {
        match outcome {
            Outcome::Send(auth) => {
                self.send_auth(token, &auth);
                self.keep_waiting(token, parked)
            }
            Outcome::Refuse(reason) => {
                self.refuse(token, parked.connect.version, reason, None);
                true
            }
            Outcome::Connect { method, data, user_name } => {
                // Who it has proved to be counts, whatever CONNECT says.
                if user_name.is_some() {
                    parked.subject.user_name = user_name;
                }
                // CONNACK names the method, and carries the last data. [MQTT-4.12.0-5]
                parked.connect.properties.authentication_method = Some(method);
                parked.connect.properties.authentication_data = data;
                self.ask_verdict(token, parked, None, rest)
            }
        }
    }

    fn send_auth(&mut self, token: Token, auth: &Auth) {
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.outbox.push_auth(auth, &mut self.tally);
            self.mark_dirty(token);
        }
    }

    /// A connection is gone, and does not wait for anything.
    pub(in crate::shard) fn forget_waiting(&mut self, token: Token) {
        self.parking.forget(token);
        self.crowd.forget(token);
    }

    /// AUTH of a client that is connected: it proves again who it is. [MQTT-4.12.1-1]
    pub(in crate::shard) fn handle_auth(&mut self, token: Token, auth: &Auth) -> Result<(), Violation> {
        self.tally.bump(Metric::PacketsAuthReceived);
        let none = Violation::protocol("AUTH without an authentication method in CONNECT");
        let Some(connection) = self.connections.get_mut(token as usize) else { return Ok(()) };
        let Some(mut guest) = connection.guest.take() else { return Err(none) };
        let Some(mut exchange) = guest.exchange.take() else { return Err(none) };
        let outcome = exchange.handle_auth(auth, &Offered(self, &guest.subject));
        guest.exchange = Some(exchange);
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.guest = Some(guest);
        }
        match outcome? {
            Outcome::Send(auth) => self.send_auth(token, &auth),
            Outcome::Refuse(reason) => return Err(Violation::new(reason, "re-authentication failed")),
            // Only an exchange before CONNACK ends so.
            Outcome::Connect { .. } => {}
        }
        Ok(())
    }

    /// A client is let in; what it was granted may have an end. Returns what it may do, by the rules in force now.
    pub(super) fn welcome(&mut self, token: Token, client_id: &str, pass: Pass) -> Arc<Policy> {
        let Pass { mut guest, policy, rules, .. } = pass;
        let ends_s = guest.as_ref().and_then(|guest| guest.grant.expires_at_s);
        if let (Some(guest), Some(ends_s)) = (&mut guest, ends_s) {
            let at = self.journal.moment_of(ends_s.saturating_mul(1000)).max(self.now);
            guest.expiry_timer = Some(self.wheel.schedule(at, TimerKey::GrantExpiry(token)));
        }
        let Some(connection) = self.connections.get_mut(token as usize) else { return policy };
        connection.guest = guest;
        if rules == self.revision.number() {
            return policy;
        }
        self.connections
            .get(token as usize)
            .map_or(policy, |connection| self.policy_at(connection, client_id))
    }

    /// What a client was granted has ended.
    pub(in crate::shard) fn handle_grant_expiry(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token as usize) else { return };
        let Some(guest) = &mut connection.guest else { return };
        guest.expiry_timer = None;
        tracing::debug!(peer = %connection.peer, "what the client was granted has ended");
        let reason = ReasonCode::NotAuthorized;
        self.disconnect(token, reason, CloseCause::Server(reason));
    }
}
