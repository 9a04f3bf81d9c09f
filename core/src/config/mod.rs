//! The configuration sections that decide protocol behaviour, and the literals configuration files use.

mod literal;
mod mqtt;
mod priorities;
mod rate;
mod retainer;
mod zones;

pub use literal::{ByteSize, Duration, Limit, LiteralError};
pub use mqtt::{
    CertificateField, MqttConfig, OversizePolicy, QueueFullPolicy, RejectV3, SharedStrategy, StickyPick,
};
pub use priorities::{DefaultPriority, Priority, QueuePriorities};
pub use rate::Rate;
pub use retainer::{RetainerBackend, RetainerConfig};
pub use zones::{ZoneId, Zones};
