//! The half of a rule that looks at the client. It is evaluated once per connection, never per message.

use super::wording::Wording;
use ringmq_core::authorization::{Network, Subject};

/// Which clients a rule is about.
#[derive(Debug, Clone)]
pub enum Who {
    /// Every client.
    All,
    /// By user name; a client without one is never meant.
    User(Wording),
    /// By client identifier.
    Client(Wording),
    /// By address: any of these networks.
    Address(Box<[Network]>),
    /// By an attribute that authentication gave it: its name, and its value.
    Attribute(Box<str>, Wording),
    /// By listener, `ssl:default`.
    Listener(Box<str>),
    /// By the zone of the listener.
    Zone(Box<str>),
    /// Clients without a user name.
    Nameless,
    /// All of these.
    And(Box<[Who]>),
    /// Any of these.
    Or(Box<[Who]>),
}

/// A property that only one value satisfies, by which rules are found without looking at all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// This user name.
    User(&'a str),
    /// This client identifier.
    Client(&'a str),
}

impl Who {
    /// Whether the client is meant.
    pub fn is(&self, subject: &Subject) -> bool {
        match self {
            Who::All => true,
            Who::User(wording) => subject.user_name.as_deref().is_some_and(|name| wording.is(name)),
            Who::Client(wording) => wording.is(&subject.client_id),
            Who::Address(networks) => networks.iter().any(|network| network.has(subject.peer.ip())),
            Who::Attribute(name, wording) => {
                subject.attributes.iter().any(|(key, value)| key == name && wording.is(value))
            }
            Who::Listener(name) => *name == subject.listener,
            Who::Zone(name) => *name == subject.zone,
            Who::Nameless => subject.user_name.is_none(),
            Who::And(all) => all.iter().all(|who| who.is(subject)),
            Who::Or(any) => any.iter().any(|who| who.is(subject)),
        }
    }

    /// Adds keys of which every client that is meant has at least one. False, and nothing added, if there are none such.
    pub fn collect_keys<'a>(&'a self, keys: &mut Vec<Key<'a>>) -> bool {
        match self {
            Who::User(Wording::Exact(name)) => keys.push(Key::User(name)),
            Who::Client(Wording::Exact(id)) => keys.push(Key::Client(id)),
            Who::And(all) => return all.iter().any(|who| who.collect_keys(keys)),
            Who::Or(any) => {
                let before = keys.len();
                if !any.iter().all(|who| who.collect_keys(keys)) {
                    keys.truncate(before);
                    return false;
                }
            }
            _ => return false,
        }
        true
    }
}
