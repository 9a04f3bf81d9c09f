//! What an element of a chain is asked, and what it may answer.

use crate::authentication::password::PasswordHash;
use ringmq_core::reason::ReasonCode;
use ringmq_shards::access::{Entry, Grant};
use std::future::Future;
use std::pin::Pin;

/// The answer of one element.
#[derive(Debug)]
pub enum Decision {
    /// Let it in; no further element is asked.
    Allow(Grant),
    /// Keep it out; no further element is asked.
    Deny(ReasonCode),
    /// This element has nothing to say about such a client: the next one is asked.
    Ignore,
    /// The user is not known here: the next one is asked. If none lets it in, the client learns what it would have learned
    /// from a wrong password.
    Unknown,
    /// It depends on a password, which is compared on the hashing pool.
    Compare(Box<Comparison>),
}

/// A password to compare with what is stored.
#[derive(Debug)]
pub struct Comparison {
    /// What is stored, or a decoy that costs as much.
    pub stored: PasswordHash,
    /// What the user is granted if it is the password; none for a decoy, which leads to [`Decision::Unknown`] whatever the
    /// comparison says.
    pub granted: Option<Grant>,
}

/// An element that needs a processor only. It is asked on the hashing pool and may take milliseconds; it never waits for
/// another host.
pub trait Authenticator: Send + Sync {
    /// Its kind, as in `password_based:built_in_database`.
    fn id(&self) -> &str;

    /// What it says about a client.
    fn decide(&self, entry: &Entry) -> Decision;
}

/// The answer of a [`RemoteAuthenticator`], later.
pub type RemoteDecision<'a> = Pin<Box<dyn Future<Output = Decision> + 'a>>;

/// An element that asks another host. It is asked on the thread for that, inside a tokio runtime of one thread, and must
/// not compute for long there: passwords are compared by answering [`Decision::Compare`].
pub trait RemoteAuthenticator: Send + Sync {
    /// Its kind, as in `password_based:http`.
    fn id(&self) -> &str;

    /// What it says about a client. Its own time-out should be shorter than [`super::run::REMOTE_TIMEOUT`], after which it
    /// counts as [`Decision::Ignore`].
    fn decide<'a>(&'a self, entry: &'a Entry) -> RemoteDecision<'a>;
}
