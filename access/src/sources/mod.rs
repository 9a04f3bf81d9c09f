//! Other hosts that know clients and rules: HTTP services, PostgreSQL, MySQL, Redis, LDAP and MongoDB.
//!
//! They are asked on the thread for other hosts, never on a shard. A server that does not answer counts as knowing nothing.
//! Each is a cargo feature; `docs/access-sources.md` explains them to operators.

pub mod config;
mod error;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "ldap")]
pub mod ldap;
pub mod lookup;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod net;
mod open;
#[cfg(feature = "postgresql")]
pub mod postgresql;
#[cfg(feature = "redis")]
pub mod redis;
mod topics;

pub use error::{SetupError, SourceError};
pub use lookup::{RuleAnswer, RuleSource};
pub use open::{RuleSourceError, element_of, jwks_of, rule_sources_of, topic_sources_of};
pub use topics::{Judging, TopicSource, TopicSources};
