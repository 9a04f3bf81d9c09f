//! One line of a dump: what it is, and named fields, as text for people and `grep`, or as a JSON object. It gives fields
//! no meaning.

use super::moment::rfc3339;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt::{self, Formatter, Write};

/// Payloads up to here are shown whole if they are text.
const TEXT_BYTES_MAX: usize = 64;
/// What is shown of others.
const HEX_BYTES_MAX: usize = 32;

/// A name and what stands behind it.
pub type Field = (&'static str, Value);

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Numbers.
    Numbers(Vec<u32>),
    /// Yes or no.
    Flag(bool),
    /// A word of ours, shown without quotes.
    Word(&'static str),
    /// Digits of ours, shown without quotes.
    Digits(String),
    /// Text of somebody else, shown in quotes, with escapes for what a terminal would not print.
    Text(String),
    /// Milliseconds since 1970.
    Moment(u64),
    /// A moment or a span that has no end.
    Never,
    /// What is referred to, but is not there.
    Unknown,
}

impl Value {
    /// A payload under the one name as text, under the other as the hexadecimal digits of its first bytes.
    pub fn payload(payload: &[u8], text: &'static str, hex: &'static str) -> Field {
        let is_short = payload.len() <= TEXT_BYTES_MAX;
        match std::str::from_utf8(payload) {
            Ok(readable) if is_short && !readable.contains(char::is_control) => {
                (text, Value::Text(readable.to_owned()))
            }
            _ => {
                let mut digits = String::with_capacity(2 * HEX_BYTES_MAX);
                for byte in payload.iter().take(HEX_BYTES_MAX) {
                    // Writing to a string cannot fail.
                    let _ = write!(digits, "{byte:02x}");
                }
                (hex, Value::Digits(digits))
            }
        }
    }
}

/// A line.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it is about.
    pub kind: &'a str,
    /// The record's id, if it is about a record with one.
    pub id: Option<u64>,
    /// The shard whose log it stands in.
    pub shard: &'a str,
    /// The rest.
    pub fields: &'a [Field],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(id) = self.id {
            write!(f, " id={id}")?;
        }
        write!(f, " shard={}", self.shard)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Numbers(numbers) => {
                for (position, number) in numbers.iter().enumerate() {
                    write!(f, "{}{number}", if position == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Word(word) => f.write_str(word),
            Value::Digits(digits) => f.write_str(digits),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Moment(ms) => f.write_str(&rfc3339(*ms)),
            Value::Never => f.write_str("never"),
            Value::Unknown => f.write_str("?"),
        }
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", &id)?;
        }
        map.serialize_entry("shard", self.shard)?;
        for (name, value) in self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Numbers(numbers) => numbers.serialize(serializer),
            Value::Flag(flag) => serializer.serialize_bool(*flag),
            Value::Word(text) => serializer.serialize_str(text),
            Value::Digits(text) | Value::Text(text) => serializer.serialize_str(text),
            Value::Moment(ms) => serializer.serialize_str(&rfc3339(*ms)),
            Value::Never | Value::Unknown => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &[u8]) -> String {
        let (name, value) = Value::payload(payload, "text", "hex");
        format!("{name}={value}")
    }

    #[test]
    fn payloads_are_text_where_they_are_short_and_printable() {
        assert_eq!(shown(b"21.5 \xc2\xb0C"), "text=\"21.5 °C\"");
        assert_eq!(shown(b""), "text=\"\"");
        assert_eq!(shown(b"a\nb"), "hex=610a62");
        assert_eq!(shown(&[0xff, 0]), "hex=ff00");
        assert_eq!(shown(&[b'x'; 64]), format!("text=\"{}\"", "x".repeat(64)));
        assert_eq!(shown(&[b'x'; 65]), format!("hex={}", "78".repeat(32)));
    }

    #[test]
    fn nothing_of_a_text_reaches_a_terminal_unescaped() {
        let fields = [("client", Value::Text("a\" \u{1b}[2J\u{9b}\u{202e}".to_owned()))];
        let line = Line { kind: "session", id: Some(1), shard: "00", fields: &fields };
        assert_eq!(line.to_string(), r#"session id=1 shard=00 client="a\" \u{1b}[2J\u{9b}\u{202e}""#);
    }

    #[test]
    fn json_has_the_fields_in_their_order() {
        let fields = [
            ("topic", Value::Text("a/b".to_owned())),
            ("expires_at", Value::Never),
            ("identifiers", Value::Numbers(vec![1, 2])),
            ("retain", Value::Flag(true)),
        ];
        let line = Line { kind: "queued", id: Some(7), shard: "03", fields: &fields };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"kind":"queued","id":7,"shard":"03","topic":"a/b","expires_at":null,"identifiers":[1,2],"retain":true}"#
        );
        assert_eq!(
            line.to_string(),
            "queued id=7 shard=03 topic=\"a/b\" expires_at=never identifiers=1,2 retain=true"
        );
    }
}
