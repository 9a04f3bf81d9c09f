//! Topic names and topic filters: what is valid, and which filter matches which name.
//!
//! Nothing here stores anything; the tables that map filters to receivers are in [`crate::routing`].

mod error;
mod filter;
mod matches;
mod mountpoint;
mod name;
#[cfg(test)]
mod tests;

pub use error::TopicError;
pub use filter::{QUEUE_SHARE, TopicFilter};
pub use matches::filter_matches;
pub use mountpoint::{MountError, MountTemplate, MountTemplateError, Mountpoint};
pub use name::validate_topic_name;

/// Whether `filter` contains a wildcard character. For a valid filter that means it has a wildcard level; a valid
/// topic name never has one.
pub fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// Number of levels of a topic name or filter: one more than it has slashes.
pub fn count_levels(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'/').count() + 1
}
