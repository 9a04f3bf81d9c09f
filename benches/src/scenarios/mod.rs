//! The scenarios with messages, and the loop of a worker they share.

pub mod named;
pub mod offline;
pub mod retain;
pub mod stage;
pub mod stored;
pub mod traffic;
