//! What one client may do: the subject, and the rules that are left once it is known who asks.
//!
//! Nothing here reads rules or looks at clients; that is done once per connection, and what is left is a [`Policy`], asked for
//! every PUBLISH and SUBSCRIBE.

mod action;
mod cache;
mod index;
mod network;
mod pattern;
mod placeholder;
mod policy;
mod rule;
mod subject;
#[cfg(test)]
mod tests;

pub use action::{Action, Actions, Decision, DenyAction, Permission, QosSet, SourceIndex};
pub use cache::{CACHED_TOPIC_BYTES_MAX, CacheTerms, DecisionCache};
pub use network::{Network, NetworkError};
pub use pattern::{covers, intersects};
pub use placeholder::Placeholder;
pub use policy::{Policy, PolicyBuilder};
pub use rule::{ClientRule, TopicMatch};
pub use subject::Subject;
