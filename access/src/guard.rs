//! Rules and bans as the chains see them: who may not even try to enter, and what those may do that were let in.

use crate::authentication::Admission;
use crate::authorization::Authorizer;
use crate::bans::{Bans, FlappingConfig, FlappingGuard};
use crate::clock::since_1970;
use ringmq_core::authorization::{Policy, Subject};
use ringmq_core::reason::ReasonCode;
use ringmq_core::time::Timestamp;
use ringmq_shards::access::Grant;
use std::sync::{Arc, PoisonError, RwLock};

/// The rules in force and the bans. Changed rules are a new guard; the list of bans is shared with whoever changes it, who
/// holds the lock only as long as one change takes.
#[derive(Debug)]
pub struct Guard {
    authorizer: Authorizer,
    bans: Arc<RwLock<Bans>>,
    flapping: Option<FlappingGuard>,
}

impl Guard {
    /// A guard with these rules and this list of bans.
    pub fn new(authorizer: Authorizer, bans: Arc<RwLock<Bans>>) -> Guard {
        Guard { authorizer, bans, flapping: None }
    }

    /// The same guard, which bans clients that come and go too often.
    #[must_use]
    pub fn with_flapping(mut self, config: &FlappingConfig) -> Guard {
        self.flapping = FlappingGuard::new(config, &self.bans);
        self
    }
}

impl Admission for Guard {
    fn refusal(&self, subject: &Subject) -> Option<ReasonCode> {
        // Every change leaves the list whole, whatever became of who made it.
        let bans = self.bans.read().unwrap_or_else(PoisonError::into_inner);
        if bans.is_empty() {
            return None;
        }
        bans.find(subject, since_1970().as_secs()).map(|_| ReasonCode::Banned)
    }

    fn note_parting(&self, client_id: &str, now: Timestamp) {
        if let Some(flapping) = &self.flapping {
            flapping.note_parting(client_id, now);
        }
    }

    fn policy(&self, subject: &Subject, grant: &Grant) -> Arc<Policy> {
        if grant.is_superuser || grant.attributes.is_empty() {
            return self.authorizer.policy(subject, grant.is_superuser, &grant.rules);
        }
        let mut subject = subject.clone();
        // What the client was granted replaces what it was known by.
        subject.attributes.retain(|(known, _)| grant.attributes.iter().all(|(name, _)| name != known));
        subject.attributes.extend(grant.attributes.iter().cloned());
        self.authorizer.policy(&subject, false, &grant.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::{RuleSet, Wordings, files};
    use crate::bans::{Ban, Banned, BannedKind};
    use ringmq_core::authorization::{Action, Decision, DenyAction, Permission};
    use ringmq_core::codec::QoS;

    fn subject() -> Subject {
        Subject::new("c", ([10, 0, 0, 1], 1).into())
    }

    #[test]
    fn bans_keep_out_and_attributes_of_the_grant_count() {
        let text = r##"{allow, {client_attr, site, "s1"}, all, ["${client_attrs.site}/#"]}."##;
        let mut rules = RuleSet::builder(Permission::Deny, DenyAction::Ignore);
        rules.extend(files::parse(text, files::Format::AclConf, &mut Wordings::default()).unwrap());
        let bans = Arc::new(RwLock::new(Bans::default()));
        let guard = Guard::new(Authorizer::new(rules.build()), Arc::clone(&bans));
        assert_eq!(guard.refusal(&subject()), None);
        let who = Banned::parse(BannedKind::Network, "10.0.0.0/24").unwrap();
        let ban = Ban { who, by: "".into(), reason: "".into(), at_s: 0, until_s: None };
        bans.write().unwrap().add(ban).unwrap();
        assert_eq!(guard.refusal(&subject()), Some(ReasonCode::Banned));

        let publish = Action::Publish { qos: QoS::AtMostOnce, retain: false };
        let verdict = |grant: &Grant| guard.policy(&subject(), grant).verdict(publish, "s1/a");
        let attributes = vec![("site".into(), "s1".into())];
        assert_eq!(verdict(&Grant::default()), Decision::Deny);
        assert_eq!(verdict(&Grant { attributes, ..Grant::default() }), Decision::Allow);
        assert_eq!(verdict(&Grant { is_superuser: true, ..Grant::default() }), Decision::Allow);
    }
}
