//! What external sources have to decide before a packet can be handled: the packet waits, and its client is not received from
//! until every answer is there. Wills are asked about at CONNECT ([`super::verdict`]).

use super::rights::plain_filter;
use crate::access::{Judgement, Question, Questions};
use crate::reactor::Token;
use crate::shard::Shard;
use crate::shard::sessions::SessionKey;
use hashbrown::HashTable;
use ringmq_core::authorization::{
    Action, CacheTerms, Decision, DecisionCache, Permission, Policy, SourceIndex,
};
use ringmq_core::codec::{Frame, Packet, decode_packet};
use ringmq_core::hash::{SeededMap, hash_str};
use ringmq_core::time::Timestamp;
use smallvec::SmallVec;

/// Questions that one packet may come to. A SUBSCRIBE may have more filters: those beyond are denied.
const QUESTIONS_MAX: usize = 1024;

/// What is asked, and what was answered, about the connected clients of a shard.
#[derive(Debug, Default)]
pub struct Inquiries {
    /// How long answers hold; none where no source is asked.
    terms: Option<CacheTerms>,
    questions: Questions<Judgement>,
    /// Only those whose policies left something to a source.
    askers: SeededMap<SessionKey, Asker>,
}

/// A client that sources were asked about.
#[derive(Debug, Default)]
struct Asker {
    cache: DecisionCache,
    /// What was decided for the packet that waits, or is being handled, by topics. At most [`QUESTIONS_MAX`].
    settled: HashTable<(Wish, Permission)>,
    /// What the packet waits for.
    open: Vec<Inquiry>,
}

/// What a client wants to do with which topic or filter.
#[derive(Debug)]
struct Wish {
    action: Action,
    topic: Box<str>,
}

/// A question on its way.
#[derive(Debug)]
struct Inquiry {
    question: u64,
    source: SourceIndex,
    wish: Wish,
}

impl Inquiries {
    /// Whether answers have come.
    pub fn has_answers(&self) -> bool {
        self.questions.has_answers()
    }

    /// The rules have changed.
    pub fn change(&mut self, terms: Option<CacheTerms>) {
        self.terms = terms;
    }

    /// Whether any source is asked.
    pub fn are_made(&self) -> bool {
        self.terms.is_some()
    }

    /// What sources and the rules behind them decided.
    pub fn find(&self, key: SessionKey, action: Action, topic: &str, now: Timestamp) -> Option<Permission> {
        let asker = self.askers.get(&key)?;
        let is_it = |(wish, _): &(Wish, Permission)| wish.action == action && *wish.topic == *topic;
        match asker.settled.find(hash_str(topic), is_it) {
            Some((_, permission)) => Some(*permission),
            None => asker.cache.find(action, topic, now),
        }
    }

    /// The packet that waited for decisions has been handled.
    pub fn forget_settled(&mut self, key: SessionKey) {
        if let Some(asker) = self.askers.get_mut(&key) {
            asker.settled = HashTable::new();
        }
    }

    /// The client has parted, or its rights are made anew. True if a packet waited.
    pub fn forget(&mut self, key: SessionKey) -> bool {
        !self.askers.is_empty() && self.askers.remove(&key).is_some_and(|asker| !asker.open.is_empty())
    }

    fn is_waiting(&self, key: SessionKey) -> bool {
        self.askers.get(&key).is_some_and(|asker| !asker.open.is_empty())
    }

    /// How many more questions the packet may come to.
    fn questions_left(&self, key: SessionKey) -> usize {
        QUESTIONS_MAX.saturating_sub(self.askers.get(&key).map_or(0, |asker| asker.settled.len()))
    }

    /// The question that this answers, if it is still open.
    fn take_open(&mut self, key: SessionKey, question: u64) -> Option<Inquiry> {
        let open = &mut self.askers.get_mut(&key)?.open;
        let place = open.iter().position(|inquiry| inquiry.question == question)?;
        Some(open.swap_remove(place))
    }

    /// Keeps a decision. True if it was the last that the packet waited for.
    fn settle(&mut self, key: SessionKey, wish: Wish, permission: Permission, now: Timestamp) -> bool {
        let (Some(asker), Some(terms)) = (self.askers.get_mut(&key), self.terms) else { return false };
        asker.cache.keep(wish.action, &wish.topic, permission, now, terms);
        let hash = |(wish, _): &(Wish, Permission)| hash_str(&wish.topic);
        asker.settled.insert_unique(hash_str(&wish.topic), (wish, permission), hash);
        asker.open.is_empty()
    }
}

impl Shard {
    /// Whether a packet needs a decision that only an external source can make. Then it is asked, and the packet waits. Only
    /// called where [`Inquiries::are_made`].
    pub(in crate::shard) fn awaits_decision(
        &mut self,
        token: Token,
        key: SessionKey,
        frame: Frame<'_>,
    ) -> bool {
        if self.revision.is_running() {
            self.revise(token);
        }
        let wishes = match self.inquiries.is_waiting(key) {
            true => SmallVec::new(),
            false => self.undecided(token, key, frame),
        };
        for (source, wish) in wishes {
            self.inquire(token, key, source, wish);
        }
        let must_wait = self.inquiries.is_waiting(key);
        if must_wait {
            self.pause(token);
        }
        must_wait
    }

    /// What a packet wants that nobody has decided, and who is to be asked, as far as it may ask.
    fn undecided(
        &self,
        token: Token,
        key: SessionKey,
        frame: Frame<'_>,
    ) -> SmallVec<[(SourceIndex, Wish); 1]> {
        let (Some(slot), Some(connection)) = (self.sessions.get(key), self.connections.get(token as usize))
        else {
            return SmallVec::new();
        };
        let Some(policy) = slot.rights.policy().filter(|policy| policy.asks_sources()) else {
            return SmallVec::new();
        };
        let wish = |action, topic: &str| match policy.verdict(action, topic) {
            Decision::Ask(source) if self.inquiries.find(key, action, topic, self.now).is_none() => {
                Some((source, Wish { action, topic: topic.into() }))
            }
            _ => None,
        };
        match decode_packet(frame, connection.version) {
            Ok(Packet::Publish(publish)) => {
                let action = Action::Publish { qos: publish.qos, retain: publish.retain };
                let topic = slot.session.own_topic_of(&publish);
                topic.and_then(|topic| wish(action, topic)).into_iter().collect()
            }
            Ok(Packet::Subscribe(subscribe)) => {
                let asked = subscribe.filters.iter();
                asked
                    .filter_map(|asked| {
                        wish(Action::Subscribe { qos: asked.options.qos }, plain_filter(&asked.filter))
                    })
                    .take(self.inquiries.questions_left(key))
                    .collect()
            }
            _ => SmallVec::new(),
        }
    }

    fn inquire(&mut self, token: Token, key: SessionKey, source: SourceIndex, wish: Wish) {
        let (Some(slot), Some(connection)) = (self.sessions.get(key), self.connections.get(token as usize))
        else {
            return;
        };
        let asked = Question {
            subject: self.subject_at(connection, slot.session.client_id()),
            version: connection.version,
            mountpoint: slot.session.mountpoint().into(),
            action: wish.action,
            topic: wish.topic.clone(),
        };
        let (question, reply) = self.inquiries.questions.ask(key.0, self.mesh.bell());
        let asker = self.inquiries.askers.entry(key).or_default();
        asker.open.push(Inquiry { question, source, wish });
        self.access.judge(source, asked, reply);
    }

    /// Answers of external sources: packets that waited for them go on.
    pub fn handle_judgements(&mut self) {
        while let Some(answer) = self.inquiries.questions.poll() {
            let key = SessionKey(answer.about());
            // A client that has parted, or whose rules have changed, does not wait for this any more.
            let Some(Inquiry { source, wish, .. }) = self.inquiries.take_open(key, answer.question) else {
                continue;
            };
            let Some(slot) = self.sessions.get(key) else { continue };
            let Some(token) = slot.connection else { continue };
            let behind = |policy: &Policy| policy.verdict_after(source, wish.action, &wish.topic);
            let decision = match answer.content {
                Some(permission) => permission.into(),
                None => slot.rights.policy().map_or(Decision::Deny, behind),
            };
            let permission = match decision {
                Decision::Allow => Permission::Allow,
                Decision::Deny => Permission::Deny,
                Decision::Ask(next) => {
                    self.inquire(token, key, next, wish);
                    continue;
                }
            };
            if self.inquiries.settle(key, wish, permission, self.now) {
                self.resume(token);
                self.handle_bytes(token, &[]);
            }
        }
    }
}
