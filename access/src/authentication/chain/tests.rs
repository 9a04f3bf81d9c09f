//! Chains as the shards see them: who decides, what an unknown user learns, what a full queue answers.

use super::*;
use crate::authentication::password::HashAlgorithm;
use crate::sources::{RuleAnswer, RuleSource};
use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use ringmq_core::authorization::{Actions, ClientRule, Permission, Subject, TopicMatch};
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Access, Answer, Entry, Grant, Reply, Verdict};
use ringmq_shards::mesh::{Mesh, Signal, build_mesh};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers the same to everybody, on either thread.
struct Says(fn(&Entry) -> Decision);

impl Authenticator for Says {
    fn id(&self) -> &str {
        "says"
    }

    fn decide(&self, entry: &Entry) -> Decision {
        (self.0)(entry)
    }
}

impl RemoteAuthenticator for Says {
    fn id(&self) -> &str {
        "says later"
    }

    fn decide<'a>(&'a self, entry: &'a Entry) -> RemoteDecision<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            (self.0)(entry)
        })
    }
}

fn local(says: fn(&Entry) -> Decision) -> Element {
    Element::Local(Box::new(Says(says)))
}

fn remote(says: fn(&Entry) -> Decision) -> Element {
    Element::Remote(Box::new(Says(says)))
}

/// A shard that asks a gate.
struct Asking {
    gate: Gate,
    counts: Arc<Counts>,
    meshes: Vec<Mesh<()>>,
    answers: Receiver<Answer<Verdict>>,
    sender: crossbeam_channel::Sender<Answer<Verdict>>,
}

impl Asking {
    fn new(elements: Vec<Element>, anonymous: Anonymous) -> Asking {
        let chains = Chains { global: Arc::new(Chain::new(elements)), anonymous, ..Chains::default() };
        let counts = Arc::<Counts>::default();
        let workers = Workers::start().unwrap();
        let gate = Gate::new(chains, workers, Arc::new(Unrestricted), Arc::clone(&counts));
        let meshes = build_mesh(1, 64, Signal::Event).unwrap();
        let (sender, answers) = unbounded();
        Asking { gate, counts, meshes, answers, sender }
    }

    fn ask(&self, question: u64, entry: Entry) -> Option<Verdict> {
        let reply = Reply::new(question, self.sender.clone(), self.meshes[0].bell());
        self.gate.admit(entry, reply)
    }

    /// The verdict, which comes exactly once.
    fn verdict(&self, entry: Entry) -> Verdict {
        let verdict = self.ask(7, entry).unwrap_or_else(|| {
            let answer = self.answers.recv_timeout(PATIENCE).unwrap();
            assert_eq!(answer.question, 7);
            answer.content
        });
        assert!(self.answers.try_recv().is_err(), "a second answer");
        verdict
    }
}

fn entry(peer: &str, password: Option<&'static [u8]>) -> Entry {
    let subject = Subject { user_name: Some("u".into()), ..Subject::new("c", peer.parse().unwrap()) };
    Entry { subject, password: password.map(Bytes::from_static), version: ProtocolVersion::V5 }
}

fn someone() -> Entry {
    entry("192.0.2.1:5", Some(b"pw"))
}

fn superuser() -> Grant {
    Grant { is_superuser: true, ..Grant::default() }
}

fn compare(password: &[u8], grant: Option<Grant>) -> Decision {
    let stored = HashAlgorithm::named("sha256").unwrap().hash(password).unwrap();
    Decision::Compare(Box::new(Comparison { stored, granted: grant }))
}

#[test]
fn an_empty_chain_answers_at_once_by_where_the_client_is() {
    let refused = Verdict::Refuse(ReasonCode::NotAuthorized);
    let admitted = Verdict::Admit(Grant::default());
    let cases = [
        (Anonymous::Loopback, "127.0.0.9:1", &admitted),
        (Anonymous::Loopback, "[::1]:1", &admitted),
        (Anonymous::Loopback, "[::ffff:127.0.0.1]:1", &admitted),
        (Anonymous::Loopback, "192.0.2.1:1", &refused),
        (Anonymous::Loopback, "[2001:db8::1]:1", &refused),
        (Anonymous::Everyone, "192.0.2.1:1", &admitted),
        (Anonymous::Nobody, "127.0.0.1:1", &refused),
    ];
    for (anonymous, peer, expected) in cases {
        let asking = Asking::new(Vec::new(), anonymous);
        assert_eq!(asking.ask(1, entry(peer, None)).as_ref(), Some(expected), "{anonymous:?} {peer}");
        assert!(asking.answers.try_recv().is_err());
    }
}

#[test]
fn the_first_element_that_allows_or_denies_decides() {
    fn deny() -> Decision {
        Decision::Deny(ReasonCode::BadUserNameOrPassword)
    }
    let cases: [(Vec<Element>, Verdict); 6] = [
        (vec![local(|_| Decision::Allow(superuser()))], Verdict::Admit(superuser())),
        (
            vec![local(|_| Decision::Ignore), remote(|_| Decision::Allow(superuser()))],
            Verdict::Admit(superuser()),
        ),
        (
            vec![
                remote(|_| Decision::Ignore),
                local(|_| Decision::Deny(ReasonCode::Banned)),
                local(|_| deny()),
            ],
            Verdict::Refuse(ReasonCode::Banned),
        ),
        (vec![local(|_| Decision::Ignore)], Verdict::Refuse(ReasonCode::NotAuthorized)),
        (
            vec![local(|_| Decision::Unknown), remote(|_| Decision::Ignore)],
            Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        ),
        (
            vec![remote(|_| Decision::Unknown), local(|_| Decision::Unknown), remote(|_| deny())],
            Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        ),
    ];
    for (elements, expected) in cases {
        let shown = format!("{elements:?}");
        assert_eq!(Asking::new(elements, Anonymous::Everyone).verdict(someone()), expected, "{shown}");
    }
}

#[test]
fn a_password_is_compared_for_elements_of_both_kinds() {
    let right: fn(&Entry) -> Decision = |_| compare(b"pw", Some(superuser()));
    let wrong: fn(&Entry) -> Decision = |_| compare(b"other", Some(superuser()));
    let decoy: fn(&Entry) -> Decision = |_| compare(b"pw", None);
    let refused = Verdict::Refuse(ReasonCode::BadUserNameOrPassword);
    for kind in [local, remote] {
        let verdict = |elements| Asking::new(elements, Anonymous::Everyone).verdict(someone());
        assert_eq!(verdict(vec![kind(right)]), Verdict::Admit(superuser()));
        assert_eq!(verdict(vec![kind(wrong), kind(right)]), refused, "a wrong password ends the chain");
        assert_eq!(verdict(vec![kind(decoy)]), refused, "what a decoy holds lets nobody in");
        assert_eq!(verdict(vec![kind(decoy), kind(right)]), Verdict::Admit(superuser()));
    }
}

#[test]
fn a_listener_may_have_a_chain_of_its_own() {
    let mut asking = Asking::new(vec![local(|_| Decision::Allow(Grant::default()))], Anonymous::Everyone);
    let own = Arc::new(Chain::new(vec![local(|_| Decision::Deny(ReasonCode::Banned))]));
    let chains = Chains {
        global: Arc::new(Chain::new(vec![local(|_| Decision::Allow(Grant::default()))])),
        listeners: [("tcp:own".into(), own)].into(),
        anonymous: Anonymous::Nobody,
    };
    asking.gate = Gate::new(chains, Workers::start().unwrap(), Arc::new(Unrestricted), Arc::default());
    let mut there = someone();
    there.subject.listener = "tcp:own".into();
    assert_eq!(asking.verdict(there), Verdict::Refuse(ReasonCode::Banned));
    assert_eq!(asking.verdict(someone()), Verdict::Admit(Grant::default()));
}

#[test]
fn every_question_is_answered_once_however_many_come() {
    const QUESTIONS: u64 = 20_000;
    let asking = Asking::new(
        vec![local(|_| Decision::Ignore), remote(|_| Decision::Allow(Grant::default()))],
        Anonymous::Everyone,
    );
    for question in 0..QUESTIONS {
        assert_eq!(asking.ask(question, someone()), None);
    }
    let mut seen = vec![false; QUESTIONS as usize];
    let mut busy = 0;
    for _ in 0..QUESTIONS {
        let answer = asking.answers.recv_timeout(PATIENCE).unwrap();
        assert!(!std::mem::replace(&mut seen[answer.question as usize], true));
        busy += u64::from(answer.content == Verdict::Refuse(ReasonCode::ServerBusy));
    }
    assert_eq!(asking.counts.busy(), busy);
    assert_eq!(asking.counts.success() + busy, QUESTIONS);
}

#[test]
fn a_full_queue_answers_that_the_server_is_busy() {
    /// Holds its thread while the test holds the lock.
    struct Holds(Arc<Mutex<()>>);
    impl Authenticator for Holds {
        fn id(&self) -> &str {
            "holds"
        }

        fn decide(&self, _entry: &Entry) -> Decision {
            drop(self.0.lock().unwrap());
            Decision::Allow(Grant::default())
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let asking = Asking::new(vec![Element::Local(Box::new(Holds(Arc::clone(&gate))))], Anonymous::Everyone);
    let questions = (hashing_pool::HASH_QUEUE_MAX + hashing_pool::THREADS_MAX + 1) as u64;
    let held = gate.lock().unwrap();
    for question in 0..questions {
        asking.ask(question, someone());
    }
    let first = asking.answers.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.content, Verdict::Refuse(ReasonCode::ServerBusy));
    drop(held);
    for _ in 1..questions {
        asking.answers.recv_timeout(PATIENCE).unwrap();
    }
    assert!(asking.counts.busy() >= 1);
}

#[test]
fn rules_of_sources_stand_behind_the_clients_own() {
    struct Knows(&'static str);
    impl RuleSource for Knows {
        fn id(&self) -> &str {
            self.0
        }

        fn rules<'a>(&'a self, entry: &'a Entry) -> RuleAnswer<'a> {
            let is_known = entry.subject.attributes.iter().any(|(name, _)| &**name == "tenant");
            let topic = if is_known { self.0 } else { "nobody" };
            Box::pin(async move { vec![rule(topic)] })
        }
    }
    fn rule(topic: &str) -> ClientRule {
        let topic = TopicMatch::Filter(topic.into());
        ClientRule { permission: Permission::Allow, actions: Actions::ALL, topic }
    }
    fn grant() -> Grant {
        let attributes = vec![("tenant".into(), "t".into())];
        Grant { rules: vec![rule("own")], attributes, ..Grant::default() }
    }
    let verdict = |elements, anonymous| {
        let mut asking = Asking::new(elements, anonymous);
        let sources: Vec<Box<dyn RuleSource>> = vec![Box::new(Knows("first")), Box::new(Knows("second"))];
        asking.gate = asking.gate.with_rule_sources(sources);
        asking.verdict(someone())
    };
    let rules = |topics: &[&str]| topics.iter().map(|topic| rule(topic)).collect::<Vec<_>>();
    let expected = Grant { rules: rules(&["own", "first", "second"]), ..grant() };
    for element in [local, remote] {
        let elements = vec![element(|_| Decision::Allow(grant()))];
        assert_eq!(verdict(elements, Anonymous::Nobody), Verdict::Admit(expected.clone()));
    }
    assert_eq!(
        verdict(vec![local(|_| Decision::Allow(superuser()))], Anonymous::Nobody),
        Verdict::Admit(superuser())
    );
    let unknown = Grant { rules: rules(&["nobody", "nobody"]), ..Grant::default() };
    assert_eq!(verdict(Vec::new(), Anonymous::Everyone), Verdict::Admit(unknown));
    assert_eq!(verdict(Vec::new(), Anonymous::Nobody), Verdict::Refuse(ReasonCode::NotAuthorized));
}
