//! How numbers are shown to people: few digits, a letter for thousands. Never used where a program reads.

/// At most four digits, with k, M, G or T behind large numbers.
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let scales = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e4, " k")];
    for (least, letter) in scales {
        // A value that is rounded up to the next scale belongs to it.
        if size >= least * 0.999_95 {
            let unit = if letter == " k" { 1e3 } else { least };
            return digits(value / unit) + letter;
        }
    }
    if size >= 1_000.0 || value.fract() == 0.0 { format!("{value:.0}") } else { digits(value) }
}

/// Three digits that count, at least; whole numbers without a point.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_their_size() {
        let cases = [
            (0.0, "0"),
            (0.0123, "0.0123"),
            (1.274, "1.27"),
            (42.0, "42"),
            (42.04, "42.0"),
            (731.4, "731"),
            (9_999.0, "9999"),
            (12_345.0, "12.3 k"),
            (999_999.9, "1.00 M"),
            (1_234_567.0, "1.23 M"),
            (-2.5e9, "-2.50 G"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
