//! Validation of topic names, the topics that are published to. It never looks at filters.

use super::{TopicError, count_levels};
use crate::limits::STRING_BYTES_MAX;

/// Checks the topic name of a PUBLISH or a will: not empty, at most 65,535 bytes, no wildcard, no U+0000, at most
/// `levels_max` levels.
///
/// # Errors
/// The first rule that is broken, as a [`TopicError`].
pub fn validate_topic_name(topic: &str, levels_max: u16) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > STRING_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    for byte in topic.bytes() {
        match byte {
            0 => return Err(TopicError::Nul),
            b'+' | b'#' => return Err(TopicError::WildcardInName),
            _ => {}
        }
    }
    let levels = count_levels(topic);
    if levels > usize::from(levels_max) {
        return Err(TopicError::TooManyLevels { levels, levels_max });
    }
    Ok(())
}
