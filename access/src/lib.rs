//! Who may enter the broker and what they may do there.
//!
//! The shards ask through [`ringmq_shards::access::Access`]; what cannot be answered at once is answered from a thread of
//! this room. Nothing here reads from or writes to a client.

#![forbid(unsafe_code)]

mod atomic_file;
pub mod authentication;
pub mod authorization;
pub mod bans;
mod clock;
pub mod guard;
mod json_lines;
pub mod quotas;
pub mod sources;
