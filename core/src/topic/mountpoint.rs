//! Mountpoints: the levels that a listener puts before the topics of its clients, and takes off again. Nothing here knows
//! listeners or connections.

use super::{TopicError, TopicFilter, has_wildcard};
use crate::authorization::{Placeholder, Subject};
use crate::limits::STRING_BYTES_MAX;
use crate::placeholders::{self, Part, SplitError};
use crate::reason::ReasonCode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest template, and the longest mountpoint that comes of one.
const MOUNTPOINT_BYTES_MAX: usize = 1024;

/// A listener's mountpoint, with placeholders for what is known of a client when it connects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MountTemplate {
    text: Box<str>,
    parts: Box<[Part<Placeholder>]>,
}

/// Why a text is no mountpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountTemplateError {
    /// No such placeholder.
    #[error("no placeholder of a mountpoint is called ${{{0}}}")]
    Placeholder(String),
    /// `${` without `}`.
    #[error("`${{` is not closed")]
    Open,
    /// Its last level does not end.
    #[error("it does not end with /")]
    OpenLevel,
    /// It begins with a level that is the broker's.
    #[error("it begins with a dollar sign")]
    Dollar,
    /// Not what topics begin with.
    #[error("it has +, # or U+0000 in it, or more than 1024 bytes")]
    NoTopic,
}

/// Why a client cannot be served at a mountpoint. What it gave as the value is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// It has none of what a placeholder stands for.
    #[error("this listener serves clients with a {0} only")]
    Missing(Placeholder),
    /// Its value would not be one level.
    #[error("on this listener a {0} must not contain + # / or begin with $")]
    Level(Placeholder),
    /// The whole is too long.
    #[error("the {0} is too long for this listener")]
    TooLong(Placeholder),
}

impl MountError {
    /// How a CONNECT is refused for it.
    pub fn reason_code(&self) -> ReasonCode {
        let (MountError::Missing(placeholder)
        | MountError::Level(placeholder)
        | MountError::TooLong(placeholder)) = self;
        match placeholder {
            Placeholder::ClientId => ReasonCode::ClientIdentifierNotValid,
            Placeholder::UserName => ReasonCode::BadUserNameOrPassword,
            _ => ReasonCode::NotAuthorized,
        }
    }
}

impl MountTemplate {
    /// Whether there is no mountpoint.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The mountpoint of a client; none if there is none. What the client gave stays within its level, and is no wildcard.
    ///
    /// # Errors
    /// The client lacks something, or has something that cannot be a level.
    pub fn fill_in(&self, subject: &Subject) -> Result<Option<Mountpoint>, MountError> {
        let mut text = String::new();
        for part in &self.parts {
            let placeholder = match part {
                Part::Text(fixed) => {
                    text.push_str(fixed);
                    continue;
                }
                Part::Placeholder(placeholder) => placeholder,
            };
            let value = placeholder.value(subject).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| MountError::Missing(placeholder.clone()))?;
            let is_one_level = !has_wildcard(&value) && !value.contains(['/', '\0']);
            if !is_one_level || text.is_empty() && value.starts_with('$') {
                return Err(MountError::Level(placeholder.clone()));
            }
            text.push_str(&value);
            if text.len() > MOUNTPOINT_BYTES_MAX {
                return Err(MountError::TooLong(placeholder.clone()));
            }
        }
        Ok((!text.is_empty()).then(|| Mountpoint(text.into())))
    }
}

impl FromStr for MountTemplate {
    type Err = MountTemplateError;

    fn from_str(text: &str) -> Result<MountTemplate, MountTemplateError> {
        let parts = placeholders::split(text, Placeholder::named).map_err(|error| match error {
            SplitError::Unknown(name) => MountTemplateError::Placeholder(name.to_owned()),
            SplitError::Open => MountTemplateError::Open,
        })?;
        let fixed: String = parts.iter().map(|part| part.text().unwrap_or("x")).collect();
        if has_wildcard(&fixed) || fixed.contains('\0') || text.len() > MOUNTPOINT_BYTES_MAX {
            return Err(MountTemplateError::NoTopic);
        }
        if fixed.starts_with('$') {
            return Err(MountTemplateError::Dollar);
        }
        if !fixed.is_empty() && !fixed.ends_with('/') {
            return Err(MountTemplateError::OpenLevel);
        }
        Ok(MountTemplate { text: text.into(), parts: parts.into() })
    }
}

impl fmt::Display for MountTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for MountTemplate {
    type Error = MountTemplateError;

    fn try_from(text: String) -> Result<MountTemplate, MountTemplateError> {
        text.parse()
    }
}

impl From<MountTemplate> for String {
    fn from(template: MountTemplate) -> String {
        template.text.into()
    }
}

/// What stands before the topics of one client: whole levels, no wildcards, nothing that begins with a dollar sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mountpoint(Box<str>);

impl Mountpoint {
    /// Its levels, each with a slash behind it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic behind the mountpoint.
    ///
    /// # Errors
    /// [`TopicError::TooLong`].
    pub fn mount(&self, topic: &str) -> Result<Box<str>, TopicError> {
        if self.0.len() + topic.len() > STRING_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        Ok([&self.0, topic].concat().into())
    }

    /// The filter behind the mountpoint, which stands behind the prefix of a share group.
    ///
    /// # Errors
    /// The text is no filter, or too long with the mountpoint.
    pub fn mount_filter(&self, text: &str) -> Result<Box<str>, TopicError> {
        let filter = TopicFilter::parse(text)?.filter;
        if self.0.len() + text.len() > STRING_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        let share = &text[..text.len() - filter.len()];
        Ok([share, &self.0, filter].concat().into())
    }

    /// The topic as the client knows it; none for one that is not behind the mountpoint.
    pub fn unmount<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&*self.0).filter(|own| !own.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(client_id: &str, user_name: Option<&str>) -> Subject {
        Subject {
            user_name: user_name.map(Into::into),
            listener: "tcp:lan".into(),
            attributes: vec![("site".into(), "north".into())],
            ..Subject::new(client_id, "192.0.2.1:7".parse().unwrap())
        }
    }

    #[test]
    fn only_whole_levels_without_wildcards_are_a_mountpoint() {
        for text in
            ["", "a/", "a/b/", "/", "${clientid}/", "a${username}b/", "a/${client_attrs.site}/x/", "é/"]
        {
            let template: MountTemplate = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((template.to_string().as_str(), template.is_empty()), (text, text.is_empty()));
        }
        for (text, error) in [
            ("a", MountTemplateError::OpenLevel),
            ("${clientid}", MountTemplateError::OpenLevel),
            ("$SYS/", MountTemplateError::Dollar),
            ("${$}share/g/", MountTemplateError::Dollar),
            ("a/+/", MountTemplateError::NoTopic),
            ("#/", MountTemplateError::NoTopic),
            ("a\0/", MountTemplateError::NoTopic),
            (&format!("{}/", "a".repeat(1024)), MountTemplateError::NoTopic),
            ("${password}/", MountTemplateError::Placeholder("password".to_owned())),
            ("${clientid/", MountTemplateError::Open),
        ] {
            assert_eq!(text.parse::<MountTemplate>(), Err(error), "{text}");
        }
    }

    #[test]
    fn what_a_client_says_of_itself_stays_within_its_level() {
        let fill_in = |text: &str, subject: &Subject| {
            let template: MountTemplate = text.parse().unwrap();
            template
                .fill_in(subject)
                .map(|mountpoint| mountpoint.map(|mountpoint| mountpoint.0.into_string()))
        };
        let filled = |text: &str| Ok(Some(text.to_owned()));
        let known = subject("c1", Some("ann"));
        assert_eq!(fill_in("", &known), Ok(None));
        assert_eq!(fill_in("t/${clientid}-${username}/${peerhost}/", &known), filled("t/c1-ann/192.0.2.1/"));
        assert_eq!(fill_in("${listener}/${client_attrs.site}/", &known), filled("tcp:lan/north/"));
        for client_id in ["+", "#", "a/b", "/", "a\0", "a#"] {
            let error = fill_in("t/${clientid}/", &subject(client_id, None)).unwrap_err();
            assert_eq!(error, MountError::Level(Placeholder::ClientId), "{client_id}");
            assert_eq!(error.reason_code(), ReasonCode::ClientIdentifierNotValid);
        }
        for client_id in ["$SYS", "$share", "$queue"] {
            assert!(fill_in("${clientid}/", &subject(client_id, None)).is_err(), "{client_id}");
            assert_eq!(
                fill_in("t/${clientid}/", &subject(client_id, None)),
                filled(&format!("t/{client_id}/"))
            );
        }
        for (text, user_name, error, reason) in [
            (
                "${username}/",
                None,
                MountError::Missing(Placeholder::UserName),
                ReasonCode::BadUserNameOrPassword,
            ),
            (
                "${username}/",
                Some(""),
                MountError::Missing(Placeholder::UserName),
                ReasonCode::BadUserNameOrPassword,
            ),
            (
                "${cert_common_name}/",
                None,
                MountError::Missing(Placeholder::CommonName),
                ReasonCode::NotAuthorized,
            ),
        ] {
            let found = fill_in(text, &subject("c", user_name)).unwrap_err();
            assert_eq!((found.reason_code(), found), (reason, error));
        }
        let long = "u".repeat(1024);
        assert_eq!(
            fill_in("${username}/", &subject("c", Some(&long))).map(|text| text.map(|text| text.len())),
            Ok(Some(1025))
        );
        let longer = subject("c", Some(&"u".repeat(1025)));
        assert_eq!(fill_in("${username}/", &longer), Err(MountError::TooLong(Placeholder::UserName)));
    }

    #[test]
    fn topics_and_filters_go_behind_the_mountpoint_and_topics_come_back() {
        let mountpoint = Mountpoint("t/c/".into());
        for topic in ["a", "/", "a//b", "$SYS/x"] {
            let mounted = mountpoint.mount(topic).unwrap();
            assert_eq!((&*mounted, mountpoint.unmount(&mounted)), (&*format!("t/c/{topic}"), Some(topic)));
        }
        for topic in ["t/c", "t/c/", "t/d/a", "a", "t/ca"] {
            assert_eq!(mountpoint.unmount(topic), None, "{topic}");
        }
        for (text, mounted) in [
            ("#", Ok("t/c/#")),
            ("a/+", Ok("t/c/a/+")),
            ("$share/g/a/#", Ok("$share/g/t/c/a/#")),
            ("$queue/a", Ok("$queue/t/c/a")),
            ("$SYS/#", Ok("t/c/$SYS/#")),
            ("a#", Err(TopicError::MisplacedWildcard)),
            ("$share/g", Err(TopicError::InvalidShare)),
        ] {
            assert_eq!(mountpoint.mount_filter(text), mounted.map(Into::into), "{text}");
        }
        let longest = "x".repeat(STRING_BYTES_MAX - 4);
        assert_eq!(mountpoint.mount(&longest).map(|topic| topic.len()), Ok(STRING_BYTES_MAX));
        let too_long = format!("{longest}x");
        assert_eq!(mountpoint.mount(&too_long), Err(TopicError::TooLong));
        assert_eq!(mountpoint.mount_filter(&too_long), Err(TopicError::TooLong));
    }
}
