//! Sizes and times as people write them. Sizes are binary throughout: `mb`, `MB` and `MiB` are 1,048,576 bytes, as
//! memory limits have always been meant.

/// `256mb`, `64MiB`, `1.5g`, `4096` → bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const SIZES: &str = "a size is a number with a unit: `4096`, `64kb`, `256mb`, `1gb`";
    let (number, unit) = split(text).ok_or_else(|| SIZES.to_owned())?;
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(SIZES.to_owned()),
    };
    scaled(number, scale).ok_or_else(|| SIZES.to_owned())
}

/// `1h`, `30s`, `500ms`, `1h30m` → milliseconds. A number without a unit is refused.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    const TIMES: &str = "a time is a number with a unit: `500ms`, `30s`, `5m`, `1h`, `1h30m`, `1d`";
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(TIMES.to_owned());
    }
    while !rest.is_empty() {
        let (number, after) = split(rest).ok_or_else(|| TIMES.to_owned())?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let scale = match &after[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(TIMES.to_owned()),
        };
        total = scaled(number, scale).and_then(|ms| total.checked_add(ms)).ok_or_else(|| TIMES.to_owned())?;
        rest = after[end..].trim_start();
    }
    Ok(total)
}

/// Bytes as a person would write them, exactly: `256mb`, `1000`.
pub fn format_bytes(bytes: u64) -> String {
    for (scale, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// A leading number and what follows it, spaces between them dropped.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text[end..].trim_start()))
}

/// `number × scale`, exact; none if it is not a number, not whole or too large.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 || number.ends_with('.')
    {
        return None;
    }
    let whole: u64 = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let part = match fraction {
        "" => 0,
        digits => {
            let unit = 10u128.pow(u32::try_from(digits.len()).ok()?);
            let product = digits.parse::<u128>().ok()?.checked_mul(u128::from(scale))?;
            // `1.5mb` is whole, `0.3kb` is rounded down to whole bytes.
            u64::try_from(product / unit).ok()?
        }
    };
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1b", 1),
            ("64kb", 64 << 10),
            ("256mb", 256 << 20),
            ("256 MB", 256 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("1_000", 1000),
            ("2TB", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "mb", "-1", "1.mb", "1..2", "12 parsecs", "99999999999gb", "1e6", ".5mb", "0x10"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for bytes in [0, 1, 1023, 1024, 64 << 10, 256 << 20, 3 << 30, u64::MAX] {
            assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn times() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "30", "h", "1h30", "1y", "-1s", "99999999999999999999s"] {
            assert!(parse_duration_ms(text).is_err(), "{text}");
        }
    }
}
