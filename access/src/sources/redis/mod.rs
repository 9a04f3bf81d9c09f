//! Redis: hashes of users and of topics, in one server, behind sentinels, or in a cluster. It only reads.
//!
//! The three commands that are needed do not warrant a library: the protocol is a page (RESP2), and connections, bounds and
//! TLS are those of all sources.

mod cluster;
mod command;
mod link;
mod resp;
mod servers;
mod tables;
#[cfg(test)]
mod tests;

pub use tables::{RedisRules, RedisUsers, rules, users};
