//! The `[retainer]` section.

use super::{ByteSize, Duration};
use serde::{Deserialize, Serialize};

/// Retained messages. No key takes effect before a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetainerConfig {
    /// Expiry of retained messages published without one; 0s for none.
    pub msg_expiry_interval: Duration,
    /// The largest payload that is retained; a larger message is routed but not stored.
    pub max_payload_size: ByteSize,
    /// Whether an empty retained message only clears the store and is not routed to subscribers.
    pub stop_publish_clear_msg: bool,
    /// The store.
    pub backend: RetainerBackend,
}

impl Default for RetainerConfig {
    fn default() -> RetainerConfig {
        RetainerConfig {
            msg_expiry_interval: Duration::from_s(0),
            max_payload_size: ByteSize(1 << 20),
            stop_publish_clear_msg: false,
            backend: RetainerBackend::default(),
        }
    }
}

/// The `[retainer.backend]` section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetainerBackend {
    /// The most retained messages; 0 for no limit. At the limit a new topic is not stored, a known one is replaced.
    pub max_retained_messages: usize,
}
