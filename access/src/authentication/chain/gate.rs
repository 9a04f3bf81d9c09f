//! What stands between the shards and the chains: it answers at once where nobody has to be asked, and sends the rest on
//! its way. A changed configuration is a new gate.

use super::order::Chain;
use super::run::{Run, Workers};
use crate::sources::{RuleSource, TopicSources};
use ringmq_core::authentication::Method;
use ringmq_core::authorization::{CacheTerms, Policy, SourceIndex, Subject};
use ringmq_core::reason::ReasonCode;
use ringmq_core::time::Timestamp;
use ringmq_shards::access::{Access, Entry, Grant, Judgement, Question, Reply, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who may enter where no chain is configured. The default serves this host only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// Nobody.
    Nobody,
    /// Clients of this host: their address, as the listener sees it, is a loopback address.
    #[default]
    Loopback,
    /// Everyone.
    Everyone,
}

/// The chain of the broker and those of listeners.
#[derive(Debug, Default)]
pub struct Chains {
    /// For listeners that have none of their own.
    pub global: Arc<Chain>,
    /// By listener, kind and name: `ssl:default`.
    pub listeners: BTreeMap<Box<str>, Arc<Chain>>,
    /// Who may enter where the chain is empty.
    pub anonymous: Anonymous,
}

impl Chains {
    /// The chain for a listener.
    fn of(&self, listener: &str) -> &Arc<Chain> {
        self.listeners.get(listener).unwrap_or(&self.global)
    }
}

/// What authorization and bans say of a client before and after it has proved who it is.
pub trait Admission: Send + Sync {
    /// Why the client may not even try, if it may not. Asked on a shard: it must not wait.
    fn refusal(&self, subject: &Subject) -> Option<ReasonCode>;

    /// The verdict on a client that has proved who it is.
    fn verdict(&self, _subject: &Subject, granted: Grant) -> Verdict {
        Verdict::Admit(granted)
    }

    /// A client has parted. Asked on a shard: it must not wait.
    fn note_parting(&self, _client_id: &str, _now: Timestamp) {}

    /// What a client may do: [`Access::policy`].
    fn policy(&self, subject: &Subject, grant: &Grant) -> Arc<Policy>;
}

/// Nobody is banned, and everyone may do everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unrestricted;

impl Admission for Unrestricted {
    fn refusal(&self, _subject: &Subject) -> Option<ReasonCode> {
        None
    }

    fn policy(&self, _subject: &Subject, _grant: &Grant) -> Arc<Policy> {
        Policy::unrestricted()
    }
}

/// How many clients were let in and kept out, since the process started.
#[derive(Debug, Default)]
pub struct Counts {
    success: AtomicU64,
    anonymous: AtomicU64,
    failure: AtomicU64,
    busy: AtomicU64,
}

impl Counts {
    /// Clients that were let in, anonymous ones included.
    pub fn success(&self) -> u64 {
        self.success.load(Ordering::Relaxed)
    }

    /// Clients that were let in without being asked who they are.
    pub fn anonymous(&self) -> u64 {
        self.anonymous.load(Ordering::Relaxed)
    }

    /// Clients that were kept out.
    pub fn failure(&self) -> u64 {
        self.failure.load(Ordering::Relaxed)
    }

    /// Clients that were kept out because too many waited.
    pub fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    pub(super) fn count_failure(&self) {
        self.failure.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }
}

/// What runs share with their gate.
pub(super) struct GateCore {
    workers: Arc<Workers>,
    admission: Arc<dyn Admission>,
    counts: Arc<Counts>,
    rule_sources: Vec<Box<dyn RuleSource>>,
}

impl GateCore {
    /// What is asked for the rules of a client that may enter.
    pub(super) fn rule_sources(&self) -> &[Box<dyn RuleSource>] {
        &self.rule_sources
    }

    pub(super) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The verdict on a client that a chain lets in.
    pub(super) fn admit(&self, subject: &Subject, granted: Grant) -> Verdict {
        let verdict = self.admission.verdict(subject, granted);
        match verdict {
            Verdict::Admit(_) => self.counts.success.fetch_add(1, Ordering::Relaxed),
            Verdict::Refuse(_) => self.counts.failure.fetch_add(1, Ordering::Relaxed),
        };
        verdict
    }
}

/// Answers the shards.
pub struct Gate {
    core: Arc<GateCore>,
    chains: Chains,
    /// Who is asked about topics, and how long that holds.
    topics: Option<(TopicSources, CacheTerms)>,
}

impl Gate {
    /// A gate for these chains. `counts` go on from what they are.
    pub fn new(
        chains: Chains,
        workers: Arc<Workers>,
        admission: Arc<dyn Admission>,
        counts: Arc<Counts>,
    ) -> Gate {
        let core = GateCore { workers, admission, counts, rule_sources: Vec::new() };
        Gate { core: Arc::new(core), chains, topics: None }
    }

    /// The same gate, which asks these sources for the rules of every client it lets in, in this order.
    #[must_use]
    pub fn with_rule_sources(self, rule_sources: Vec<Box<dyn RuleSource>>) -> Gate {
        let GateCore { workers, admission, counts, .. } = &*self.core;
        let (workers, admission, counts) = (Arc::clone(workers), Arc::clone(admission), Arc::clone(counts));
        Gate { core: Arc::new(GateCore { workers, admission, counts, rule_sources }), ..self }
    }

    /// The same gate, whose policies may leave decisions to these sources, by their places.
    #[must_use]
    pub fn with_topic_sources(self, sources: TopicSources, terms: CacheTerms) -> Gate {
        Gate { topics: (!sources.is_empty()).then_some((sources, terms)), ..self }
    }

    /// Lets a client in that has proved who it is, or of which nobody asks.
    fn admit_granted(&self, entry: Entry, granted: Grant, reply: Reply<Verdict>) -> Option<Verdict> {
        if granted.is_superuser || self.core.rule_sources.is_empty() {
            reply.withdraw();
            return Some(self.core.admit(&entry.subject, granted));
        }
        let chain = Arc::clone(self.chains.of(&entry.subject.listener));
        Run::new(Arc::clone(&self.core), chain, entry, reply).admit(granted);
        None
    }

    /// Keeps a client out that may not even try.
    fn refuse_banned(&self, subject: &Subject) -> Option<Verdict> {
        let reason = self.core.admission.refusal(subject)?;
        self.core.counts.count_failure();
        Some(Verdict::Refuse(reason))
    }

    /// Whether a client may enter of which nobody asks who it is.
    fn is_welcome(&self, subject: &Subject) -> bool {
        let may_enter = match self.chains.anonymous {
            Anonymous::Nobody => false,
            Anonymous::Loopback => subject.peer.ip().to_canonical().is_loopback(),
            Anonymous::Everyone => true,
        };
        let count = if may_enter { &self.core.counts.anonymous } else { &self.core.counts.failure };
        count.fetch_add(1, Ordering::Relaxed);
        may_enter
    }
}

impl Access for Gate {
    fn admit(&self, entry: Entry, reply: Reply<Verdict>) -> Option<Verdict> {
        let refused = self.refuse_banned(&entry.subject).or_else(|| {
            let is_open = self.chains.of(&entry.subject.listener).is_empty();
            let is_kept_out = is_open && !self.is_welcome(&entry.subject);
            is_kept_out.then_some(Verdict::Refuse(ReasonCode::NotAuthorized))
        });
        if refused.is_some() {
            reply.withdraw();
            return refused;
        }
        let chain = self.chains.of(&entry.subject.listener);
        if chain.is_empty() {
            return self.admit_granted(entry, Grant::default(), reply);
        }
        Run::new(Arc::clone(&self.core), Arc::clone(chain), entry, reply).go_on();
        None
    }

    fn begin_method(&self, name: &str, subject: &Subject) -> Option<Box<dyn Method>> {
        let method = self.chains.of(&subject.listener).begin_method(name, subject)?;
        Some(Box::new(method))
    }

    fn admit_known(&self, entry: Entry, reply: Reply<Verdict>) -> Option<Verdict> {
        if let Some(refused) = self.refuse_banned(&entry.subject) {
            reply.withdraw();
            return Some(refused);
        }
        let chain = self.chains.of(&entry.subject.listener);
        let is_superuser = entry.subject.user_name.as_deref().is_some_and(|name| chain.is_superuser(name));
        self.admit_granted(entry, Grant { is_superuser, ..Grant::default() }, reply)
    }

    fn note_parting(&self, client_id: &str, now: Timestamp) {
        self.core.admission.note_parting(client_id, now);
    }

    fn policy(&self, subject: &Subject, grant: &Grant) -> Arc<Policy> {
        self.core.admission.policy(subject, grant)
    }

    fn asks_sources(&self) -> Option<CacheTerms> {
        self.topics.as_ref().map(|(_, terms)| *terms)
    }

    fn judge(&self, source: SourceIndex, question: Question, reply: Reply<Judgement>) {
        if let Some((sources, _)) = &self.topics {
            sources.ask(source, question, |judgement| reply.give(judgement));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("chains", &self.chains).finish_non_exhaustive()
    }
}
