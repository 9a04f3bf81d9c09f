//! The append log that makes offline messages durable. It knows records, not MQTT.
//!
//! So far this room holds the frame every record travels in ([`frame`]). Segments, group commit and recovery come with
//! durable sessions; until then the broker keeps sessions and retained messages in memory.

#![forbid(unsafe_code)]

pub mod frame;
