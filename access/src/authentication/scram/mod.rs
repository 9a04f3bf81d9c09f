//! SCRAM (RFC 5802, RFC 7677) as an enhanced authentication method of MQTT 5.0: a password is proved without being sent,
//! and the broker proves that it knows it too. Without channel binding. All of it is arithmetic: no thread, no IO.

mod keys;
mod message;
mod method;
#[cfg(test)]
mod tests;

pub use keys::{
    ITERATIONS_DEFAULT, ITERATIONS_MAX, ITERATIONS_MIN, KeyError, ScramKeys, ScramMechanism, prepared,
};
pub use method::{ScramMethod, ScramUsers};
