//! Who is kept out whatever it can prove: clients, users, addresses and networks, for a while or for good; and the detection of
//! clients that come and go too often.

mod flapping;
mod keeper;
mod list;
mod record;
#[cfg(test)]
mod tests;

pub use flapping::{Flapping, FlappingConfig};
pub use keeper::{BanKeeper, FlappingGuard};
pub use list::{BANS_MAX, BanError, Bans, PATTERNS_MAX};
pub use record::{Ban, Banned, BannedError, BannedKind};
