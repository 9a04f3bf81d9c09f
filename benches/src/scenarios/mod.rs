//! The scenarios with messages, and the loop of a worker they share.

pub mod stage;
pub mod traffic;
