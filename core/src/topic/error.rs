//! Why a topic name or filter is refused. Always the peer's fault; the caller picks the reason code.

/// A topic name or topic filter that the specification forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Names and filters have at least one character. [MQTT-4.7.3-1]
    #[error("topic is empty")]
    Empty,
    /// Neither names nor filters contain U+0000. [MQTT-4.7.3-2]
    #[error("topic contains U+0000")]
    Nul,
    /// Names and filters have at most 65,535 bytes. [MQTT-4.7.3-3]
    #[error("topic is longer than 65535 bytes")]
    TooLong,
    /// A topic name contains `+` or `#`. [MQTT-3.3.2-2]
    #[error("topic name contains a wildcard")]
    WildcardInName,
    /// The name has more levels than the configuration admits.
    #[error("topic has {levels} levels, at most {levels_max} are admitted")]
    TooManyLevels {
        /// Levels of the topic.
        levels: usize,
        /// The configured bound.
        levels_max: u16,
    },
    /// `+` or `#` shares a level with other characters, or `#` is not the last level. [MQTT-4.7.1-1] [MQTT-4.7.1-2]
    #[error("wildcard does not fill its level, or # is not the last level")]
    MisplacedWildcard,
    /// `$share` without a group name or without a filter, or a group name with a wildcard. [MQTT-4.8.2-1]
    /// [MQTT-4.8.2-2]
    #[error("shared subscription without a valid group name and filter")]
    InvalidShare,
}
