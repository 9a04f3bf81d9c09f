//! Messages that verify themselves: what is sent, what must arrive, and how long it took.

pub mod collect;
pub mod deposit;
pub mod group_sequence;
pub mod histogram;
pub mod numbered;
pub mod payload;
pub mod schedule;
pub mod sequence;
pub mod traffic;
pub mod window;
