//! The time of day, which tokens, bans and grants go by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since 1970. A clock that is set before counts as 1970, at which bans hold and tokens do not expire.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
