//! One CONNECT on its way through a chain. It moves between the hashing pool and the thread for other hosts as its elements
//! need it, and ends in exactly one verdict.

use super::authenticator::{Comparison, Decision};
use super::gate::GateCore;
use super::hashing_pool::HashingPool;
use super::order::{Chain, Element};
use super::remote_thread::RemoteThread;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant, Reply, Verdict};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The longest a chain may take, waiting in queues included; a client that waits longer is told that the server is busy.
pub const RUN_TIME_MAX: Duration = Duration::from_secs(10);
/// The longest one element may wait for another host; then it counts as ignoring the client.
pub const REMOTE_TIMEOUT: Duration = Duration::from_secs(6);

/// The threads of this room. Made once; a changed configuration goes on with them.
#[derive(Debug)]
pub struct Workers {
    pub(super) hashing: HashingPool,
    pub(super) remote: RemoteThread,
}

impl Workers {
    /// Starts the threads. They end when the last gate that uses them is gone.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Arc<Workers>> {
        Ok(Arc::new(Workers { hashing: HashingPool::start()?, remote: RemoteThread::start()? }))
    }

    /// The runtime on which elements ask other hosts, for those that keep connections or refresh what they know.
    pub fn remote_runtime(&self) -> &Handle {
        self.remote.runtime()
    }
}

/// One CONNECT on its way.
pub(super) struct Run {
    gate: Arc<GateCore>,
    chain: Arc<Chain>,
    /// The element to be asked.
    place: usize,
    /// What the client is granted, once a chain lets it in and its rules are still to be fetched.
    granted: Option<Grant>,
    /// What that element wants compared first.
    comparison: Option<Box<Comparison>>,
    /// Whether an element looked the user up and did not find it.
    is_unknown: bool,
    began: Instant,
    entry: Entry,
    reply: Reply<Verdict>,
}

impl Run {
    pub(super) fn new(
        gate: Arc<GateCore>,
        chain: Arc<Chain>,
        entry: Entry,
        reply: Reply<Verdict>,
    ) -> Box<Run> {
        Box::new(Run {
            gate,
            chain,
            place: 0,
            granted: None,
            comparison: None,
            is_unknown: false,
            began: Instant::now(),
            entry,
            reply,
        })
    }

    /// Goes to the thread that its next step needs, or ends.
    pub(super) fn go_on(self: Box<Self>) {
        if self.began.elapsed() > RUN_TIME_MAX {
            return self.turn_away();
        }
        let workers = Arc::clone(self.gate.workers());
        if self.granted.is_some() {
            if let Err(run) = workers.remote.submit(self) {
                run.turn_away();
            }
            return;
        }
        let refused = match (&self.comparison, self.chain.element(self.place)) {
            (Some(_), _) | (None, Some(Element::Local(_))) => workers.hashing.submit(self),
            (None, Some(Element::Remote(_))) => workers.remote.submit(self),
            (None, None) => return self.refuse_unnamed(),
        };
        if let Err(run) = refused {
            run.turn_away();
        }
    }

    /// Works on the hashing pool as long as it can, then goes on.
    pub(super) fn work(mut self: Box<Self>) {
        if self.began.elapsed() > RUN_TIME_MAX {
            return self.turn_away();
        }
        loop {
            let decision = match self.comparison.take() {
                Some(comparison) => self.compare(*comparison),
                None => match self.chain.element(self.place) {
                    Some(Element::Local(element)) => element.decide(&self.entry),
                    _ => return self.go_on(),
                },
            };
            match self.follow(decision) {
                Some(run) => self = run,
                None => return,
            }
        }
    }

    /// Asks the other host that is next, then goes on.
    pub(super) async fn ask(mut self: Box<Self>) {
        if let Some(granted) = self.granted.take() {
            return self.fetch_rules(granted).await;
        }
        let decision = match self.chain.element(self.place) {
            Some(Element::Remote(element)) => {
                let asked = tokio::time::timeout(REMOTE_TIMEOUT, element.decide(&self.entry)).await;
                asked.unwrap_or_else(|_| {
                    tracing::warn!(element = element.id(), "no answer in time; the next element is asked");
                    Decision::Ignore
                })
            }
            _ => return self.go_on(),
        };
        if let Some(run) = self.follow(decision) {
            run.go_on();
        }
    }

    /// Keeps the client out because nothing here has time for it.
    pub(super) fn turn_away(self: Box<Self>) {
        self.gate.counts().count_busy();
        self.reply.give(Verdict::Refuse(ReasonCode::ServerBusy));
    }

    fn compare(&self, comparison: Comparison) -> Decision {
        let password = self.entry.password.as_deref().unwrap_or_default();
        // Compared whether the user exists or not, so that both take as long.
        let is_same = comparison.stored.matches(password);
        match comparison.granted {
            Some(granted) if is_same => Decision::Allow(granted),
            Some(_) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            None => Decision::Unknown,
        }
    }

    /// What is left to do after a decision; none if that was the last.
    fn follow(mut self: Box<Self>, decision: Decision) -> Option<Box<Run>> {
        match decision {
            Decision::Allow(granted) => {
                self.admit(granted);
                return None;
            }
            Decision::Deny(reason) => {
                self.refuse(reason);
                return None;
            }
            Decision::Ignore => self.place += 1,
            Decision::Unknown => {
                self.is_unknown = true;
                self.place += 1;
            }
            Decision::Compare(comparison) => self.comparison = Some(comparison),
        }
        Some(self)
    }

    /// Lets the client in, after its rules have been fetched if there are sources of them. Superusers need none.
    pub(super) fn admit(mut self: Box<Self>, granted: Grant) {
        if !granted.is_superuser && !self.gate.rule_sources().is_empty() {
            self.granted = Some(granted);
            return self.go_on();
        }
        self.give(granted);
    }

    /// Rules of the client's own stay before those that are fetched.
    async fn fetch_rules(self: Box<Self>, mut granted: Grant) {
        let mut entry = self.entry.clone();
        entry.password = None;
        entry
            .subject
            .attributes
            .retain(|(known, _)| granted.attributes.iter().all(|(name, _)| name != known));
        entry.subject.attributes.extend(granted.attributes.iter().cloned());
        for source in self.gate.rule_sources() {
            match tokio::time::timeout(REMOTE_TIMEOUT, source.rules(&entry)).await {
                Ok(rules) => granted.rules.extend(rules),
                Err(_) => tracing::warn!(source = source.id(), "no rules in time; the source is passed over"),
            }
        }
        self.give(granted);
    }

    fn give(self: Box<Self>, granted: Grant) {
        let verdict = self.gate.admit(&self.entry.subject, granted);
        self.reply.give(verdict);
    }

    fn refuse(self: Box<Self>, reason: ReasonCode) {
        self.gate.counts().count_failure();
        self.reply.give(Verdict::Refuse(reason));
    }

    /// Every element ignored the client. One whose user was looked up and not found learns no more than one with a wrong
    /// password.
    fn refuse_unnamed(self: Box<Self>) {
        let reason = match self.is_unknown {
            true => ReasonCode::BadUserNameOrPassword,
            false => ReasonCode::NotAuthorized,
        };
        self.refuse(reason);
    }
}
