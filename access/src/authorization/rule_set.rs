//! All rules of a broker in their order, and what is left of them for one client.
//!
//! Rules about one user or one client are found by hash, so that a hundred thousand of them cost a client only its own.
//! Clients for whom the same rules without placeholders are left share one policy.

use super::rule::{Rule, add_client_rule};
use super::who::{Key, Who};
use ringmq_core::authorization::{ClientRule, DenyAction, Permission, Policy, SourceIndex, Subject};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Rules that shared policies may hold together; beyond that, sharing begins anew.
const SHARED_RULES_MAX: usize = 1 << 20;
/// Policies that are shared.
const SHARED_POLICIES_MAX: usize = 4096;

/// The rules of a broker.
pub struct RuleSet {
    steps: Vec<Step>,
    /// Steps that every client takes.
    always: Vec<u32>,
    /// Steps that are about clients who are not told apart by one name.
    sifted: Vec<u32>,
    by_user: HashMap<Box<str>, Vec<u32>>,
    by_client: HashMap<Box<str>, Vec<u32>>,
    /// Whether a step that every client takes has placeholders.
    is_always_open: bool,
    no_match: Permission,
    deny_action: DenyAction,
    unrestricted: Arc<Policy>,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
enum Step {
    Rule(Box<Rule>),
    /// An external source has its turn.
    Ask(SourceIndex),
}

/// Policies by the steps that not every client takes.
#[derive(Default)]
struct Shared {
    policies: HashMap<Box<[u32]>, Arc<Policy>>,
    rules: usize,
}

impl RuleSet {
    /// A set that begins empty.
    pub fn builder(no_match: Permission, deny_action: DenyAction) -> RuleSetBuilder {
        RuleSetBuilder { steps: Vec::new(), no_match, deny_action }
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What is allowed to superusers: everything.
    pub fn unrestricted(&self) -> Arc<Policy> {
        Arc::clone(&self.unrestricted)
    }

    /// What is left of the rules for a client, those of its own coming first.
    pub fn reduce(&self, subject: &Subject, own: &[ClientRule]) -> Arc<Policy> {
        let picked = self.pick(subject);
        let is_shared = own.is_empty() && !self.is_always_open && picked.iter().all(|at| !self.is_open(*at));
        if is_shared && let Some(policy) = self.lock().policies.get(&*picked) {
            return Arc::clone(policy);
        }
        let policy = Arc::new(self.build(subject, own, &picked));
        if is_shared {
            self.lock().keep(picked, &policy);
        }
        policy
    }

    /// The steps that not every client takes and this one does, in order.
    fn pick(&self, subject: &Subject) -> Vec<u32> {
        let user = subject.user_name.as_deref().and_then(|name| self.by_user.get(name));
        let client = self.by_client.get(&subject.client_id);
        let candidates = user.into_iter().chain(client).flatten().chain(&self.sifted).copied();
        let mut picked: Vec<u32> = candidates.filter(|at| self.is_about(*at, subject)).collect();
        picked.sort_unstable();
        // A rule can be found by user and by client.
        picked.dedup();
        picked
    }

    fn is_about(&self, at: u32, subject: &Subject) -> bool {
        match &self.steps[at as usize] {
            Step::Rule(rule) => rule.who.is(subject),
            Step::Ask(_) => true,
        }
    }

    fn is_open(&self, at: u32) -> bool {
        matches!(&self.steps[at as usize], Step::Rule(rule) if rule.is_open())
    }

    fn build(&self, subject: &Subject, own: &[ClientRule], picked: &[u32]) -> Policy {
        let mut policy = Policy::builder(self.no_match, self.deny_action);
        let mut scratch = String::new();
        for rule in own {
            add_client_rule(rule, subject, &mut policy, &mut scratch);
        }
        let (mut always, mut picked) = (self.always.iter().peekable(), picked.iter().peekable());
        loop {
            let next = match (always.peek(), picked.peek()) {
                (Some(left), Some(right)) if left > right => picked.next(),
                (Some(_), _) => always.next(),
                (None, _) => picked.next(),
            };
            let Some(at) = next else { return policy.build() };
            match &self.steps[*at as usize] {
                Step::Rule(rule) => rule.add_to(subject, &mut policy, &mut scratch),
                Step::Ask(source) => {
                    policy.ask(*source);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // Whoever panicked while holding it left at worst a policy out.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn keep(&mut self, picked: Vec<u32>, policy: &Arc<Policy>) {
        let rules = policy.len() + picked.len();
        if rules > SHARED_RULES_MAX {
            return;
        }
        // What many clients share comes back soon; what one client had would stay for ever.
        if self.policies.len() == SHARED_POLICIES_MAX || self.rules + rules > SHARED_RULES_MAX {
            *self = Shared::default();
        }
        self.rules += rules;
        self.policies.insert(picked.into(), Arc::clone(policy));
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet").field("rules", &self.steps.len()).finish_non_exhaustive()
    }
}

/// Takes rules in their order.
#[derive(Debug)]
pub struct RuleSetBuilder {
    steps: Vec<Step>,
    no_match: Permission,
    deny_action: DenyAction,
}

impl RuleSetBuilder {
    /// The next rule.
    pub fn push(&mut self, rule: Rule) {
        self.steps.push(Step::Rule(Box::new(rule)));
    }

    /// The next rules.
    pub fn extend(&mut self, rules: impl IntoIterator<Item = Rule>) {
        self.steps.extend(rules.into_iter().map(|rule| Step::Rule(Box::new(rule))));
    }

    /// Gives an external source its turn.
    pub fn ask(&mut self, source: SourceIndex) {
        self.steps.push(Step::Ask(source));
    }

    /// The set, indexed.
    pub fn build(self) -> RuleSet {
        let mut set = RuleSet {
            steps: self.steps,
            always: Vec::new(),
            sifted: Vec::new(),
            by_user: HashMap::new(),
            by_client: HashMap::new(),
            is_always_open: false,
            no_match: self.no_match,
            deny_action: self.deny_action,
            unrestricted: Policy::unrestricted(),
            shared: Mutex::new(Shared::default()),
        };
        let mut keys = Vec::new();
        for (at, step) in set.steps.iter().enumerate() {
            let at = at as u32;
            let Step::Rule(rule) = step else {
                set.always.push(at);
                continue;
            };
            keys.clear();
            if matches!(rule.who, Who::All) {
                set.always.push(at);
                set.is_always_open |= rule.is_open();
            } else if rule.who.collect_keys(&mut keys) {
                for key in &keys {
                    let (table, name) = match *key {
                        Key::User(name) => (&mut set.by_user, name),
                        Key::Client(id) => (&mut set.by_client, id),
                    };
                    table.entry(name.into()).or_default().push(at);
                }
            } else {
                set.sifted.push(at);
            }
        }
        set
    }
}
