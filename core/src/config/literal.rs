//! Literals of configuration files: durations `15s`, sizes `1MB`, limits `infinity`.

use serde::{Deserialize, Serialize, de};
use std::fmt;
use std::str::FromStr;

/// Why a text is not the literal it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct LiteralError {
    text: String,
    expected: &'static str,
}

impl LiteralError {
    /// This text is not what it should be.
    pub(super) fn new(text: &str, expected: &'static str) -> LiteralError {
        LiteralError { text: text.to_owned(), expected }
    }
}

/// A length of time: digits and one of `ms`, `s`, `m`, `h`, `d`, or `infinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

impl Duration {
    /// No bound.
    pub const INFINITY: Duration = Duration { ms: u64::MAX };

    /// A duration of `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Duration {
        Duration { ms }
    }

    /// A duration of `s` seconds.
    pub const fn from_s(s: u64) -> Duration {
        Duration { ms: s.saturating_mul(1000) }
    }

    /// Milliseconds; `u64::MAX` for infinity.
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// Whole seconds, rounded down; `u64::MAX / 1000` and more for infinity.
    pub const fn as_s(self) -> u64 {
        self.ms / 1000
    }

    /// Whether the literal was `infinity`.
    pub const fn is_infinite(self) -> bool {
        self.ms == u64::MAX
    }
}

const DURATION: &str = "a duration such as 500ms, 15s, 2h or infinity";

impl FromStr for Duration {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Duration, LiteralError> {
        let fail = || LiteralError { text: text.to_owned(), expected: DURATION };
        let text = text.trim();
        if text == "infinity" {
            return Ok(Duration::INFINITY);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| fail())?;
        let unit_ms = match text[digits..].trim() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        number.checked_mul(unit_ms).filter(|ms| *ms < u64::MAX).map(Duration::from_ms).ok_or_else(fail)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            u64::MAX => f.write_str("infinity"),
            ms if ms >= 86_400_000 && ms % 86_400_000 == 0 => write!(f, "{}d", ms / 86_400_000),
            ms if ms >= 3_600_000 && ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms >= 60_000 && ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// A number of bytes: digits and optionally `KB`, `MB`, `GB` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const BYTE_SIZE: &str = "a size such as 4096, 64KB, 1MB or 2GB";

impl FromStr for ByteSize {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<ByteSize, LiteralError> {
        let fail = || LiteralError { text: text.to_owned(), expected: BYTE_SIZE };
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| fail())?;
        let unit: u64 = match text[digits..].trim().to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "KB" => 1 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            _ => return Err(fail()),
        };
        number.checked_mul(unit).map(ByteSize).ok_or_else(fail)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n % (1 << 30) == 0 => write!(f, "{}GB", n >> 30),
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{}KB", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

/// A count, or `infinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit(pub usize);

impl Limit {
    /// No bound.
    pub const INFINITY: Limit = Limit(usize::MAX);
}

impl FromStr for Limit {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Limit, LiteralError> {
        match text.trim() {
            "infinity" => Ok(Limit::INFINITY),
            number => number
                .parse()
                .map(Limit)
                .map_err(|_| LiteralError { text: text.to_owned(), expected: "a count or infinity" }),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Limit::INFINITY { f.write_str("infinity") } else { write!(f, "{}", self.0) }
    }
}

/// Reads a literal from a string, or from a bare integer for those literals that allow one.
struct LiteralVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = LiteralError>> de::Visitor<'_> for LiteralVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a literal such as \"15s\", \"1MB\", 100 or \"infinity\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! literal_serde {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_any(LiteralVisitor(std::marker::PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

literal_serde!(Duration);
literal_serde!(ByteSize);
literal_serde!(Limit);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_read_back_what_they_print() {
        for text in ["0s", "500ms", "15s", "2h", "1d", "infinity"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        for text in ["0", "100", "4KB", "1MB", "2GB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("infinity".parse::<Limit>().unwrap(), Limit::INFINITY);
    }

    #[test]
    fn wrong_literals_say_what_was_expected() {
        for text in ["", "15", "s", "-1s", "15 parsecs", "99999999999999999999s", "18446744073709551615d"] {
            let error = text.parse::<Duration>().unwrap_err();
            assert!(error.to_string().contains("a duration such as"), "{error}");
        }
        assert!("1TB".parse::<ByteSize>().is_err());
        assert!("many".parse::<Limit>().is_err());
    }
}
