//! Sources against real servers: those that Debian has are started here, each in a folder of its own on a port of its own of
//! 127.0.0.1. Where one is not installed, its cases say so and pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

mod asking;
mod certificates;
mod guide;
mod http;
mod ldap;
mod mysql;
mod postgresql;
mod redis;
mod server;
