//! Numbers as capacity plans are written: `256`, `50k/s`, `1.5M`, `2G`. Powers of 1,000, never of 1,024.

/// Why a text is not such a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a number such as 256, 50k, 1.5M or 2G")]
pub struct NumberError;

/// Reads a count.
///
/// # Errors
/// Anything but digits, at most one point between digits, and at most one of `k`, `M`, `G`.
pub fn count(text: &str) -> Result<u64, NumberError> {
    let number = number(text)?;
    // Half a connection is a mistake of the one who types.
    if number.fract() == 0.0 { Ok(number as u64) } else { Err(NumberError) }
}

/// Reads a rate; `/s` may stand behind it and changes nothing.
///
/// # Errors
/// As [`count`], except that the rate may have a fraction.
pub fn rate(text: &str) -> Result<f64, NumberError> {
    number(text.strip_suffix("/s").unwrap_or(text))
}

fn number(text: &str) -> Result<f64, NumberError> {
    let (digits, unit) = match text.chars().last() {
        Some('k' | 'K') => (&text[..text.len() - 1], 1e3),
        Some('M') => (&text[..text.len() - 1], 1e6),
        Some('G') => (&text[..text.len() - 1], 1e9),
        _ => (text, 1.0),
    };
    let is_decimal = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let number: f64 = digits.parse().ok().filter(|_| is_decimal).ok_or(NumberError)?;
    let scaled = number * unit;
    // Beyond 2^53 whole numbers are no longer told apart; no host is that large.
    if scaled <= 9e15 { Ok(scaled) } else { Err(NumberError) }
}

/// Writes a count with a comma between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes in the largest unit of 1,024 that leaves a whole part.
pub fn bytes(number: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", number as f64 / unit as f64),
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_rates_are_read_with_their_units() {
        for (text, number) in [
            ("0", 0),
            ("256", 256),
            ("50k", 50_000),
            ("1M", 1_000_000),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
        ] {
            assert_eq!(count(text), Ok(number), "{text}");
        }
        assert_eq!(rate("50k/s"), Ok(50_000.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["", "k", "1m", "-1", "1..5", "1e3", ".5", "1.", "1.5", "1k/s", "nan", "inf", "9999999G"]
        {
            assert_eq!(count(text), Err(NumberError), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((grouped(0), grouped(999)), ("0".to_owned(), "999".to_owned()));
        assert_eq!((bytes(1023), bytes(1536)), ("1023 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }
}
