//! Bounds that no configuration raises.

/// The most bytes a packet's body can have: four length bytes of seven bits. [MQTT-1.5.5-1]
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;
/// The most bytes a fixed header can have: type and four length bytes.
pub const FIXED_HEADER_BYTES_MAX: usize = 5;
/// The most bytes of an MQTT string or binary field.
pub const STRING_BYTES_MAX: usize = 65_535;
/// The largest Subscription Identifier. [MQTT-3.8.2.1.2]
pub const SUBSCRIPTION_ID_MAX: u32 = 268_435_455;
/// The most shards a process can have; shard ids are one byte.
pub const SHARDS_MAX: usize = 256;
/// The most user properties one packet may carry; more is a protocol error (0x82).
pub const USER_PROPERTIES_MAX: usize = 1024;
