//! The seam between the shards and whoever decides who may enter and what they may do.
//!
//! A shard never waits: a question that cannot be answered at once is answered later through its [`Reply`], and the client
//! that it concerns is not read from until then.

use crate::mesh::Bell;
use bytes::Bytes;
use crossbeam_channel::Sender;
use ringmq_core::authentication::Method;
use ringmq_core::authorization::{ClientRule, Policy, Subject};
use ringmq_core::codec::ProtocolVersion;
use ringmq_core::reason::ReasonCode;
use ringmq_core::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// A CONNECT that asks to be let in.
#[derive(Clone)]
pub struct Entry {
    /// Who it says it is.
    pub subject: Subject,
    /// Its password. Never shown.
    pub password: Option<Bytes>,
    /// The version it speaks.
    pub version: ProtocolVersion,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What a client that was let in may do, and for how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grant {
    /// No access rule applies to it.
    pub is_superuser: bool,
    /// Rules of its own, which come before all others: from a token or an HTTP answer.
    pub rules: Vec<ClientRule>,
    /// Attributes for access rules, by name.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// When it must be disconnected, in seconds since 1970; none for never.
    pub expires_at_s: Option<u64>,
}

/// The answer to an [`Entry`].
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Let it in.
    Admit(Grant),
    /// Keep it out; for v3 the nearest return code is sent.
    Refuse(ReasonCode),
}

/// Decides. One value serves all shards; a changed configuration is a new value.
pub trait Access: Send + Sync {
    /// May this client enter? `None`: the answer comes through `reply`, from another thread, exactly once.
    fn admit(&self, entry: Entry, reply: Reply) -> Option<Verdict>;

    /// Begins a run of an enhanced authentication method (AUTH packets); `None` if it is not offered. What the method
    /// accepts is then granted by [`Access::admit_known`].
    fn begin_method(&self, name: &str, subject: &Subject) -> Option<Box<dyn Method>>;

    /// The grant of a client that an enhanced method accepted.
    fn admit_known(&self, subject: &Subject) -> Verdict;

    /// A client has parted, whatever the cause. It waits for nobody.
    fn note_parting(&self, _client_id: &str, _now: Timestamp) {}

    /// What this client may do: the rules that are left once it is known who it is. Asked at CONNECT, and again of a
    /// changed `Access`, since it never changes for one. It waits for nobody; its time grows with the number of rules that
    /// look at more than a client id or user name.
    fn policy(&self, subject: &Subject, grant: &Grant) -> Arc<Policy>;
}

/// Lets everybody in and do everything: a broker without access control.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everybody;

impl Access for Everybody {
    fn admit(&self, _entry: Entry, reply: Reply) -> Option<Verdict> {
        reply.withdraw();
        Some(Verdict::Admit(Grant::default()))
    }

    fn begin_method(&self, _name: &str, _subject: &Subject) -> Option<Box<dyn Method>> {
        None
    }

    fn admit_known(&self, _subject: &Subject) -> Verdict {
        Verdict::Refuse(ReasonCode::BadAuthenticationMethod)
    }

    fn policy(&self, _subject: &Subject, _grant: &Grant) -> Arc<Policy> {
        Policy::unrestricted()
    }
}

/// What comes back to a shard.
#[derive(Debug)]
pub struct Answer {
    /// Which question this answers; a connection that is gone has taken its question with it.
    pub question: u64,
    /// The answer.
    pub verdict: Verdict,
}

/// Carries one answer to the shard that asked. Dropped unused, it refuses, so that no client waits forever.
#[derive(Debug)]
pub struct Reply {
    question: u64,
    answers: Sender<Answer>,
    bell: Bell,
    is_given: bool,
}

impl Reply {
    /// A reply to this question.
    pub fn new(question: u64, answers: Sender<Answer>, bell: Bell) -> Reply {
        Reply { question, answers, bell, is_given: false }
    }

    /// Answers.
    pub fn give(mut self, verdict: Verdict) {
        self.send(verdict);
    }

    /// Leaves the question: whoever asked is told otherwise, as by the value that [`Access::admit`] returns.
    pub fn withdraw(mut self) {
        self.is_given = true;
    }

    fn send(&mut self, verdict: Verdict) {
        self.is_given = true;
        // A shard that has ended asks nobody any more.
        let _ = self.answers.send(Answer { question: self.question, verdict });
        self.bell.ring();
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_given {
            self.send(Verdict::Refuse(ReasonCode::ServerUnavailable));
        }
    }
}
