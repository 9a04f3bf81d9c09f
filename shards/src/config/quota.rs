//! `[quota]`: how much may be published, beyond which publications are refused.

use ringmq_core::config::{ByteSize, Rate};
use serde::{Deserialize, Serialize};

/// What clients and users may publish. Every key needs a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotaConfig {
    /// Each client id, however often it connects.
    pub client: Allowance,
    /// Each user name, by all its clients together.
    pub user: Allowance,
}

/// How much one of them may publish. Bytes are those of topic, properties and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Messages in each whole period of the rate.
    pub messages: Rate,
    /// Bytes in each whole period of the rate.
    pub bytes: Rate,
    /// Messages in each day of UTC; 0 for no bound. At most 2^40.
    pub messages_per_day: u64,
    /// Bytes in each day of UTC; 0 for no bound. At most 1024GB.
    pub bytes_per_day: ByteSize,
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance {
            messages: Rate::INFINITY,
            bytes: Rate::INFINITY,
            messages_per_day: 0,
            bytes_per_day: ByteSize(0),
        }
    }
}

impl Allowance {
    /// Whether there is any bound.
    pub fn is_bounded(&self) -> bool {
        *self != Allowance::default()
    }
}

impl QuotaConfig {
    /// Whether anything is bounded by the day.
    pub fn is_daily(&self) -> bool {
        let of_day = |allowance: &Allowance| allowance.messages_per_day > 0 || allowance.bytes_per_day.0 > 0;
        of_day(&self.client) || of_day(&self.user)
    }

    /// Whether a client with or without a user name has any bound.
    pub fn concerns(&self, has_user_name: bool) -> bool {
        self.client.is_bounded() || has_user_name && self.user.is_bounded()
    }
}
