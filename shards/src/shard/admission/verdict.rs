//! What becomes of a client once it is known whether it may enter: refused, asked about its will, or sent home.

use super::guest::{Guest, Pass};
use super::mounting::{Refusal, mount_will};
use super::parking::{Admitted, Parked};
use crate::access::{Judgement, Question, Verdict};
use crate::reactor::Token;
use crate::shard::Shard;
use ringmq_core::authorization::{Action, Decision};
use ringmq_core::metrics::Metric;
use ringmq_core::reason::ReasonCode;

impl Shard {
    /// Lets a client in, or not. Returns false if the connection left this shard.
    pub(super) fn handle_verdict(
        &mut self,
        token: Token,
        mut parked: Parked,
        verdict: Verdict,
        rest: &[u8],
    ) -> bool {
        let grant = match verdict {
            Verdict::Admit(grant) => grant,
            Verdict::Refuse(reason) => {
                self.tally.bump(Metric::AuthenticationFailure);
                self.tally.bump(Metric::PacketsConnackAuthError);
                self.refuse(token, parked.connect.version, reason, None);
                return true;
            }
        };
        self.tally.bump(Metric::AuthenticationSuccess);
        parked.subject.attributes.clone_from(&grant.attributes);
        let policy = self.access.policy(&parked.subject, &grant);
        let decision = match will_of(&parked) {
            Some((action, topic)) => policy.verdict(action, topic),
            None => Decision::Allow,
        };
        let mountpoint = match self.mountpoint_of(token, &parked.subject) {
            Ok(mountpoint) => mountpoint,
            Err(refusal) => return self.turn_away(token, &parked, &refusal),
        };
        let admitted = Admitted { grant, policy, mountpoint };
        self.handle_will_decision(token, parked, admitted, decision, rest)
    }

    fn turn_away(&mut self, token: Token, parked: &Parked, (reason, explanation): &Refusal) -> bool {
        self.refuse(token, parked.connect.version, *reason, Some(explanation));
        true
    }

    /// An external source has judged a client's will.
    pub(super) fn handle_will_judgement(
        &mut self,
        token: Token,
        mut parked: Parked,
        judgement: Judgement,
        rest: &[u8],
    ) -> bool {
        let (Some((source, mut admitted)), Some((action, topic))) =
            (parked.admitted.take(), will_of(&parked))
        else {
            return true;
        };
        let decision = match judgement {
            Some(permission) => permission.into(),
            None => admitted.policy.verdict_after(source, action, topic),
        };
        // The rules may have changed while the source was asked.
        admitted.policy = self.access.policy(&parked.subject, &admitted.grant);
        self.handle_will_decision(token, parked, admitted, decision, rest)
    }

    fn handle_will_decision(
        &mut self,
        token: Token,
        mut parked: Parked,
        admitted: Admitted,
        decision: Decision,
        rest: &[u8],
    ) -> bool {
        match (decision, will_of(&parked)) {
            (Decision::Deny, _) => {
                self.tally.bump(Metric::AuthorizationDeny);
                let explanation = Some("the will's topic is not allowed");
                self.refuse(token, parked.connect.version, ReasonCode::NotAuthorized, explanation);
                true
            }
            (Decision::Ask(source), Some((action, topic))) => {
                let asked = Question {
                    subject: parked.subject.clone(),
                    version: parked.connect.version,
                    mountpoint: admitted
                        .mountpoint
                        .as_deref()
                        .map_or_else(Box::default, |at| at.as_str().into()),
                    action,
                    topic: topic.into(),
                };
                let (question, reply) = self.parking.wills.ask(token, self.mesh.bell());
                self.access.judge(source, asked, reply);
                (parked.question, parked.admitted) = (question, Some((source, admitted)));
                self.keep_waiting(token, parked)
            }
            _ => {
                if let Err(refusal) = mount_will(admitted.mountpoint.as_deref(), &mut parked.connect) {
                    return self.turn_away(token, &parked, &refusal);
                }
                let Parked { connect, assigned, subject, exchange, .. } = parked;
                let Admitted { grant, policy, mountpoint } = admitted;
                let is_metered = self.config.quota.concerns(subject.user_name.is_some());
                let guest = Guest { subject, grant, exchange, expiry_timer: None, meter: None };
                let guest = (is_metered || guest.is_notable()).then(|| Box::new(guest));
                let pass = Pass { guest, policy, mountpoint, rules: self.revision.number() };
                self.go_home(token, connect, assigned, pass, rest)
            }
        }
    }
}

/// What a client wants done with which topic when it is gone.
fn will_of(parked: &Parked) -> Option<(Action, &str)> {
    let will = parked.connect.will.as_deref()?;
    Some((Action::Publish { qos: will.qos, retain: will.retain }, &will.topic))
}
