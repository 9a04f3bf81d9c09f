//! The seam between the shards and whoever decides who may enter and what they may do.
//!
//! A shard never waits: a question that cannot be answered at once is answered later through its [`Reply`], and the client
//! that it concerns is not read from until then.

mod reply;

pub use reply::{Answer, Questions, Reply};

use bytes::Bytes;
use ringmq_core::authentication::Method;
use ringmq_core::authorization::{Action, CacheTerms, ClientRule, Permission, Policy, SourceIndex, Subject};
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

/// A client that nobody answers for is kept out.
impl Default for Verdict {
    fn default() -> Verdict {
        Verdict::Refuse(ReasonCode::ServerUnavailable)
    }
}

/// What a client wants to do that its policy leaves to an external source.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who it is, with the attributes that it was granted.
    pub subject: Subject,
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// What is put before its topics; empty for nothing.
    pub mountpoint: Box<str>,
    /// What it wants to do.
    pub action: Action,
    /// With which topic, or with which filter without share prefix.
    pub topic: Box<str>,
}

/// What an external source says; nothing if it does not know, and the rules behind it decide.
pub type Judgement = Option<Permission>;

/// Decides. One value serves all shards; a changed configuration is a new value.
pub trait Access: Send + Sync {
    /// May this client enter? `None`: the answer comes through `reply`, from another thread, exactly once.
    fn admit(&self, entry: Entry, reply: Reply<Verdict>) -> Option<Verdict>;

    /// Begins a run of an enhanced authentication method (AUTH packets); `None` if it is not offered. What the method
    /// accepts is then let in by [`Access::admit_known`].
    fn begin_method(&self, name: &str, subject: &Subject) -> Option<Box<dyn Method>>;

    /// May this client enter, which an enhanced method accepted? Answered as [`Access::admit`] answers.
    fn admit_known(&self, entry: Entry, reply: Reply<Verdict>) -> Option<Verdict>;

    /// A client has parted, whatever the cause. It waits for nobody.
    fn note_parting(&self, _client_id: &str, _now: Timestamp) {}

    /// What this client may do: the rules that are left once it is known who it is. Asked at CONNECT, and again of a
    /// changed `Access`, since it never changes for one. It waits for nobody; its time grows with the number of rules that
    /// look at more than a client id or user name.
    fn policy(&self, subject: &Subject, grant: &Grant) -> Arc<Policy>;

    /// Whether policies leave decisions to external sources, and if so, how long what those say holds.
    fn asks_sources(&self) -> Option<CacheTerms> {
        None
    }

    /// Asks an external source. The answer comes through `reply`, exactly once.
    fn judge(&self, _source: SourceIndex, _question: Question, reply: Reply<Judgement>) {
        reply.give(None);
    }
}

/// Lets everybody in and do everything: a broker without access control.
#[derive(Debug, Clone, Copy, Default)]
pub struct Everybody;

impl Access for Everybody {
    fn admit(&self, _entry: Entry, reply: Reply<Verdict>) -> Option<Verdict> {
        reply.withdraw();
        Some(Verdict::Admit(Grant::default()))
    }

    fn begin_method(&self, _name: &str, _subject: &Subject) -> Option<Box<dyn Method>> {
        None
    }

    fn admit_known(&self, _entry: Entry, reply: Reply<Verdict>) -> Option<Verdict> {
        reply.withdraw();
        Some(Verdict::Refuse(ReasonCode::BadAuthenticationMethod))
    }

    fn policy(&self, _subject: &Subject, _grant: &Grant) -> Arc<Policy> {
        Policy::unrestricted()
    }
}
