//! Topic filters as they stand in SUBSCRIBE and UNSUBSCRIBE, with the share group taken apart from the filter.
//!
//! Parsing borrows; nothing is normalised, so two filters are the same subscription exactly when their texts are equal.

use super::{TopicError, count_levels, has_wildcard};
use crate::limits::STRING_BYTES_MAX;

/// The share group of every `$queue/<filter>` subscription.
pub const QUEUE_SHARE: &str = "$queue";

const SHARE_PREFIX: &str = "$share/";
const QUEUE_PREFIX: &str = "$queue/";

/// A valid topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicFilter<'a> {
    /// Group name of a shared subscription: `g` in `$share/g/t`, [`QUEUE_SHARE`] in `$queue/t`, else none.
    pub share: Option<&'a str>,
    /// The filter that topics are matched against, without the share prefix.
    pub filter: &'a str,
}

impl<'a> TopicFilter<'a> {
    /// Parses and validates the filter of a subscription.
    ///
    /// # Errors
    /// The first rule that is broken, as a [`TopicError`].
    pub fn parse(text: &'a str) -> Result<TopicFilter<'a>, TopicError> {
        if text.len() > STRING_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        if text == "$share" {
            return Err(TopicError::InvalidShare);
        }
        let (share, filter) = if let Some(rest) = text.strip_prefix(SHARE_PREFIX) {
            let (share, filter) = rest.split_once('/').ok_or(TopicError::InvalidShare)?;
            if share.is_empty() || has_wildcard(share) || share.contains('\0') || filter.is_empty() {
                return Err(TopicError::InvalidShare);
            }
            (Some(share), filter)
        } else if let Some(filter) = text.strip_prefix(QUEUE_PREFIX) {
            if filter.is_empty() {
                return Err(TopicError::InvalidShare);
            }
            (Some(QUEUE_SHARE), filter)
        } else {
            (None, text)
        };
        validate_levels(filter)?;
        Ok(TopicFilter { share, filter })
    }

    /// Whether the filter has a `+` or `#` level.
    pub fn has_wildcard(&self) -> bool {
        has_wildcard(self.filter)
    }

    /// Number of levels of the filter, the share prefix not counted.
    pub fn levels(&self) -> usize {
        count_levels(self.filter)
    }
}

fn validate_levels(filter: &str) -> Result<(), TopicError> {
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    let mut level_start = 0;
    let mut level_has_wildcard = false;
    let bytes = filter.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            0 => return Err(TopicError::Nul),
            b'/' => {
                if level_has_wildcard && &bytes[level_start..at] != b"+" {
                    return Err(TopicError::MisplacedWildcard);
                }
                level_start = at + 1;
                level_has_wildcard = false;
            }
            b'+' | b'#' => level_has_wildcard = true,
            _ => {}
        }
    }
    if level_has_wildcard && bytes.len() - level_start != 1 {
        return Err(TopicError::MisplacedWildcard);
    }
    Ok(())
}
