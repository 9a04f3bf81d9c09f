//! What clients may do: rules from files, from the built-in database and from what they proved who they are with, in order.
//!
//! Nothing here is asked per message. At CONNECT the rules are reduced to those that are left for one client, a
//! [`ringmq_core::authorization::Policy`], which the client's shard keeps.

mod authorizer;
mod built_in;
mod config;
pub mod files;
mod rule;
mod rule_set;
mod template;
#[cfg(test)]
mod tests;
mod who;
mod wording;

pub use authorizer::{Authorizer, LoadError};
pub use built_in::{BuiltInRules, Holder, PlainRule, RULES_PER_RECORD_MAX, RecordError};
pub use config::{AuthorizationConfig, CacheConfig, FileConfig, OnDeny, OnNoMatch, SourceConfig};
pub use rule::{Rule, Topics};
pub use rule_set::{RuleSet, RuleSetBuilder};
pub use template::{Part, Placeholder, TemplateError, TopicTemplate};
pub use who::Who;
pub use wording::{RegexError, Wording, Wordings};
