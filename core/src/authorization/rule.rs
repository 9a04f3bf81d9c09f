//! A rule that names no client: what a token or an HTTP service says about the one it answers for.

use super::{Actions, Permission};

/// How a rule's topic is compared with what a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicMatch {
    /// Every topic and every filter, those that begin with `$` too.
    Any,
    /// Topics that the filter matches, and filters whose topics it all matches.
    Filter(Box<str>),
    /// This text and no other: `{eq, "#"}`.
    Exact(Box<str>),
}

/// A rule for one client. Its topic may have placeholders (`${clientid}`), which are filled in when the client's policy
/// is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientRule {
    /// What it says.
    pub permission: Permission,
    /// Of which actions.
    pub actions: Actions,
    /// On which topics.
    pub topic: TopicMatch,
}
