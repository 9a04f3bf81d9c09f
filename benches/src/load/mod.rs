//! Messages that verify themselves: what is sent, what must arrive, and how long it took.

pub mod histogram;
pub mod payload;
pub mod sequence;
pub mod traffic;
pub mod window;
