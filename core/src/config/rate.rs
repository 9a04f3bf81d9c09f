//! The literal of rates: `1000/s`, `100/10s`, `1MB/s`, `infinity`.

use super::literal::{ByteSize, Duration, LiteralError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How much may come in how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Messages, connections or bytes, at least 1; `u64::MAX` for no bound.
    pub amount: u64,
    /// In how many milliseconds, 1 to a day.
    pub period_ms: u64,
}

const RATE: &str = "a rate such as 1000/s, 100/10s, 1MB/s or infinity";
const PERIOD_MS_MAX: u64 = 86_400_000;
/// The most of a period, so that counting never overflows.
const AMOUNT_MAX: u64 = 1 << 34;

impl Rate {
    /// No bound.
    pub const INFINITY: Rate = Rate { amount: u64::MAX, period_ms: 1000 };

    /// Whether there is no bound.
    pub const fn is_infinite(self) -> bool {
        self.amount == u64::MAX
    }
}

impl FromStr for Rate {
    type Err = LiteralError;

    fn from_str(text: &str) -> Result<Rate, LiteralError> {
        let fail = || LiteralError::new(text, RATE);
        let trimmed = text.trim();
        if trimmed == "infinity" {
            return Ok(Rate::INFINITY);
        }
        let (amount, period) = trimmed.split_once('/').unwrap_or((trimmed, "1s"));
        let amount = amount.trim().parse::<ByteSize>().map_err(|_| fail())?.0;
        let period = period.trim();
        let has_number = period.starts_with(|first: char| first.is_ascii_digit());
        let period = if has_number { period.parse::<Duration>() } else { format!("1{period}").parse() };
        let period_ms = period.map_err(|_| fail())?.as_ms();
        let is_in_bounds = (1..=AMOUNT_MAX).contains(&amount) && (1..=PERIOD_MS_MAX).contains(&period_ms);
        if is_in_bounds { Ok(Rate { amount, period_ms }) } else { Err(fail()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_infinite() {
            return f.write_str("infinity");
        }
        let period = Duration::from_ms(self.period_ms).to_string();
        // One of a unit is written as the unit alone.
        let period = period.strip_prefix('1').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        let whole = Duration::from_ms(self.period_ms).to_string();
        write!(f, "{}/{}", ByteSize(self.amount), period.unwrap_or(&whole))
    }
}

impl TryFrom<String> for Rate {
    type Error = LiteralError;

    fn try_from(text: String) -> Result<Rate, LiteralError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, amount, period_ms, shown) in [
            ("1000/s", 1000, 1000, "1000/s"),
            ("1000", 1000, 1000, "1000/s"),
            ("100/10s", 100, 10_000, "100/10s"),
            ("1MB/s", 1 << 20, 1000, "1MB/s"),
            ("5/m", 5, 60_000, "5/m"),
            ("7/500ms", 7, 500, "7/500ms"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.amount, rate.period_ms, rate.to_string().as_str()), (amount, period_ms, shown));
        }
        assert!("infinity".parse::<Rate>().unwrap().is_infinite());
        for text in ["", "0/s", "10/", "10/0s", "x/s", "10/2d", "-1/s", "1/x"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
