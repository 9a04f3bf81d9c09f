//! Pure MQTT: bytes become packets, packets become session state, session state becomes effects.
//!
//! Nothing here performs IO, reads a clock, spawns a thread, awaits, or draws a random number: the time is an
//! argument ([`time::Timestamp`]), and entropy is handed in once ([`hash::seed_process`]) or with the call.

#![forbid(unsafe_code)]

pub mod authentication;
pub mod authorization;
pub mod client_id;
pub mod codec;
pub mod config;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod hash;
pub mod limits;
pub mod metrics;
pub mod placeholders;
pub mod publication;
pub mod reason;
pub mod retained;
pub mod routing;
pub mod session;
pub mod shelf;
pub mod time;
pub mod topic;
pub mod wheel;
