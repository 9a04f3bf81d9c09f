//! Other hosts that know clients and rules: HTTP services, PostgreSQL, MySQL, Redis, LDAP and MongoDB.
//!
//! They are asked on the thread for other hosts, never on a shard. A server that does not answer counts as knowing nothing.
//! Each is a cargo feature; `docs/access-sources.md` explains them to operators.

pub mod config;
mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod lookup;
pub mod net;
#[cfg(feature = "redis")]
pub mod redis;

pub use error::{SetupError, SourceError};
pub use lookup::{RuleAnswer, RuleSource};
