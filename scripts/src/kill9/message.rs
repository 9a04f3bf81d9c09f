//! The numbered messages of this test: their topics, their payloads and who wants them. Nothing here is sent
//! or received.

use std::fmt::{self, Display};

/// How many topics of data each publisher has.
pub const DATA_TOPICS: u8 = 3;
/// A payload's filler is below this, so that records of many lengths lie in the log.
const FILLER_BYTES_MAX: u32 = 600;

/// A message: the `number`th of its publisher, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The publisher's index.
    pub publisher: usize,
    /// How many messages it published before this one.
    pub number: u32,
}

impl MessageId {
    /// The payload: the numbers as text, then a filler that follows from them.
    pub fn to_payload(self) -> Vec<u8> {
        let mut payload = format!("{} {} ", self.publisher, self.number).into_bytes();
        let mixed = (self.number ^ (self.publisher as u32) << 24).wrapping_mul(0x9E37_79B1);
        let filler = (mixed >> 16) % FILLER_BYTES_MAX;
        payload.extend((0..filler).map(|at| b'a' + ((mixed & 0xFF) + at).rem_euclid(26) as u8));
        payload
    }

    /// The message with exactly this payload.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut words = payload.splitn(3, |byte| *byte == b' ');
        let publisher = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let number = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let id = Self { publisher, number };
        (id.to_payload() == payload).then_some(id)
    }
}

impl Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of publisher {}", self.number, self.publisher)
    }
}

/// A topic; each belongs to one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `kill9/data/PUBLISHER/NUMBER`
    Data(usize, u8),
    /// `kill9/retained/PUBLISHER`
    Retained(usize),
}

impl Topic {
    /// The topic with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut levels = name.strip_prefix("kill9/")?.split('/');
        let topic = match (levels.next()?, levels.next()?.parse().ok()?, levels.next()) {
            ("data", publisher, Some(number)) => Self::Data(publisher, number.parse().ok()?),
            ("retained", publisher, None) => Self::Retained(publisher),
            _ => return None,
        };
        (topic.to_string() == name).then_some(topic)
    }
}

impl Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(publisher, number) => write!(f, "kill9/data/{publisher}/{number}"),
            Self::Retained(publisher) => write!(f, "kill9/retained/{publisher}"),
        }
    }
}

/// What a subscriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Every message.
    All,
    /// Every message of data.
    Data,
    /// The data topic with this number of every publisher.
    OneOfEach(u8),
}

impl Filter {
    /// Whether a message on this topic is wanted.
    pub fn wants(self, topic: Topic) -> bool {
        match (self, topic) {
            (Self::All, _) | (Self::Data, Topic::Data(..)) => true,
            (Self::OneOfEach(wanted), Topic::Data(_, number)) => wanted == number,
            (_, Topic::Retained(_)) => false,
        }
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "kill9/#"),
            Self::Data => write!(f, "kill9/data/#"),
            Self::OneOfEach(number) => write!(f, "kill9/data/+/{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_its_message_and_no_damage_passes() {
        for number in 0..200 {
            let id = MessageId { publisher: 3, number };
            let mut payload = id.to_payload();
            assert_eq!(MessageId::from_payload(&payload), Some(id));
            payload.push(b'a');
            assert_eq!(MessageId::from_payload(&payload), None);
        }
        assert_eq!(MessageId::from_payload(b"3 x "), None);
        assert_eq!(MessageId::from_payload(b""), None);
    }

    #[test]
    fn topics_are_read_from_their_names_and_filters_want_them() {
        for topic in [Topic::Data(2, 1), Topic::Retained(0)] {
            assert_eq!(Topic::from_name(&topic.to_string()), Some(topic));
            assert!(Filter::All.wants(topic));
        }
        for name in ["kill9/data/2", "kill9/data/02/1", "kill9/retained/0/0", "x/retained/0", ""] {
            assert_eq!(Topic::from_name(name), None, "{name}");
        }
        assert!(Filter::Data.wants(Topic::Data(0, 2)) && !Filter::Data.wants(Topic::Retained(0)));
        assert!(
            Filter::OneOfEach(1).wants(Topic::Data(0, 1)) && !Filter::OneOfEach(1).wants(Topic::Data(0, 2))
        );
    }
}
