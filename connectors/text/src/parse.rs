//! Texts as values, exactly or not at all: nothing is trimmed, rounded or saturated unless the name says so.

/// `true` or `false`, also capitalised or in capitals.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A 64-bit integer in its canonical form: no plus sign, no leading zeros, no `-0`. `007` is not an integer but a text,
/// because its zeros would be lost.
pub fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if canonical { text.parse().ok() } else { None }
}

/// Whether a text is a number as JSON has it (leading zeros, plus sign, lone dots are not), or `NaN`, `Infinity`,
/// `-Infinity`.
fn is_number(text: &str) -> bool {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return true;
    }
    let rest = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    let mut rest = &rest[whole..];
    if let [b'.', fraction @ ..] = rest {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            exponent => exponent,
        };
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// The nearest 64-bit float; none if the text is no number or beyond the range.
pub fn float_nearest(text: &str) -> Option<f64> {
    if !is_number(text) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || text.ends_with(['N', 'y'])).then_some(value)
}

/// A 64-bit float that gives the text's digits back: a number with more digits than a float holds is none.
pub fn float(text: &str) -> Option<f64> {
    let value = float_nearest(text)?;
    // Fifteen significant digits always survive.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits <= 15 || !value.is_finite() || significant(text) == significant(&format!("{value:e}")) {
        return Some(value);
    }
    None
}

/// Digits without zeros at either end and the exponent of the first digit: equal for equal numbers.
fn significant(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let leading = digits.bytes().take_while(|byte| *byte == b'0').count();
    let digits = digits.trim_matches('0');
    if digits.is_empty() {
        return Some((String::new(), 0));
    }
    Some((digits.to_owned(), exponent + whole.len() as i64 - leading as i64))
}

/// A decimal as its unscaled value; none if the text is no plain number (an exponent is allowed), has digits below the
/// scale other than zero, or more digits than the precision.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    // The place of the last digit relative to the scale: how many zeros to add, or digits to drop.
    let fraction_len = i32::try_from(fraction.len()).ok()?;
    let mut shift = i32::from(scale).checked_sub(fraction_len)?.checked_add(exponent)?;
    let mut digits = format!("{whole}{fraction}");
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    while shift < 0 && digits.len() > 1 {
        if digits.pop() != Some('0') {
            return None;
        }
        shift += 1;
    }
    let digits = digits.trim_start_matches('0');
    let mut value: i128 = 0;
    if !digits.is_empty() {
        if shift < 0 {
            return None;
        }
        let places = digits.len().checked_add(usize::try_from(shift).ok()?)?;
        if places > usize::from(precision.min(38)) {
            return None;
        }
        value = digits.parse().ok()?;
        value = value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_canonical_or_nothing() {
        for (text, value) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(integer(text), Some(value));
        }
        for text in ["", "-", "007", "+1", "-0", "1.0", " 1", "1_000", "9223372036854775808", "١"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn floats_give_their_digits_back_or_are_none() {
        for text in [
            "0.1",
            "-1.5",
            "1e300",
            "1E-5",
            "123456789012345",
            "0.30000000000000004",
            "-0",
            "100000000000000000000",
        ] {
            assert!(float(text).is_some(), "{text}");
        }
        assert_eq!(float("NaN").map(f64::is_nan), Some(true));
        assert_eq!(float("-Infinity"), Some(f64::NEG_INFINITY));
        for text in [
            "",
            ".5",
            "5.",
            "01.5",
            "+1",
            "1e",
            "nan",
            "inf",
            "1e999",
            "0x10",
            "1,5",
            "-",
            "9007199254740993",
            "0.12345678901234567890",
            "1.00000000000000000001",
        ] {
            assert_eq!(float(text), None, "{text}");
        }
        assert_eq!(float_nearest("9007199254740993"), Some(9_007_199_254_740_992.0));
        assert_eq!(float_nearest("1e999"), None, "never saturated");
    }

    #[test]
    fn decimals_are_exact() {
        for (text, value) in [
            ("1.5", Some(150)),
            ("-0.01", Some(-1)),
            ("1.500", Some(150)),
            ("1.505", None),
            ("0", Some(0)),
            ("0.000", Some(0)),
            ("00012", Some(1200)),
            ("1e2", Some(10_000)),
            ("1.5e-1", Some(15)),
            ("15e-3", None),
            ("123.45", Some(12_345)),
            ("1234.5", None),
            ("NaN", None),
            ("", None),
            ("-", None),
            (".", None),
            (".5", Some(50)),
            ("1e999999999", None),
            ("0e999999999", Some(0)),
            ("1e-999999999", None),
        ] {
            assert_eq!(decimal(text, 5, 2), value, "{text}");
        }
        assert_eq!(decimal("120", 2, -1), Some(12));
        assert_eq!(decimal("125", 3, -1), None);
        let nines = "9".repeat(38);
        assert_eq!(decimal(&nines, 38, 0), nines.parse().ok());
        assert_eq!(decimal(&"9".repeat(39), 38, 0), None);
    }
}
