//! What a client can ask for, what a rule says about it, and what comes of that.

use crate::codec::QoS;

/// Something a client wants to do with a topic or a topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send a message, or leave one as its will.
    Publish {
        /// The level of the message.
        qos: QoS,
        /// Whether it asks to be retained.
        retain: bool,
    },
    /// Receive messages.
    Subscribe {
        /// The level that was asked for.
        qos: QoS,
    },
}

impl Action {
    /// Its bit in a mask of actions.
    pub(super) const fn bit(self) -> u16 {
        match self {
            Action::Publish { qos, retain } => 1 << (qos as u16 * 2 + retain as u16),
            Action::Subscribe { qos } => SUBSCRIBE_FIRST << qos as u16,
        }
    }
}

const SUBSCRIBE_FIRST: u16 = 1 << 6;
pub(super) const PUBLISH_BITS: u16 = SUBSCRIBE_FIRST - 1;
pub(super) const SUBSCRIBE_BITS: u16 = 0b111 << 6;
/// Set where a rule decides about messages on their way to the client.
pub(super) const RECEIVE_BIT: u16 = 1 << 9;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// A position in the list of external sources, such as an HTTP service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceIndex(pub u8);

/// What a policy says about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not; [`DenyAction`] says what follows.
    Deny,
    /// No rule before this external source matches: it must be asked. If it does not know either, the rules after it
    /// decide: [`super::Policy::verdict_after`].
    Ask(SourceIndex),
}

impl From<Permission> for Decision {
    fn from(permission: Permission) -> Decision {
        match permission {
            Permission::Allow => Decision::Allow,
            Permission::Deny => Decision::Deny,
        }
    }
}

/// What follows when an action is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum DenyAction {
    /// It is answered with the reason code for that, and nothing is done.
    #[default]
    Ignore,
    /// The client is disconnected.
    Disconnect,
}

/// A set of QoS levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QosSet(u8);

impl QosSet {
    /// Every level.
    pub const ALL: QosSet = QosSet(0b111);
    /// No level; to be filled by [`QosSet::with`].
    pub const NONE: QosSet = QosSet(0);

    /// The set with this level too.
    pub const fn with(self, qos: QoS) -> QosSet {
        QosSet(self.0 | 1 << qos as u8)
    }

    /// Whether it has this level.
    pub const fn has(self, qos: QoS) -> bool {
        self.0 & 1 << qos as u8 != 0
    }
}

/// The actions a rule speaks about: publish, subscribe or both, at some levels, with retain or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actions(pub(super) u16);

impl Actions {
    /// Everything a client can ask for.
    pub const ALL: Actions = Actions(PUBLISH_BITS | SUBSCRIBE_BITS);
    /// Every publish.
    pub const PUBLISH: Actions = Actions(PUBLISH_BITS);
    /// Every subscribe.
    pub const SUBSCRIBE: Actions = Actions(SUBSCRIBE_BITS);
    /// Messages on their way to the client, whatever it subscribed to. A client cannot ask for it; rules that let every
    /// subscription in and sift messages instead are made of it.
    pub const RECEIVE: Actions = Actions(RECEIVE_BIT);

    /// These actions, at these levels only.
    #[must_use]
    pub const fn at(self, qos: QosSet) -> Actions {
        let set = qos.0 as u16;
        let (q0, q1, q2) = (set & 1, set >> 1 & 1, set >> 2 & 1);
        let publish = (q0 * 0b11) | (q1 * 0b1100) | (q2 * 0b11_0000);
        Actions(self.0 & (publish | set << 6 | RECEIVE_BIT))
    }

    /// These actions; publish only where the message asks to be retained, or only where it does not. Subscriptions have
    /// no such flag and stay as they are.
    #[must_use]
    pub const fn with_retain(self, retain: bool) -> Actions {
        let publish = if retain { 0b10_1010 } else { 0b01_0101 };
        Actions(self.0 & (publish | SUBSCRIBE_BITS | RECEIVE_BIT))
    }

    /// The actions of both.
    #[must_use]
    pub const fn or(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }

    /// Whether this action is among them.
    pub const fn has(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }
}
