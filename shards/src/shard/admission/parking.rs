//! Clients that wait to be let in, and what becomes of them.

use super::guest::{Guest, Pass, subject_of};
use crate::access::{Answer, Entry, Reply, Verdict};
use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::connection::Stage;
use crate::shard::timers::TimerKey;
use crate::transport::tls::PeerCertificate;
use crossbeam_channel::{Receiver, Sender, unbounded};
use ringmq_core::authentication::{AuthExchange, Method, Methods, Outcome};
use ringmq_core::authorization::{Action, Decision, Subject};
use ringmq_core::codec::{Auth, Connect};
use ringmq_core::hash::SeededMap;
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;
use ringmq_core::session::{CloseCause, Violation};
use std::fmt;

/// The clients that wait: for an answer, or for their next AUTH.
pub struct Parking {
    /// No more than there are connections.
    waiting: SeededMap<Token, Parked>,
    /// Counts the questions.
    asked: u32,
    /// No more answers are on their way than clients wait.
    answers: (Sender<Answer>, Receiver<Answer>),
}

struct Parked {
    /// The question that is asked; 0 while the client is to send AUTH.
    question: u64,
    connect: Box<Connect>,
    assigned: bool,
    subject: Subject,
    exchange: Option<Box<AuthExchange>>,
}

impl fmt::Debug for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parking").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Default for Parking {
    fn default() -> Parking {
        Parking { waiting: SeededMap::default(), asked: 0, answers: unbounded() }
    }
}

impl Parking {
    /// Whether answers have come.
    pub fn has_answers(&self) -> bool {
        !self.answers.1.is_empty()
    }

    /// A question has the connection that it is about in its lower half, and is never 0.
    fn next_question(&mut self, token: Token) -> u64 {
        self.asked = self.asked.checked_add(1).unwrap_or(1);
        u64::from(self.asked) << 32 | u64::from(token)
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
        let listener = &self.limits[usize::from(connection.listener)].id;
        let subject =
            subject_of(connection, certificate, listener, &connect.client_id, connect.user_name.as_deref());
        self.tally.bump(Metric::ClientAuthenticate);
        match AuthExchange::begin(&connect, &Offered(self, &subject)) {
            Err(reason) => {
                self.refuse(token, connect.version, reason, None);
                true
            }
            Ok(Some((exchange, outcome))) => {
                let exchange = Some(Box::new(exchange));
                let parked = Parked { question: 0, connect, assigned, subject, exchange };
                self.go_on(token, parked, outcome, rest)
            }
            Ok(None) => {
                let entry = Entry {
                    subject: subject.clone(),
                    password: connect.password.take(),
                    version: connect.version,
                };
                let question = self.parking.next_question(token);
                let reply = Reply::new(question, self.parking.answers.0.clone(), self.mesh.bell());
                let verdict = self.access.admit(entry, reply);
                let parked = Parked { question, connect, assigned, subject, exchange: None };
                match verdict {
                    Some(verdict) => self.handle_verdict(token, parked, verdict, rest),
                    None => self.keep_waiting(token, parked),
                }
            }
        }
    }

    fn keep_waiting(&mut self, token: Token, parked: Parked) -> bool {
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
        while let Ok(Answer { question, verdict }) = self.parking.answers.1.try_recv() {
            let token = question as u32;
            // A token may belong to another connection by now, whose question is another one.
            let is_asked = |parked: &Parked| parked.question == question;
            if !self.parking.waiting.get(&token).is_some_and(is_asked) {
                continue;
            }
            let Some(parked) = self.parking.waiting.remove(&token) else { continue };
            let Some(connection) = self.connections.get_mut(token as usize) else { continue };
            let rest = connection.inbox.take();
            if self.handle_verdict(token, parked, verdict, &rest) {
                self.resume(token);
                self.handle_bytes(token, &rest);
            }
        }
    }

    /// AUTH of a client that has no CONNACK yet.
    pub(in crate::shard) fn handle_parked_auth(&mut self, token: Token, auth: &Auth, rest: &[u8]) -> bool {
        self.tally.bump(Metric::PacketsAuthReceived);
        let Some(mut parked) = self.parking.waiting.remove(&token) else { return true };
        let Some(mut exchange) = parked.exchange.take() else {
            self.close_now(token, CloseCause::Server(ReasonCode::ProtocolError));
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
                let verdict = self.access.admit_known(&parked.subject);
                self.handle_verdict(token, parked, verdict, rest)
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

    /// Lets a client in, or not. Returns false if the connection left this shard.
    fn handle_verdict(&mut self, token: Token, parked: Parked, verdict: Verdict, rest: &[u8]) -> bool {
        let Parked { mut connect, assigned, mut subject, exchange, .. } = parked;
        let grant = match verdict {
            Verdict::Admit(grant) => grant,
            Verdict::Refuse(reason) => {
                self.tally.bump(Metric::AuthenticationFailure);
                self.tally.bump(Metric::PacketsConnackAuthError);
                self.refuse(token, connect.version, reason, None);
                return true;
            }
        };
        self.tally.bump(Metric::AuthenticationSuccess);
        subject.attributes.clone_from(&grant.attributes);
        let policy = self.access.policy(&subject, &grant);
        let will_is_denied = connect.will.as_deref().is_some_and(|will| {
            let action = Action::Publish { qos: will.qos, retain: will.retain };
            policy.verdict(action, &will.topic) == Decision::Deny
        });
        if will_is_denied {
            self.tally.bump(Metric::AuthorizationDeny);
            let explanation = Some("the will's topic is not allowed");
            self.refuse(token, connect.version, ReasonCode::NotAuthorized, explanation);
            return true;
        }
        let mountpoint = match self.mountpoint_of(token, &subject, &mut connect) {
            Ok(mountpoint) => mountpoint,
            Err((reason, explanation)) => {
                self.refuse(token, connect.version, reason, Some(&explanation));
                return true;
            }
        };
        let is_metered = self.config.quota.concerns(subject.user_name.is_some());
        let guest = Guest { subject, grant, exchange, expiry_timer: None, meter: None };
        let guest = (is_metered || guest.is_notable()).then(|| Box::new(guest));
        self.go_home(token, connect, assigned, Pass { guest, policy, mountpoint }, rest)
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

    /// A client is let in; what it was granted may have an end.
    pub(super) fn welcome(&mut self, token: Token, mut guest: Option<Box<Guest>>) {
        let ends_s = guest.as_ref().and_then(|guest| guest.grant.expires_at_s);
        if let (Some(guest), Some(ends_s)) = (&mut guest, ends_s) {
            let at = self.journal.moment_of(ends_s.saturating_mul(1000)).max(self.now);
            guest.expiry_timer = Some(self.wheel.schedule(at, TimerKey::GrantExpiry(token)));
        }
        if let Some(connection) = self.connections.get_mut(token as usize) {
            connection.guest = guest;
        }
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
