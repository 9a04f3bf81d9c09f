//! Topics of rules, with placeholders for what is known of a client only when it connects.
//!
//! What a client says of itself stands for itself: a value with `+` or `#` in it never becomes a wildcard. The topic then
//! matches nothing, because no topic has such a level.

pub use ringmq_core::authorization::Placeholder;

use ringmq_core::authorization::{Subject, TopicMatch};
use ringmq_core::limits::STRING_BYTES_MAX;
use ringmq_core::placeholders::{self, SplitError};
use ringmq_core::topic::{TopicError, TopicFilter, has_wildcard};

/// A topic of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicTemplate {
    /// The same for every client.
    Fixed(TopicMatch),
    /// To be filled in.
    Open {
        /// Texts and what stands between them.
        parts: Box<[Part]>,
        /// Whether the result is compared as a text.
        is_exact: bool,
    },
}

/// A piece of a topic.
pub type Part = placeholders::Part<Placeholder>;

/// Why a text is not the topic of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder.
    #[error(
        "no placeholder is called ${{{0}}}; there are {names}, and ${{$}} for a dollar sign",
        names = Placeholder::NAMES
    )]
    Placeholder(String),
    /// `${` without `}`.
    #[error("`${{` is not closed; write `}}` after the name, or ${{$}} for a dollar sign")]
    Open,
    /// The prefix of a shared subscription.
    #[error("rules are compared with the filter behind `$share/GROUP/`; leave that out")]
    Share,
    /// Not a topic filter.
    #[error("not a topic filter: {0}")]
    Filter(#[from] TopicError),
}

impl TopicTemplate {
    /// Reads a topic with `${…}` placeholders.
    ///
    /// # Errors
    /// A placeholder that does not exist, or a topic that is no filter. What is compared as a text need not be a filter.
    pub fn parse(text: &str, is_exact: bool) -> Result<TopicTemplate, TemplateError> {
        TopicTemplate::from_parts(placeholders::split(text, Placeholder::named)?, is_exact)
    }

    /// A topic of these pieces.
    ///
    /// # Errors
    /// The topic is not a filter.
    pub fn from_parts(parts: Vec<Part>, is_exact: bool) -> Result<TopicTemplate, TemplateError> {
        if !is_exact {
            // Any value without wildcards leaves a filter that is valid with one valid with another.
            let sample: String = parts.iter().map(|part| part.text().unwrap_or("x")).collect();
            if TopicFilter::parse(&sample)?.share.is_some() {
                return Err(TemplateError::Share);
            }
        }
        if parts.iter().all(|part| part.text().is_some()) {
            let text: String = parts.iter().filter_map(Part::text).collect();
            return Ok(TopicTemplate::Fixed(topic_match(text.into(), is_exact)));
        }
        Ok(TopicTemplate::Open { parts: parts.into(), is_exact })
    }

    /// Whether it has placeholders.
    pub fn is_open(&self) -> bool {
        matches!(self, TopicTemplate::Open { .. })
    }

    /// Calls `found` with the text for this client, and whether it is compared as a text; or does not, where the client
    /// lacks what a placeholder stands for or has something there that no topic can hold.
    pub fn fill_in(&self, subject: &Subject, text: &mut String) -> Option<bool> {
        let TopicTemplate::Open { parts, is_exact } = self else { return None };
        text.clear();
        for part in parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Placeholder(placeholder) => push_value(placeholder, subject, text)?,
            }
            if text.len() > STRING_BYTES_MAX {
                return None;
            }
        }
        Some(*is_exact)
    }
}

/// The comparison with a text that is the same for every client.
pub fn topic_match(text: Box<str>, is_exact: bool) -> TopicMatch {
    if is_exact { TopicMatch::Exact(text) } else { TopicMatch::Filter(text) }
}

impl From<SplitError<'_>> for TemplateError {
    fn from(error: SplitError<'_>) -> TemplateError {
        match error {
            SplitError::Unknown(name) => TemplateError::Placeholder(name.to_owned()),
            SplitError::Open => TemplateError::Open,
        }
    }
}

/// Appends the client's value, if it has one that may stand in a topic.
fn push_value(placeholder: &Placeholder, subject: &Subject, text: &mut String) -> Option<()> {
    let value = placeholder.value(subject)?;
    let may_stand = !has_wildcard(&value) && !value.contains('\0');
    may_stand.then(|| text.push_str(&value))
}
