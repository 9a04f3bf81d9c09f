//! The management plane over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

mod bounds;
mod client;
mod endpoints;
