//! Retained messages: the last one published to each topic with the RETAIN flag.
//!
//! [`RetainedStore`] holds those of the topics one shard owns and enumerates them in bounded pages. It neither decides
//! who owns a topic nor enforces the configured limits; it says how much it holds.

mod skip_scan;
mod store;

pub use store::{PageEnd, Removed, RetainedStore};
